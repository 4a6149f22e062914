import { availableParallelism } from 'node:os';
import { normalise } from '../../src/data/preprocess.js';
import { trainingEngine } from '../../src/engines/registry.js';
import { InputError, messageOf } from '../../src/errors.js';
import { networkByName } from '../../src/networks/catalogue.js';
import type { Network } from '../../src/networks/network.js';
import { silent } from '../../src/progress.js';
import { Random } from '../../src/random.js';
import { augment, recipes } from '../../src/training/recipe.js';

import type { Trainer, TrainingEngine } from '../../src/training/state.js';
import { initialTensors } from '../../src/training/train.js';
import { inTurn, ratioOf } from '../runner/pairs.js';
import { type PyTorch, startPyTorch } from '../runner/pytorch.js';
import type { Bench, Benchmark, Ratio } from '../runner/types.js';

/** The networks that ship with the project, which it could have trained itself. */
const NETWORKS = ['resnet101-width0.25-blocks1.1.7.1-cifar10', 'densenet201-growth16-blocks1.2.16.8-cifar10'];
const recipe = recipes.laptop;
/** Batches of different images that both go round. */
const BATCHES = 8;
const RATE = 0.05;
/** Steps of a round. */
const STEPS = 3;
const ROUNDS = 9;
/** Losses of the same step on the same weights may differ by this share. */
const SAME_LOSS = 1e-3;

export const benchmark: Benchmark = {
  name: 'training',
  title: `images per second of a step of training (forward, backward, SGD), batch ${recipe.batchSize}`,
  peers: ['torch'],
  async run(bench) {
    if (!bench.has('torch')) return [];
    const engine = await tensorFlow(bench);
    if (engine === undefined) return [];
    const rows: Ratio[] = [];
    for (const name of NETWORKS) rows.push(await compare(bench, engine, networkByName(name)));
    return rows;
  },
};

async function tensorFlow(bench: Bench): Promise<TrainingEngine | undefined> {
  try {
    return await trainingEngine('tfjs-node', silent);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    bench.say(`left out: ${messageOf(error)}; npx dgate doctor --setup tfjs-node sets it up`);
    return undefined;
  }
}

interface Batch {
  /** [batchSize, channels, height, width], normalised */
  readonly images: Float32Array;
  readonly labels: Int32Array;
}

/** How PyTorch runs a network: the number of threads is chosen for it too, since more are not always faster. */
interface Setting {
  readonly layout: 'contiguous' | 'channels_last';
  readonly threads: number;
}

interface Steps {
  readonly seconds: number;
  readonly losses: readonly number[];
}

async function compare(bench: Bench, engine: TrainingEngine, network: Network): Promise<Ratio> {
  // No residual begins at 0, so that the losses say something of every layer.
  const tensors = initialTensors(network, 0, false);
  const { batches, prepareSeconds } = generatedBatches(network);
  const images = Float32Array.from({ length: BATCHES * batches[0]!.images.length }, (_, i) => {
    const size = batches[0]!.images.length;
    return batches[Math.floor(i / size)]!.images[i % size]!;
  });
  const labels = batches.flatMap((batch) => [...batch.labels]);
  const peer = await startPyTorch<{ torch: string }>('pytorch_training.py', {
    network,
    tensors,
    described: { recipe, labels },
    images,
  });
  const trainer = await engine.load(network, recipe, { weights: tensors, momenta: new Map() });
  try {
    const setting = await fastest(bench, peer, network.name);
    await peer.ask(JSON.stringify({ begin: setting }));
    const difference = lossDifference(await trainSteps(trainer, batches, 0, STEPS), await peerSteps(peer, 0, STEPS));
    if (!(difference <= SAME_LOSS))
      throw new Error(`${network.name}: losses of the same steps differ by ${difference}`);
    const next = [STEPS, STEPS];
    const rate = async (who: 0 | 1): Promise<number> => {
      const first = next[who]!;
      next[who] = first + STEPS;
      const steps = who === 0 ? trainSteps(trainer, batches, first, STEPS) : peerSteps(peer, first, STEPS);
      return (STEPS * recipe.batchSize) / (await steps).seconds;
    };
    const pairs = await inTurn(
      () => rate(0),
      () => rate(1),
      { rounds: ROUNDS },
    );
    const prepared = recipe.batchSize / prepareSeconds;
    return ratioOf(pairs, {
      what: `${network.name}, ${engine.describe().threads} threads`,
      against: `PyTorch ${peer.hello.torch}`,
      unit: 'images/s',
      note:
        `tfjs-node on the CPU; PyTorch ${setting.layout}, ${setting.threads} threads, the fastest of its settings; ` +
        `losses of the first ${STEPS} steps agree within ${difference.toExponential(0)}; generated images; ours prepares ` +
        `${prepared.toFixed(0)} images/s (crops, mirrors, normalisation) besides, neither counts that`,
    });
  } finally {
    await trainer.close();
    await peer.close();
  }
}

/** Noise in batches as `dgate train` makes them, and the seconds that making one takes. */
function generatedBatches(network: Network): { batches: Batch[]; prepareSeconds: number } {
  const { channels, height, width } = network.input;
  const random = new Random(0, 'bench');
  const preprocessing = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };
  const count = recipe.batchSize;
  const raw = Array.from({ length: BATCHES }, () => ({
    bytes: Uint8Array.from({ length: count * channels * height * width }, () => random.below(256)),
    labels: Int32Array.from({ length: count }, () => random.below(network.classifier.out)),
  }));
  const start = performance.now();
  const batches = raw.map(({ bytes, labels }) => ({
    images: normalise(augment(bytes, network.input, recipe, random), preprocessing, height * width),
    labels,
  }));
  return { batches, prepareSeconds: (performance.now() - start) / 1000 / BATCHES };
}

/** The setting in which PyTorch's second step takes least. */
async function fastest(bench: Bench, peer: PyTorch<unknown>, name: string): Promise<Setting> {
  const settings = (['contiguous', 'channels_last'] as const).flatMap((layout) =>
    [...new Set([1, availableParallelism()])].map((threads): Setting => ({ layout, threads })),
  );
  const seconds: number[] = [];
  for (const setting of settings) {
    await peer.ask(JSON.stringify({ begin: setting }));
    await peerSteps(peer, 0, 1);
    const times = [];
    for (let round = 1; round <= 3; round++) times.push((await peerSteps(peer, round, 1)).seconds);
    seconds.push(Math.min(...times));
    const rate = recipe.batchSize / Math.min(...times);
    bench.say(`${name}: PyTorch, ${setting.layout}, ${setting.threads} threads: ${rate.toFixed(0)} images/s`);
  }
  return settings[seconds.indexOf(Math.min(...seconds))]!;
}

async function trainSteps(trainer: Trainer, batches: readonly Batch[], first: number, steps: number): Promise<Steps> {
  const losses: number[] = [];
  const start = performance.now();
  for (let i = first; i < first + steps; i++) {
    const { images, labels } = batches[i % batches.length]!;
    losses.push((await trainer.step(images, labels, RATE)).loss);
  }
  return { seconds: (performance.now() - start) / 1000, losses };
}

function peerSteps(peer: PyTorch<unknown>, first: number, steps: number): Promise<Steps> {
  return peer.ask<Steps>(JSON.stringify({ first, steps, rate: RATE }));
}

/** Largest difference of the losses of the same steps, as a share. */
function lossDifference(ours: Steps, peer: Steps): number {
  return Math.max(...ours.losses.map((loss, i) => Math.abs(loss / peer.losses[i]! - 1)));
}
