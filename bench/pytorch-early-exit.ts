/**
 * npm run bench:early-exit -- [BLOCKS]        (60)
 *
 * Early exits here against a straightforward loop in PyTorch (bench/pytorch_early_exit.py; Debian's python3-torch) with
 * the same weights, gates, thresholds and images, at batch 1 and 32, all cores: the full-width CIFAR ResNet-101 with generated
 * weights and gates (a third of the images leave at each of two gates), and the first rows of Tables 1 and 2 with the
 * networks that ship (real images; needs CIFAR-10 in DGATE_CACHE, else they are left out). Blocks of images in turn, each
 * network in a process of its own that times itself; the first block, and the first batch of each, are not counted.
 *
 * Printed: mean milliseconds of a batch, their ratio (asked for: at least 3 at batch 1), and how many images got another
 * class or exit. Of batches of 32 there are a quarter as many blocks.
 */
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { matchTensors, readCheckpoint } from '../src/checkpoints/load.js';
import { openContext } from '../src/cli/context.js';
import { normalise } from '../src/data/preprocess.js';
import { createEngine } from '../src/engines/registry.js';
import { loadDefinition } from '../src/experiment/load.js';
import { resolveExperiment } from '../src/experiment/resolve.js';
import { openGated } from '../src/gated/open.js';
import type { PlacedGate } from '../src/gates/contracts.js';
import { networkByName } from '../src/networks/catalogue.js';
import { lowerNetwork } from '../src/networks/lower.js';
import { type Network, networkTensors } from '../src/networks/network.js';
import { gateFeatureCounts } from '../src/networks/onnx.js';
import { silent } from '../src/progress.js';
import { Random } from '../src/random.js';
import { renderColumns } from '../src/report/findings.js';
import { mean } from '../src/statistics/intervals.js';
import { exists } from '../src/store/files.js';
import type { TensorMap } from '../src/tensor.js';
import { generatedTensors } from '../test/parity.js';
import { startPyTorch } from './runner/pytorch.js';

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
  /** Batches of a block: long enough to be worth the change to the other. */
  readonly blockBatches: Readonly<Record<BatchSize, number>>;
}

type BatchSize = 1 | 32;
/** Blocks that count, by batch size. */
export type Blocks = Readonly<Record<BatchSize, number>>;
const sizes: readonly BatchSize[] = [1, 32];
/** A block of a wide network takes long with few images; of a narrow one the first run after a rest must not count. */
const wide = { 1: 6, 32: 1 };
const narrow = { 1: 48, 32: 4 };

const engine = await createEngine('ort-cpu');

export async function fullWidth(blocks: Blocks): Promise<Subject> {
  const count = imagesOf(blocks, wide);
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
  const subject = {
    name: 'resnet101-cifar10, generated',
    network,
    tensors,
    gates,
    thresholds: [],
    images,
    blockBatches: wide,
  };
  return { ...subject, thresholds: await thirds(subject, count) };
}

/** Thresholds at which a third of the images leaves at the first gate, half of the others at the second, none later. */
async function thirds({ network, tensors, gates, images }: Subject, count: number): Promise<number[]> {
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

async function ofTable(name: string, blocks: Blocks): Promise<Subject | undefined> {
  const count = imagesOf(blocks, narrow);
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
    blockBatches: narrow,
  };
}

/** What both took and answered. */
export interface EarlyExits {
  readonly name: string;
  readonly torch: string;
  readonly batch: number;
  /** Milliseconds of a batch, mean of each block. */
  readonly ours: readonly number[];
  readonly theirs: readonly number[];
  /** Share of the images at each exit. */
  readonly exits: readonly number[];
  readonly images: number;
  /** Images that got another class or exit. */
  readonly differing: number;
}

/** Milliseconds of each batch; class and exit of each image. */
interface Answers {
  readonly milliseconds: readonly number[];
  readonly classes: readonly number[];
  readonly exits: readonly number[];
}

