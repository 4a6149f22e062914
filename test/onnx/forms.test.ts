import { expect } from 'chai';
import type { TensorMessage } from '../../src/onnx/proto.js';
import { open, UserGraph } from './user-graphs.js';
import {
  type Change,
  classify,
  expectSame,
  FLOAT16,
  halfGraph,
  images,
  ints,
  random,
  shares,
  write,
} from './wild-graphs.js';

const dims = [1, 3, 8, 8];
const typed = (name: string, data_type: number, sizes: readonly number[], raw_data: Uint8Array): TensorMessage => {
  return { name, dims: sizes, data_type, raw_data };
};

describe('constants of a gated graph', () => {
  it('that ONNX Runtime computes, and two parts share, stay whole where images leave', async () => {
    // float16 convolutions with one bias: ONNX Runtime writes one Cast of it to float32 for all of them.
    const bias = typed('bias', FLOAT16, [8], new Uint8Array(16));
    const path = await write(halfGraph('shared', ({ builder }) => [builder.tensor(bias)]));
    await expectSame(await open(path), path, { dims, tolerance: 5e-3, executed: true });
  });

  it('are weights of 8 bits beside their product, in the branch where ONNX Runtime looks for them', async () => {
    const product = (g: UserGraph, row: string, sizes: readonly [number, number], output?: string): string => {
      const bytes = Uint8Array.from({ length: sizes[0] * sizes[1] }, () => random.below(256));
      const weights = g.builder.tensor(typed(g.builder.fresh('w8'), 3, sizes, bytes));
      const scales = g.builder.constant(g.builder.fresh('scales'), new Float32Array(sizes[1]).fill(0.01), [sizes[1]]);
      const real = g.builder.node('DequantizeLinear', [weights, scales], { axis: 1 });
      return g.builder.node('MatMul', [row, real], {}, output);
    };
    const graph = images('weights', {
      tail: (g, v) => {
        const row = g.builder.node('Flatten', [g.builder.node('GlobalAveragePool', [v])]);
        product(g, g.relu(product(g, row, [8, 64])), [64, 5], 'logits');
        g.output('logits', 5);
      },
    });
    const path = await write(graph);
    await expectSame(await open(path), path, { dims, executed: true });
  });
});

/** Operators of another domain among the nodes. */
const withDomain =
  (domain: string, ops: RegExp): Change =>
  (model) => {
    const node = model.graph.node.map((each) => (ops.test(each.op_type) ? { ...each, domain } : each));
    const opset_import = [...model.opset_import, { domain, version: 1 }];
    return { ...model, opset_import, graph: { ...model.graph, node } };
  };

