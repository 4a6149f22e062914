import { expect } from 'chai';
import { GraphBuilder } from '../../src/onnx/builder.js';
import { channelBlockOf, gatesInBlocks } from '../../src/onnx/nchwc.js';
import { decodeModel, type ModelMessage } from '../../src/onnx/proto.js';

const DOMAIN = 'com.microsoft.nchwc';
const CLASSES = 2;

/** A gate as ONNX Runtime's optimiser leaves it behind pooling in blocks; weights are their own positions. */
function optimisedGate(channels: number, pixels: number, more: { transB?: number; featuresRead?: boolean } = {}) {
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
  const weights = Float32Array.from({ length: features * CLASSES }, (_, i) => i);
  builder.constant('weights', weights, [features, CLASSES]);
  builder.constant('bias', Float32Array.of(0, 0), [CLASSES]);
  builder.node('Gemm', ['features', 'weights', 'bias'], { transB: more.transB ?? 0 }, 'distances1');
  builder.output('distances1', 'float', ['batch', CLASSES]);
  if (more.featuresRead) builder.output('features', 'float', ['batch', features]);
  return decodeModel(builder.encode());
}

const operators = ({ graph }: ModelMessage): string[] => graph.node.map(({ op_type }) => op_type);

function weightsOf({ graph }: ModelMessage): number[] {
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
    expect(weightsOf(model)).to.deep.equal(rows.flatMap((row) => [2 * row, 2 * row + 1]));
  });

  it('keep their weights where a channel is one number', () => {
    const model = gatesInBlocks(optimisedGate(4, 1), ['distances1'], 2);
    expect(operators(model)).to.deep.equal(['Flatten', 'Gemm']);
    expect(weightsOf(model)).to.deep.equal([0, 1, 2, 3, 4, 5, 6, 7]);
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