async function compare(subject: Subject, batch: BatchSize, blocks: number): Promise<EarlyExits> {
  const { network, gates, thresholds, images } = subject;
  const pytorch = await startPyTorch<{ torch: string }>('pytorch_early_exit.py', {
    network,
    tensors: withGates(subject),
    // Python's float() reads "inf" and "Infinity" alike.
    described: { gates: gates.map(({ place }) => place), thresholds: thresholds.map(String) },
    images,
  });
  const gated = await engine.loadGated(lowerNetwork(network, subject.tensors), gates, 'max');
  const pixels = pixelsOf(network);
  const ours = async (first: number, last: number): Promise<Answers> => {
    const answers = { milliseconds: [] as number[], classes: [] as number[], exits: [] as number[] };
    for (let i = first; i < last; i += batch) {
      const some = images.slice(i * pixels, (i + batch) * pixels);
      const start = performance.now();
      const { classes, exits } = await gated.run(some, batch, thresholds);
      answers.milliseconds.push(performance.now() - start);
      answers.classes.push(...classes);
      answers.exits.push(...exits);
    }
    return answers;
  };
  const [mine, theirs]: Answers[][] = [[], []];
  const blockImages = batch * subject.blockBatches[batch];
  for (let block = 0; block <= blocks; block++) {
    const [first, last] = [block * blockImages, (block + 1) * blockImages];
    await delay(REST_MS);
    await ours(first, first + batch);
    const a = await ours(first, last);
    await delay(REST_MS);
    await pytorch.ask<Answers>(`${first} ${first + batch} ${batch}`);
    const b = await pytorch.ask<Answers>(`${first} ${last} ${batch}`);
    if (block === 0) continue;
    mine!.push(a);
    theirs!.push(b);
  }
  await pytorch.close();
  await gated.close();
  const [a, b] = [mine!, theirs!].map((all) => ({
    milliseconds: all.map(({ milliseconds }) => mean(milliseconds)),
    classes: all.flatMap(({ classes }) => classes),
    exits: all.flatMap(({ exits }) => exits),
  }));
  const count = a!.classes.length;
  return {
    name: subject.name,
    torch: pytorch.hello.torch,
    batch,
    ours: a!.milliseconds,
    theirs: b!.milliseconds,
    exits: Array.from({ length: gates.length + 1 }, (_, exit) => a!.exits.filter((e) => e === exit).length / count),
    images: count,
    differing: a!.classes.filter((c, i) => c !== b!.classes[i] || a!.exits[i] !== b!.exits[i]).length,
  };
}

/** The network's tensors and those of its gates. */
function withGates({ tensors, gates }: Subject): TensorMap {
  const all = new Map(tensors);
  for (const [k, { gate }] of gates.entries()) {
    all.set(`gate${k + 1}.weights`, { shape: [gate.features, gate.classes], data: gate.weights });
    all.set(`gate${k + 1}.bias`, { shape: [gate.classes], data: gate.bias });
  }
  return all;
}

const pixelsOf = ({ input }: Network): number => input.channels * input.height * input.width;
/** Images that all blocks take, one more than count for the first, which does not. */
const imagesOf = (blocks: Blocks, batches: Blocks): number =>
  Math.max(...sizes.map((batch) => (blocks[batch] + 1) * batches[batch] * batch));

/**
 * The full-width network and, where CIFAR-10 is in the cache, those of Tables 1 and 2.
 *
 * @param blocks blocks of images that count, for each batch size
 */
export async function compareEarlyExits(blocks: Blocks, say: (line: string) => void = () => {}): Promise<EarlyExits[]> {
  const found: EarlyExits[] = [];
  for (const open of [fullWidth, () => ofTable('table1', blocks), () => ofTable('table2', blocks)]) {
    const subject = await open(blocks);
    if (subject === undefined) continue;
    for (const batch of sizes) {
      say(`${subject.name}, batch ${batch}`);
      found.push(await compare(subject, batch, blocks[batch]));
    }
  }
  return found;
}

async function main(): Promise<void> {
  const blocks = Number(process.argv[2] ?? 60);
  const found = await compareEarlyExits({ 1: blocks, 32: Math.ceil(blocks / 4) });
  const rows = found.map(({ name, batch, ours, theirs, exits, differing, images, torch }) => {
    const [t, p] = [mean(ours), mean(theirs)];
    const shares = exits.map((share) => Math.round(100 * share)).join(' ');
    const cells = [t.toFixed(2), p.toFixed(2), (p / t).toFixed(2), `${shares} %`, `${differing} of ${images}`];
    return [name, String(batch), ...cells, torch];
  });
  const { versions } = engine.describe();
  const head = ['Network', 'batch', 'ours (ms)', 'PyTorch (ms)', 'ratio', 'exits', 'differing', 'PyTorch'];
  process.stdout.write(
    `${renderColumns(head, rows)}\n` +
      `blocks of images in turn; ${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, ` +
      `onnxruntime-node ${versions['onnxruntime-node']}, node ${process.versions.node}\n` +
      `${rows.length < 6 ? 'Tables 1 and 2 are left out: no CIFAR-10 in the cache (DGATE_CACHE)\n' : ''}`,
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