describe('operators that exporters and optimisers join or add', () => {
  for (const op of ['GRU', 'Det', 'GridSample']) {
    it(`${op}: a file that is read is one that dgate export may write`, async () => {
      const graph = images(op, {
        tail: (g, v) => {
          const { builder } = g;
          if (op === 'GRU') {
            const steps = builder.node('Transpose', [builder.node('Reshape', [v, ints(g, [0, 8, 64])])], {
              perm: [1, 0, 2],
            });
            builder.nodes('GRU', [steps, g.weight([1, 15, 64]), g.weight([1, 15, 5])], { hidden_size: 5 }, [
              '',
              'state',
            ]);
            builder.node('Squeeze', ['state', ints(g, [0])], {}, 'logits');
            g.output('logits', 5);
          } else if (op === 'Det') {
            const squares = builder.node('Add', [
              v,
              builder.constant(
                'some',
                new Float32Array(64).map((_, i) => +(i % 9 === 0)),
                [8, 8],
              ),
            ]);
            g.builder.node('Gemm', [builder.node('Det', [squares]), g.weight([5, 8])], { transB: 1 }, 'logits');
            g.output('logits', 5);
          } else
            classify(
              g,
              builder.node(op, [
                v,
                builder.node('Transpose', [builder.node('Slice', [v, ints(g, [0]), ints(g, [2]), ints(g, [1])])], {
                  perm: [0, 2, 3, 1],
                }),
              ]),
            );
        },
      });
      const path = await write(graph);
      await expectSame(await open(path), path, { dims, tolerance: 1e-4 });
    });
  }

  it('a sum and its norm in one are taken apart, so that gates sit between blocks', async () => {
    const tokens = (g: UserGraph, x: string): string =>
      g.builder.node('Transpose', [g.builder.node('Reshape', [x, ints(g, [0, 8, 64])])], { perm: [0, 2, 1] });
    const graph = images('fused', {
      tail: (g, v) => {
        let sum = tokens(g, v);
        let norm = g.builder.node('LayerNormalization', [sum, g.weight([8]), g.weight([8])], { axis: -1 });
        for (let i = 0; i < 4; i++) {
          const inside = g.relu(g.builder.node('MatMul', [norm, g.weight([8, 32])]));
          const block = g.builder.node('MatMul', [inside, g.weight([32, 8])]);
          const inputs = [sum, block, g.weight([8]), g.weight([8]), ...(i === 1 ? [g.weight([8])] : [])];
          const outputs = ['norm', '', '', 'sum'].map((stem) => stem && `${stem}${i}`);
          g.builder.nodes('SkipLayerNormalization', inputs, {}, outputs);
          [norm, sum] = [outputs[0]!, outputs[3]!];
        }
        const mean = g.builder.node('ReduceMean', [g.builder.node('Add', [norm, sum])], { axes: [1], keepdims: 0 });
        g.builder.node('MatMul', [mean, g.weight([8, 5])], {}, 'logits');
        g.output('logits', 5);
      },
    });
    const path = await write(graph, withDomain('com.microsoft', /^Skip/));
    const opened = await open(path);
    const places = opened.cuts.cuts.flatMap((cut) => [cut, ...cut.alike]).map(({ tensor }) => tensor);
    expect(places).to.include.members(['sum0', 'sum1', 'sum2']);
    await expectSame(opened, path, { dims });
  });

  it('products with packed weights are counted', async () => {
    const graph = images('packed', {
      tail: (g, v) => {
        const row = g.builder.node('Flatten', [g.builder.node('GlobalAveragePool', [v])]);
        const wide = g.relu(g.builder.node('MatMul', [row, g.weight([8, 32])]));
        const bytes = Uint8Array.from({ length: 5 * 2 * 8 }, () => random.below(256)); // [out, blocks, bytes]
        const packed = g.builder.tensor(typed('packed', 2, [5, 2, 8], bytes));
        const scales = g.builder.constant('scales', new Float32Array(10).fill(0.01), [10]);
        g.builder.node('MatMulNBits', [wide, packed, scales], { K: 32, N: 5, bits: 4, block_size: 16 }, 'logits');
        g.output('logits', 5);
      },
    });
    const path = await write(graph, withDomain('com.microsoft', /NBits$/));
    const opened = await open(path);
    expect(opened.cuts.flops.unknown).to.deep.equal([]);
    expect(opened.cuts.flops.perNode.at(-1)).to.equal(2 * 32 * 5);
    await expectSame(opened, path, { dims });
  });

  it("scikit-learn's names of classes behind the numbers are left out", async () => {
    const graph = images('names', {
      tail: (g, v) => {
        classify(g, v);
        const first = g.builder.node('ArgMax', ['logits'], { axis: 1, keepdims: 0 });
        g.builder.node('ArrayFeatureExtractor', [ints(g, [10, 11, 12, 13, 14]), first], {}, 'label');
        g.builder.output('label', 'int64', ['batch']);
      },
    });
    const path = await write(graph, withDomain('ai.onnx.ml', /^Array/));
    expect(await open(path).catch(String)).to.match(/perhaps --logits logits$/);
    await expectSame(await open(path, { logits: 'logits' }), path, { dims });
    expect(await open(path, { logits: 'label' }).catch(String)).to.match(/ArrayFeatureExtractor .* of ai.onnx.ml/);
  });

  it("scikit-learn's scaler in front", async () => {
    const floats = (from: number): number[] => Array.from({ length: 64 }, (_, i) => from + i / 64);
    const attribute = [
      { name: 'offset', type: 6, floats: floats(-0.5) },
      { name: 'scale', type: 6, floats: floats(0.5) },
    ];
    const graph = new UserGraph('scaled');
    graph.builder.copy({ op_type: 'Scaler', name: '', input: [graph.input(['batch', 64])], output: ['s'], attribute });
    let row = 's';
    for (const [from, to] of [
      [64, 64],
      [64, 32],
      [32, 32],
    ])
      row = graph.relu(graph.builder.node('MatMul', [row, graph.weight([from!, to!])]));
    graph.builder.node('MatMul', [row, graph.weight([32, 5])], {}, 'logits');
    const path = await write(graph.output('logits', 5), withDomain('ai.onnx.ml', /^Scaler$/));
    await expectSame(await open(path), path, { dims: [1, 64] });
  });

  it('weights in nodes of their own are weights like others', async () => {
    const asNodes: Change = (model) => {
      const nodes = model.graph.initializer.map((t) => ({
        op_type: 'Constant',
        name: '',
        input: [],
        output: [t.name],
        attribute: [{ name: 'value', type: 4, t }],
      }));
      return { ...model, graph: { ...model.graph, node: [...nodes, ...model.graph.node], initializer: [] } };
    };
    const graph = images('nodes');
    const wanted = await open(await write(graph));
    const path = await write(graph, asNodes);
    const opened = await open(path);
    expect(opened.graph.parameters).to.equal(wanted.graph.parameters);
    expect(shares(opened)).to.deep.equal(shares(wanted));
    await expectSame(opened, path, { dims });
  });
});

