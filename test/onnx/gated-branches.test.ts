import { expect } from 'chai';
import type { GatePlace } from '../../src/networks/onnx.js';
import { GraphBuilder } from '../../src/onnx/builder.js';
import { branchModel, channelBlockOf, gatesInBlocks, straightModel } from '../../src/onnx/gated-branches.js';
import { decodeModel, type GraphMessage, type ModelMessage, type NodeMessage } from '../../src/onnx/proto.js';
import { CLASSES, type GatedCase, gatedCase } from './gated-networks.js';

const places: readonly GatePlace[] = [
  { stage: 1, pooling: { kind: 'grid', size: 4 } },
  { stage: 2, pooling: { kind: 'gap' } },
];

/** A graph's own convolutions, by the names of their weights. */
const weightsOf = ({ node }: GraphMessage): string[] =>
  node.filter(({ op_type }) => op_type === 'Conv').map(({ input }) => input[1]!);

const branchOf = ({ attribute }: NodeMessage, name: string): GraphMessage =>
  attribute.find((candidate) => candidate.name === name)!.g!;

/** The `If` of each gate and the graph it stands in, the first gate first. */
function nested(graph: GraphMessage): { graph: GraphMessage; leaves?: GraphMessage }[] {
  const conditional = graph.node.find(({ op_type }) => op_type === 'If');
  if (conditional === undefined) return [{ graph }];
  return [{ graph, leaves: branchOf(conditional, 'then_branch') }, ...nested(branchOf(conditional, 'else_branch'))];
}

describe('the gated network cut at its gates', () => {
  let subject: GatedCase;
  let one: GraphMessage;
  before(async () => {
    subject = await gatedCase('resnet20-width0.25-cifar10', places, 1);
    const { lowered, gates } = subject;
    const options = { gates: gates.length, classes: CLASSES, confidence: 'max' } as const;
    one = decodeModel(branchModel(decodeModel(straightModel(lowered, gates)), 'one', options)).graph;
  });

  it('for one image: every part stands in one graph, and nothing of it is computed before its gate', () => {
    const parts = nested(one);
    expect(parts).to.have.length(3);
    const all = parts.flatMap(({ graph }) => weightsOf(graph));
    expect(new Set(all).size).to.equal(all.length);
    expect(parts.map(({ graph }) => weightsOf(graph).length)).to.deep.equal([7, 6, 6]); // 1 + 3 x 2 in stage 1
    for (const { leaves } of parts) expect(leaves?.node.map(({ op_type }) => op_type) ?? ['Concat']).to.eql(['Concat']);
  });

  it('for one image: weights lie in the branch that uses them', () => {
    for (const { graph } of nested(one)) {
      const own = new Set(graph.initializer.map(({ name }) => name));
      expect(weightsOf(graph).filter((name) => !own.has(name))).to.deep.equal([]);
    }
  });

  it('for one image: a gate needs no more nodes than its distances, two for the comparison, and an If', () => {
    for (const { graph, leaves } of nested(one).slice(0, 2)) {
      expect(leaves).not.to.equal(undefined);
      const pooled = graph.node.findIndex(({ op_type }) => /^(Global)?AveragePool$/.test(op_type));
      const names = graph.node.slice(pooled).map(({ op_type }) => op_type);
      const comparison = names.filter((name) => name !== 'Identity');
      expect(comparison).to.deep.equal([names[0], 'Flatten', 'Gemm', 'ReduceMax', 'GreaterOrEqual', 'If']);
    }
  });

  // ONNX Runtime adds in place only where it knows that both sides have the same dimensions, be it by name.
  it('for batches: the number of images that stay has a name, another one behind each gate', () => {
    const { lowered, gates } = subject;
    const options = { gates: gates.length, classes: CLASSES, confidence: 'max' } as const;
    const names = gatheredRows(
      decodeModel(branchModel(decodeModel(straightModel(lowered, gates)), 'any', options)).graph,
    );
    expect(names).to.have.length(3); // behind the first gate, and behind the second whether or not somebody left before
    expect(names.filter((name) => name === undefined)).to.deep.equal([]);
    expect(new Set(names).size).to.equal(names.length);
  });
});

/** For each time that images are gathered: the name of how many they are. */
function gatheredRows(graph: GraphMessage): (string | undefined)[] {
  const dims = new Map((graph.value_info ?? []).map(({ name, type }) => [name, type.tensor_type.shape.dim[0]]));
  const gathers = graph.node.filter(({ op_type }) => op_type === 'Gather').map(({ input }) => dims.get(input[1]!));
  const own = gathers.map((dim) => (dim !== undefined && 'dim_param' in dim ? dim.dim_param : undefined));
  const branches = graph.node.flatMap(({ attribute }) => attribute.flatMap(({ g }) => (g == null ? [] : [g])));
  return [...own, ...branches.flatMap(gatheredRows)];
}

