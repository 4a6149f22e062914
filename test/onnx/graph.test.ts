import { appendFile, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { InputError } from '../../src/errors.js';
import { whyNone } from '../../src/onnx/graph/cuts.js';
import { decodeModel, encodeModel, type ModelMessage } from '../../src/onnx/proto.js';
import { Random } from '../../src/random.js';
import { asNetwork, open, residualGraph, UserGraph } from './user-graphs.js';

const written: string[] = [];
after(() => Promise.all(written.map((path) => rm(dirname(path), { recursive: true, force: true }))));

async function write(graph: UserGraph): Promise<string> {
  const path = await graph.write();
  written.push(path);
  return path;
}

async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof InputError)) throw error ?? new Error('accepted');
  expect(error.problems).to.have.length(1);
  return error.message;
}

describe('FLOPs of any ONNX graph', () => {
  it('counts plain, strided, grouped, depthwise and transposed convolutions', async () => {
    const graph = new UserGraph('convolutions');
    const { builder } = graph;
    const a = graph.conv(graph.input(['batch', 3, 8, 8]), 3, 8); // 3 x 8 x 9 x 64
    const b = graph.conv(a, 8, 16, { stride: 2, group: 4 }); // 2 x 16 x 9 x 16
    const c = graph.conv(b, 16, 16, { group: 16 }); // 1 x 16 x 9 x 16
    const d = builder.node('ConvTranspose', [c, graph.weight([16, 4, 2, 2])], {
      kernel_shape: [2, 2],
      strides: [2, 2],
    });
    const { cuts } = await open(await write(graph.classify(d, 4, 5)));
    const multiplications = 13_824 + 4608 + 2304 + 16 * 4 * 4 * 16 + 4 * 5;
    expect(cuts.flops.total).to.equal(2 * multiplications);
    expect(cuts.flops.unknown).to.deep.equal([]);
  });

  it("counts Gemm, MatMul, Einsum and attention's two products, and names the rest", async () => {
    const graph = new UserGraph('products');
    const { builder } = graph;
    const x = graph.input(['batch', 3, 4, 4]);
    const tokens = builder.node('Transpose', [builder.node('Reshape', [x, builder.ints('flat', [0, 3, 16])])], {
      perm: [0, 2, 1],
    });
    const q = builder.node('MatMul', [tokens, graph.weight([3, 6])]); // 16 x 3 x 6
    const k = builder.node('MatMul', [tokens, graph.weight([3, 6])]);
    const scores = builder.node('MatMul', [q, builder.node('Transpose', [k], { perm: [0, 2, 1] })]); // 16 x 16 x 6
    const mixed = builder.node('Einsum', [builder.node('Softmax', [scores], { axis: -1 }), q], {
      equation: 'nij,njc->nic',
    });
    const flat = builder.node('Flatten', [mixed], { axis: 1 });
    const cumulative = builder.node('CumSum', [flat, builder.constant('axis', BigInt64Array.of(1n), [])]);
    builder.node('Gemm', [cumulative, graph.weight([4, 96])], { transB: 1 }, 'logits');
    const { cuts } = await open(await write(graph.output('logits', 4)));
    expect(cuts.flops.total).to.equal(2 * (2 * 16 * 3 * 6 + 16 * 16 * 6 + 16 * 16 * 6 + 96 * 4));
    const named = Object.fromEntries(cuts.flops.notCounted.map(({ op, count }) => [op, count]));
    expect(named).to.deep.equal({ Transpose: 2, CumSum: 1, Flatten: 1, Reshape: 1, Softmax: 1 });
  });

  it('counts recurrent layers: each step multiplies its row and the state by all weights', async () => {
    const graph = new UserGraph('recurrent');
    const { builder } = graph;
    const rows = builder.node('Reshape', [graph.input(['batch', 3, 4, 4]), builder.ints('rows', [0, 12, 4])]);
    const steps = builder.node('Transpose', [rows], { perm: [1, 0, 2] });
    const outputs = ['', 'state'];
    builder.nodes('GRU', [steps, graph.weight([1, 15, 4]), graph.weight([1, 15, 5])], { hidden_size: 5 }, outputs);
    builder.node('Squeeze', ['state', builder.ints('zero', [0])], {}, 'logits');
    const { cuts } = await open(await write(graph.output('logits', 5)));
    expect(cuts.flops).to.deep.include({ unknown: [], total: 2 * 12 * 15 * (4 + 5) });
  });

  it('names operators whose cost is not known', async () => {
    const graph = new UserGraph('determinant');
    graph.builder.node('Det', [graph.input(['batch', 3, 4, 4])], {}, 'logits');
    const { cuts } = await open(await write(graph.output('logits', 3)));
    expect(cuts.flops.unknown).to.deep.equal(['Det']);
    expect(whyNone(cuts)).to.match(/no convolution, Gemm or MatMul/);
  });
});

