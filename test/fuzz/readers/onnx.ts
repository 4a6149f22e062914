import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import {
  IsolatedRuntime,
  type Limits,
  type OpenSession,
  runModelOf,
} from '../../../src/engines/onnxruntime/session.js';

import { loadGatedFile } from '../../../src/gated/predict.js';
import { gatedModel } from '../../../src/onnx/gated.js';
import { gatedMetadata, readGatedFile } from '../../../src/onnx/gated-file.js';
import { describeGraph, findCuts } from '../../../src/onnx/graph/cuts.js';

import { prepareGraph } from '../../../src/onnx/graph/prepare.js';
import { readUserFile } from '../../../src/onnx/graph/read.js';
import { checkUserModel } from '../../../src/onnx/graph/user-model.js';
import { decodeModel, encodeModel, type GraphMessage, type ModelMessage } from '../../../src/onnx/proto.js';
import { about } from '../../onnx/about.js';
import { gatedCase, preprocessing } from '../../onnx/gated-networks.js';
import { residualGraph } from '../../onnx/user-graphs.js';
import type { Reader } from '../fuzz.js';
import { mutated } from '../mutation.js';
import { scratchFolder } from '../scratch.js';

/** A file of dgate export: a network of three small blocks with two gates. */
async function exported(): Promise<Uint8Array> {
  const places = [1, 2].map((stage) => ({ stage, pooling: { kind: 'gap' } as const }));
  const { lowered, gates } = await gatedCase('resnet20-blocks1.1.1-width0.25-cifar10', places, 1);
  const metadata = gatedMetadata({ ...about(2, 'max'), thresholds: [0.5, 0.5] });
  return gatedModel(lowered, gates, { confidence: 'max', preprocessing, metadata });
}

const pixels = new Uint8Array(3072).fill(100);

/**
 * ONNX Runtime in a process of its own, as `predict` has it, with little time and memory. There a file has its own process;
 * here one serves until a file ends it, since starting one takes longer than reading a thousand files. What this shows:
 * whatever ONNX Runtime does with a file, it is a line here, in time; what it does not show: that ONNX Runtime survives.
 */
const limits: Limits = { seconds: 5, memoryMb: 512, outputMb: 16 };
let runtime: IsolatedRuntime | undefined;
let ended = 0;

const openShared: OpenSession = async (model, options) => {
  if (runtime?.isEnded !== false) {
    if (runtime !== undefined) ended++;
    runtime = new IsolatedRuntime(limits, 'another');
  }
  return runtime.open(model, 'file', options);
};

const closeShared = {
  notes: (): string => `ONNX Runtime's process was ended by ${ended + (runtime?.isEnded === true ? 1 : 0)} of them`,
  async close(): Promise<void> {
    await runtime?.end();
    [runtime, ended] = [undefined, 0];
  },
};

/** Opens it, and runs an image through what ONNX Runtime takes. */
async function opened(bytes: Uint8Array): Promise<void> {
  const file = readGatedFile(bytes, 'file');
  const { height, width } = file.about.preprocessing;
  const loaded = await loadGatedFile(file, 'file', openShared);
  try {
    if (height === 32 && width === 32) await loaded.run(pixels, 1, file.about.thresholds);
  } finally {
    await loaded.close();
  }
}

/** A file beside the networks, which their weights may lie in. */
export const OUTSIDE = 'w';
let folder: string | undefined;

/** What `model inspect` does, and an experiment on a file of one's own. */
async function inspected(bytes: Uint8Array): Promise<void> {
  if (folder === undefined) {
    folder = scratchFolder();
    await writeFile(join(folder, OUTSIDE), Buffer.alloc(1_000_000));
  }
  const path = join(folder, 'own.onnx');
  await writeFile(path, bytes);
  const run = runModelOf(path, openShared);
  const graph = await prepareGraph(checkUserModel(await readUserFile(path)), run);
  describeGraph(graph, await findCuts(graph, run), { name: 'own', dataset: 'generated', gatesAfter: 'auto' });
}

const numbers = [
  -1,
  0,
  1,
  2,
  3,
  7,
  32,
  255,
  65_536,
  2 ** 24,
  2 ** 31 - 1,
  -(2 ** 31),
  2 ** 40,
  2 ** 53 - 1,
  -(2 ** 53 - 1),
];
const operators = [
  ...[
    'Conv',
    'Gemm',
    'If',
    'Loop',
    'Scan',
    'Reshape',
    'Gather',
    'ScatterND',
    'TopK',
    'Split',
    'Expand',
    'Pad',
    'Slice',
    'ConstantOfShape',
  ],
  ...[
    'Transpose',
    'Concat',
    'Relu',
    'Identity',
    'NonZero',
    'ArgMax',
    'Cast',
    'MaxPool',
    'AveragePool',
    'Tile',
    'Resize',
    'Range',
    'Einsum',
    'nope',
  ],
];

