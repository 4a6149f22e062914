import { readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { expect } from 'chai';
import { normalise } from '../../src/data/preprocess.js';
import { OnnxRuntimeCpu } from '../../src/engines/onnxruntime/engine.js';
import { loadInBuckets } from '../../src/engines/onnxruntime/gated.js';
import * as ort from '../../src/engines/onnxruntime/ort.js';
import { createEngine } from '../../src/engines/registry.js';
import { InputError } from '../../src/errors.js';
import { confidenceKinds, looksBack } from '../../src/gates/confidence.js';
import type { PlacedGate } from '../../src/gates/contracts.js';
import { networkByName } from '../../src/networks/catalogue.js';
import {
  checkPlaces,
  featureCount,
  type GatePlace,
  gateFeatureCounts,
  type OnnxStage,
  type Pooling,
} from '../../src/networks/onnx.js';
import { gatedModel } from '../../src/onnx/gated.js';
import type { UserNetwork } from '../../src/onnx/network.js';
import { decodeModel, encodeModel } from '../../src/onnx/proto.js';
import { Random } from '../../src/random.js';
import { algorithm1, decideInTurn, distancesInTurn, randomThresholds, rowsOf } from '../onnx/gated-networks.js';
import { asNetwork, open, residualGraph, UserGraph } from '../onnx/user-graphs.js';

const CLASSES = 5;
const COUNT = 12;
const preprocessing = { mean: [0.4, 0.5, 0.6], std: [0.25, 0.2, 0.3] };
const random = new Random(3, 'user networks');
const pixels = Uint8Array.from({ length: COUNT * 3 * 64 }, () => random.below(256));
const images = normalise(pixels, preprocessing, 64);

const written: string[] = [];
after(() => Promise.all(written.map((path) => rm(dirname(path), { recursive: true, force: true }))));

async function opened(
  graph: UserGraph,
  gatesAfter: readonly string[] | 'auto',
): Promise<{ user: UserNetwork; path: string }> {
  const path = await graph.write();
  written.push(path);
  return { user: asNetwork(await open(path), gatesAfter), path };
}

/** Channels last from the input on, as TensorFlow has it, with tokens behind: [n, 8, 8, 3] to [n, 16, 4] and a row. */
function tokenGraph(order: 'first' | 'last', opset?: number): UserGraph {
  const graph = new UserGraph(`tokens ${order}`, opset);
  const { builder } = graph;
  const x = graph.input(order === 'first' ? ['batch', 3, 8, 8] : ['batch', 8, 8, 3]);
  const first = order === 'first' ? x : builder.node('Transpose', [x], { perm: [0, 3, 1, 2] });
  const map = graph.relu(graph.conv(first, 3, 6, { stride: 2 }), 'map'); // [n, 6, 4, 4]
  const last = builder.node('Transpose', [map], { perm: [0, 2, 3, 1] });
  const mapLast = graph.relu(builder.node('MatMul', [last, graph.weight([6, 8])]), 'map_last'); // [n, 4, 4, 8]
  const flat = builder.node('Reshape', [mapLast, builder.ints('flat', [0, 16, 8])]);
  const tokens = graph.relu(builder.node('MatMul', [flat, graph.weight([8, 4])]), 'tokens'); // [n, 16, 4]
  const turned = builder.node('Transpose', [tokens], { perm: [0, 2, 1] });
  const mixed = graph.relu(builder.node('Conv', [turned, graph.weight([7, 4, 1])], { kernel_shape: [1] }), 'turned'); // [n, 7, 16]
  const row = builder.node('Flatten', [mixed], { axis: 1 });
  const hidden = graph.relu(builder.node('Gemm', [row, graph.weight([9, 112])], { transB: 1 }), 'row');
  builder.node('Gemm', [hidden, graph.weight([CLASSES, 9])], { transB: 1 }, 'logits');
  return graph.output('logits', CLASSES);
}

const placesOf = (poolings: readonly Pooling[]): GatePlace[] =>
  poolings.map((pooling, i) => ({ stage: i + 1, pooling }));
const gap: Pooling = { kind: 'gap' };

/** @param previous each gate but the first takes the distances of the one before */
function gatesFor(user: UserNetwork, places: readonly GatePlace[], previous = false): PlacedGate[] {
  return gateFeatureCounts(user.network, places).map((features, i): PlacedGate => {
    const floats = (length: number): Float32Array => Float32Array.from({ length }, () => 2 * random.uniform() - 1);
    const takes = previous && i > 0 && { previous: floats(CLASSES ** 2) };
    return {
      place: places[i]!,
      gate: { features, classes: CLASSES, weights: floats(features * CLASSES), bias: floats(CLASSES), ...takes },
    };
  });
}

/** A value inside the untouched file, and its logits. */
async function inside(path: string, tensor: string, input: Float32Array, dims: readonly number[]) {
  const model = decodeModel(await readFile(path));
  const outputs = [...new Set(['logits', tensor])].map((name) => ({ name }));
  const session = await ort.InferenceSession.create(
    encodeModel({ ...model, graph: { ...model.graph, output: outputs as never } }),
  );
  const results = await session.run({ x: new ort.Tensor('float32', input, dims) });
  await session.release();
  return { logits: results['logits']!.data as Float32Array, value: results[tensor]!.data as Float32Array };
}

function expectNear(found: Float32Array, wanted: ArrayLike<number>): void {
  expect(found.length).to.equal(wanted.length);
  const largest = Math.max(...Array.from(wanted, Math.abs), 1e-6);
  for (const [i, value] of found.entries()) expect(Math.abs(value - wanted[i]!) / largest).to.be.below(1e-5);
}

/** What a gate reads, from the tensor as it lies. */
function pooled(value: Float32Array, stage: OnnxStage, pooling: Pooling): number[] {
  const { channels, height, width, layout } = stage;
  const size = channels * height * width;
  const at = (n: number, c: number, y: number, x: number): number => {
    const inImage = layout.endsWith('last') ? (y * width + x) * channels + c : (c * height + y) * width + x;
    return value[n * size + inImage]!;
  };
  const side = pooling.kind === 'grid' ? pooling.size : 1;
  const result: number[] = [];
  for (let n = 0; n < COUNT; n++) {
    for (let c = 0; c < channels; c++) {
      if (pooling.kind === 'class-token') {
        result.push(at(n, c, 0, 0));
        continue;
      }
      for (let cell = 0; cell < side * side; cell++) {
        const [h, w] = [height / side, layout.startsWith('maps') ? width / side : width];
        let sum = 0;
        for (let y = 0; y < h; y++)
          for (let x = 0; x < w; x++) sum += at(n, c, Math.floor(cell / side) * h + y, (cell % side) * w + x);
        result.push(sum / (h * w));
      }
    }
  }
  return result;
}

describe('networks of one’s own', () => {
  const all = ['map', 'map_last', 'tokens', 'turned', 'row'];
  for (const order of ['first', 'last'] as const) {
    it(`pool maps, tokens and rows as they lie; images with channels ${order}`, async () => {
      const { user, path } = await opened(tokenGraph(order), all);
      const { stages } = user.network;
      expect(stages.map(({ layout }) => layout)).to.deep.equal([
        'maps-first',
        'maps-last',
        'tokens-last',
        'tokens-first',
        'row',
      ]);
      expect(stages.map(({ channels }) => channels)).to.deep.equal([6, 8, 4, 7, 9]);
      const turned = Float32Array.from(images, (_, i) => {
        const [n, inImage] = [Math.floor(i / 192), i % 192];
        return images[n * 192 + (inImage % 3) * 64 + Math.floor(inImage / 3)]!;
      });
      const [input, dims] = order === 'first' ? [images, [COUNT, 3, 8, 8]] : [turned, [COUNT, 8, 8, 3]];
      const engine = await OnnxRuntimeCpu.create(1);
      const token: Pooling = { kind: 'class-token' };
      for (const poolings of [
        all.map(() => gap),
        [{ kind: 'grid', size: 2 }, { kind: 'grid', size: 4 }, token, token, gap],
      ] as Pooling[][]) {
        const places = placesOf(poolings);
        checkPlaces(user.network, places);
        const loaded = await engine.loadFeatures(user, places);
        const { features, logits } = await loaded.run(images, COUNT);
        await loaded.close();
        const short = await engine.loadFeatures(user, places, 'features');
        const alone = await short.run(images, COUNT);
        await short.close();
        expect(alone).to.deep.equal({ features, logits: new Float32Array() });
        for (const [i, stage] of stages.entries()) {
          const original = await inside(path, stage.name, input, dims);
          expectNear(features[i]!, pooled(original.value, stage, poolings[i]!));
          expectNear(logits, original.logits);
        }
      }
    });
  }

  it('say which poolings fit', async () => {
    const { user } = await opened(tokenGraph('first'), all);
    const wrong = placesOf([
      { kind: 'class-token' },
      { kind: 'grid', size: 3 },
      { kind: 'grid', size: 4 },
      gap,
      { kind: 'class-token' },
    ]);
    expect(() => checkPlaces(user.network, wrong))
      .to.throw(InputError)
      .with.property('problems')
      .that.satisfies((problems: readonly string[]) => {
        expect(problems).to.have.length(4);
        expect(problems[0]).to.match(/gate 1 .*class-token, where there are no tokens/);
        expect(problems[1]).to.match(/a 3 x 3 grid does not divide 4 x 4/);
        expect(problems[2]).to.match(/a grid, where there is no map; valid: gap, class-token/);
        return true;
      });
    expect(() => checkPlaces(user.network, [{ stage: 6, pooling: gap }])).to.throw(InputError, /valid: stages 1 to 5/);
  });

  for (const opset of [13, 17, 18, 20]) {
    it(`leave where Algorithm 1 says, in the engine and as an exported file, opset ${opset}`, async () => {
      const residual = await opened(residualGraph('gated', opset), ['a', 'b', 'c']);
      const tokens = await opened(tokenGraph('last', opset), all);
      const engine = await OnnxRuntimeCpu.create(1);
      for (const { user } of [residual, tokens]) {
        const places = placesOf(user.network.stages.map(() => gap));
        const both = [false, true].map((previous) => gatesFor(user, places, previous));
        const loaded = await engine.loadFeatures(user, places);
        const { features, logits } = await loaded.run(images, COUNT);
        await loaded.close();
        for (const confidence of opset === 17
          ? confidenceKinds
          : (['max', 'softmax', 'patience', 'average'] as const)) {
          const gates = both[Number(looksBack(confidence))]!;
          const decisions = decideInTurn([...distancesInTurn(gates, features), logits], CLASSES, confidence);
          const gated = await engine.loadGated(user, gates, confidence);
          const sized = loadInBuckets((model) => engine.createSession(model), user, gates, confidence); // as on CUDA
          const session = await engine.createSession(gatedModel(user, gates, { confidence, preprocessing }));
          const everyone = Array.from({ length: COUNT }, (_, i) => i);
          const closed = gates.map(() => Number.POSITIVE_INFINITY);
          for (const thresholds of [closed, ...Array.from({ length: 3 }, () => randomThresholds(decisions, random))]) {
            const wanted = algorithm1(decisions, thresholds, everyone).map(({ exit, class: winner }) => [exit, winner]);
            const dynamic = rowsOf(await gated.run(images, COUNT, thresholds));
            expect(dynamic.map(({ exit, class: winner }) => [exit, winner])).to.deep.equal(wanted);
            const inSizes = rowsOf(await sized.run(images, COUNT, thresholds));
            expect(inSizes.map(({ exit, class: winner }) => [exit, winner])).to.deep.equal(wanted);
            const file = await session.run({
              images: new ort.Tensor('uint8', pixels, [COUNT, 3, 8, 8]),
              thresholds: new ort.Tensor('float32', Float32Array.from(thresholds), [thresholds.length]),
            });
            const [exits, classes] = [file['exit']!.data, file['class']!.data].map((data) =>
              Array.from(data as BigInt64Array, Number),
            );
            expect(everyone.map((i) => [exits![i], classes![i]])).to.deep.equal(wanted);
          }
          await gated.close();
          await sized.close();
          await session.release();
        }
      }
    });
  }

  it('are refused by TensorFlow.js with the engines that take them', async () => {
    const { user } = await opened(residualGraph('refused'), ['a']);
    const engine = await createEngine('tfjs-cpu');
    const error = await engine.loadFeatures(user, []).catch((reason: unknown) => reason);
    expect((error as Error).message).to.match(/engine tfjs-cpu: runs no ONNX file; valid for model: ort-cpu/);
  });
});

const resnet56 = networkByName('resnet56-cifar10'); // 16 x 32 x 32, 32 x 16 x 16, 64 x 8 x 8
const gapAt = (stage: number): GatePlace => ({ stage, pooling: { kind: 'gap' } });
const grid = (stage: number, size: number): GatePlace => ({ stage, pooling: { kind: 'grid', size } });

function problemsOf(places: readonly GatePlace[]): readonly string[] {
  try {
    checkPlaces(resnet56, places);
  } catch (error) {
    expect(error).to.be.instanceOf(InputError);
    return (error as InputError).problems;
  }
  return [];
}

describe('features of gates', () => {
  it('are the channels, or the cells of a grid times the channels', () => {
    expect(featureCount({ channels: 24, height: 6, width: 8 }, { kind: 'gap' })).to.equal(24);
    expect(featureCount({ channels: 24, height: 6, width: 8 }, { kind: 'grid', size: 2 })).to.equal(96);
    expect(gateFeatureCounts(resnet56, [grid(1, 4), grid(2, 4)])).to.deep.equal([256, 512]);
    expect(gateFeatureCounts(networkByName('densenet201-cifar10'), [gapAt(1), gapAt(2), gapAt(3)])).to.deep.equal([
      256, 512, 1792,
    ]);
  });
});

describe('checkPlaces', () => {
  it('lets gates sit after any stages but the last, in order', () => {
    for (const places of [[], [gapAt(1)], [gapAt(2)], [gapAt(1), gapAt(2)], [grid(1, 32), grid(2, 16)], [grid(2, 1)]]) {
      expect(problemsOf(places)).to.deep.equal([]);
    }
  });

  it('refuses stages that are not there, and the last', () => {
    for (const stage of [0, -1, 3, 4, 1.5]) {
      expect(problemsOf([gapAt(stage)])).to.deep.equal([
        `gate 1 of resnet56-cifar10: after stage ${stage}; valid: stages 1 to 2`,
      ]);
    }
  });

  it('refuses gates out of order or twice in one place', () => {
    expect(problemsOf([gapAt(2), gapAt(1)])).to.deep.equal([
      'gate 2 of resnet56-cifar10: stage 1 does not follow the one before',
    ]);
    expect(problemsOf([gapAt(1), grid(1, 2)])).to.have.length(1);
  });

  it('refuses a grid that does not divide the feature map, naming those that do', () => {
    expect(problemsOf([grid(1, 3)])).to.deep.equal([
      'gate 1 of resnet56-cifar10: a 3 x 3 grid does not divide 32 x 32; valid: 1, 2, 4, 8, 16, 32',
    ]);
    expect(problemsOf([grid(2, 32)])).to.deep.equal([
      'gate 1 of resnet56-cifar10: a 32 x 32 grid does not divide 16 x 16; valid: 1, 2, 4, 8, 16',
    ]);
    expect(problemsOf([grid(1, 0)])).to.have.length(1);
  });

  it('lists all problems at once', () => {
    const problems = problemsOf([grid(1, 5), gapAt(7), gapAt(2), gapAt(2)]);
    expect(problems.map((problem) => problem.slice(0, 6))).to.deep.equal(['gate 1', 'gate 2', 'gate 3', 'gate 4']);
  });
});