describe('places where a graph can be cut', () => {
  it('are the tensors that everything passes through', async () => {
    const { cuts } = await open(await write(residualGraph('residual')));
    const places = cuts.cuts.flatMap((cut) => [...cut.alike, cut]).map(({ tensor }) => tensor);
    expect(places).to.include.members(['a', 'b', 'c']);
    expect(places.some((name) => name.startsWith('Add'))).to.equal(true);
    expect(cuts.cuts.map(({ shape }) => shape.join('x'))).to.deep.equal(['8x8x8', '8x8x8', '16']);
    const conv = (from: number, to: number, size: number): number => 2 * from * to * 9 * size ** 2;
    const expected = [
      conv(3, 8, 8),
      conv(3, 8, 8) + 2 * conv(8, 8, 8),
      conv(3, 8, 8) + 2 * conv(8, 8, 8) + conv(8, 16, 4),
    ];
    expect(cuts.cuts.map(({ flops }) => flops)).to.deep.equal(expected);
  });

  it('are those of a search of every path, on random graphs', async () => {
    for (let seed = 0; seed < 8; seed++) {
      const random = new Random(seed, 'graphs');
      const graph = new UserGraph(`random${seed}`);
      const values = [graph.input(['batch', 3, 4, 4])];
      const edges = new Map<string, string[]>();
      for (let i = 0; i < 12; i++) {
        // Mostly the value before; sometimes a skip from further back.
        const back = random.below(3) === 0 ? random.below(values.length) : values.length - 1;
        const sources = [values.at(-1)!, values[back]!];
        const made = graph.conv(graph.builder.node('Add', sources), 3, 3);
        edges.set(made, sources);
        values.push(made);
      }
      const { cuts } = await open(await write(graph.classify(values.at(-1)!, 3, 2)));
      const found = new Set(cuts.cuts.flatMap((cut) => [...cut.alike, cut]).map(({ tensor }) => tensor));
      const reaches = (from: string, without: string): boolean => {
        if (from === without) return false;
        return from === values[0] || (edges.get(from) ?? []).some((source) => reaches(source, without));
      };
      for (const value of values.slice(1)) {
        expect(found.has(value), `${value}, seed ${seed}`).to.equal(!reaches(values.at(-1)!, value));
      }
    }
  });

  it('are proposed near a fifth, two fifths, ... of the FLOPs, and what is in the way is named', async () => {
    const graph = new UserGraph('even');
    let value = graph.conv(graph.input(['batch', 3, 4, 4]), 3, 8);
    for (let i = 0; i < 10; i++) value = graph.relu(graph.conv(value, 8, 8), `r${i}`);
    const { cuts } = await open(await write(graph.classify(value, 8, 2)));
    expect(cuts.proposed.map((index) => cuts.cuts[index]!.tensor)).to.deep.equal(['r1', 'r3', 'r5', 'r7']);

    const blocked = new UserGraph('blocked');
    const first = blocked.input(['batch', 3, 4, 4]);
    let deep = blocked.conv(first, 3, 8);
    for (let i = 0; i < 5; i++) deep = blocked.conv(deep, 8, 8);
    const joined = blocked.builder.node('Concat', [deep, first], { axis: 1 });
    const opened = await open(await write(blocked.classify(joined, 11, 2)));
    expect(opened.cuts.proposed).to.deep.equal([]);
    expect(whyNone(opened.cuts)).to.match(/^no place for a gate .* x, Conv_\d+ are all needed behind that point/);
    expect(() => asNetwork(opened, 'auto')).to.throw(InputError, /no place for a gate/);
  });

  it('are taken by name, in their order', async () => {
    const opened = await open(await write(residualGraph('named')));
    expect(asNetwork(opened, ['a', 'c']).network.stages.map(({ name, layout }) => [name, layout])).to.deep.equal([
      ['a', 'maps-first'],
      ['c', 'maps-first'],
    ]);
    expect(() => asNetwork(opened, ['a', 'nowhere'])).to.throw(
      InputError,
      /gatesAfter nowhere: .* dgate model inspect/,
    );
    expect(() => asNetwork(opened, ['b', 'a'])).to.throw(InputError, /a does not lie behind b/);
  });

  it('are found where an exporter counts the images anew for every Reshape', async () => {
    const graph = new UserGraph('counting');
    const { builder } = graph;
    const x = graph.input(['batch', 3, 4, 4]);
    const count = builder.node('Gather', [builder.node('Shape', [x]), builder.ints('zeroth', [0])], { axis: 0 });
    const a = graph.relu(graph.conv(x, 3, 8), 'a');
    const target = builder.node('Concat', [count, builder.ints('rest', [8, 16])], { axis: 0 });
    const tokens = builder.node('Transpose', [builder.node('Reshape', [a, target])], { perm: [0, 2, 1] });
    const b = builder.node('MatMul', [tokens, graph.weight([8, 8])], {}, 'b');
    const back = builder.node('Concat', [count, builder.ints('map', [8, 4, 4])], { axis: 0 });
    const map = builder.node('Reshape', [builder.node('Transpose', [b], { perm: [0, 2, 1] }), back]);
    const { graph: prepared, cuts } = await open(await write(graph.classify(graph.conv(map, 8, 8), 8, 3)));
    expect(prepared.nodes.map(({ op_type }) => op_type)).to.not.include('Shape');
    const places = cuts.cuts.flatMap((cut) => [...cut.alike, cut]);
    expect(places.map(({ tensor }) => tensor)).to.include.members(['a', 'b']);
    expect(places.find(({ tensor }) => tensor === 'b')).to.include({ channels: 'last' });
  });
});

