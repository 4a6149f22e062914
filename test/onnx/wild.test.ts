import { expect } from 'chai';
import { OnnxRuntimeCpu } from '../../src/engines/onnxruntime/engine.js';
import * as ort from '../../src/engines/onnxruntime/ort.js';
import { InputError } from '../../src/errors.js';
import type { PlacedGate } from '../../src/gates/contracts.js';
import { Budget } from '../../src/json.js';
import { featureGraph } from '../../src/onnx/gated.js';
import { takesAll } from '../../src/onnx/graph/batch.js';
import { type ChannelAxis, chosenAxis } from '../../src/onnx/graph/channels.js';
import { turnsImages } from '../../src/onnx/graph/parts.js';
import { dataTypes, decodeModel, type NodeMessage } from '../../src/onnx/proto.js';
import { inspectExits } from '../../src/run/user-network.js';
import { asNetwork, type Opened, open, UserGraph } from './user-graphs.js';
import {
  type Change,
  classify,
  expectSame,
  FLOAT,
  FLOAT16,
  FLOAT64,
  halfGraph,
  images,
  input,
  ints,
  random,
  shares,
  UINT8,
  write,
} from './wild-graphs.js';

describe('graphs of one image', () => {
  const dims = [1, 3, 8, 8];
  const flat = (graph: UserGraph, value: string): string => graph.builder.node('GlobalAveragePool', [value]);
  const gemm = (graph: UserGraph, row: string): void => {
    graph.builder.node('Gemm', [row, graph.weight([5, 8])], { transB: 1 }, 'logits');
    graph.output('logits', 5);
  };
  const cases: [string, string, (graph: UserGraph, value: string) => void][] = [
    ['Reshape to [1, -1]', 'Reshape', (g, v) => gemm(g, g.builder.node('Reshape', [flat(g, v), ints(g, [1, -1])]))],
    [
      'Reshape to all sizes, twice',
      'Reshape',
      (g, v) => {
        const tokens = g.builder.node('Reshape', [v, ints(g, [1, 8, 64])]);
        gemm(
          g,
          g.builder.node('Reshape', [
            flat(g, g.builder.node('Reshape', [tokens, ints(g, [1, 8, 8, 8])])),
            ints(g, [1, 8]),
          ]),
        );
      },
    ],
    ['Flatten from axis 0', 'Flatten', (g, v) => gemm(g, g.builder.node('Flatten', [flat(g, v)], { axis: 0 }))],
    [
      'Resize to sizes',
      'Resize',
      (g, v) =>
        gemm(g, g.builder.node('Flatten', [flat(g, g.builder.node('Resize', [v, '', '', ints(g, [1, 8, 4, 4])]))])),
    ],
    [
      'a class token',
      'Concat',
      (g, v) => {
        const { builder } = g;
        const tokens = builder.node('Transpose', [builder.node('Reshape', [v, ints(g, [1, 8, 64])])], {
          perm: [0, 2, 1],
        });
        const all = builder.node('Concat', [g.weight([1, 1, 8]), tokens], { axis: 1 });
        const mixed = builder.node('MatMul', [builder.node('Softmax', [all], { axis: 1 }), g.weight([8, 8])]);
        gemm(g, builder.node('Gather', [mixed, builder.constant('0', BigInt64Array.of(0n), [])], { axis: 1 }));
      },
    ],
    [
      'images along the second axis',
      'Reshape',
      (g, v) => {
        const { builder } = g;
        const tokens = builder.node('Transpose', [builder.node('Reshape', [v, ints(g, [1, 8, 64])])], {
          perm: [2, 0, 1],
        });
        const same = builder.node('Reshape', [
          builder.node('Reshape', [tokens, ints(g, [64, 1, 2, 4])]),
          ints(g, [64, 1, 8]),
        ]);
        gemm(g, builder.node('ReduceMean', [same], { axes: [0], keepdims: 0 }));
      },
    ],
    [
      'Squeeze and Unsqueeze around the images',
      'Reshape',
      (g, v) => {
        const { builder } = g;
        const parts = builder.node('Transpose', [builder.node('Reshape', [flat(g, v), ints(g, [1, 2, 4])])], {
          perm: [1, 0, 2],
        });
        const [one, two] = ['one', 'two'];
        builder.nodes('Split', [parts], { axis: 0 }, [one, two]);
        const rows = [one, two].map((part) => builder.node('Squeeze', [part, ints(g, [0])]));
        const wide = rows.map((row) => builder.node('Unsqueeze', [row, ints(g, [1])]));
        gemm(g, builder.node('Reshape', [builder.node('Concat', wide, { axis: 1 }), ints(g, [1, 8])]));
      },
    ],
    [
      'as_strided: every number of a row',
      'Reshape',
      (g, v) => {
        const row = g.builder.node('Reshape', [flat(g, v), ints(g, [-1])]);
        const all = g.builder.constant(
          'all',
          BigInt64Array.from({ length: 8 }, (_, i) => BigInt(i)),
          [1, 8, 1, 1],
        );
        gemm(g, g.builder.node('Reshape', [g.builder.node('Gather', [row, all]), ints(g, [1, 8])]));
      },
    ],
  ]; // prettier-ignore
  for (const [name, operator, tail] of cases) {
    it(`${name}: works for any number`, async () => {
      const path = await write(images(name, { dims, tail }));
      const opened = await open(path);
      expect(opened.graph.notes.join()).to.match(new RegExp(`\\d ${operator}.* of one image work on any number now`));
      expect(shares(opened)).to.have.length(3);
      await expectSame(opened, path, { dims });
    });
  }

  it('failures that have nothing to do with the number of images are told as they are', async () => {
    const graph = images('missing', {
      dims,
      tail: (g, v) => gemm(g, g.builder.node('Flatten', [flat(g, g.builder.node('Add', [v, 'nowhere']))])),
    });
    const error = await open(await write(graph)).catch(String);
    expect(error)
      .to.match(/nothing computes nowhere/)
      .and.not.match(/at a time/);
    const wrong = images('wrong', {
      dims,
      tail: (g, v) => gemm(g, g.builder.node('Reshape', [flat(g, v), ints(g, [7, 7])])),
    });
    expect(await open(await write(wrong)).catch(String))
      .to.match(/Dimension mismatch .* 8 and 7/)
      .and.not.match(/at a time/);
    const eight = images('eight', {
      dims: [8, 3, 8, 8],
      tail: (g, v) => gemm(g, g.builder.node('Reshape', [flat(g, v), ints(g, [8, 8])])),
    });
    expect(await open(await write(eight)).catch(String)).to.match(/works on 8 images at a time only, .*Reshape/);
  });
});

