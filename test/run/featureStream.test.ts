import { mkdtemp, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { encodeSafetensors, type Storable } from '../../src/checkpoints/load.js';
import { OnnxRuntimeCpu } from '../../src/engines/onnxruntime/engine.js';
import type { TrainingData } from '../../src/gates/contracts.js';
import { fitTemperature } from '../../src/gates/fit.js';
import { trainGate } from '../../src/gates/train.js';
import { silent } from '../../src/progress.js';
import { Random } from '../../src/random.js';
import { FeatureSet, shardArrays } from '../../src/run/features.js';
import { type Fitting, fitParts } from '../../src/run/score.js';
import { streamedData, trainingData } from '../../src/run/train.js';
import { Store } from '../../src/store/store.js';

const [count, perShard, width, classes] = [1000, 64, 6, 3];

describe('features that are streamed', () => {
  let folder: string;
  let set: FeatureSet;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dgate-stream-'));
    set = await write(folder);
  });
  after(() => rm(folder, { recursive: true }));

  /** Every image has its number as its first feature, so that it is known again; a second gate lies before the first. */
  async function write(root: string): Promise<FeatureSet> {
    const entry = new Store(root).entry('features', { test: true });
    const random = new Random(5);
    for (let start = 0; start < count; start += perShard) {
      const images = Math.min(perShard, count - start);
      const labels = Int32Array.from({ length: images }, () => random.below(classes));
      const x = Float32Array.from({ length: images * width }, (_, at) => {
        const image = Math.floor(at / width);
        if (at % width === 0) return start + image;
        return random.uniform() + (labels[image] === at % width ? 0.5 : 0);
      });
      const arrays = new Map<string, Storable>([
        [shardArrays.gate(0), { shape: [images, 2], data: new Float32Array(images * 2).fill(-1) }],
        [shardArrays.gate(1), { shape: [images, width], data: x }],
        [shardArrays.logits, { shape: [images, classes], data: logitsFrom(start, images) }],
        [shardArrays.labels, { dtype: 'I32', shape: [images], data: labels }],
      ]);
      await entry.write(`shard-${String(start / perShard).padStart(5, '0')}.safetensors`, encodeSafetensors(arrays));
    }
    await entry.finish();
    return new FeatureSet(entry, count, classes, [2, width]);
  }

  /** Of image i and class c: sin(i classes + c). */
  function logitsFrom(start: number, images: number): Float32Array {
    return Float32Array.from({ length: images * classes }, (_, at) => Math.sin(start * classes + at));
  }

  const streamed = (from = set): Promise<TrainingData> => trainingData(from, 1, 'labels', 0);

  /** Sizes of the batches, and each image's number, features and label in the order of the pass. */
  async function pass(data: TrainingData, size: number, seed?: number) {
    const sizes: number[] = [];
    const rows: number[][] = [];
    for await (const { x, labels } of data.batches(size, seed)) {
      sizes.push(labels.length);
      for (const [row, label] of labels.entries()) rows.push([...x.subarray(row * width, (row + 1) * width), label]);
    }
    return { sizes, rows, order: rows.map((row) => row[0]!) };
  }

  it('are the same numbers as in memory, in order', async () => {
    const [disk, memory] = [await pass(await streamed(), 64), await pass(await trainingData(set, 1), 64)];
    expect(disk.rows).to.deep.equal(memory.rows);
    expect(disk.rows).to.have.length(count);
  });

  it('have the softmax of the same images beside them, from the disk as in memory, in order and shuffled', async () => {
    const all = [await trainingData(set, 1, 'network', 0), await trainingData(set, 1, 'network')];
    for (const data of all) {
      for (const seed of [undefined, 3]) {
        let images = 0;
        for await (const { x, labels, probabilities } of data.batches(64, seed)) {
          expect(probabilities!.length).to.equal(labels.length * classes);
          for (let row = 0; row < labels.length; row++) {
            const image = x[row * width]!;
            const logits = Array.from({ length: classes }, (_, c) => Math.sin(image * classes + c));
            const sum = logits.reduce((total, value) => total + Math.exp(value), 0);
            for (const [c, value] of logits.entries()) {
              expect(probabilities![row * classes + c]).to.be.closeTo(Math.exp(value) / sum, 1e-6);
            }
          }
          images += labels.length;
        }
        expect(images).to.equal(count);
      }
    }
  });

  it('come shuffled across shards, every image once with its own label, in full batches', async () => {
    const memory = await pass(await trainingData(set, 1), 64);
    const { sizes, rows, order } = await pass(await streamed(), 150, 3);
    expect(sizes).to.deep.equal([150, 150, 150, 150, 150, 150, 100]);
    expect([...rows].sort((a, b) => a[0]! - b[0]!)).to.deep.equal(memory.rows);
    const shardsInFirstBatch = new Set(order.slice(0, 150).map((image) => Math.floor(image / perShard)));
    expect(shardsInFirstBatch.size).to.be.greaterThan(10);
    expect((await pass(await streamed(), 150, 3)).order).to.deep.equal(order);
    expect((await pass(await streamed(), 150, 4)).order).to.not.deep.equal(order);
  });

  it('are shuffled window by window where they do not fit in one', async () => {
    const memory = await pass(await trainingData(set, 1), 64);
    // Two shards of 64 images to a window.
    const { rows, order, sizes } = await pass(streamedData(set, 1, 'labels', 2 * perShard * width * 4), 100, 3);
    expect([...rows].sort((a, b) => a[0]! - b[0]!)).to.deep.equal(memory.rows);
    expect(sizes).to.deep.equal(new Array<number>(10).fill(100));
    const shards = new Set(order.slice(0, 100).map((image) => Math.floor(image / perShard)));
    expect(shards.size).to.be.within(1, 2);
    expect(order.slice(0, 100)).to.not.deep.equal([...order.slice(0, 100)].sort((a, b) => a - b));
  });

  it('train the same gate as features in memory, but for the gap', async () => {
    const engine = await OnnxRuntimeCpu.create(1);
    const training = {
      loss: 'hinge',
      l2: 0.01,
      solver: 'optimum',
      gap: 0.002,
      epochs: 300,
      batchSize: 100,
      seed: 0,
    } as const;
    const train = async (data: TrainingData) => trainGate(data, training, engine, silent, 'gate');
    const [disk, memory] = [await train(await streamed()), await train(await trainingData(set, 1))];
    expect(disk.objective).to.be.closeTo(memory.objective, 0.002 * memory.objective);
    expect(memory.objective).to.be.below(1.5); // not at all trained: 3, one for each class
  });

  it('become temperatures one exit after the other: the numbers of one are in memory, with what a step needs', async () => {
    const events: string[] = [];
    const random = new Random(8);
    const gateOf = (index: number, features: number): Parameters<typeof fitParts>[1][number] => ({
      ...{ network: 0, index },
      load: async () => {
        events.push(`gate ${index + 1}`);
        const weights = Float32Array.from({ length: features * classes }, () => random.uniform() - 0.5);
        return { features, classes, weights, bias: new Float32Array(classes) };
      },
    });
    const labels = new Int32Array(count);
    const scores = { count, labels, original: labels, classes: [labels, labels], confidences: [] };
    const every = Int32Array.from(labels.keys());
    const selection = {
      scores,
      get images() {
        events.push('fitted');
        return every;
      },
    };
    const parts = [{ selection, evaluation: { scores, images: every } }];
    const fitting: Fitting = {
      ...{ kind: 'softmax', temperature: true, byClass: false, withoutLabels: false },
      fittedOn: (images) => images,
    };
    const found = await fitParts([[set, set]], [gateOf(0, 2), gateOf(1, width)], fitting, parts);
    expect(events.slice(0, 5)).to.deep.equal(['gate 1', 'fitted', 'gate 2', 'fitted', 'fitted']);
    expect(found.fits.map((of) => of.length)).to.deep.equal([1, 1, 1]);
    expect(found.parts[0]!.evaluation.scores.confidences.map((of) => of.length)).to.deep.equal([count, count]);
    // The last exit's are the logits as they were written.
    const own = {
      numbers: logitsFrom(0, count),
      classes,
      labels: (await pass(await streamed(), 64)).rows.map((row) => row.at(-1)!),
    };
    const fitted = fitTemperature({ ...own, labels: Int32Array.from(own.labels) }, every);
    expect(found.fits[2]![0]!.fitted.temperature).to.equal(fitted);
  });

  it('are noticed where a shard is not what was written', async () => {
    const other = await mkdtemp(join(tmpdir(), 'dgate-stream-'));
    try {
      const damaged = await write(other);
      const data = await streamed(damaged);
      await pass(data, 100, 0);
      await truncate(await damaged.entry.path('shard-00003.safetensors'), 500);
      const later = await pass(data, 100, 1).catch((error: Error) => error);
      expect(String(later)).to.match(/shard-00003\S*: is shorter than it was/);
      const fresh = await pass(await streamed(new FeatureSet(damaged.entry, count, classes, [2, width])), 100).catch(
        (error: Error) => error,
      );
      expect(String(fresh)).to.match(/shard-00003\S*: is not what was written there/);
    } finally {
      await rm(other, { recursive: true });
    }
  });
});
