import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { openInProcess } from '../../src/engines/onnxruntime/gated.js';
import * as ort from '../../src/engines/onnxruntime/ort.js';
import { runModelOf } from '../../src/engines/onnxruntime/session.js';
import { InputError } from '../../src/errors.js';
import { exportOpened } from '../../src/gated/export.js';
import { openGated } from '../../src/gated/open.js';
import { quantisedModel, rangeGraph } from '../../src/onnx/graph/quantise.js';
import { nodesOf } from '../../src/onnx/graph/values.js';
import type { UserNetwork } from '../../src/onnx/network.js';
import { decodeModel, encodeModel } from '../../src/onnx/proto.js';
import { Random } from '../../src/random.js';
import { openSource, plan } from '../../src/run/plan.js';
import { runExperiment } from '../../src/run/run.js';
import { asNetwork, open, residualGraph, UserGraph } from '../onnx/user-graphs.js';
import { weightsElsewhere } from '../onnx/wild-graphs.js';
import { makeWorkplace, tinyExperiment, type Workplace } from './workplace.js';

const INT8 = 3;
const FLOAT = 1;
const eightBit = { path: 'int8', value: true };

/** Logits of some images by a graph with one input. */
async function logitsOf(model: Uint8Array, images: Float32Array, dims: readonly number[]): Promise<Float32Array> {
  const session = await ort.InferenceSession.create(model, { logSeverityLevel: 3 });
  const results = await session.run({ [session.inputNames[0]!]: new ort.Tensor('float32', images, dims) });
  await session.release();
  return results[session.outputNames[0]!]!.data as Float32Array;
}

/** A user's graph with 8 bits, calibrated on these images. */
async function quantised(path: string, images: Float32Array, dims: readonly number[]) {
  const user = asNetwork(await open(path), 'auto');
  const { bytes, rangesOf } = rangeGraph(user);
  const batch = { name: user.graph.model.input.value, dims, data: images };
  const ranges = rangesOf(await runModelOf(path, openInProcess(path))(bytes, [batch]));
  return quantisedModel(user, ranges);
}

const noise = (count: number): Float32Array => {
  const random = new Random(3, 'int8');
  return Float32Array.from({ length: count }, () => 4 * random.uniform() - 2);
};

/** What stands between convolutions in wild files: padding, slices, pooling, a product without a bias, grouped convolutions. */
function wildGraph(): UserGraph {
  const graph = new UserGraph('wild-int8');
  const { builder } = graph;
  const ints = (name: string, ...values: number[]): string => builder.ints(name, values);
  const images = graph.input(['batch', 3, 16, 16]);
  const a = graph.relu(graph.conv(images, 3, 8), 'a');
  const pooled = builder.node('MaxPool', [a], { kernel_shape: [2, 2], strides: [2, 2] });
  const grouped = graph.conv(pooled, 8, 8, { group: 8 });
  const half = builder.node('Slice', [a, ints('s', 0, 0), ints('e', 99, 99), ints('axes', 2, 3), ints('t', 2, 2)]);
  const wider = builder.node('Pad', [half, ints('p', 0, 4, 0, 0, 0, 4, 0, 0)]);
  const sum = builder.node('Add', [graph.conv(grouped, 8, 16), wider]);
  const clipped = builder.node('Clip', [
    sum,
    builder.constant('zero', Float32Array.of(0), []),
    builder.constant('six', Float32Array.of(6), []),
  ]);
  const row = builder.node('Flatten', [builder.node('GlobalAveragePool', [clipped])], { axis: 1 });
  builder.node('MatMul', [row, graph.weight([16, 5])], {}, 'logits');
  return graph.output('logits', 5);
}