describe('the number of images, read once from the input', () => {
  const counted = (
    count: (graph: UserGraph) => string,
    use: (graph: UserGraph, value: string, n: string) => string,
  ) => {
    let n = '';
    return images('counted', {
      before: (graph, x) => {
        const size = graph.builder.node('Shape', [x]);
        n = graph.builder.node('Gather', [size, count(graph)], { axis: 0 });
        return x;
      },
      tail: (graph, value) => classify(graph, graph.conv(use(graph, value, n), 8, 8)),
    });
  };
  const vector = (graph: UserGraph): string => ints(graph, [0]);
  const cases: [string, UserGraph][] = [
    [
      'Expand of a constant',
      counted(vector, (g, v, n) => {
        const target = g.builder.node('Concat', [n, ints(g, [8, 1, 1])], { axis: 0 });
        return g.builder.node('Mul', [v, g.builder.node('Expand', [g.weight([1, 8, 1, 1]), target])]);
      }),
    ],
    [
      'Expand of an image',
      counted(vector, (g, v, n) =>
        g.builder.node('Expand', [v, g.builder.node('Concat', [n, ints(g, [8, 8, 8])], { axis: 0 })]),
      ),
    ],
    [
      'a product of sizes in Reshape',
      counted(vector, (g, v, n) => {
        const rows = g.builder.node('Concat', [g.builder.node('Mul', [n, ints(g, [8])]), ints(g, [64])], { axis: 0 });
        const back = g.builder.node('Concat', [n, ints(g, [8, 8, 8])], { axis: 0 });
        return g.builder.node('Reshape', [g.builder.node('Reshape', [v, rows]), back]);
      }),
    ],
    [
      'as_strided: Gather of every number',
      counted(vector, (g, v, n) => {
        const row = g.builder.node('Reshape', [v, ints(g, [-1])]);
        const last = g.builder.node('Mul', [n, ints(g, [512])]);
        const [none, one] = [0n, 1n].map((value) => g.builder.constant(`s${value}`, BigInt64Array.of(value), []));
        const all = g.builder.node('Range', [none!, g.builder.node('Squeeze', [last]), one!]);
        const target = g.builder.node('Concat', [n, ints(g, [8, 8, 8])], { axis: 0 });
        return g.builder.node('Gather', [row, g.builder.node('Reshape', [all, target])]);
      }),
    ],
    [
      'a number, in Slice',
      counted(
        (g) => g.builder.constant('none', BigInt64Array.of(0n), []),
        (g, v, n) => {
          const end = g.builder.node('Unsqueeze', [n, ints(g, [0])]);
          return g.builder.node('Slice', [v, ints(g, [0]), end, ints(g, [0])]);
        },
      ),
    ],
  ]; // prettier-ignore
  for (const [name, graph] of cases) {
    it(`${name}: the gates are those of a graph that does not count`, async () => {
      const path = await write(graph);
      const opened = await open(path);
      expect(shares(opened)).to.deep.equal([31, 54, 77]);
      await expectSame(opened, path, { dims: [1, 3, 8, 8] });
    });
  }

  it('a list that many nodes compare is paid for by each', () => {
    const node: NodeMessage = { op_type: 'Gather', name: 'g', input: ['row', 'all'], output: ['y'], attribute: [] };
    const all = BigInt64Array.from({ length: 1_000_000 }, (_, i) => BigInt(i));
    const shapes = new Map([['row', [[all.length], [all.length]] as const]]);
    const budget = new Budget('m.onnx', 1000, 'a model');
    const compare = () => Array.from({ length: 10 }, () => takesAll(node, all, shapes, budget));
    expect(compare).to.throw(InputError, /m.onnx: g: takes more than/);
  });
});