/** One change of a graph that stays a protocol buffer. */
const change = fc.record({
  node: fc.nat(),
  part: fc.constantFrom('op', 'attribute', 'input', 'output', 'dims', 'data', 'type', 'drop', 'swap', 'shape'),
  which: fc.nat(),
  other: fc.nat(),
  number: fc.constantFrom(...numbers),
  operator: fc.constantFrom(...operators),
});
type Change = typeof change extends fc.Arbitrary<infer T> ? T : never;

// The messages are read-only for everyone else.
type Writable<T> = T extends Uint8Array ? T : { -readonly [K in keyof T]: Writable<T[K]> };

/** Every graph of a model: the outermost one and the branches. */
function graphsOf(graph: Writable<GraphMessage>): Writable<GraphMessage>[] {
  const branches = graph.node.flatMap(({ attribute }) => attribute.flatMap(({ g }) => (g == null ? [] : [g])));
  return [graph, ...branches.flatMap(graphsOf)];
}

function pick<T>(list: readonly T[], at: number): T | undefined {
  return list[at % Math.max(1, list.length)];
}

function changed(model: Writable<ModelMessage>, { node: at, part, which, other, number, operator }: Change): void {
  const graphs = graphsOf(model.graph);
  const nodes = graphs.flatMap((graph) => graph.node);
  const node = pick(nodes, at);
  const tensor = pick(model.graph.initializer, at);
  if (node === undefined || tensor === undefined) return;
  const attribute = pick(node.attribute, which);
  switch (part) {
    case 'op':
      node.op_type = operator;
      break;
    case 'attribute':
      if (attribute?.ints !== undefined && attribute.ints.length > 0)
        attribute.ints[other % attribute.ints.length] = number;
      else if (attribute !== undefined) Object.assign(attribute, { i: number, f: number });
      break;
    case 'input':
      if (node.input.length > 0) node.input[which % node.input.length] = pick(nodes, other)?.output[0] ?? '';
      break;
    case 'output':
      if (node.output.length > 0) node.output[which % node.output.length] = pick(nodes, other)?.output[0] ?? '';
      break;
    case 'dims':
      if (tensor.dims.length > 0) tensor.dims[which % tensor.dims.length] = number;
      else tensor.dims.push(number);
      break;
    case 'data':
      tensor.raw_data = Buffer.alloc(tensor.raw_data.length, which % 256);
      break;
    case 'type':
      tensor.data_type = which % 25;
      break;
    case 'drop':
      pick(graphs, other)?.node.splice(at % nodes.length, 1);
      break;
    case 'swap':
      node.input.reverse();
      break;
    case 'shape': {
      const dim = pick(pick(model.graph.input, at)?.type.tensor_type.shape.dim ?? [], which);
      if (dim !== undefined) Object.assign(dim, { dim_value: number });
    }
  }
}

/** Graphs that stay protocol buffers, with a few changes each. */
function changedGraphs(bytes: Uint8Array): fc.Arbitrary<Uint8Array> {
  return fc.array(change, { minLength: 1, maxLength: 4 }).map((changes) => {
    const model = decodeModel(bytes) as Writable<ModelMessage>;
    for (const each of changes) changed(model, each);
    return encodeModel(model as ModelMessage);
  });
}

export const onnxReaders: readonly Reader[] = [
  {
    name: 'ONNX, bytes',
    inputs: 5000,
    input: async () =>
      mutated([await exported()], ['dgate.', 'Loop', 'location', '\x70\x01', '\x08\x01', '[1e999]', 'null']),
    read: opened,
    ...closeShared,
  },
  {
    name: 'ONNX, metadata',
    inputs: 5000,
    async input() {
      const model = decodeModel(await exported());
      const { graph, metadata_props: properties } = model;
      const small = { ...graph, initializer: [], node: [], input: [], output: [] };
      return fc
        .tuple(fc.nat(properties.length - 1), mutated(properties.map(({ value }) => Buffer.from(value))))
        .map(([at, value]) => {
          const list = properties.map((property, i) =>
            i === at ? { key: property.key, value: Buffer.from(value).toString() } : property,
          );
          return encodeModel({ ...model, graph: small, metadata_props: list });
        });
    },
    read: (bytes: Uint8Array) => void readGatedFile(bytes, 'file'),
  },
  {
    name: 'ONNX, graph',
    inputs: 5000,
    input: async () => changedGraphs(await exported()),
    read: opened,
    ...closeShared,
  },
  {
    name: 'ONNX, own network',
    inputs: 5000,
    input() {
      const bytes = residualGraph('own').builder.encode();
      return fc.oneof(
        changedGraphs(bytes),
        mutated([bytes], ['\x70\x01', '\x08\x01', '\xff\xff\xff\xff\x0f', 'Loop', 'x']),
      );
    },
    read: inspected,
    ...closeShared,
  },
];