describe('ONNX files that are not supported', () => {
  const edited = async (change: (model: ModelMessage) => object): Promise<string> => {
    const path = await write(residualGraph('edited'));
    const model = decodeModel(await readFile(path));
    await writeFile(path, encodeModel({ ...model, ...change(model) }));
    return path;
  };
  const withNode = (op_type: string, more: object = {}) =>
    edited(({ graph }) => ({
      graph: { ...graph, node: graph.node.map((node, i) => (i === 1 ? { ...node, op_type, ...more } : node)) },
    }));

  it('are refused in one line that says what to do', async () => {
    expect(await refusal(open('nowhere.onnx'))).to.equal('nowhere.onnx: no such file');
    expect(await refusal(open(await withNode('Loop')))).to.match(/control flow; trace the network/);
    expect(await refusal(open(await withNode('RandomNormalLike')))).to.match(/model\.eval\(\)/);
    expect(await refusal(open(await withNode('Relu', { domain: 'org.example' })))).to.match(
      /of org\.example: neither ONNX's/,
    );
    expect(await refusal(open(await withNode('NoSuchOperator')))).to.match(/ONNX Runtime refuses it/);
    const oldOpset = await edited(() => ({ opset_import: [{ domain: '', version: 6 }] }));
    expect(await refusal(open(oldOpset))).to.match(/opset 6; valid: 7 to 25/);
    const text = await write(residualGraph('text'));
    await writeFile(text, 'this is no ONNX file');
    expect(await refusal(open(text))).to.match(/not an ONNX file/);
    const twice = await edited(({ graph }) => ({
      graph: { ...graph, input: [...graph.input, { ...graph.input[0]!, name: 'y' }] },
    }));
    expect(await refusal(open(twice))).to.match(/inputs x, y; valid: one, the images/);
  });

  it('are refused where they take images larger than memory', async () => {
    const graph = new UserGraph('huge');
    const huge = graph.conv(graph.input(['batch', 3, 2 ** 24, 8]), 3, 8);
    expect(await refusal(open(await write(graph.classify(huge, 8, 5))))).to.match(
      /input x: \[\?, 3, 16777216, 8\]; valid: images of at most 4 megapixels/,
    );
  });

  it('are refused where they hold functions, sparse weights or images of whole numbers, or are too large', async () => {
    const appended = async (...bytes: number[]): Promise<string> => {
      const path = await write(residualGraph('appended'));
      await appendFile(path, Buffer.from(bytes));
      return path;
    };
    // Fields by their tags: 25 of the model (functions), 7 of the model (graph) with 15 inside (sparse_initializer).
    expect(await refusal(open(await appended(0xca, 0x01, 0)))).to.match(/functions; inline them: onnx\.inliner/);
    expect(await refusal(open(await appended(0x3a, 2, 0x7a, 0)))).to.match(/sparse weights; valid: dense ones/);
    const whole = await edited(({ graph }) => {
      const [{ name, type }] = graph.input as [(typeof graph.input)[0]];
      return { graph: { ...graph, input: [{ name, type: { tensor_type: { ...type.tensor_type, elem_type: 7 } } }] } };
    });
    expect(await refusal(open(whole))).to.match(/input x: numbers of type int64; valid: float32, float16/);
    const large = await write(residualGraph('large'));
    await truncate(large, 2 ** 31); // a hole: no space is taken
    expect(await refusal(open(large))).to.match(/2\.1 GB; valid: less than 2\.1 GB with all weights/);
  });

  it('are refused where sizes other than the number of images are open', async () => {
    const graph = new UserGraph('open sizes');
    const path = await write(graph.classify(graph.conv(graph.input(['batch', 3, 'height', 'width']), 3, 4), 4, 2));
    expect(await refusal(open(path))).to.match(/\[\?, 3, \?, \?\]; valid: only the number of images may be open/);
  });

  it('are refused where images of a batch look at each other, or their number is fixed', async () => {
    const graph = new UserGraph('mixing');
    const value = graph.conv(graph.input(['batch', 3, 8, 8]), 3, 4);
    const mean = graph.builder.node('ReduceMean', [value], { axes: [0], keepdims: 1 });
    const path = await write(graph.classify(graph.builder.node('Sub', [value, mean]), 4, 2));
    expect(await refusal(open(path))).to.match(/two images together differ .* evaluation mode/);
    const fixed = new UserGraph('fixed');
    const map = fixed.conv(fixed.input([1, 3, 8, 8]), 3, 4);
    const twice = fixed.builder.node('Gather', [map, fixed.builder.ints('twice', [0, 0])], {}, 'picked');
    const flat = fixed.builder.node('Reshape', [twice, fixed.builder.ints('one', [1, 512])]);
    fixed.builder.node('Gemm', [flat, fixed.weight([2, 512])], { transB: 1 }, 'logits');
    expect(await refusal(open(await write(fixed.output('logits', 2))))).to.match(
      /1 image at a time only, .* dynamic_axes=.* dynamic_shapes\): Gather "picked" mixes images or drops their number/,
    );
  });

  it('take a file that fixes one image where its graph works on any number', async () => {
    const { cuts } = await open(await write(residualGraph('one', 17, 1)));
    expect(cuts.cuts).to.have.length(3);
  });
});