describe('images and numbers in other forms', () => {
  const plain = () => images('forms');
  const cast = (to: number) => (g: UserGraph, x: string) => g.builder.node('Cast', [x], { to });

  it('float16 inside: gates read float32, the rest stays', async () => {
    const path = await write(halfGraph('half'));
    const opened = await open(path);
    expect(opened.cuts.flops.widths.filter((bits) => bits === 16)).to.have.length.above(4);
    await expectSame(opened, path, { dims: [1, 3, 8, 8], tolerance: 5e-3, executed: true });
  });

  it('float16, float64 and bfloat16 at the ends cost what float32 costs', async () => {
    const wanted = shares(await open(await write(plain())));
    const half = images('forms', { before: cast(FLOAT) });
    expect(shares(await open(await write(half, input(FLOAT16))))).to.deep.equal(wanted);
    for (const type of [FLOAT64, 16]) {
      const opened = await open(await write(images('forms', { before: cast(FLOAT) }), input(type)));
      expect(shares(opened)).to.deep.equal(wanted);
      expect(opened.graph.notes.join()).to.match(/float(64|16) numbers are converted to float32/);
    }
  });

  it('float64 weights are converted, number by number', async () => {
    const doubled: Change = (model) => {
      const initializer = model.graph.initializer.map((tensor) => {
        if (tensor.data_type !== FLOAT) return tensor;
        const floats = new Float32Array(Uint8Array.from(tensor.raw_data).buffer);
        const raw_data = new Uint8Array(Float64Array.from(floats).buffer);
        return { ...tensor, data_type: FLOAT64, raw_data };
      });
      return input(FLOAT64)({ ...model, graph: { ...model.graph, initializer } });
    };
    const [before, after] = [await open(await write(plain())), await open(await write(plain(), doubled))];
    const weights = ({ graph }: Opened) => [...graph.constants.values()].map(({ raw_data }) => Buffer.from(raw_data));
    expect(weights(after)).to.deep.equal(weights(before));
  });

  it('bytes that are normalised inside', async () => {
    const before = (g: UserGraph, x: string): string => {
      const floats = g.builder.node('Cast', [g.builder.node('Transpose', [x], { perm: [0, 3, 1, 2] })], { to: FLOAT });
      return g.builder.node('Div', [floats, g.builder.constant('range', Float32Array.of(255), [])]);
    };
    const path = await write(images('bytes', { before, dims: ['batch', 8, 8, 3] }), input(UINT8));
    const opened = await open(path);
    expect(opened.graph.notes.join()).to.match(/x takes bytes: preprocess 'bytes'/);
    const { order, channels } = opened.graph.model.input;
    expect([order, channels]).to.deep.equal(['NHWC', 3]);
    // ONNX's own file gets the channels last.
    const user = asNetwork(opened, 'auto');
    expect(user.network.stages[0]!.layout).to.equal('maps-first');
  });

  const forms: [string, readonly (number | string)[], number, number[], (g: UserGraph, x: string) => string][] = [
    ['[n, h, w]', ['batch', 8, 8], 1, [1, 8, 8], (g, x) => g.builder.node('Unsqueeze', [x, ints(g, [1])])],
    ['[n, pixels], grey', ['batch', 64], 1, [1, 64], (g, x) => g.builder.node('Reshape', [x, ints(g, [-1, 1, 8, 8])])],
    [
      '[n, pixels], in colours',
      ['batch', 192],
      3,
      [1, 192],
      (g, x) => g.builder.node('Reshape', [x, ints(g, [-1, 3, 8, 8])]),
    ],
    ['one channel', ['batch', 1, 8, 8], 1, [1, 1, 8, 8], (_, x) => x],
  ];
  for (const [name, dims, channels, alone, before] of forms) {
    it(`images ${name}`, async () => {
      const path = await write(images(name, { dims, channels, before }));
      const opened = await open(path);
      expect(opened.graph.model.input).to.include({ channels, height: 8, width: 8 });
      await expectSame(opened, path, { dims: alone });
    });
  }

  it('open heights and widths are fixed by the caller, and four channels are refused with the reason', async () => {
    const path = await write(images('open', { dims: ['batch', 3, 'h', 'w'] }));
    const { graph } = await open(path, { inputSize: [8, 16] });
    expect(graph.model.input).to.include({ height: 8, width: 16 });
    expect(await open(path).catch(String)).to.match(/\[\?, 3, \?, \?\]; valid: .*--input-size HEIGHTxWIDTH/);
    expect(await open(await write(plain()), { inputSize: [9, 9] }).catch(String)).to.match(
      /--input-size 8x8, which the file fixes/,
    );
    for (const channels of [1, 3]) {
      const all = await write(images('all', { dims: ['n', 'c', 'h', 'w'], channels }));
      const opened = await open(all, { inputSize: [8, 8] });
      expect(opened.graph.model.input, 'as the first convolution takes them').to.include({ channels, order: 'NCHW' });
      await expectSame(opened, all, { dims: [1, channels, 8, 8] });
    }
    const four = await write(images('four', { dims: ['batch', 4, 8, 8], channels: 4 }));
    expect(await open(four).catch(String)).to.match(/1 or 3 channels: a fourth, such as opacity/);
    for (const dims of [
      [3, 8, 8],
      ['h', 'w', 3],
    ]) {
      expect(await open(await write(images('one', { dims }))).catch(String)).to.match(
        /one image without an axis of images/,
      );
    }
  });

  const tails: [string, (g: UserGraph, v: string) => void, RegExp | undefined, ((row: number[]) => number[])?][] = [
    [
      '[n, classes, 1, 1]',
      (g, v) => {
        g.builder.node('Conv', [g.builder.node('GlobalAveragePool', [v]), g.weight([5, 8, 1, 1])], {}, 'logits');
        g.builder.output('logits', 'float', ['batch', 5, 1, 1]);
      },
      undefined,
    ],
    [
      'a softmax',
      (g, v) => end(g, v, 'Softmax', 5),
      /its Softmax reads, is taken for y/,
      (row) => row.map((p) => Math.log(p) - Math.log(row[0]!)),
    ],
    ['one sigmoid', (g, v) => end(g, v, 'Sigmoid', 1), /stands for two classes/, ([p]) => [0, Math.log(p! / (1 - p!))]],
  ]; // prettier-ignore
  for (const [name, tail, note, toLogits] of tails) {
    it(`classes as ${name}`, async () => {
      const path = await write(images(name, { tail }));
      const opened = await open(path);
      if (note !== undefined) expect(opened.graph.notes.join()).to.match(note);
      if (name === 'a softmax') expect(opened.graph.nodes.map(({ op_type }) => op_type)).to.not.include('Softmax');
      else await expectSame(opened, path, { dims: [1, 3, 8, 8], tolerance: 1e-4, ...(toLogits && { toLogits }) });
    });
  }
  function end(g: UserGraph, v: string, op: string, classes: number): void {
    const row = g.builder.node('Flatten', [g.builder.node('GlobalAveragePool', [v])]);
    const logits = g.builder.node('Gemm', [row, g.weight([classes, 8])], { transB: 1 });
    g.builder.node('Identity', [g.builder.node(op, [logits])], {}, 'y');
    g.output('y', classes);
  }

  it('several outputs: one is proposed; the class itself is none', async () => {
    const two = images('two', {
      tail: (g, v) => {
        classify(g, v);
        g.builder.output('r3', 'float', ['batch', 8, 8, 8]);
      },
    });
    expect(await open(await write(two)).catch(String)).to.match(
      /outputs logits \[\?, 5\], r3 .* perhaps --logits logits$/,
    );
    const itself = images('itself', {
      tail: (g, v) => {
        const row = g.builder.node('Flatten', [g.builder.node('GlobalAveragePool', [v])], {}, 'row');
        g.builder.node('ArgMax', [row], { axis: 1, keepdims: 0 }, 'y');
        g.builder.output('y', 'int64', ['batch']);
      },
    });
    expect(await open(await write(itself)).catch(String)).to.match(
      /y is the class itself \(ArgMax\); valid: .*--logits row/,
    );
  });

  it('weights that the file only describes stay described', async () => {
    const described: Change = (model) => {
      const large = (dims: readonly number[]): boolean => dims.length === 4;
      const weights = model.graph.initializer.filter(({ dims }) => large(dims));
      const sizes = weights.map(({ name, dims }) => ({
        name: `${name}.sizes`,
        dims: [dims.length],
        data_type: 7,
        raw_data: new Uint8Array(BigInt64Array.from(dims, (size) => BigInt(Number(size))).buffer),
      }));
      const isNode = (_: unknown, i: number): boolean => i % 2 === 0; // PyTorch's exporter gives sizes as nodes
      const value = { name: 'v', dims: [1], data_type: FLOAT, raw_data: new Uint8Array(Float32Array.of(0.02).buffer) };
      const of = (op_type: string, name: string, from: string[], attribute: NodeMessage['attribute']): NodeMessage => {
        return { op_type, name, input: from, output: [name], attribute };
      };
      const attributeOf = (t: typeof value) => [{ name: 'value', type: 4, t }];
      const node = [
        ...sizes.filter(isNode).map((tensor) => of('Constant', tensor.name, [], attributeOf(tensor))),
        ...weights.map(({ name }) => of('ConstantOfShape', name, [`${name}.sizes`], attributeOf(value))),
      ];
      const initializer = [
        ...model.graph.initializer.filter(({ dims }) => !large(dims)),
        ...sizes.filter((_, i) => !isNode(_, i)),
      ];
      return { ...model, graph: { ...model.graph, node: [...node, ...model.graph.node], initializer } };
    };
    const path = await write(plain(), described);
    const opened = await open(path);
    expect(opened.graph.parameters).to.equal((await open(await write(plain()))).graph.parameters);
    expect([...opened.graph.constants.values()].every(({ raw_data }) => raw_data.length < 200)).to.equal(true);
    await expectSame(opened, path, { dims: [1, 3, 8, 8] });
  });
});

