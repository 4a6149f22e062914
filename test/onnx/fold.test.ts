import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { matchTensors, readCheckpoint } from '../../src/checkpoints/load.js';
import { OnnxRuntimeCpu } from '../../src/engines/onnxruntime/engine.js';
import * as ort from '../../src/engines/onnxruntime/ort.js';
import { resolveExperiment } from '../../src/experiment/resolve.js';
import { decide } from '../../src/gates/confidence.js';
import type { PlacedGate } from '../../src/gates/contracts.js';
import { onnxNetwork } from '../../src/index.js';
import { networkByName } from '../../src/networks/catalogue.js';
import { lowerNetwork } from '../../src/networks/lower.js';
import { type Network, networkTensors } from '../../src/networks/network.js';
import { type GatePlace, gateFeatureCounts } from '../../src/networks/onnx.js';
import { float } from '../../src/onnx/builder.js';
import { gatedModel } from '../../src/onnx/gated.js';
import { decidedAnswer } from '../../src/onnx/gated-exits.js';
import { Random } from '../../src/random.js';
import { tableRows } from '../../src/run/rows.js';
import { runExperiment } from '../../src/run/run.js';
import type { TensorMap } from '../../src/tensor.js';
import { generatedTensors } from '../parity.js';
import { makeWorkplace, tinyExperiment, tinyNetwork } from '../run/workplace.js';
import { writeExported } from './exported-graph.js';
import { asNetwork, open, UserGraph } from './user-graphs.js';

const written: string[] = [];
after(() => Promise.all(written.map((path) => rm(dirname(path), { recursive: true, force: true }))));
const random = new Random(11, 'fold');

async function exported(network: Network, tensors: TensorMap): Promise<string> {
  const path = await writeExported(network, tensors);
  written.push(path);
  return path;
}

const placesOf = ({ stages }: Network): GatePlace[] =>
  stages.map((_, i) => ({ stage: i + 1, pooling: { kind: 'gap' } }) as const);
const namesOf = ({ stages }: Network): string[] => stages.map((_, i) => `stage${i + 1}`);

/** Features and logits of the same network as dgate describes it and as a file. */
async function throughBothDoors(network: Network, tensors: TensorMap, count: number) {
  const user = asNetwork(await open(await exported(network, tensors)), namesOf(network));
  const { channels, height, width } = network.input;
  const images = Float32Array.from({ length: count * channels * height * width }, () => 4 * random.uniform() - 2);
  const engine = await OnnxRuntimeCpu.create();
  const doors = [lowerNetwork(network, tensors), user] as const;
  const [described, file] = await Promise.all(
    doors.map(async (door) => {
      const loaded = await engine.loadFeatures(door, placesOf(network));
      const result = await loaded.run(images, count);
      await loaded.close();
      return result;
    }),
  );
  return { described: described!, file: file! };
}

function expectSameBits({ described, file }: Awaited<ReturnType<typeof throughBothDoors>>): void {
  [...described.features, described.logits].forEach((wanted, i) => {
    const found = [...file.features, file.logits][i]!;
    expect(found.length).to.equal(wanted.length).and.above(0);
    expect(found.filter((value, at) => value !== wanted[at]).length, `numbers of output ${i + 1} that differ`).to.equal(
      0,
    );
  });
}

