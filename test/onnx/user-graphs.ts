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
