import { expect } from 'chai';
import type { FeatureBatch } from '../../src/engines/engine.js';
import { OnnxRuntimeCpu } from '../../src/engines/onnxruntime/engine.js';
import { type LoweredNetwork, lowerNetwork } from '../../src/networks/lower.js';
import type { Layer, Network } from '../../src/networks/network.js';
import type { GatePlace } from '../../src/networks/onnx.js';
import { featureGraph } from '../../src/onnx/gated.js';
import { Random } from '../../src/random.js';
import type { TensorMap } from '../../src/tensor.js';
import { applyLayers, type FeatureMap, gridAverages, mapOf, randomTensors } from '../networks/direct.js';

const IMAGES = 3;
const CLASSES = 4;
const gap: GatePlace['pooling'] = { kind: 'gap' };
const grid = (size: number): GatePlace['pooling'] => ({ kind: 'grid', size });

const conv = (name: string, input: number, output: number, kernel: number, stride = 1): Layer => ({
  op: 'conv',
  name,
  in: input,
  out: output,
  kernel,
  stride,
  padding: (kernel - 1) / 2,
});
const norm = (name: string, channels: number): Layer => ({ op: 'batchNorm', name, channels });
const relu: Layer = { op: 'relu' };

/** Higher than wide, so that rows and columns cannot be taken for one another. */
function networkOf(stages: readonly { layers: Layer[]; transition?: Layer[] }[], channels: number, head: Layer[] = []) {
  const network: Network = {
    name: 'tiny-cifar10',
    dataset: 'cifar10',
    input: { channels: 2, height: 12, width: 8 },
    stem: [],
    stages: stages.map(({ layers, transition = [] }, i) => ({ name: `stage${i + 1}`, layers, transition })),
    classifier: { head, name: 'linear', in: channels, out: CLASSES },
  };
  return network;
}