describe('networks of 8 bits', () => {
  let place: Workplace;
  const read = new Set<string>();

  before(async () => {
    place = await makeWorkplace({ train: 300, test: 80, onBatch: (split) => void read.add(split) });
  });

  after(() => place.remove());

  for (const [what, graph, dims] of [
    ['a residual network', residualGraph('int8'), [16, 3, 8, 8]],
    ['padding, slices, pooling, groups and a product', wildGraph(), [16, 3, 16, 16]],
  ] as const) {
    it(`${what}: nearly the same logits, by operators on 8-bit numbers alone`, async () => {
      const images = noise(dims.reduce((product, size) => product * size, 1));
      const path = await graph.write();
      const model = await quantised(path, images, dims);
      const bytes = encodeModel(model);
      const [wanted, found] = [await logitsOf(await readFile(path), images, dims), await logitsOf(bytes, images, dims)];
      const largest = Math.max(...wanted.map(Math.abs));
      const apart = wanted.reduce((most, value, i) => Math.max(most, Math.abs(value - found[i]!)), 0);
      expect(apart)
        .to.be.above(0)
        .and.below(0.06 * largest);
      const optimised = join(place.folder, `${what.length}.onnx`);
      const options = { optimizedModelFilePath: optimised, graphOptimizationLevel: 'extended' } as const;
      await (await ort.InferenceSession.create(bytes, { ...options, logSeverityLevel: 4 })).release();
      const ops = [...nodesOf(decodeModel(await readFile(optimised)).graph)].map(({ op_type }) => op_type);
      expect(ops).not.to.include('Conv');
      expect(ops.filter((op) => op === 'QLinearConv')).to.have.length(
        model.graph.node.filter(({ op_type }) => op_type === 'Conv').length,
      );
    });
  }

  it('weights stay between -64 and 64, so that no processor saturates', async () => {
    const dims = [4, 3, 16, 16];
    const model = await quantised(await wildGraph().write(), noise(3072), dims);
    const weights = model.graph.initializer.filter(
      ({ data_type, dims: sizes }) => data_type === INT8 && sizes.length > 1,
    );
    expect(weights).to.have.length(4);
    for (const { raw_data } of weights) {
      const values = [...new Int8Array(Uint8Array.from(raw_data).buffer)].map(Math.abs);
      expect(Math.max(...values)).to.equal(64);
    }
  });

  it('a network that has 8-bit weights already is refused', async () => {
    const dims = [4, 3, 8, 8];
    const model = await quantised(await residualGraph('twice').write(), noise(768), dims);
    const again = new UserGraph('again');
    again.write = () => UserGraph.prototype.write.call(again);
    Object.defineProperty(again.builder, 'encode', { value: () => encodeModel(model) });
    const user = asNetwork(await open(await again.write()), 'auto');
    expect(() => rangeGraph(user))
      .to.throw(InputError)
      .with.property('message')
      .match(/no convolution or product with float32 weights; valid: a network of float32 numbers$/);
  });

  it('ranges come from training images alone', async () => {
    read.clear();
    const experiment = tinyExperiment(place, eightBit);
    const source = await openSource(place.context, experiment, await plan(experiment));
    const { network } = (await source.lowered()) as UserNetwork;
    expect([...read]).to.deep.equal(['train']);
    expect(network.stages.map(({ name }) => name)).to.satisfy((names: string[]) =>
      names.every((n) => n.endsWith('8bit')),
    );
  });

  it('has its own features, scores and thresholds; the cache does not take one for the other', async () => {
    const [float, whole] = [
      await runExperiment(place.context, tinyExperiment(place)),
      await runExperiment(place.context, tinyExperiment(place, eightBit)),
    ];
    expect(whole.rows.map(({ thresholds }) => thresholds)).not.to.deep.equal(float.rows.map((row) => row.thresholds));
    expect(Math.abs(whole.original.accuracy - float.original.accuracy)).to.be.below(0.1);
    expect(whole.exitCosts).to.deep.equal(float.exitCosts);
    const again = await runExperiment(place.context, tinyExperiment(place, eightBit));
    expect(again.engine.loaded).to.equal(false);
  });

  it('is exported with its gates: the same class and exit, every convolution on 8-bit numbers, fewer bytes', async () => {
    const out = join(place.folder, 'int8.onnx');
    const written = await Promise.all(
      [[], [eightBit]].map(async (overrides) => {
        const opened = await openGated(place.context, tinyExperiment(place, ...overrides));
        return exportOpened(place.context, opened, 2, {
          out: overrides.length > 0 ? out : `${out}.float`,
          preset: 'laptop',
        });
      }),
    );
    const [float, whole] = written as [(typeof written)[0], (typeof written)[0]];
    expect(whole.verified.same + whole.verified.near).to.equal(80);
    const graph = decodeModel(await readFile(out)).graph;
    expect(graph.initializer.filter(({ data_type, dims }) => data_type === FLOAT && Number(dims[2]) === 3)).to.be.empty;
    const optimised = join(place.folder, 'optimised.onnx');
    const options = { optimizedModelFilePath: optimised, graphOptimizationLevel: 'extended' } as const;
    await (await ort.InferenceSession.create(out, { ...options, logSeverityLevel: 4 })).release();
    const ops = [...nodesOf(decodeModel(await readFile(optimised)).graph)].map(({ op_type }) => op_type);
    expect(ops.filter((op) => op === 'Conv')).to.be.empty;
    expect(ops.filter((op) => op === 'QLinearConv').length).to.be.above(18);
    expect(weightsElsewhere(graph)).to.deep.equal([]);
    expect(whole.bytes).to.be.below(float.bytes);
  });

  it('engines that run no ONNX graphs are refused before anything is computed', async () => {
    const experiment = tinyExperiment(place, eightBit, { path: 'engine', value: 'tfjs-cpu' });
    const refused = await openSource(place.context, experiment, await plan(experiment)).catch((error: Error) => error);
    expect((refused as Error).message).to.equal(
      'engine tfjs-cpu: runs no 8-bit network; valid with int8: ort-cpu, ort-webgpu, ort-cuda',
    );
  });
});
