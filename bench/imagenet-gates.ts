/**
 * One epoch of gate training on features of ImageNet's size, against its matrix products alone on the same engine.
 *
 * Command   /usr/bin/time -v npx tsx bench/imagenet-gates.ts [FOLDER] [IMAGES] [EPOCHS] [BATCH]
 *           (a temporary folder, 1281167, 1, 4096)
 * Writes 1,281,167 x 1,024 features with labels of 1000 classes in shards as extraction does (5.3 GB; kept where FOLDER
 * is given, and found there again), trains a gate on them through `trainingData` and `trainGate` as a run does,
 * and applies it to 20,000 other images of the same distribution. Then runs, the same number of times, only the matrix
 * products of an epoch: distances, gradient, and metric times gradient. Limits: 1.5 times their time, 3 GB of memory.
 *
 * Features: non-negative like pooled activations: max(0, centre of the class + noise), each class's centre being the sum
 * of 8 of 64 directions, so that classes share features and no single feature tells one.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeSafetensors, type Storable } from '../src/checkpoints/load.js';
import { consoleProgress } from '../src/cli/context.js';
import { OnnxRuntimeCpu } from '../src/engines/onnxruntime/engine.js';
import * as ort from '../src/engines/onnxruntime/ort.js';
import { decide } from '../src/gates/confidence.js';
import { distances } from '../src/gates/gate.js';
import { trainGate } from '../src/gates/train.js';
import { GraphBuilder } from '../src/onnx/builder.js';
import type { Progress } from '../src/progress.js';
import { Random } from '../src/random.js';
import { FeatureSet, shardArrays } from '../src/run/features.js';
import { trainingData } from '../src/run/train.js';
import { Store } from '../src/store/store.js';

const [folder, imagesArgument = '1281167', epochsArgument = '1', batchArgument = '4096'] = process.argv.slice(2);
const [count, epochs, batchSize] = [Number(imagesArgument), Number(epochsArgument), Number(batchArgument)];
const [features, classes, shardImages, heldOut] = [1024, 1000, 1024, 20_480];

/** Class centres, [classes, features]. */
function makeCentres(): Float32Array {
  const random = new Random(1, 'centres');
  const directions = Float32Array.from({ length: 64 * features }, () => normal(random));
  const centres = new Float32Array(classes * features);
  for (let c = 0; c < classes; c++) {
    for (let k = 0; k < 8; k++) {
      const d = random.below(64) * features;
      for (let f = 0; f < features; f++) centres[c * features + f]! += directions[d + f]! / Math.sqrt(8);
    }
  }
  return centres;
}

/** Noise of ImageNet's size would take minutes to draw: 2^20 numbers, read from a random place for every image. */
const noise = Float32Array.from(
  { length: 1 << 20 },
  (
    (random) => () =>
      3 * normal(random)
  )(new Random(2, 'noise')),
);

function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());
}

function makeShard(images: number, centres: Float32Array, random: Random): { x: Float32Array; labels: Int32Array } {
  const x = new Float32Array(images * features);
  const labels = Int32Array.from({ length: images }, () => random.below(classes));
  for (let i = 0; i < images; i++) {
    const [centre, start] = [labels[i]! * features, random.below(noise.length - features)];
    for (let f = 0; f < features; f++) x[i * features + f] = Math.max(0, centres[centre + f]! + noise[start + f]!);
  }
  return { x, labels };
}

async function generate(root: string, centres: Float32Array, progress: Progress): Promise<FeatureSet> {
  const entry = new Store(root).entry('features', { generated: 'imagenet-gates', count, features, classes });
  const set = new FeatureSet(entry, count, classes, [features]);
  if (await entry.isComplete()) return set;
  const task = progress.begin('generating features', count, 'images');
  const random = new Random(3, 'images');
  for (let start = 0; start < count; start += shardImages) {
    const { x, labels } = makeShard(Math.min(shardImages, count - start), centres, random);
    const arrays = new Map<string, Storable>([
      [shardArrays.gate(0), { dtype: 'F32', shape: [labels.length, features], data: x }],
      [shardArrays.logits, { dtype: 'F32', shape: [labels.length, 1], data: new Float32Array(labels.length) }],
      [shardArrays.labels, { dtype: 'I32', shape: [labels.length], data: labels }],
    ]);
    await entry.write(`shard-${String(start / shardImages).padStart(5, '0')}.safetensors`, encodeSafetensors(arrays));
    task.update(start + labels.length);
  }
  task.end();
  await entry.finish();
  return set;
}