describe('weights in another file', () => {
  async function split(location: string, bytesNamed?: number): Promise<string> {
    const path = await write(residualGraph('outside'));
    const model = decodeModel(await readFile(path));
    const first = model.graph.initializer[0]!;
    const { raw_data, ...rest } = first;
    await writeFile(join(dirname(path), 'weights.bin'), Buffer.concat([Buffer.alloc(8), raw_data]));
    // Written by hand: the fields that dgate never writes.
    const bytes = Buffer.from(encodeModel({ ...model, graph: { ...model.graph, initializer: [] } }));
    const field = (number: number, body: Buffer): Buffer =>
      Buffer.concat([Buffer.from([(number << 3) | 2]), varint(body.length), body]);
    const entry = (key: string, value: string): Buffer =>
      field(13, Buffer.concat([field(1, Buffer.from(key)), field(2, Buffer.from(value))]));
    const tensor = Buffer.concat([
      ...rest.dims.map((size) => Buffer.concat([Buffer.from([1 << 3]), varint(Number(size))])),
      Buffer.from([2 << 3, rest.data_type]),
      field(8, Buffer.from(rest.name)),
      ...[entry('location', location), entry('offset', '8'), entry('length', String(bytesNamed ?? raw_data.length))],
      Buffer.from([14 << 3, 1]),
    ]);
    const others = encodeModel({
      ...model,
      graph: { ...model.graph, node: [], input: [], output: [], initializer: model.graph.initializer.slice(1) },
    });
    // Messages that come twice are merged: the graph grows by the outside tensor and by the others.
    const graphOf = field(7, field(5, tensor));
    await writeFile(path, Buffer.concat([bytes, graphOf, Buffer.from(others)]));
    return path;
  }
  const varint = (value: number): Buffer => {
    const bytes: number[] = [];
    for (let rest = value; ; rest = Math.floor(rest / 128)) {
      if (rest < 128) return Buffer.from([...bytes, rest]);
      bytes.push((rest % 128) + 128);
    }
  };

  it('are read from the folder of the model, and are part of its identity', async () => {
    const path = await split('weights.bin');
    const { graph } = await open(path);
    const whole = await open(await write(residualGraph('outside')));
    expect(graph.parameters).to.equal(whole.graph.parameters);
    const [first] = graph.constants.values();
    expect(Buffer.from(first!.raw_data)).to.deep.equal(Buffer.from([...whole.graph.constants.values()][0]!.raw_data));
    expect(graph.model.file.sha256).to.not.equal(whole.graph.model.file.sha256);
  });

  it('are read from nowhere else', async () => {
    for (const location of ['/etc/passwd', '../weights.bin', 'x/../../weights.bin']) {
      expect(await refusal(open(await split(location)))).to.match(/valid: a file in the model's folder/);
    }
    const path = await split('weights.bin');
    await truncate(join(dirname(path), 'weights.bin'), 10);
    expect(await refusal(open(path))).to.match(/bytes 8 to \d+ of weights\.bin, which has 10/);
  });

  it('are refused before they are read where they take 2.1 GB and more', async () => {
    const path = await split('weights.bin', 2 ** 31);
    await truncate(join(dirname(path), 'weights.bin'), 2 ** 31 + 8); // a hole: no space is taken
    expect(await refusal(open(path))).to.match(/weights of \S+: 2\.1 GB in weights\.bin; valid: less than 2\.1 GB/);
  });
});
