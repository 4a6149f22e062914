/**
 * npm run bench:early-exit -- [BLOCKS]        (60)
 *
 * Early exits here against a straightforward loop in PyTorch (bench/pytorch_early_exit.py; Debian's python3-torch) with
 * the same weights, gates, thresholds and images, at batch 1, all cores: the full-width CIFAR ResNet-101 with generated
 * weights and gates (a third of the images leave at each of two gates), and the first rows of Tables 1 and 2 with the
 * networks that ship (real images; needs CIFAR-10 in DGATE_CACHE, else they are left out). Blocks of images in turn, each
 * network in a process of its own that times itself; the first block of each is not counted.
 *
 * Printed: mean milliseconds of an image, their ratio (asked for: at least 3), and how many images got another class or
 * exit.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { matchTensors, readCheckpoint } from '../src/checkpoints/load.js';
import { encodeSafetensors, type Storable } from '../src/checkpoints/safetensors.js';
import { openContext } from '../src/cli/context.js';
import { normalise } from '../src/data/preprocess.js';
import type { PlacedGate } from '../src/engines/engine.js';
import { createEngine } from '../src/engines/registry.js';
import { loadDefinition } from '../src/experiment/load.js';
import { resolveExperiment } from '../src/experiment/resolve.js';
import { networkByName } from '../src/networks/catalogue.js';
import { lowerNetwork } from '../src/networks/lower.js';
import type { Network } from '../src/networks/network.js';
import { gateFeatureCounts } from '../src/networks/pooling.js';
import { networkTensors } from '../src/networks/tensors.js';
import { openGated } from '../src/pipeline/gated.js';
import { silent } from '../src/progress.js';
import { Random } from '../src/random.js';
import { renderColumns } from '../src/report/columns.js';
import { exists } from '../src/store/files.js';
import type { TensorMap } from '../src/tensor.js';
import { mean } from '../src/timing/statistics.js';
import { generatedTensors } from '../test/parity.js';

const blocks = Number(process.argv[2] ?? 60);
const BLOCK_IMAGES = 6;
const count = (blocks + 1) * BLOCK_IMAGES;
/** Threads of the one that ran last go to sleep. */
const REST_MS = 30;

interface Subject {
  readonly name: string;
  readonly network: Network;
  readonly tensors: TensorMap;
  readonly gates: readonly PlacedGate[];
  readonly thresholds: readonly number[];
  /** [count, channels, height, width] */
  readonly images: Float32Array;
}

/** Milliseconds, class and exit of one image. */
type Answer = readonly [number, number, number];

const engine = await createEngine('ort-cpu');

async function fullWidth(): Promise<Subject> {
  const network = networkByName('resnet101-cifar10');
  const random = new Random(0, 'bench');
  const { channels, height, width } = network.input;
  const images = Float32Array.from({ length: count * channels * height * width }, () => 4 * random.uniform() - 2);
  const places = [1, 2, 3].map((stage) => ({ stage, pooling: { kind: 'gap' } as const }));
  const gates = places.map((place, k): PlacedGate => {
    const features = gateFeatureCounts(network, places)[k]!;
    const weights = Float32Array.from(
      { length: features * 10 },
      () => (2 * random.uniform() - 1) / Math.sqrt(features),
    );
    return { place, gate: { features, classes: 10, weights, bias: new Float32Array(10) } };
  });
  const tensors = generatedTensors(network);
  const subject = { name: 'resnet101-cifar10, generated', network, tensors, gates, thresholds: [], images };
  return { ...subject, thresholds: await thirds(subject) };
}

/** Thresholds at which a third of the images leaves at the first gate, half of the others at the second, none later. */
async function thirds({ network, tensors, gates, images }: Subject): Promise<number[]> {
  const gated = await engine.loadGated(lowerNetwork(network, tensors), gates, 'max');
  const [always, never] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  const sample = Math.min(count, 60);
  const some = images.subarray(0, (images.length / count) * sample);
  const largest = async (gate: number): Promise<Float32Array> =>
    (
      await gated.run(
        some,
        sample,
        gates.map((_, k) => (k === gate ? always : never)),
      )
    ).confidences;
  const quantile = (values: ArrayLike<number>, share: number): number => {
    const sorted = Float32Array.from(values).sort();
    return sorted[Math.floor(share * sorted.length)]!;
  };
  const [first, second] = [await largest(0), await largest(1)];
  const t1 = quantile(first, 2 / 3);
  const t2 = quantile(
    second.filter((_, i) => first[i]! < t1),
    1 / 2,
  );
  await gated.close();
  return [t1, t2, never];
}