/** s V, s^T G and P G, [batch, features] x [features, classes] and so on: nothing else. */
function productsGraph(): Uint8Array {
  const builder = new GraphBuilder('products');
  const s = builder.input('s', 'float', ['batch', features]);
  const v = builder.input('v', 'float', [features, classes]);
  const p = builder.input('p', 'float', [features, features]);
  const d = builder.node('MatMul', [s, v]);
  const raw = builder.node('MatMul', [builder.node('Transpose', [s], { perm: [1, 0] }), d]);
  builder.node('MatMul', [p, raw], {}, 'g');
  builder.output('g', 'float', [features, classes]);
  return builder.encode();
}

/** Seconds of an epoch's matrix products. */
async function products(engine: OnnxRuntimeCpu): Promise<number> {
  const session = await engine.createSession(productsGraph());
  const tensor = (rows: number, columns: number): ort.Tensor =>
    new ort.Tensor('float32', new Float32Array(rows * columns).fill(0.01), [rows, columns]);
  const feeds = { s: tensor(batchSize, features), v: tensor(features, classes), p: tensor(features, features) };
  await session.run(feeds); // warm-up
  const start = performance.now();
  for (let done = 0; done < count; done += batchSize) await session.run(feeds);
  const seconds = (performance.now() - start) / 1000;
  await session.release();
  return seconds;
}

const root = folder ?? (await mkdtemp(join(tmpdir(), 'dgate-bench-')));
const console_ = consoleProgress();
const centres = makeCentres();
const set = await generate(root, centres, console_);
const engine = await OnnxRuntimeCpu.create();

// Products before and after, so that a machine that is slower for a while is slower for both.
const before = await products(engine);
const epochSeconds: number[] = [];
let mark = 0;
const timing: Progress = {
  ...console_,
  begin(label, total, unit) {
    const task = console_.begin(label, total, unit);
    return {
      ...task,
      update(done, detail) {
        task.update(done, detail);
        if (mark === 0) mark = performance.now(); // after the first batch
        if (!Number.isInteger(done) || detail === undefined) return;
        epochSeconds.push((performance.now() - mark) / 1000);
        mark = performance.now();
      },
    };
  },
};
const wholeStart = performance.now();
const training = { loss: 'hinge', l2: 0.0001, solver: 'sgd', gap: 1e-3, epochs, batchSize, seed: 0 } as const;
const { gate, objective } = await trainGate(await trainingData(set, 0), training, engine, timing, 'gate');
const whole = (performance.now() - wholeStart) / 1000;
const after = await products(engine);

const test = makeShard(heldOut, centres, new Random(4, 'held out'));
const scoreStart = performance.now();
const decided = decide(distances(gate, test.x), classes, 'max').classes;
const scoreSeconds = (performance.now() - scoreStart) / 1000;
const right = decided.filter((winner, i) => winner === test.labels[i]).length;
const epoch = Math.min(...epochSeconds);
const alone = (before + after) / 2;
process.stdout.write(
  `${count.toLocaleString('en')} x ${features} features, ${classes} classes, batch ${batchSize}, ${epochs} epochs\n` +
    `epoch ${epochSeconds.map((s) => s.toFixed(1)).join(', ')} s; matrix products alone ${before.toFixed(1)} s before, ` +
    `${after.toFixed(1)} s after; fastest epoch / products = ${(epoch / alone).toFixed(2)} (limit 1.5)\n` +
    `whole training ${whole.toFixed(1)} s (hashes, scaling, metric, ${epochs} epochs, objective ${objective.toFixed(4)})\n` +
    `accuracy ${((100 * right) / heldOut).toFixed(2)} % on ${heldOut.toLocaleString('en')} other images (chance 0.1 %), ` +
    `${(heldOut / scoreSeconds).toFixed(0)} images/s applied\n` +
    `most memory ${(process.resourceUsage().maxRSS / 2 ** 20).toFixed(2)} GiB (limit 3 GB)\n` +
    `${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, node ${process.versions.node}\n`,
);
if (folder === undefined) await rm(root, { recursive: true });
