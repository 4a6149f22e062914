import { rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { expect } from 'chai';
import * as ort from '../../src/engines/onnxruntime/ort.js';
import { InputError } from '../../src/errors.js';
import { Budget } from '../../src/json.js';
import { float, GraphBuilder } from '../../src/onnx/builder.js';
import { inCurrentOpset } from '../../src/onnx/graph/opsets.js';
import { decodeModel, encodeModel, type ModelMessage, type NodeMessage } from '../../src/onnx/proto.js';
import { open, residualGraph } from './user-graphs.js';

const written: string[] = [];
after(() => Promise.all(written.map((path) => rm(dirname(path), { recursive: true, force: true }))));

type Write = (builder: GraphBuilder) => void;

function modelOf(opset: number, write: Write): ModelMessage {
  const builder = new GraphBuilder('old', undefined, { opsets: [{ domain: '', version: opset }], irVersion: 8 });
  builder.input('x', 'float', [2, 3, 4, 4]);
  write(builder);
  builder.output('y', 'float', ['a', 'b', 'c', 'd'].slice(0, rankOf.get(write) ?? 4));
  return decodeModel(builder.encode());
}
/** Ranks of results that are not of 4. */
const rankOf = new Map<Write, number>();
const ranked = (rank: number, write: Write): Write => {
  rankOf.set(write, rank);
  return write;
};

const currentOf = (model: ModelMessage): ModelMessage => {
  const file = { path: 'old.onnx', sha256: '', model, budget: new Budget('old.onnx', 1000, 'another') };
  return inCurrentOpset(file).file.model;
};

const values = Float32Array.from({ length: 96 }, (_, i) => Math.sin(7 * i) * 3);

async function run(model: ModelMessage): Promise<ort.Tensor> {
  const session = await ort.InferenceSession.create(encodeModel(model), { logSeverityLevel: 4 });
  const results = await session.run({ x: new ort.Tensor('float32', values, [2, 3, 4, 4]) });
  await session.release();
  return results['y']!;
}

/** An attribute of several floating-point numbers, which newer operators do not have. */
const scaled = (op_type: string, mode: string, scales: readonly number[]): NodeMessage => ({
  ...{ op_type, name: 'n', input: ['x'], output: ['y'] },
  attribute: [
    { name: 'scales', type: 6, floats: scales },
    { name: 'mode', type: 3, s: new TextEncoder().encode(mode) },
  ],
});
const numbers = (b: GraphBuilder, name: string, list: readonly number[]) =>
  b.constant(name, Float32Array.from(list), [list.length]);

const cases: [string, number, Write][] = [
  [
    'Squeeze',
    11,
    ranked(3, (b) => {
      b.node('Squeeze', [b.node('ReduceMean', ['x'], { axes: [1] })], { axes: [1] }, 'y');
    }),
  ],
  [
    'Squeeze without axes',
    12,
    ranked(3, (b) => {
      b.node('Squeeze', [b.node('ReduceMean', ['x'], { axes: [1] })], {}, 'y');
    }),
  ],
  ['Unsqueeze', 7, ranked(5, (b) => void b.node('Unsqueeze', ['x'], { axes: [0] }, 'y'))],
  ['ReduceSum', 12, (b) => void b.node('ReduceSum', ['x'], { axes: [2, 3] }, 'y')],
  ['ReduceSum of everything', 9, ranked(0, (b) => void b.node('ReduceSum', ['x'], { keepdims: 0 }, 'y'))],
  [
    'Split',
    8,
    (b) => {
      b.nodes('Split', ['x'], { axis: 1, split: [1, 2] }, ['one', 'two']);
      b.node('Mul', ['one', 'two'], {}, 'y');
    },
  ],
  [
    'Split into equal parts',
    11,
    (b) => {
      b.nodes('Split', ['x'], { axis: 3 }, ['one', 'two']);
      b.node('Sub', ['one', 'two'], {}, 'y');
    },
  ],
  ['Slice', 9, (b) => void b.node('Slice', ['x'], { starts: [0, 1], ends: [2, -1], axes: [1, 3] }, 'y')],
  ['Slice without axes', 7, (b) => void b.node('Slice', ['x'], { starts: [0, 1], ends: [2, 1000] }, 'y')],
  ['TopK', 9, (b) => void b.nodes('TopK', ['x'], { k: 2, axis: 3 }, ['y', 'positions'])],
  ['Clip', 10, (b) => void b.node('Clip', ['x'], { min: float(-1), max: float(2) }, 'y')],
  ['Clip from below', 7, (b) => void b.node('Clip', ['x'], { min: float(0) }, 'y')],
  ['Clip from above', 9, (b) => void b.node('Clip', ['x'], { max: float(0.5) }, 'y')],
  ['Pad', 10, (b) => void b.node('Pad', ['x'], { pads: [0, 0, 1, 2, 0, 0, 0, 1], value: float(-2) }, 'y')],
  ['Pad by reflection', 7, (b) => void b.node('Pad', ['x'], { pads: [0, 0, 1, 1, 0, 0, 1, 1], mode: 'reflect' }, 'y')],
  ...['Softmax', 'LogSoftmax', 'Hardmax'].flatMap((op): [string, number, Write][] => [
    [op, 12, (b) => void b.node(op, ['x'], {}, 'y')],
    [`${op} over the last axis`, 11, (b) => void b.node(op, ['x'], { axis: -1 }, 'y')],
    [`${op} from axis 2 on`, 7, (b) => void b.node(op, ['x'], { axis: 2 }, 'y')],
    [`${op} from axis 0 on`, 9, (b) => void b.node(op, ['x'], { axis: 0 }, 'y')],
  ]),
  ['Dropout', 7, (b) => void b.nodes('Dropout', ['x'], { ratio: float(0.3) }, ['y', 'mask'])],
  ['Dropout', 10, (b) => void b.node('Dropout', ['x'], { ratio: float(0.9) }, 'y')],
  [
    'BatchNormalization',
    7,
    (b) => {
      const parts = ['g', 'b', 'm', 'v'].map((name, i) => numbers(b, name, [1 + i, 2, 0.5]));
      b.node('BatchNormalization', ['x', ...parts], { epsilon: float(1e-3), spatial: 1, momentum: float(0.9) }, 'y');
    },
  ],
  ...['nearest', 'linear'].flatMap((mode): [string, number, Write][] => [
    [`Upsample, ${mode}`, 7, (b) => b.copy(scaled('Upsample', mode, [1, 1, 2, 3]))],
    [`Upsample, ${mode}`, 9, (b) => void b.node('Upsample', ['x', numbers(b, 's', [1, 1, 2, 2.5])], { mode }, 'y')],
    [`Resize, ${mode}`, 10, (b) => void b.node('Resize', ['x', numbers(b, 's', [1, 1, 1.5, 2])], { mode }, 'y')],
    [
      `Resize to less, ${mode}`,
      10,
      (b) => void b.node('Resize', ['x', numbers(b, 's', [1, 1, 0.6, 0.5])], { mode }, 'y'),
    ],
    [
      `Resize, ${mode}, half a pixel in`,
      11,
      (b) => {
        const attributes = { mode, coordinate_transformation_mode: 'half_pixel' };
        b.node('Resize', ['x', numbers(b, 'r', []), numbers(b, 's', [1, 1, 2, 2])], attributes, 'y');
      },
    ],
  ]),
  [
    'Scatter',
    9,
    (b) => {
      const at = b.constant('at', BigInt64Array.of(2n), [1, 1, 1, 1]);
      b.node('Scatter', ['x', at, b.constant('new', Float32Array.of(9), [1, 1, 1, 1])], { axis: 3 }, 'y');
    },
  ],
  [
    'Cast, MaxPool, Conv, Gemm: unchanged',
    7,
    ranked(2, (b) => {
      const kernel = b.constant(
        'k',
        Float32Array.from({ length: 54 }, (_, i) => Math.cos(i)),
        [2, 3, 3, 3],
      );
      const pooled = b.node('MaxPool', [b.node('Conv', ['x', kernel])], { kernel_shape: [2, 2] });
      const flat = b.node('Cast', [b.node('Flatten', [pooled])], { to: 1 });
      b.node('Gemm', [flat, b.constant('w', Float32Array.of(1, 2, 3, 4), [2, 2]), numbers(b, 'c', [1, 2])], {}, 'y');
    }),
  ],
]; // prettier-ignore

describe('graphs of opset 7 to 12', () => {
  for (const [name, opset, write] of cases) {
    it(`${name} of opset ${opset} computes the same numbers`, async () => {
      const model = modelOf(opset, write);
      const current = currentOf(model);
      expect(current.opset_import.map(({ version }) => Number(version))).to.deep.equal([17]);
      const [before, now] = [await run(model), await run(current)];
      expect(now.dims).to.deep.equal(before.dims);
      expect(now.data).to.deep.equal(before.data);
    });
  }

  it("a Slice up to int64's largest number, which is an open end", async () => {
    const model = modelOf(9, (b) => void b.node('Slice', ['x'], { starts: [1], ends: [1000], axes: [3] }, 'y'));
    const [slice] = model.graph.node;
    const attribute = slice!.attribute.map((each) => (each.name === 'ends' ? { ...each, ints: [2 ** 63] } : each));
    const toEnd = { ...model, graph: { ...model.graph, node: [{ ...slice!, attribute }] } };
    expect((await run(currentOf(toEnd))).dims).to.deep.equal([2, 3, 4, 3]);
  });

  it('nodes in branches are brought up too', async () => {
    const model = modelOf(9, (b) => {
      const sum = b.node('Cast', [b.node('ReduceSum', ['x'], { keepdims: 0 })], { to: 9 });
      const branch = (name: string, min: number) => {
        const inside = b.branch(name);
        inside.output(inside.node('Clip', ['x'], { min: float(min) }), 'float');
        return { graph: inside.graph() };
      };
      b.node('If', [sum], { then_branch: branch('a', 0), else_branch: branch('b', 1) }, 'y');
    });
    expect((await run(currentOf(model))).data).to.deep.equal((await run(model)).data);
  });

  it('what cannot be brought up is named', () => {
    const normalise: Write = (b) => {
      const parts = ['g', 'b', 'm', 'v'].map((name) => b.constant(name, new Float32Array(48).fill(1), [3, 4, 4]));
      b.node('BatchNormalization', ['x', ...parts], { spatial: 0 }, 'y');
    };
    expect(() => currentOf(modelOf(7, normalise))).to.throw(
      InputError,
      /^old\.onnx: BatchNormalization "y" of opset 7: .*\(spatial 0\); valid: opset 13 or newer$/,
    );
    const how = { coordinate_transformation_mode: 'tf_half_pixel_for_nn' };
    const resize: Write = (b) => void b.node('Resize', ['x', '', numbers(b, 's', [1, 1, 2, 2])], how, 'y');
    expect(() => currentOf(modelOf(11, resize))).to.throw(InputError, /Resize "y" of opset 11: .*tf_half_pixel_for_nn/);
    for (const opset of [6, 26]) {
      expect(() => currentOf(modelOf(opset, resize))).to.throw(InputError, /opset \d+; valid: 7 to 25/);
    }
  });

  it('spatial 0 with a number for each channel, as MXNet writes it, is what spatial 1 is', async () => {
    const normalised = (spatial: number) =>
      modelOf(7, (b) => {
        const parts = ['g', 'b', 'm', 'v'].map((name, i) => numbers(b, name, [1 + i, 2, 0.5]));
        b.node('BatchNormalization', ['x', ...parts], { spatial }, 'y');
      });
    expect((await run(currentOf(normalised(0)))).data).to.deep.equal((await run(normalised(1))).data);
  });

  it('a network of each opset from 7 to 25 gives the same places, whatever its IR version', async () => {
    const wanted = (await open(await write(7, 3))).cuts.cuts;
    expect(wanted).to.have.length(3);
    for (let opset = 8; opset <= 25; opset++) {
      expect((await open(await write(opset, opset % 2 === 0 ? 4 : 10))).cuts.cuts, `${opset}`).to.deep.equal(wanted);
    }
  });
});

/** A network whose initializers are inputs too, one of them unused. */
async function write(opset: number, ir_version: number): Promise<string> {
  const path = await residualGraph('old', opset).write();
  written.push(path);
  const model = decodeModel(residualGraph('old', opset).builder.encode());
  const unused = { name: 'unused', dims: [1], data_type: 1, raw_data: new Uint8Array(4) };
  const initializer = [...model.graph.initializer, unused];
  const asInput = initializer.map(({ name, dims }) => {
    const dim = dims.map((size) => ({ dim_value: Number(size) }));
    return { name, type: { tensor_type: { elem_type: 1, shape: { dim } } } };
  });
  const graph = { ...model.graph, initializer, input: [...model.graph.input, ...asInput] };
  await writeFile(path, encodeModel({ ...model, ir_version, graph }));
  return path;
}