describe('exits without any If', () => {
  const head = (g: UserGraph, v: string, output?: string): string => {
    const row = g.builder.node('Flatten', [g.builder.node('GlobalAveragePool', [v])]);
    return g.builder.node('MatMul', [row, g.weight([8, 5])], {}, output);
  };
  /** Images with less than 1 gathered behind `r0`, their answers scattered among the early ones. */
  const gathering = (how: 'Gather' | 'Compress' | 'none', plain = false): UserGraph => {
    const graph = images('exits', {
      tail: (g, v) => {
        const early = head(g, v);
        const most = g.builder.node('ReduceMax', [g.builder.node('Softmax', [early])], { axes: [1], keepdims: 0 });
        const limit = g.builder.constant('limit', Float32Array.of(0.2001), []);
        const stay = g.builder.node('Not', [g.builder.node('Greater', [most, limit])]);
        const where = g.builder.node('NonZero', [stay]);
        const index = g.builder.node('Reshape', [where, ints(g, [-1])]);
        const kept =
          how === 'Gather' ? g.builder.node('Gather', [v, index]) : g.builder.node('Compress', [v, stay], { axis: 0 });
        const deep = g.relu(g.conv(g.relu(g.conv(plain ? v : kept, 8, 8)), 8, 8));
        if (plain) return void head(g, deep, 'logits');
        const rows = g.builder.node('Transpose', [where], { perm: [1, 0] });
        g.builder.node('ScatterND', [early, rows, head(g, deep)], {}, 'logits');
      },
    });
    return graph.output('logits', 5);
  };
  for (const how of ['Gather', 'Compress'] as const) {
    it(`by ${how}: all images go to the end, and gates sit on the way`, async () => {
      const wanted = await open(await write(gathering('none', true)));
      const opened = await open(await write(gathering(how)));
      expect(opened.graph.notes.join()).to.match(
        /its own exits are left out \(Softmax, ReduceMax compared with 0\.2001/,
      );
      expect(opened.cuts.flops.total).to.equal(wanted.cuts.flops.total);
      expect(shares(opened)).to.deep.equal(shares(wanted));
      // What the network without exits says of each image.
      await expectSame(opened, await write(gathering('none', true)), { dims });
    });
  }
});

describe('attention with the tokens first', () => {
  it('of one image works on any number', async () => {
    const graph = images('first', {
      dims,
      tail: (g, v) => {
        const { builder } = g;
        const tokens = builder.node('Transpose', [builder.node('Reshape', [v, ints(g, [1, 8, 64])])], {
          perm: [2, 0, 1],
        });
        const rows = builder.node('Reshape', [tokens, ints(g, [64, 8])]); // [tokens x images, size]
        const projected = builder.node('Gemm', [rows, g.weight([8, 8])]);
        const wide = builder.node('Reshape', [projected, ints(g, [64, 1, 8])]);
        const heads = builder.node('Transpose', [builder.node('Reshape', [wide, ints(g, [64, 2, 4])])], {
          perm: [1, 0, 2],
        });
        const scores = builder.node('MatMul', [heads, builder.node('Transpose', [heads], { perm: [0, 2, 1] })]);
        const read = builder.node('MatMul', [builder.node('Softmax', [scores], { axis: -1 }), heads]);
        const back = builder.node('Reshape', [
          builder.node('Transpose', [read], { perm: [1, 0, 2] }),
          ints(g, [64, 8]),
        ]);
        const out = builder.node('Reshape', [builder.node('Gemm', [back, g.weight([8, 8])]), ints(g, [64, 1, 8])]);
        builder.node(
          'MatMul',
          [builder.node('ReduceMean', [out], { axes: [0], keepdims: 0 }), g.weight([8, 5])],
          {},
          'logits',
        );
        g.output('logits', 5);
      },
    });
    const path = await write(graph);
    await expectSame(await open(path), path, { dims });
  });
});

describe("the classes' numbers", () => {
  const rows = (g: UserGraph, v: string, classes: number): string => {
    const row = g.builder.node('Flatten', [g.builder.node('GlobalAveragePool', [v])]);
    return g.builder.node('Gemm', [row, g.weight([classes, 8])], { transB: 1 });
  };

  it('one number without its sigmoid stands for two classes, and this is said', async () => {
    const graph = images('one number', {
      tail: (g, v) => {
        g.builder.node('Identity', [rows(g, v, 1)], {}, 'logit');
        g.output('logit', 1);
      },
    });
    const path = await write(graph);
    const opened = await open(path);
    expect(opened.graph.notes.join()).to.match(/the one number of logit stands for two classes, as before a sigmoid/);
    await expectSame(opened, path, { dims, toLogits: ([z]) => [0, z!] });
  });

  it('of several outputs the one behind a softmax is proposed, unless it is no row', async () => {
    const graph = images('boxes', {
      tail: (g, v) => {
        g.builder.node('Identity', [rows(g, v, 4)], {}, 'boxes');
        g.output('boxes', 4);
        g.builder.node('Softmax', [rows(g, v, 5)], { axis: 1 }, 'y');
        g.output('y', 5);
        g.builder.node('Softmax', [v], { axis: 1 }, 'maps');
        g.builder.output('maps', 'float', ['batch', 8, 8, 8]);
        g.builder.node('ArgMax', ['y'], { axis: 1, keepdims: 0 }, 'class');
        g.builder.output('class', 'int64', ['batch']);
      },
    });
    expect(await open(await write(graph)).catch(String)).to.match(/perhaps --logits y$/);
  });
});
