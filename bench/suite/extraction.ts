import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { normalise } from '../../src/data/preprocess.js';
import { OnnxRuntimeCpu } from '../../src/engines/onnxruntime/engine.js';
import * as ort from '../../src/engines/onnxruntime/ort.js';
import { networkFlops } from '../../src/networks/network.js';
import type { GatePlace } from '../../src/networks/onnx.js';
import { GraphBuilder } from '../../src/onnx/builder.js';
import { featureGraph } from '../../src/onnx/gated.js';
import { Random } from '../../src/random.js';
import { BATCH_IMAGES } from '../../src/run/batches.js';
import { LazyEngine } from '../../src/run/context.js';
import { extract, extractionOf } from '../../src/run/extract.js';
import type { FeatureSet } from '../../src/run/features.js';
import { median } from '../../src/statistics/intervals.js';
import { contextIn, type Generated, generated } from '../runner/generated.js';
import { allInTurn, pairsOf, ratioOf, type Work } from '../runner/pairs.js';
import { type PyTorch, startPyTorch } from '../runner/pytorch.js';
import type { Bench, Benchmark, Ratio } from '../runner/types.js';

interface Subject extends Generated {
  readonly places: readonly GatePlace[];
}

const PYTORCH_BATCH = 32;
/** PyTorch gets that share of the images: its pace is the same from batch to batch, and nothing is loaded in its time. */
const PYTORCH_SHARE = 1 / 4;
/** Sides of the square matrices whose product is the limit. */
export const MATRIX_SIDES = [1024, 2048, 3072];

export const benchmark: Benchmark = {
  name: 'extraction',
  title: 'images per second of an extraction, from bytes to shards on the disk',
  peers: ['torch'],
  async run(bench) {
    const engine = await OnnxRuntimeCpu.create();
    const rows = await compareRates(bench, engine, subjectOf('resnet56-cifar10', [1, 2], 2048), 7);
    const wide = subjectOf('resnet101-cifar10', [1, 2, 3], 256);
    rows.push(...(await compareRates(bench, engine, wide, 3)));
    rows.push(await againstMatrixProduct(bench, engine, wide));
    return rows;
  },
};

/** Gates pool 4 x 4 grids after stages 1 and 2, all of the map after later ones, as those of Table 1. */
function subjectOf(name: string, stages: readonly number[], count: number): Subject {
  const places = stages.map((stage): GatePlace => {
    return { stage, pooling: stage < 3 ? { kind: 'grid', size: 4 } : { kind: 'gap' } };
  });
  return { ...generated(name, count), places };
}

async function compareRates(bench: Bench, engine: OnnxRuntimeCpu, subject: Subject, rounds: number): Promise<Ratio[]> {
  const { say, has } = bench;
  const { name, images } = subject;
  const works: Work[] = [() => extracting(subject, () => {}), () => bareLoop(engine, subject)];
  const pytorch = has('torch') ? await pyTorchOn(subject) : undefined;
  const compiler = canCompile(bench) ? await pyTorchOn(subject) : undefined;
  try {
    const hooks = pytorch && (await torchLoop(pytorch, subject));
    if (hooks !== undefined) works.push(hooks.work);
    const compiled = compiler === undefined ? [] : await compiledLoops(bench, compiler, subject);
    works.push(...compiled.map(({ work }) => work));
    say(`${name}: ${works.length} in turn, ${rounds} rounds of ${images.count} images`);
    const [ours, bare, ...others] = await allInTurn(works, { rounds });
    const hooked = hooks && others.shift();
    const what = `${name}, ${images.count.toLocaleString('en')} images`;
    const unit = 'images/s';
    const rows = [
      ratioOf(pairsOf(ours!, bare!), { what, against: 'onnxruntime loop', unit, target: { atLeast: 0.95 } }),
    ];
    if (hooks !== undefined) {
      const against = `PyTorch, hooks, batch ${PYTORCH_BATCH}`;
      rows.push(
        ratioOf(pairsOf(ours!, hooked!), { what, against, unit, target: { atLeast: 1.4 }, note: hooks.agreement }),
      );
    }
    for (const [i, { against, agreement }] of compiled.entries()) {
      const target = name === 'resnet101-cifar10' && { target: { atLeast: 1.4 } };
      rows.push(ratioOf(pairsOf(ours!, others[i]!), { what, against, unit, ...target, note: agreement }));
    }
    return rows;
  } finally {
    await pytorch?.close();
    await compiler?.close();
  }
}