async function ofTable(name: string): Promise<Subject | undefined> {
  const context = { ...(await openContext({})), progress: silent };
  if (!(await exists(join(context.dataRoot, 'cifar10')))) return undefined;
  const { exported } = await loadDefinition(name);
  const opened = await openGated(context, resolveExperiment(exported, name, 'laptop', []));
  const { source, gates, rows, test } = opened;
  const network = networkByName(source.network.name);
  const { tensors } = await readCheckpoint(source.checkpoint.path);
  const positions = Int32Array.from({ length: count }, (_, i) => i % test.count);
  return {
    name: `${name}, laptop: ${source.network.name}`,
    network,
    tensors: matchTensors(networkTensors(network), tensors, name),
    gates,
    thresholds: rows[0]!.thresholds[0]!,
    images: normalise(await test.batch(positions), source.preprocessing, test.height * test.width),
  };
}

/** Everything that PyTorch needs, in a folder. */
async function exportSubject(subject: Subject, folder: string): Promise<void> {
  const { network, tensors, gates, thresholds, images } = subject;
  const arrays = new Map<string, Storable>(tensors);
  for (const [k, { gate }] of gates.entries()) {
    arrays.set(`gate${k + 1}.weights`, { shape: [gate.features, gate.classes], data: gate.weights });
    arrays.set(`gate${k + 1}.bias`, { shape: [gate.classes], data: gate.bias });
  }
  await writeFile(join(folder, 'weights.safetensors'), encodeSafetensors(arrays));
  const places = gates.map(({ place }) => place);
  // Python's float() reads "inf" and "Infinity" alike.
  const described = { network, gates: places, thresholds: thresholds.map(String) };
  await writeFile(join(folder, 'network.json'), JSON.stringify(described));
  await writeFile(join(folder, 'images.bin'), new Uint8Array(images.buffer, images.byteOffset, images.byteLength));
}

/** A process that answers a line of text with a line of text. */
function conversation(child: ChildProcess): { ask: (line: string) => Promise<string>; listen: () => Promise<string> } {
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const listen = async (): Promise<string> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error('PyTorch ended');
    return value;
  };
  return {
    listen,
    ask: (line) => {
      child.stdin!.write(`${line}\n`);
      return listen();
    },
  };
}

async function compare(subject: Subject): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'dgate-bench-'));
  await exportSubject(subject, folder);
  const script = fileURLToPath(new URL('pytorch_early_exit.py', import.meta.url));
  const child = spawn('/usr/bin/python3', [script, folder], { stdio: ['pipe', 'pipe', 'inherit'] });
  const { ask, listen } = conversation(child);
  const { torch } = JSON.parse(await listen()) as { torch: string };
  const gated = await engine.loadGated(lowerNetwork(subject.network, subject.tensors), subject.gates, 'max');
  const pixels = subject.images.length / count;
  const ours = async (first: number, last: number): Promise<Answer[]> => {
    const answers: Answer[] = [];
    for (let i = first; i < last; i++) {
      const image = subject.images.slice(i * pixels, (i + 1) * pixels);
      const start = performance.now();
      const { classes, exits } = await gated.run(image, 1, subject.thresholds);
      answers.push([performance.now() - start, classes[0]!, exits[0]!]);
    }
    return answers;
  };
  const pairs: { ours: Answer; theirs: Answer }[] = [];
  for (let block = 0; block <= blocks; block++) {
    const [first, last] = [block * BLOCK_IMAGES, (block + 1) * BLOCK_IMAGES];
    await delay(REST_MS);
    const a = await ours(first, last);
    await delay(REST_MS);
    const b = JSON.parse(await ask(`${first} ${last}`)) as Answer[];
    if (block > 0) a.forEach((answer, i) => void pairs.push({ ours: answer, theirs: b[i]! }));
  }
  child.stdin!.end();
  await once(child, 'exit');
  await gated.close();
  await rm(folder, { recursive: true });
  const [t, p] = [mean(pairs.map((pair) => pair.ours[0])), mean(pairs.map((pair) => pair.theirs[0]))];
  const differing = pairs.filter(({ ours: [, c, e], theirs: [, d, f] }) => c !== d || e !== f).length;
  const exits = Array.from({ length: subject.gates.length + 1 }, (_, exit) => {
    return Math.round((100 * pairs.filter(({ ours: [, , left] }) => left === exit).length) / pairs.length);
  });
  const cells = [
    t.toFixed(2),
    p.toFixed(2),
    (p / t).toFixed(2),
    `${exits.join(' ')} %`,
    `${differing} of ${pairs.length}`,
  ];
  return [subject.name, ...cells, torch];
}

const subjects = [await fullWidth(), await ofTable('table1'), await ofTable('table2')];
const rows: string[][] = [];
for (const subject of subjects) if (subject !== undefined) rows.push(await compare(subject));
const { versions } = engine.describe();
process.stdout.write(
  `${renderColumns(['Network', 'ours (ms)', 'PyTorch (ms)', 'ratio', 'exits', 'differing', 'PyTorch'], rows)}\n` +
    `batch 1, ${blocks} blocks of ${BLOCK_IMAGES} images in turn; ${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, ` +
    `onnxruntime-node ${versions['onnxruntime-node']}, node ${process.versions.node}\n` +
    `${rows.length < 3 ? 'Tables 1 and 2 are left out: no CIFAR-10 in the cache (DGATE_CACHE)\n' : ''}`,
);
