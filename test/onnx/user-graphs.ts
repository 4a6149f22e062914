import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openInProcess } from '../../src/engines/onnxruntime/gated.js';
import { runModelOf } from '../../src/engines/onnxruntime/session.js';
import { GraphBuilder } from '../../src/onnx/builder.js';
import { type Cuts, describeGraph, findCuts } from '../../src/onnx/graph/cuts.js';

import { type PreparedGraph, prepareGraph } from '../../src/onnx/graph/prepare.js';
import { readUserFile } from '../../src/onnx/graph/read.js';
import { checkUserModel, type ModelOptions } from '../../src/onnx/graph/user-model.js';
import type { UserNetwork } from '../../src/onnx/network.js';
import { Random } from '../../src/random.js';

/** A graph as somebody's exporter might write it, with generated weights. */
export class UserGraph {
  readonly builder: GraphBuilder;
  readonly #random: Random;

  constructor(name: string, opset = 17) {
    this.builder = new GraphBuilder(name, undefined, { opsets: [{ domain: '', version: opset }], irVersion: 8 });
    this.#random = new Random(5, name);
  }

  input(dims: readonly (number | string)[]): string {
    return this.builder.input('x', 'float', dims);
  }

  weight(dims: readonly number[]): string {
    const size = dims.reduce((product, value) => product * value, 1);
    const scale = 2 / Math.sqrt(size / dims[0]!);
    const data = Float32Array.from({ length: size }, () => scale * (this.#random.uniform() - 0.5));
    return this.builder.constant(this.builder.fresh('weight'), data, dims);
  }

  /** 3 x 3, same size at stride 1. */
  conv(input: string, from: number, to: number, { stride = 1, group = 1 } = {}): string {
    return this.builder.node('Conv', [input, this.weight([to, from / group, 3, 3])], {
      kernel_shape: [3, 3],
      pads: [1, 1, 1, 1],
      strides: [stride, stride],
      group,
    });
  }

  relu(input: string, output?: string): string {
    return this.builder.node('Relu', [input], {}, output);
  }

  /** Averages over the map, then a linear layer to the output `logits`. */
  classify(input: string, features: number, classes: number): this {
    const pooled = this.builder.node('Flatten', [this.builder.node('GlobalAveragePool', [input])], { axis: 1 });
    this.builder.node('Gemm', [pooled, this.weight([classes, features])], { transB: 1 }, 'logits');
    return this.output('logits', classes);
  }

  output(name: string, classes: number): this {
    this.builder.output(name, 'float', ['batch', classes]);
    return this;
  }

  async write(name = 'model.onnx'): Promise<string> {
    const path = join(await mkdtemp(join(tmpdir(), 'dgate-onnx-')), name);
    await writeFile(path, this.builder.encode());
    return path;
  }
}

/** Three convolutions in a row with a residual one in the middle; cuts at `a`, `b` and the pooled row. */
export function residualGraph(name: string, opset?: number, batch: number | string = 'batch'): UserGraph {
  const graph = new UserGraph(name, opset);
  const a = graph.relu(graph.conv(graph.input([batch, 3, 8, 8]), 3, 8), 'a');
  const body = graph.conv(graph.relu(graph.conv(a, 8, 8)), 8, 8);
  const b = graph.relu(graph.builder.node('Add', [body, a]), 'b');
  const c = graph.relu(graph.conv(b, 8, 16, { stride: 2 }), 'c');
  return graph.classify(c, 16, 5);
}

export interface Opened {
  readonly graph: PreparedGraph;
  readonly cuts: Cuts;
}

export async function open(path: string, options: ModelOptions = {}): Promise<Opened> {
  const run = runModelOf(path, openInProcess(path));
  const graph = await prepareGraph(checkUserModel(await readUserFile(path), options), run);
  return { graph, cuts: await findCuts(graph, run) };
}

export function asNetwork({ graph, cuts }: Opened, gatesAfter: readonly string[] | 'auto'): UserNetwork {
  return { graph, network: describeGraph(graph, cuts, { name: 'model', dataset: 'generated', gatesAfter }) };
}

/** A network with exits of its own, as `branchyGraph` writes it. */
export interface BranchyForm {
  readonly exits: readonly BranchyExit[];
  /** `nested` by default; `sequential`: one `If` behind the other. */
  readonly form?: 'nested' | 'sequential';
  /** Which axes numbers are reduced over; `first`, `squeezed`, `flat`: those of the one image, taken out of its axis so. */
  readonly reduce?: 'row' | 'kept' | 'all' | 'first' | 'squeezed' | 'flat';
  readonly batch?: number | string;
  readonly headIn?: 'main' | 'branch';
  readonly answers?: 'logits' | 'probabilities';
  readonly opset?: number;
}

interface BranchyExit {
  /** `margin`: between the two largest probabilities; `billions`: of the largest logit. */
  readonly measure: 'softmax' | 'entropy' | 'max' | 'margin' | 'billions';
  readonly threshold: number;
  readonly relation?: 'Greater' | 'GreaterOrEqual' | 'Less' | 'LessOrEqual';
  /** The condition is negated. */
  readonly isNot?: boolean;
  readonly isExchanged?: boolean;
  /** The branch of images that leave. */
  readonly leaves?: 'then' | 'else';
  /** Where the threshold is; `list`: it is taken from a list of several. */
  readonly bound?: 'main' | 'branch' | 'node' | 'list' | 'computed';
  /** The smallest probability must also be below this. */
  readonly and?: number;
  /** As `torch.all` is written: no image may fail. */
  readonly isCounted?: boolean;
}

/** Outputs `answer` and `exit` (from 0), for one image. */
export function branchyGraph({ exits, form = 'nested', reduce = 'row', headIn = 'main', ...options }: BranchyForm) {
  const { batch = 1, answers = 'logits', opset = 17 } = options;
  const graph = new UserGraph('branchy', opset);
  const widths = [3, 8, 8, 8, 8];
  const x = graph.input([batch, 3, 8, 8]);
  const weights = widths.slice(1).map((to, i) => graph.weight([to, widths[i]!, 3, 3]));
  const heads = weights.map(() => graph.weight([8, 5]));
  const conv = (g: GraphBuilder, value: string, i: number): string => {
    const window = { kernel_shape: [3, 3], pads: [1, 1, 1, 1] };
    return g.node('Relu', [g.node('Conv', [value, weights[i]!], window)]);
  };
  const head = (g: GraphBuilder, map: string, i: number): string => {
    const pooled = g.node('Flatten', [g.node('GlobalAveragePool', [map])], { axis: 1 });
    return g.node('MatMul', [pooled, heads[i]!]);
  };
  /** The row of the one image. */
  const rowOf = (g: GraphBuilder, value: string): string => {
    if (reduce === 'first') return g.node('Gather', [value, g.tensor(scalar('first', 0))], { axis: 0 });
    if (reduce === 'squeezed') return g.node('Squeeze', [value, g.ints('zero_axis', [0])]);
    return g.node('Reshape', [value, g.ints('flat', [-1])]);
  };
  const reduced = (g: GraphBuilder, op: string, value: string): string => {
    if (/^(first|squeezed|flat)$/.test(reduce)) return g.node(op, [rowOf(g, value)], { keepdims: 0 });
    const keepdims = reduce === 'kept' ? 1 : 0;
    if (reduce === 'all') return g.node(op, [value], { keepdims });
    const isInput = opset >= (op === 'ReduceSum' ? 13 : 18);
    return isInput
      ? g.node(op, [value, g.ints('row_axes', [1])], { keepdims })
      : g.node(op, [value], { axes: [1], keepdims });
  };
  const numberOf = (g: GraphBuilder, logits: string, measure: BranchyExit['measure']): string => {
    if (measure === 'max') return reduced(g, 'ReduceMax', logits);
    if (measure === 'billions') {
      return g.node('Mul', [reduced(g, 'ReduceMax', logits), g.constant('billion', Float32Array.of(1e9), [])]);
    }
    const shares = g.node('Softmax', [logits], { axis: 1 });
    if (measure === 'softmax') return reduced(g, 'ReduceMax', shares);
    if (measure === 'margin') {
      const names = [g.fresh('most'), g.fresh('which')] as const;
      g.nodes('TopK', [rowOf(g, shares), g.ints('two', [2])], { axis: -1 }, [...names]);
      const [first, second] = [0, 1].map((at) =>
        g.node('Gather', [names[0], g.tensor(scalar(g.fresh('at'), at))], { axis: 0 }),
      );
      return g.node('Sub', [first!, second!]);
    }
    const terms = g.node('Mul', [shares, g.node('Log', [shares])]);
    return g.node('Neg', [reduced(g, 'ReduceSum', terms)]);
  };
  const condition = (g: GraphBuilder, logits: string, exit: BranchyExit): string => {
    const {
      measure,
      threshold,
      leaves = 'then',
      bound = 'main',
      isExchanged = false,
      isNot = false,
      and,
      isCounted,
    } = exit;
    const { relation = measure === 'entropy' ? 'Less' : 'Greater' } = exit;
    const number = numberOf(g, logits, measure);
    const constant = (value: number): string => {
      if (bound === 'list') {
        const list = g.constant(g.fresh('list'), Float32Array.of(9, value), [2]);
        return g.node('Gather', [list, g.tensor(scalar(g.fresh('at'), 1))], { axis: 0 });
      }
      const tensor = { name: g.fresh('threshold'), dims: [], data_type: 1, raw_data: floats(value) };
      if (bound === 'main') return g.tensor(tensor);
      if (bound === 'branch') g.localTensor(tensor);
      else
        g.copy({
          op_type: 'Constant',
          name: '',
          input: [],
          output: [tensor.name],
          attribute: [{ name: 'value', type: 4, t: tensor }],
        });
      return tensor.name;
    };
    const limit = bound === 'computed' ? g.node('Mul', [constant(threshold / 2), constant(2)]) : constant(threshold);
    const compared = g.node(relation, isExchanged ? [limit, number] : [number, limit]);
    const also = (): string => {
      const least = reduced(g, 'ReduceMin', g.node('Softmax', [logits], { axis: 1 }));
      return g.node('And', [compared, g.node('Less', [least, constant(and!)])]);
    };
    const counted = (): string => {
      const fails = g.node('Cast', [g.node('Not', [compared])], { to: 7 });
      const some = g.node('Greater', [
        g.node('ReduceSum', [fails], { keepdims: 0 }),
        g.tensor(scalar(g.fresh('none'), 0)),
      ]);
      return g.node('Not', [some]);
    };
    const alone = isCounted ? counted() : compared;
    const met = isNot ? g.node('Not', [alone]) : and === undefined ? alone : also();
    const turned = leaves === 'else' ? g.node('Not', [met]) : met;
    return reduce === 'kept'
      ? g.node('Squeeze', [turned, ...(opset < 13 ? [] : [g.ints('second', [1])])], opset < 13 ? { axes: [1] } : {})
      : turned;
  };
  const answer = (g: GraphBuilder, logits: string): string =>
    answers === 'logits' ? g.node('Identity', [logits]) : g.node('Softmax', [logits], { axis: 1 });
  const number = (g: GraphBuilder, exit: number): string => g.node('Identity', [g.ints(`number${exit}`, [exit])]);
  type Write = (g: GraphBuilder) => readonly [value: string, type: 'float' | 'int64'][];
  const branch = (g: GraphBuilder, name: string, write: Write) => {
    const of = g.branch(g.fresh(name));
    for (const [value, type] of write(of)) of.output(value, type);
    return { graph: of.graph() };
  };
  const choose = (
    g: GraphBuilder,
    met: string,
    leaves: BranchyExit['leaves'],
    leave: Write,
    stay: Write,
    count: number,
  ) => {
    const [yes, no] = leaves === 'else' ? [stay, leave] : [leave, stay];
    const names = Array.from({ length: count }, () => g.fresh('chosen'));
    g.nodes('If', [met], { then_branch: branch(g, 'yes', yes), else_branch: branch(g, 'no', no) }, names);
    return names;
  };
  const nested = (g: GraphBuilder, value: string, i: number): [string, string] => {
    const map = conv(g, value, i);
    const exit = exits[i];
    const logits = head(g, map, i);
    if (exit === undefined) return [answer(g, logits), number(g, i)];
    const leave: Write = (to) => [
      [answer(to, headIn === 'main' ? logits : head(to, map, i)), 'float'],
      [number(to, i), 'int64'],
    ];
    const stay: Write = (to) => {
      const [row, at] = nested(to, headIn === 'main' ? map : conv(to, map, 3), i + 1);
      return [
        [row, 'float'],
        [at, 'int64'],
      ];
    };
    return choose(g, condition(g, logits, exit), exit.leaves, leave, stay, 2) as [string, string];
  };
  /** Each `If` computes the next map, or hands on zeros. */
  const sequential = (g: GraphBuilder): [string, string] => {
    let map = conv(g, x, 0);
    let left: string | undefined;
    let [row, at] = ['', ''];
    for (const [i, exit] of [...exits, undefined].entries()) {
      const logits = head(g, map, i);
      [row, at] =
        left === undefined
          ? [answer(g, logits), number(g, i)]
          : [g.node('Where', [left, row, answer(g, logits)]), g.node('Where', [left, at, number(g, i)])];
      if (exit === undefined) break;
      const met = condition(g, logits, exit);
      left = left === undefined ? met : g.node('Or', [left, met]);
      const before = map;
      const zeros: Write = (to) => [[to.node('Mul', [before, to.constant('zero', Float32Array.of(0), [])]), 'float']];
      [map] = choose(g, left, 'then', zeros, (to) => [[conv(to, before, i + 1), 'float']], 1) as [string];
    }
    return [row, at];
  };
  const g = graph.builder;
  const [row, at] = form === 'nested' ? nested(g, x, 0) : sequential(g);
  g.node('Identity', [row], {}, 'answer');
  g.node('Identity', [at], {}, 'exit');
  g.output('answer', 'float', [batch, 5]);
  g.output('exit', 'int64', [1]);
  return graph;
}

/** A whole number. */
const scalar = (name: string, value: number) => {
  return { name, dims: [], data_type: 7, raw_data: new Uint8Array(BigInt64Array.of(BigInt(value)).buffer) };
};

const floats = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);