/** Images per second of one whole extraction into an empty cache, loading and shards on the disk included. */
async function extracting(subject: Subject, look: (made: FeatureSet) => Promise<void> | void): Promise<number> {
  const { source, images, places } = subject;
  const root = await mkdtemp(join(tmpdir(), 'dgate-bench-'));
  const context = contextIn(root);
  try {
    const start = performance.now();
    const made = await extract(
      context,
      extractionOf(context, source, images, places, new LazyEngine('ort-cpu'), 'test'),
    );
    const rate = images.count / ((performance.now() - start) / 1000);
    await look(made);
    return rate;
  } finally {
    await rm(root, { recursive: true });
  }
}

/** Images per second of `session.run` alone, on one batch again and again, loading included as above. */
async function bareLoop(engine: OnnxRuntimeCpu, { network, images, lowered, places }: Subject): Promise<number> {
  const { channels, height, width } = network.input;
  const dims = [BATCH_IMAGES, channels, height, width];
  const input = new ort.Tensor('float32', new Float32Array(BATCH_IMAGES * channels * height * width), dims);
  const start = performance.now();
  const session = await engine.createSession(featureGraph(lowered, places));
  for (let done = 0; done < images.count; done += BATCH_IMAGES) await session.run({ images: input });
  const rate = images.count / ((performance.now() - start) / 1000);
  await session.release();
  return rate;
}

interface Hooked {
  readonly seconds: number;
  /** Of the features of each gate, then of the logits. */
  readonly sums: readonly number[];
}

async function pyTorchOn(subject: Subject): Promise<PyTorch<{ threads: number }>> {
  const { network, tensors, places, images, preprocessing } = subject;
  const all = await images.batch(Int32Array.from({ length: images.count }, (_, i) => i));
  return startPyTorch('pytorch_features.py', {
    network,
    tensors,
    described: { gates: places },
    images: normalise(all, preprocessing, images.height * images.width),
  });
}

/** Whether PyTorch is one that compiles and freezes: Debian's is not. */
const canCompile = ({ has, conditions }: Bench): boolean => has('torch') && /PyTorch 2\./.test(conditions.versions);

/** Compiled, in float32 and, where the processor has it, in bfloat16. */
async function compiledLoops(
  { say, conditions }: Bench,
  pytorch: PyTorch<unknown>,
  subject: Subject,
): Promise<{ work: Work; agreement: string; against: string }[]> {
  const hasShort = /BF16|AMX/.test(conditions.processor);
  const loops = [];
  for (const precision of ['float32', ...(hasShort ? ['bfloat16'] : [])]) {
    say(`${subject.name}: torch.compile, ${precision}`);
    const against = `PyTorch, compiled, ${precision}, batch ${PYTORCH_BATCH}`;
    loops.push({ against, ...(await torchLoop(pytorch, subject, precision)) });
  }
  return loops;
}