describe('quantised graphs', () => {
  const scale = (g: UserGraph, name: string, value: number): string =>
    g.builder.constant(name, Float32Array.of(value), []);
  const bytes = (g: UserGraph, dims: readonly number[]): string => {
    const size = dims.reduce((a, b) => a * b, 1);
    return g.builder.constant(
      g.builder.fresh('w8'),
      Uint8Array.from({ length: size }, () => 118 + random.below(20)),
      dims,
    );
  };
  const build = (
    name: string,
    layer: (g: UserGraph, value: string, kernel: string, scales: string[]) => string,
    start = (_: UserGraph, x: string) => x,
    last = start,
    middle = 128,
  ): UserGraph => {
    const g = new UserGraph(name);
    const zero = g.builder.constant('zero', Uint8Array.of(middle), []);
    const sw = scale(g, 'sw', middle === 0 ? 0.05 : 0.01);
    const scales = [scale(g, 'sx', 0.02), zero, sw, g.builder.constant('zw', Uint8Array.of(128), [])];
    let value = start(g, g.input(['batch', 3, 8, 8]));
    for (let i = 0; i < 4; i++) value = layer(g, value, bytes(g, [8, i === 0 ? 3 : 8, 3, 3]), scales);
    return g.classify(last(g, value), 8, 5);
  };
  const q = (g: UserGraph, x: string): string => g.builder.node('QuantizeLinear', [x, 'sx', 'zero']);
  const dq = (g: UserGraph, x: string): string => g.builder.node('DequantizeLinear', [x, 'sx', 'zero']);
  const pads = { pads: [1, 1, 1, 1], kernel_shape: [3, 3] };
  const qdq = (name: string, middle: number, behind: (g: UserGraph, x: string) => string): UserGraph =>
    build(
      name,
      (g, x, kernel, [, , sw, zw]) => {
        const weights = g.builder.node('DequantizeLinear', [kernel, sw!, zw!]);
        return q(g, behind(g, g.builder.node('Conv', [dq(g, x), weights], pads)));
      },
      q,
      dq,
      middle,
    );
  const graphs: [string, UserGraph][] = [
    ['QDQ', qdq('qdq', 128, (_, x) => x)],
    ['QDQ behind ReLU', qdq('relu', 0, (g, x) => g.relu(x))],
    [
      'QOperator',
      build(
        'qop',
        (g, x, kernel, [sx, zero, sw]) =>
          g.builder.node('QLinearConv', [x, sx!, zero!, kernel, sw!, zero!, sx!, zero!], pads),
        q,
        dq,
      ),
    ],
  ]; // prettier-ignore
  for (const [name, graph] of graphs) {
    it(`${name}: gates read what the 8-bit numbers stand for, and operations of 8 bits are counted`, async () => {
      const path = await write(graph);
      const opened = await open(path);
      expect(shares(opened)).to.deep.equal([11, 41, 70]);
      const place = opened.cuts.cuts[opened.cuts.proposed[1]!]!;
      expect(opened.graph.formats.get(place.tensor)?.quantised).to.deep.equal(['sx', 'zero']);
      expect(place.flops8).to.equal(place.flops);
      await expectSame(opened, path, { dims: [1, 3, 8, 8], tolerance: 0.1, executed: true });
    });
  }

  for (const type of ['uint8', 'int8', 'uint16'] as const) {
    it(`${type}: gates pool the maps as their dequantised numbers would be`, async () => {
      const written = (asToo: boolean): UserGraph => {
        const g = new UserGraph(type, type === 'uint16' ? 21 : 17);
        const raw = { uint8: Uint8Array.of(130), int8: Int8Array.of(-3), uint16: Uint16Array.of(31_000) }[type];
        const data_type = type === 'uint16' ? 4 : dataTypes[type];
        const zero = { name: 'zero', dims: [], data_type, raw_data: new Uint8Array(raw.buffer) };
        const how = [scale(g, 's', 0.013), g.builder.tensor(zero)];
        const map = g.builder.node('QuantizeLinear', [g.conv(g.input(['batch', 3, 16, 16]), 3, 8), ...how], {}, 'map');
        const value = g.builder.node('DequantizeLinear', [map, ...how], {}, 'value');
        if (asToo) g.builder.output('value', 'float', ['batch', 8, 16, 16]);
        return g.classify(g.relu(g.conv(value, 8, 8)), 8, 5);
      };
      const user = asNetwork(await open(await write(written(false))), ['map']);
      expect(user.graph.formats.get('map')?.quantised).to.deep.equal(['s', 'zero']);
      const pixels = Float32Array.from({ length: 3 * 3 * 256 }, () => 6 * random.uniform() - 3);
      const engine = await OnnxRuntimeCpu.create();
      const original = await engine.createSession(written(true).builder.encode());
      const { value } = await original.run({ x: new ort.Tensor('float32', pixels, [3, 3, 16, 16]) });
      const at = value!.data as Float32Array;
      for (const across of [1, 2, 4, 16]) {
        const pooling = across === 1 ? ({ kind: 'gap' } as const) : ({ kind: 'grid', size: across } as const);
        const places = [{ stage: 1, pooling }];
        const operators = decodeModel(featureGraph(user, places)).graph.node.map(({ op_type }) => op_type);
        expect(operators.includes('MatMulInteger'), 'in whole numbers').to.equal(across < 16 && type !== 'uint16');
        const network = await engine.loadFeatures(user, places);
        const [found] = (await network.run(pixels, 3)).features;
        const side = 16 / across;
        expect(found!.length).to.equal(3 * 8 * across ** 2);
        for (const [i, mean] of found!.entries()) {
          const [y, x] = [Math.floor(i / across) % across, i % across];
          let sum = 0;
          for (let k = 0; k < side ** 2; k++) {
            const [row, column] = [y * side + Math.floor(k / side), x * side + (k % side)];
            sum += at[Math.floor(i / across ** 2) * 256 + row * 16 + column]!;
          }
          expect(mean, `${across}: ${i}`).to.be.closeTo(sum / side ** 2, 1e-5);
        }
        await network.close();
      }
      await original.release();
    });
  }

  it('products of 16-bit numbers are none of 8 bits', async () => {
    const g = new UserGraph('sixteen', 21);
    const [sx, sw] = [scale(g, 'sx', 1e-4), scale(g, 'sw', 0.01)];
    const z16 = g.builder.tensor({ name: 'z16', dims: [], data_type: 4, raw_data: Uint8Array.of(0, 128) });
    const z8 = g.builder.constant('z8', Uint8Array.of(128), []);
    const round = (x: string): string =>
      g.builder.node('DequantizeLinear', [g.builder.node('QuantizeLinear', [x, sx, z16]), sx, z16]);
    const conv = (x: string, from: number): string =>
      g.builder.node('Conv', [x, g.builder.node('DequantizeLinear', [bytes(g, [8, from, 3, 3]), sw, z8])], pads);
    const value = conv(round(g.relu(conv(round(g.input(['batch', 3, 8, 8])), 3))), 8);
    const { cuts } = await open(await write(g.classify(value, 8, 5)));
    expect(cuts.flops.total).to.be.above(0);
    expect(new Set(cuts.flops.widths)).to.deep.equal(new Set([32]));
  });

  it('dynamic: each image is rounded as if it came alone', async () => {
    const graph = build('dynamic', (g, x, kernel, [, zero, sw]) => {
      const outputs = ['x8', 'scale', 'start'].map((part) => g.builder.fresh(part));
      g.builder.nodes('DynamicQuantizeLinear', [x], {}, outputs);
      const [x8, sx, start] = outputs as [string, string, string];
      const whole = g.builder.node('ConvInteger', [x8, kernel, start, zero!], pads);
      return g.relu(
        g.builder.node('Mul', [g.builder.node('Cast', [whole], { to: FLOAT }), g.builder.node('Mul', [sx, sw!])]),
      );
    });
    const path = await write(graph);
    const opened = await open(path);
    expect(opened.graph.notes.join()).to.match(/dynamic quantisation rounds each image by itself/);
    await expectSame(opened, path, { dims: [1, 3, 8, 8] });
  });
});