const DOMAIN = 'com.microsoft.nchwc';
const OUTPUTS = 2;

/** A gate as ONNX Runtime's optimiser leaves it behind pooling in blocks; weights are their own positions. */
function optimisedGate(
  channels: number,
  pixels: number,
  more: { transB?: number; featuresRead?: boolean; previous?: boolean } = {},
) {
  const builder = new GraphBuilder('gate');
  builder.input('pooled', 'float', ['batch', channels, pixels, 1]);
  builder.copy({
    op_type: 'ReorderOutput',
    domain: DOMAIN,
    name: 'reorder',
    input: ['pooled'],
    output: ['plain'],
    attribute: [{ name: 'channels', type: 2, i: channels }],
  });
  builder.node('Flatten', ['plain'], { axis: 1 }, 'features');
  const features = channels * pixels;
  const weights = Float32Array.from({ length: features * OUTPUTS }, (_, i) => i);
  builder.constant('weights', weights, [features, OUTPUTS]);
  builder.constant('bias', Float32Array.of(0, 0), [OUTPUTS]);
  const own = more.previous ? 'own' : 'distances1';
  builder.node('Gemm', ['features', 'weights', 'bias'], { transB: more.transB ?? 0 }, own);
  if (more.previous) {
    const before = builder.input('before', 'float', ['batch', OUTPUTS]);
    const previous = builder.constant('previous', new Float32Array(OUTPUTS ** 2), [OUTPUTS, OUTPUTS]);
    builder.node('Gemm', [before, previous, own], {}, 'distances1');
  }
  builder.output('distances1', 'float', ['batch', OUTPUTS]);
  if (more.featuresRead) builder.output('features', 'float', ['batch', features]);
  return decodeModel(builder.encode());
}

const operators = ({ graph }: ModelMessage): string[] => graph.node.map(({ op_type }) => op_type);

function gateWeights({ graph }: ModelMessage): number[] {
  const gemm = graph.node.find(({ op_type }) => op_type === 'Gemm')!;
  const { raw_data } = graph.initializer.find(({ name }) => name === gemm.input[1])!;
  return [...new Float32Array(Uint8Array.from(raw_data).buffer)];
}

describe('gates that take pooled features in blocks of channels', () => {
  it('have their rows in the order in which the features lie, and nothing brings these into another', () => {
    const model = gatesInBlocks(optimisedGate(4, 3), ['distances1'], 2);
    expect(operators(model)).to.deep.equal(['Flatten', 'Gemm']);
    expect(model.graph.node[0]!.input).to.deep.equal(['pooled']);
    // Row of channel c, pixel p is 3 c + p; in blocks of two channels: (0,0) (1,0) (0,1) (1,1) (0,2) (1,2) (2,0) ...
    const rows = [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11];
    expect(gateWeights(model)).to.deep.equal(rows.flatMap((row) => [2 * row, 2 * row + 1]));
  });

  it('are found behind the distances of the gate before', () => {
    const [plain, chained] = [false, true].map((previous) =>
      gatesInBlocks(optimisedGate(4, 3, { previous }), ['distances1'], 2),
    );
    expect(operators(chained!)).to.deep.equal(['Flatten', 'Gemm', 'Gemm']);
    expect(gateWeights(chained!)).to.deep.equal(gateWeights(plain!));
  });

  it('keep their weights where a channel is one number', () => {
    const model = gatesInBlocks(optimisedGate(4, 1), ['distances1'], 2);
    expect(operators(model)).to.deep.equal(['Flatten', 'Gemm']);
    expect(gateWeights(model)).to.deep.equal([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  const others: Readonly<Record<string, ModelMessage>> = {
    'channels do not fill their blocks': optimisedGate(3, 2),
    'weights lie the other way round': optimisedGate(4, 2, { transB: 1 }),
    'somebody else reads the features': optimisedGate(4, 2, { featuresRead: true }),
  };
  for (const [what, model] of Object.entries(others)) {
    it(`are left alone where ${what}`, () => {
      expect(operators(gatesInBlocks(model, ['distances1'], 2))).to.deep.equal(operators(model));
    });
  }

  it('a block is as long as the first pixels of its channels', () => {
    expect(channelBlockOf(Float32Array.of(0, 2, 4, 6, 1, 3, 5, 7))).to.equal(4);
    expect(channelBlockOf(new Float32Array(8))).to.equal(undefined);
  });
});
