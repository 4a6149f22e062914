/**
 * npx tsx bench/onnx-peers.ts FOLDER COUNTS.json [engine]
 *
 * Networks of one's own, from files that PyTorch exported: FOLDER/<name>.onnx of `bench/make-onnx.py export FOLDER`, and
 * COUNTS.json of `bench/make-onnx.py count`, FLOPs by PyTorch's own FlopCounterMode. For each network: FLOPs against
 * that count; the features' logits against the untouched file's; four gates with generated weights at the proposed
 * places; the gated network on the engine and as an exported file, with thresholds that send images to every exit,
 * against Algorithm 1 on the features. Weights are generated, so nothing is said about accuracy. A minute or more.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { normalise } from '../src/data/preprocess.js';
import { OnnxRuntimeCpu } from '../src/engines/onnxruntime/engine.js';
import * as ort from '../src/engines/onnxruntime/ort.js';
import { createEngine } from '../src/engines/registry.js';
import { decide } from '../src/gates/confidence.js';
import type { PlacedGate } from '../src/gates/contracts.js';
import { distances } from '../src/gates/gate.js';
import { gateFeatureCounts } from '../src/networks/onnx.js';
import { gatedModel } from '../src/onnx/gated.js';
import { Random } from '../src/random.js';
import { renderColumns } from '../src/report/findings.js';
import { openUserNetwork } from '../src/run/user-network.js';

const [folder, counts, engineId = 'ort-cpu'] = process.argv.slice(2);
if (folder === undefined || counts === undefined) throw new Error('onnx-peers.ts FOLDER COUNTS.json [engine]');
const peer = JSON.parse(readFileSync(counts, 'utf8')) as Record<string, { flops: number }>;
const names = Object.keys(peer).filter((name) => readdirSync(folder).includes(`${name}.onnx`));
const preprocessing = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const IMAGES = 4;
const [engine, cpu] = [await createEngine(engineId), await OnnxRuntimeCpu.create()];

const rows: string[][] = [];
for (const name of names) {
  rows.push(await compare(name, join(folder, `${name}.onnx`)));
  process.stderr.write(`${rows.at(-1)!.join('  ')}\n`);
}
process.stdout.write(
  `${renderColumns(['Network', 'FLOPs', "PyTorch's", 'Places', 'Gates at (%)', 'Logits differ', 'Gated', 'Exported'], rows)}\n`,
);

async function compare(name: string, path: string): Promise<string[]> {
  const user = await openUserNetwork({ kind: 'onnx', file: path, gatesAfter: 'auto' }, 'generated');
  const { network } = user;
  const random = new Random(7, name);
  const { channels, height, width } = network.input;
  const pixels = drawings(IMAGES, channels, height, width, random);
  const images = normalise(pixels, preprocessing, height * width);
  const places = network.stages.map((_, i) => ({ stage: i + 1, pooling: { kind: 'gap' } as const }));
  const gates = gateFeatureCounts(network, places).map((features, i): PlacedGate => {
    const floats = (length: number): Float32Array => Float32Array.from({ length }, () => random.uniform() - 0.5);
    const { classes } = network;
    return {
      place: places[i]!,
      gate: { features, classes, weights: floats(features * classes), bias: floats(classes) },
    };
  });
  const loaded = await engine.loadFeatures(user, places);
  const { features, logits } = await loaded.run(images, IMAGES);
  await loaded.close();
  const decisions = [...gates.map(({ gate }, i) => distances(gate, features[i]!)), logits].map((values) =>
    decide(values, network.classes, 'max'),
  );

  // At each gate the image with the largest confidence among those still there leaves.
  const thresholds: number[] = [];
  let left = Array.from({ length: IMAGES }, (_, i) => i);
  for (const gate of gates.keys()) {
    const sorted = left.map((i) => decisions[gate]!.confidences[i]!).sort((a, b) => b - a);
    thresholds.push(sorted.length > 1 ? (sorted[0]! + sorted[1]!) / 2 : Number.POSITIVE_INFINITY);
    left = left.filter((i) => decisions[gate]!.confidences[i]! < thresholds[gate]!);
  }
  const expected = Array.from({ length: IMAGES }, (_, i) => {
    const gate = thresholds.findIndex((threshold, k) => decisions[k]!.confidences[i]! >= threshold);
    const exit = gate < 0 ? gates.length : gate;
    return `${exit}:${decisions[exit]!.classes[i]}`;
  });
  // Within 1e-4 of the largest number, which is as far as sums in another order go.
  const isTie = (i: number): boolean =>
    decisions.some(({ confidences }, k) => {
      const row = (k < gates.length ? distances(gates[k]!.gate, features[k]!) : logits).subarray(
        i * network.classes,
        (i + 1) * network.classes,
      );
      const [first, second] = [...row].sort((a, b) => b - a) as [number, number];
      const scale = 1e-4 * Math.max(...row.map(Math.abs));
      return first - second < scale || Math.abs(confidences[i]! - (thresholds[k] ?? Number.POSITIVE_INFINITY)) < scale;
    });
  const same = (exits: ArrayLike<unknown>, classes: ArrayLike<unknown>): string => {
    const wrong = expected.flatMap((answer, i) => (answer === `${exits[i]}:${classes[i]}` ? [] : [i]));
    const near = wrong.filter((i) => isTie(i)).length;
    const ways = new Set(expected.map((answer) => answer.split(':')[0])).size;
    return `${IMAGES - wrong.length} of ${IMAGES}, ${ways} exits${near > 0 ? `, ${near} ties` : ''}`;
  };
  const gated = await engine.loadGated(user, gates, 'max');
  const dynamic = await gated.run(images, IMAGES, thresholds);
  await gated.close();
  const session = await cpu.createSession(gatedModel(user, gates, { confidence: 'max', preprocessing }));
  const file = await session.run({
    images: new ort.Tensor('uint8', pixels, [IMAGES, channels, height, width]),
    thresholds: new ort.Tensor('float32', Float32Array.from(thresholds), [gates.length]),
  });
  await session.release();
  const difference = await againstOriginal(path, images, [IMAGES, channels, height, width], logits);
  const { flops } = network;
  return [
    name,
    flops.toLocaleString('en'),
    `${(100 * (flops / peer[name]!.flops - 1)).toFixed(4)} %`,
    String(network.stages.length),
    network.stages.map(({ cumulativeFlops }) => ((100 * cumulativeFlops) / flops).toFixed(1)).join(' '),
    difference.toExponential(1),
    same(dynamic.exits, dynamic.classes),
    same(file['exit']!.data as BigInt64Array, file['class']!.data as BigInt64Array),
  ];
}

/** Images that differ from each other more than noise does: waves of several lengths and brightnesses. [count, c, h, w] */
function drawings(count: number, channels: number, height: number, width: number, random: Random): Uint8Array {
  const size = channels * height * width;
  const pixels = new Uint8Array(count * size);
  for (let image = 0; image < count; image++) {
    const [fx, fy, contrast] = [random.uniform() / 4, random.uniform() / 4, 40 + 85 * random.uniform()];
    for (let i = 0; i < size; i++) {
      const [x, y, c] = [i % width, Math.floor(i / width) % height, Math.floor(i / (height * width))];
      pixels[image * size + i] = 128 + contrast * Math.sin(fx * x * (c + 1) + fy * y) + 2 * random.uniform();
    }
  }
  return pixels;
}

/** Largest difference of the logits from those of the untouched file, relative to the largest of them. */
async function againstOriginal(
  path: string,
  images: Float32Array,
  dims: number[],
  logits: Float32Array,
): Promise<number> {
  const session = await cpu.createSession(readFileSync(path));
  const result = await session.run({ [session.inputNames[0]!]: new ort.Tensor('float32', images, dims) });
  await session.release();
  const original = result[session.outputNames[0]!]!.data as Float32Array;
  const largest = original.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return original.reduce((most, value, i) => Math.max(most, Math.abs(value - logits[i]!)), 0) / largest;
}