describe('the axis of the channels', () => {
  const tokensOf = (g: UserGraph, v: string): string => turned(g, g.builder.node('Reshape', [v, ints(g, [0, 8, 64])]));
  const turned = (g: UserGraph, x: string): string => g.builder.node('Transpose', [x], { perm: [0, 2, 1] });
  const mapOf = (g: UserGraph, tokens: string): string =>
    g.builder.node('Reshape', [turned(g, tokens), ints(g, [0, 8, 8, 8])]);
  const layouts = ({ cuts }: Opened, wanted: string): string | undefined =>
    cuts.cuts.flatMap((cut) => [...cut.alike, cut]).find(({ tensor }) => tensor === wanted)?.channels;

  it('is followed through products that mix tokens, as in an MLP-Mixer', async () => {
    const mixer = images('mixer', {
      tail: (g, v) => {
        const tokens = tokensOf(g, v);
        const hidden = g.builder.node('MatMul', [turned(g, tokens), g.weight([64, 16])]);
        const mixed = g.builder.node('MatMul', [hidden, g.weight([16, 64])]);
        const sum = g.builder.node('Add', [turned(g, mixed), tokens], {}, 'sum');
        const flipped = turned(g, sum);
        const deep = g.builder.node('MatMul', [flipped, g.weight([64, 64])], {}, 'deep');
        classify(g, mapOf(g, turned(g, deep)));
      },
    });
    const opened = await open(await write(mixer));
    expect(layouts(opened, 'sum')).to.equal('last');
    // 64 tokens were mixed: they are along the last axis, and still tokens.
    expect(layouts(opened, 'deep')).to.equal('first');
  });

  it('is not guessed where inputs disagree and a change of the image tells nothing', async () => {
    const square = images('square', {
      tail: (g, v) => {
        const pooled = g.builder.node('MaxPool', [v], { kernel_shape: [2, 4], strides: [2, 4] }); // 8 tokens of 8
        const first = g.builder.node('Reshape', [pooled, ints(g, [0, 8, 8])]);
        const both = g.builder.node('Add', [first, turned(g, first)], {}, 'both');
        const deep = Array.from({ length: 3 }).reduce<string>(
          (x) => g.builder.node('Einsum', [x, g.weight([8, 8])], { equation: 'nij,jk->nik' }),
          both,
        );
        const row = g.builder.node('ReduceMean', [deep], { axes: [1], keepdims: 0 });
        g.builder.node('MatMul', [row, g.weight([8, 5])], {}, 'logits');
        g.output('logits', 5);
      },
    });
    expect(layouts(await open(await write(square)), 'both')).to.equal(undefined);
  });

  const rowOf = (g: UserGraph, tokens: string, axis: number): UserGraph => {
    const row = g.builder.node('ReduceMean', [tokens], { axes: [axis], keepdims: 0 });
    g.builder.node('MatMul', [row, g.weight([8, 5])], {}, 'logits');
    return g.output('logits', 5);
  };

  it('images along another axis than the first: gates read them in their place', async () => {
    const path = await write(
      images('sequence', {
        tail: (g, v) => {
          const rows = g.builder.node('Reshape', [v, ints(g, [0, 8, 64])]);
          let tokens = g.builder.node('Transpose', [rows], { perm: [2, 0, 1] }); // [tokens, images, channels]
          for (let i = 0; i < 10; i++) tokens = g.relu(g.builder.node('MatMul', [tokens, g.weight([8, 8])]), `t${i}`);
          rowOf(g, tokens, 0);
        },
      }),
    );
    const opened = await open(path);
    const [cut] = opened.cuts.cuts.filter(({ tensor }) => tensor === 't3');
    expect(cut).to.include({ channels: 'last', images: 1 });
    expect(cut!.shape).to.deep.equal([64, 8]);
    expect(opened.cuts.notes).to.deep.equal([]);
    await expectSame(opened, path, { dims: [1, 3, 8, 8], executed: true });
    const user = asNetwork(opened, ['t3', 't5']);
    const place = (stage: number) => [{ place: { stage, pooling: { kind: 'gap' } } }] as unknown as PlacedGate[];
    expect(turnsImages(user, place(2))).to.equal(true);
    const straight = opened.cuts.cuts.find(({ images }) => images === undefined)!.tensor;
    const other = asNetwork(opened, [straight, 't5']);
    expect([turnsImages(other, place(1)), turnsImages(other, place(2))]).to.deep.equal([false, true]);
    const inside = { loaded: user, gates: place(1), preprocessing: { mean: [0], std: [1] }, isCut: false };
    const last = { ...inside, gates: [] };
    const cascade = { network: user.network, given: inside.preprocessing, members: [inside, last] };
    expect(turnsImages(cascade, [])).to.equal(true);
    expect(turnsImages({ ...cascade, members: [last, last] }, [])).to.equal(false);
  });

  /** Tokens [n, 64, 8] mixed by a convolution whose channels they are, as some MLP-Mixers do. */
  const mixedBy = (last: (g: UserGraph, tokens: string, mixed: string) => string) =>
    images('convmixer', {
      tail: (g, v) => {
        const tokens = g.builder.node('MatMul', [tokensOf(g, v), g.weight([8, 8])]);
        const mixed = g.builder.node('Conv', [tokens, g.weight([64, 64, 1])], { kernel_shape: [1] });
        rowOf(g, last(g, tokens, mixed), 1);
      },
    });

  it('tokens that a convolution mixes are not read as channels: the run of changed images decides, and says so', async () => {
    const small = (g: UserGraph, x: string) =>
      g.builder.node('Mul', [x, g.builder.constant('s', Float32Array.of(0.1), [])]);
    const opened = await open(
      await write(mixedBy((g, tokens, mixed) => g.builder.node('Add', [tokens, small(g, mixed)], {}, 'sum'))),
    );
    expect(layouts(opened, 'sum')).to.equal('last');
    expect(opened.cuts.notes.join()).to.match(/channels of sum \(the last of 64 x 8\)/);
  });

  it('a followed axis along which changes lie apart is refused or corrected', () => {
    const cases: [followed: ChannelAxis | undefined, likeness: number[], wanted: ChannelAxis | undefined][] = [
      ['first', [0.1, 0.9], 'last'],
      ['last', [0.1, 0.9], 'last'],
      [undefined, [0.1, 0.9], 'last'],
      ['first', [0.9, 1, 1], 'first'], // small maps: changes arrive everywhere
      [undefined, [0.9, 1, 1], undefined],
      ['first', [0.1, 0.9, 0.8], undefined],
      ['first', [0.1, 0.2], 'first'], // nothing speaks for another axis
      ['first', [Number.NaN, Number.NaN], 'first'], // nothing changed
    ];
    for (const [followed, likeness, wanted] of cases) {
      expect(
        chosenAxis(
          followed,
          likeness.map(() => 8),
          likeness,
        ),
        `${followed} ${likeness}`,
      ).to.equal(wanted);
    }
    expect(chosenAxis(undefined, [1, 8, 8], [1, 0.1, 0.9])).to.equal('last');
  });
});