describe('featureGraph in ONNX Runtime', () => {
  let engine: OnnxRuntimeCpu;
  before(async () => {
    engine = await OnnxRuntimeCpu.create(1);
  });

  /** Features alone are the same numbers, from a graph in which nothing behind the last gate is left. */
  async function expectTheSameWithoutLogits(
    lowered: LoweredNetwork,
    places: readonly GatePlace[],
    images: Float32Array,
    { features }: FeatureBatch,
  ): Promise<void> {
    const short = await engine.loadFeatures(lowered, places, 'features');
    const alone = await short.run(images, IMAGES);
    await short.close();
    expect(alone.logits).to.be.empty;
    expect(alone.features).to.deep.equal(features);
    const names = Buffer.from(featureGraph(lowered, places, 'features')).toString('latin1');
    const last = Math.max(...places.map(({ stage }) => stage));
    const behind = [
      ...lowered.stages.slice(last).flatMap(({ layers }) => layers),
      ...lowered.stages.slice(last - 1).flatMap(({ transition }) => transition),
    ];
    for (const layer of behind) if ('name' in layer) expect(names).not.to.contain(`${layer.name}.weight`);
    expect(names).not.to.contain(`${lowered.network.classifier.name}.weight`);
  }

  /** Runs both the graph and the direct computation on random weights and images and compares every number. */
  async function compare(network: Network, places: readonly GatePlace[]): Promise<FeatureBatch> {
    const random = new Random(3, network.stages.length.toString());
    const tensors = randomTensors(network, random);
    const { channels, height, width } = network.input;
    const size = channels * height * width;
    const images = Float32Array.from({ length: IMAGES * size }, () => 2 * random.uniform() - 1);
    const loaded = await engine.loadFeatures(lowerNetwork(network, tensors), places);
    const batch = await loaded.run(images, IMAGES);
    await loaded.close();
    for (let image = 0; image < IMAGES; image++) {
      const input = { ...network.input, data: Float64Array.from(images.subarray(image * size, (image + 1) * size)) };
      const expected = direct(network, tensors, input, places);
      expected.features.forEach((features, gate) => {
        expectRow(batch.features[gate]!, image, features, `gate ${gate + 1}`);
      });
      expectRow(batch.logits, image, expected.logits, 'logits');
    }
    if (places.length > 0) await expectTheSameWithoutLogits(lowerNetwork(network, tensors), places, images, batch);
    return batch;
  }

  it('strides and pads convolutions, adds the folded bias, stops at zero only where a ReLU stands', async () => {
    const layers = [conv('a', 2, 3, 3, 2), norm('an', 3), relu, conv('b', 3, 4, 1), norm('bn', 4)];
    const { features } = await compare(networkOf([{ layers }], 4), [{ stage: 1, pooling: grid(2) }]);
    expect(Math.min(...features[0]!)).to.be.below(0);
  });

  it('pools by maximum and by average', async () => {
    // The maximum of negative numbers at an edge shows a padding with zeros; 12 x 8 becomes 6 x 4, then 3 x 2.
    const layers: Layer[] = [
      conv('a', 2, 3, 3),
      { op: 'maxPool', kernel: 3, stride: 2, padding: 1 },
      { op: 'avgPool', kernel: 2, stride: 2, padding: 0 },
    ];
    await compare(networkOf([{ layers }], 3), [{ stage: 1, pooling: gap }]);
  });

  it('adds residuals: identity, projection and option A, with a ReLU behind', async () => {
    const layers: Layer[] = [
      { op: 'residual', body: [conv('a', 2, 2, 3), norm('an', 2)], shortcut: [] },
      relu,
      {
        op: 'residual',
        body: [conv('b', 2, 5, 3, 2), norm('bn', 5)],
        shortcut: [{ op: 'subsamplePad', stride: 2, before: 1, after: 2 }],
      },
      relu,
      { op: 'residual', body: [conv('c', 5, 3, 3, 2)], shortcut: [conv('d', 5, 3, 1, 2), norm('dn', 3)] },
    ];
    await compare(networkOf([{ layers }], 3), [{ stage: 1, pooling: gap }]);
  });

  it('takes every second row and column of an odd map, the first one included', async () => {
    const body = [conv('b', 2, 4, 3, 2)];
    const shortcut: Layer[] = [{ op: 'subsamplePad', stride: 2, before: 2, after: 0 }];
    const network = {
      ...networkOf([{ layers: [{ op: 'residual', body, shortcut }] }], 4),
      input: { channels: 2, height: 7, width: 5 },
    };
    await compare(network, []);
  });

  for (const first of ['input', 'new'] as const) {
    it(`concatenates dense features, ${first} first`, async () => {
      const dense = (name: string, input: number): Layer => ({
        op: 'denseConcat',
        first,
        body: [
          norm(`${name}n1`, input),
          relu,
          conv(`${name}1`, input, 6, 1),
          norm(`${name}n2`, 6),
          relu,
          conv(`${name}2`, 6, 3, 3),
        ],
      });
      const network = networkOf([{ layers: [dense('a', 2), dense('b', 5)] }], 8, [norm('last', 8), relu]);
      await compare(network, [{ stage: 1, pooling: gap }]);
    });
  }

  it('reads each gate at the end of its stage, before the transition, in whatever pooling it asks for', async () => {
    const transition: Layer[] = [
      norm('tn', 3),
      relu,
      conv('t', 3, 2, 1),
      { op: 'avgPool', kernel: 2, stride: 2, padding: 0 },
    ];
    const network = networkOf([{ layers: [conv('a', 2, 3, 3)], transition }, { layers: [conv('b', 2, 5, 3)] }], 5);
    const { features } = await compare(network, [
      { stage: 1, pooling: grid(4) },
      { stage: 2, pooling: gap },
    ]);
    expect(features.map((values) => values.length / IMAGES)).to.deep.equal([3 * 16, 5]);
  });

  it('orders the cells of a grid by channel, then row, then column', async () => {
    const network = networkOf([{ layers: [{ op: 'residual', body: [], shortcut: [] }] }], 2);
    const loaded = await engine.loadFeatures(lowerNetwork(network, randomTensors(network, new Random(1))), [
      { stage: 1, pooling: grid(2) },
    ]);
    // Twice the input comes out of the residual: 200 for the channel, 20 for the lower half, 2 for the right half.
    const image = mapOf(network.input, (c, y, x) => 100 * c + (y >= 6 ? 10 : 0) + (x >= 4 ? 1 : 0));
    const { features } = await loaded.run(Float32Array.from(image.data), 1);
    await loaded.close();
    expect([...features[0]!]).to.deep.equal([0, 2, 20, 22, 200, 202, 220, 222]);
  });

  it('takes batches of any size, one after the other, and treats each image alone', async () => {
    const network = networkOf([{ layers: [conv('a', 2, 3, 3), norm('an', 3), relu] }], 3);
    const loaded = await engine.loadFeatures(lowerNetwork(network, randomTensors(network, new Random(5))), []);
    const random = new Random(6);
    const images = Float32Array.from({ length: 3 * 192 }, () => random.uniform());
    const three = await loaded.run(images, 3);
    const last = await loaded.run(images.slice(2 * 192), 1);
    await loaded.close();
    expect(last.features).to.deep.equal([]);
    expectRow(three.logits, 2, [...last.logits], 'logits');
  });
});

function direct(network: Network, tensors: TensorMap, input: FeatureMap, places: readonly GatePlace[]) {
  const features: number[][] = [];
  let map = applyLayers(network.stem, tensors, input);
  network.stages.forEach((stage, index) => {
    map = applyLayers(stage.layers, tensors, map);
    for (const { stage: number, pooling } of places) {
      if (number === index + 1)
        features.push(pooling.kind !== 'grid' ? averages(map) : gridAverages(map, pooling.size));
    }
    map = applyLayers(stage.transition, tensors, map);
  });
  const pooled = averages(applyLayers(network.classifier.head, tensors, map));
  const weight = tensors.get(`${network.classifier.name}.weight`)!.data;
  const bias = tensors.get(`${network.classifier.name}.bias`)!.data;
  const logits = [...bias].map((b, k) => pooled.reduce((sum, x, i) => sum + x * weight[k * pooled.length + i]!, b));
  return { features, logits };
}

function averages({ channels, height, width, data }: FeatureMap): number[] {
  const size = height * width;
  return Array.from({ length: channels }, (_, c) => {
    return data.subarray(c * size, (c + 1) * size).reduce((sum, value) => sum + value, 0) / size;
  });
}

function expectRow(found: Float32Array, row: number, expected: readonly number[], what: string): void {
  const width = expected.length;
  const allowed = 1e-5 * Math.max(1, ...expected.map(Math.abs));
  expect(found.length, what).to.be.at.least((row + 1) * width);
  expected.forEach((value, i) => {
    expect(found[row * width + i], `${what}, number ${i} of image ${row}`).to.be.closeTo(value, allowed);
  });
}