describe('batch norms of an ONNX file', () => {
  it("are folded to the same bits as those of dgate's own networks", async () => {
    const network = networkByName('resnet50-width0.125-cifar10');
    expectSameBits(await throughBothDoors(network, generatedTensors(network), 3));
  });

  it("ResNet-56 with akamaster's weights: the same features, bit for bit (needs the checkpoint)", async function () {
    const checkpoint = fileURLToPath(new URL('../../../shared/checkpoints/resnet56-4bfd9763.th', import.meta.url));
    if (!existsSync(checkpoint)) {
      process.stdout.write(`      skipped: no ${checkpoint}\n`);
      this.skip();
    }
    const network = networkByName('resnet56-cifar10');
    const tensors = matchTensors(networkTensors(network), (await readCheckpoint(checkpoint)).tensors, checkpoint);
    expectSameBits(await throughBothDoors(network, tensors, 8));
  });

  it('give the same table as the network by its name', async () => {
    const workplace = await makeWorkplace({ train: 300, test: 200 });
    try {
      const network = networkByName(tinyNetwork);
      const file = await exported(network, generatedTensors(network));
      const named = tinyExperiment(workplace);
      const { thresholds } = named;
      const preprocess = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };
      const definition = {
        ...{ name: 'tiny', title: 'The same from a file', dataset: 'cifar10', thresholds },
        gates: { ...named.gates, pooling: '4x4' },
        network: onnxNetwork(file, { gatesAfter: namesOf(network), preprocess }),
      };
      const [one, two] = await Promise.all([
        runExperiment(workplace.context, named),
        runExperiment(workplace.context, resolveExperiment(definition, 'tiny', 'laptop', [])),
      ]);
      expect(one.rows).to.have.length(3);
      expect(tableRows(two)).to.deep.equal(tableRows(one));
    } finally {
      await workplace.remove();
    }
  });

  it('are folded with a bias and any epsilon; they stay where the convolution is read elsewhere', async () => {
    const graph = new UserGraph('norms');
    const { builder } = graph;
    const numbers = (count: number, from: number): string =>
      builder.constant(
        builder.fresh('numbers'),
        Float32Array.from({ length: count }, () => from + random.uniform()),
        [count],
      );
    const norm = (value: string, epsilon: number): string =>
      builder.node('BatchNormalization', [value, numbers(4, 0.5), numbers(4, -0.5), numbers(4, -0.5), numbers(4, 0)], {
        epsilon: float(epsilon),
      });
    const conv = (value: string, from: number): string =>
      builder.node('Conv', [value, graph.weight([4, from, 3, 3]), numbers(4, 0)], {
        kernel_shape: [3, 3],
        pads: [1, 1, 1, 1],
      });
    const biased = norm(conv(graph.input(['batch', 3, 8, 8]), 3), 0.1);
    const shared = conv(graph.relu(biased), 4);
    const both = builder.node('Add', [norm(shared, 1e-3), shared]);
    const path = await graph.classify(both, 4, 5).write();
    written.push(path);
    const opened = await open(path);
    const operators = opened.graph.nodes.map(({ op_type }) => op_type);
    expect(operators.filter((operator) => operator === 'BatchNormalization')).to.have.length(1);

    const images = Float32Array.from({ length: 2 * 192 }, () => random.uniform());
    const engine = await OnnxRuntimeCpu.create();
    const loaded = await engine.loadFeatures(asNetwork(opened, [biased]), [{ stage: 1, pooling: { kind: 'gap' } }]);
    const { logits } = await loaded.run(images, 2);
    await loaded.close();
    const wanted = await logitsOf(path, 'x', images, [2, 3, 8, 8]);
    expect(apart(logits, wanted)).to.be.below(1e-6);
    expect(
      apart(
        logits,
        wanted.map((value) => value * 1.001),
      ),
    ).to.be.above(1e-4); // it can fail
  });
});

/** Logits of an untouched file. */
async function logitsOf(path: string, input: string, images: Float32Array, dims: number[]): Promise<Float32Array> {
  const session = await ort.InferenceSession.create(await readFile(path), { graphOptimizationLevel: 'disabled' });
  const results = await session.run({ [input]: new ort.Tensor('float32', images, dims) });
  await session.release();
  return results['logits']!.data as Float32Array;
}

/** Largest difference, relative to the largest of the wanted numbers. */
function apart(found: Float32Array, wanted: Float32Array): number {
  const largest = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return wanted.reduce((most, value, i) => Math.max(most, Math.abs(value - found[i]!)), 0) / largest;
}

describe('an exported ResNet-18 (224 x 224, generated weights)', () => {
  it('gives images that go to the end the class and logits of the original file, to 1e-5 of the largest', async () => {
    const network = networkByName('resnet18-imagenet');
    const path = await exported(network, generatedTensors(network));
    const user = asNetwork(await open(path), 'auto');
    const places = user.network.stages.map((_, i) => ({ stage: i + 1, pooling: { kind: 'gap' } as const }));
    expect(places).to.have.length(4);
    const gates = gateFeatureCounts(user.network, places).map((features, i): PlacedGate => {
      const floats = (length: number): Float32Array => Float32Array.from({ length }, () => random.uniform() - 0.5);
      return {
        place: places[i]!,
        gate: { features, classes: 1000, weights: floats(features * 1000), bias: floats(1000) },
      };
    });
    const bytes = gatedModel(user, gates, { confidence: 'max', answer: decidedAnswer(1000) });
    const images = Float32Array.from({ length: 3 * 3 * 224 * 224 }, () => 4 * random.uniform() - 2);
    const wanted = await logitsOf(path, 'input', images, [3, 3, 224, 224]);
    const session = await (await OnnxRuntimeCpu.create()).createSession(bytes);
    const results = await session.run({
      images: new ort.Tensor('float32', images, [3, 3, 224, 224]),
      thresholds: new ort.Tensor('float32', new Float32Array(4).fill(Number.POSITIVE_INFINITY), [4]),
    });
    await session.release();
    const classes = Array.from(results['class']!.data as BigInt64Array, Number);
    expect(Array.from(results['exit']!.data as BigInt64Array, Number)).to.deep.equal([4, 4, 4]);
    expect(classes).to.deep.equal(Array.from(decide(wanted, 1000, 'max').classes));
    expect(apart(results['distances']!.data as Float32Array, wanted)).to.be.below(1e-5);
  });
});