describe('graphs that have exits', () => {
  const file = (name: string): string => `test/fixtures/exits/${name}.onnx`;
  // A convolution and its head, the next, the last: 2 x multiply-accumulates.
  const [first, second, third] = [55_296 + 40, 36_864 + 80, 18_432 + 80] as const;
  const cases: [name: string, leaves: string[], thresholds: (number | undefined)[], flops: number[]][] = [
    [
      'nested',
      ['Softmax, ReduceMax > 0.9', 'Softmax, Mul, ReduceSum, Neg < 0.5', 'all others'],
      [0.9, 0.5, undefined],
      [first, first + second, first + second + third],
    ],
    [
      'sequential',
      ['Softmax, ReduceMax > 0.9', 'Softmax, ReduceMax > 0.8', 'all others'],
      [0.9, 0.8, undefined],
      [first, first + second, first + second + third],
    ],
    ['input', ['Softmax, ReduceMax > an input', 'all others'], [undefined, undefined], [first, first + second]],
  ];
  for (const [name, leaves, thresholds, flops] of cases) {
    it(`${name}: its exits, their thresholds and costs`, async () => {
      const exits = await inspectExits(file(name));
      expect(exits.map((exit) => exit.leaves)).to.deep.equal(leaves);
      expect(exits.map(({ threshold }) => threshold && Math.round(threshold * 1000) / 1000)).to.deep.equal(thresholds);
      expect(exits.map((exit) => exit.flops)).to.deep.equal(flops);
    });
  }

  for (const name of ['nested', 'sequential']) {
    it(`${name}: the network past its exits gets gates like any other`, async () => {
      const opened = await open(file(name));
      expect(opened.graph.notes.join()).to.match(/its own exits are left out \(Softmax, ReduceMax > 0.9; /);
      expect(opened.cuts.proposed).to.have.length(2);
      // No generated image is as sure as the exits demand.
      await expectSame(opened, file(name), { dims: [1, 3, 16, 16] });
    });
  }

  it('branches that cost the same are no exit, and a file of dgate export names what is wanted', async () => {
    const even = new UserGraph('even');
    const x = even.conv(even.input(['batch', 3, 8, 8]), 3, 8);
    const most = even.builder.node('ReduceMax', [x], { keepdims: 0 });
    const sure = even.builder.node('Greater', [most, even.builder.constant('t', Float32Array.of(1), [])]);
    const branch = (name: string, op: string) => {
      const of = even.builder.branch(name);
      of.output(of.node(op, [x]), 'float');
      return { graph: of.graph() };
    };
    const both = { then_branch: branch('yes', 'Relu'), else_branch: branch('no', 'Tanh') };
    const path = await write(even.classify(even.builder.node('If', [sure], both), 8, 5));
    expect(await open(path).catch(String)).to.match(/is control flow/);
    const exported = await write(images('plain'), (model) => ({
      ...model,
      metadata_props: [{ key: 'dgate.format', value: '1' }],
    }));
    expect(await open(exported).catch(String)).to.match(
      /a file of dgate export; valid: the network that it was made of/,
    );
  });
});