/** PyTorch's loop, and how well its features agree with ours. @param precision of the compiled one; with hooks without it */
async function torchLoop(
  pytorch: PyTorch<unknown>,
  subject: Subject,
  precision = '',
): Promise<{ work: Work; agreement: string }> {
  const { images, places } = subject;
  const { sums } = await pytorch.ask<Hooked>(`0 ${images.count} ${PYTORCH_BATCH} ${precision}`);
  const ours = sums.map(() => 0);
  await extracting(subject, async (made) => {
    for await (const shard of made.shards()) {
      const arrays = [...places.map((_, gate) => shard.features(gate)), shard.logits];
      for (const [k, array] of arrays.entries()) ours[k]! += array.reduce((sum, value) => sum + value, 0);
    }
  });
  const difference = Math.max(...ours.map((sum, k) => Math.abs(sum / sums[k]! - 1)));
  const count = images.count * PYTORCH_SHARE;
  return {
    work: async () => count / (await pytorch.ask<Hooked>(`0 ${count} ${PYTORCH_BATCH} ${precision}`)).seconds,
    agreement: `ours in batches of ${BATCH_IMAGES}; sums of features and logits differ by ${difference.toExponential(0)}`,
  };
}

/** GFLOP/s of the network alone against the fastest matrix product that ONNX Runtime or PyTorch makes here. */
async function againstMatrixProduct({ say, has }: Bench, engine: OnnxRuntimeCpu, subject: Subject): Promise<Ratio> {
  const { name, network, lowered, places, images, preprocessing } = subject;
  const loaded = await engine.loadFeatures(lowered, places);
  const bytes = await images.batch(Int32Array.from({ length: BATCH_IMAGES }, (_, i) => i));
  const input = normalise(bytes, preprocessing, images.height * images.width);
  const { flops } = networkFlops(network);
  const forward: Work = () => gigaflops(BATCH_IMAGES * flops, () => loaded.run(input, BATCH_IMAGES));
  const sessions = await Promise.all(MATRIX_SIDES.map((side) => matrixSession(engine, side)));
  const products = sessions.map(({ multiply }, i): { of: string; work: Work } => {
    return { of: `ONNX Runtime, ${MATRIX_SIDES[i]}`, work: multiply };
  });
  const pytorch = has('torch') ? await pyTorchOn(subject) : undefined;
  if (pytorch !== undefined) {
    for (const side of MATRIX_SIDES) {
      const work: Work = async () => (2 * side ** 3) / (await pytorch.ask<Hooked>(`matmul ${side}`)).seconds / 1e9;
      products.push({ of: `PyTorch, ${side}`, work });
    }
  }
  say(`${name}: GFLOP/s against ${products.length} matrix products`);
  const [ours, ...found] = await allInTurn([forward, ...products.map(({ work }) => work)], { rounds: 7 });
  await pytorch?.close();
  await loaded.close();
  await Promise.all(sessions.map(({ close }) => close()));
  const medians = found.map((rates) => median(rates));
  const best = medians.indexOf(Math.max(...medians));
  const note = products.map(({ of }, i) => `${of}: ${medians[i]!.toFixed(0)}`).join('; ');
  return ratioOf(pairsOf(ours!, found[best]!), {
    what: `${name}, batch ${BATCH_IMAGES}`,
    against: 'best matrix product',
    unit: 'GFLOP/s',
    target: { atLeast: 0.7 },
    note: `products of square matrices, GFLOP/s: ${note}`,
  });
}

async function gigaflops(flops: number, work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return flops / (performance.now() - start) / 1e6;
}

/** A square matrix times a constant one, as a network's weights are. */
export async function matrixSession(engine: OnnxRuntimeCpu, side: number) {
  const random = new Random(side);
  const matrix = (): Float32Array => Float32Array.from({ length: side * side }, () => random.uniform() - 0.5);
  const builder = new GraphBuilder('product');
  const a = builder.input('a', 'float', [side, side]);
  builder.node('MatMul', [a, builder.constant('b', matrix(), [side, side])], {}, 'c');
  builder.output('c', 'float', [side, side]);
  const session = await engine.createSession(builder.encode());
  const input = new ort.Tensor('float32', matrix(), [side, side]);
  return {
    multiply: () => gigaflops(2 * side ** 3, () => session.run({ a: input })),
    close: () => session.release(),
  };
}
