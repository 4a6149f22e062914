import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Budget } from '../../src/json.js';
import { foldBatchNorms } from '../../src/onnx/graph/prepare.js';
import { readUserFile } from '../../src/onnx/graph/read.js';
import { mapValues } from '../../src/onnx/graph/values.js';
import { decodeModel, type NodeMessage, type TensorMessage } from '../../src/onnx/proto.js';
import { refusal } from '../checkpoints/helpers.js';
import { field, graphOf, INITIALIZER, NODE } from './fields.js';

const node = (op_type: string, input: string[], output: string): NodeMessage => {
  return { op_type, name: output, input, output: [output], attribute: [] };
};

describe('ONNX files that ask for more than they hold', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dgate-amplified-'));
    await writeFile(join(folder, 'w'), Buffer.alloc(1_000_000));
    await writeFile(join(folder, 'v'), Buffer.alloc(1_000_000));
  });
  after(() => rm(folder, { recursive: true }));

  const read = async (bytes: Uint8Array) => {
    const path = join(folder, 'm.onnx');
    await writeFile(path, bytes);
    return readUserFile(path);
  };
  /** A tensor whose numbers are a whole file. */
  const outside = (name: string, location: string): Buffer => {
    const entry = field(13, Buffer.concat([field(1, 'location'), field(2, location)]));
    return field(INITIALIZER, Buffer.concat([field(8, name), entry, Buffer.from([14 << 3, 1])]));
  };
  const some = field(NODE, field(4, 'Relu'));
  const many = (count: number, location: (i: number) => string): Buffer[] =>
    Array.from({ length: count }, (_, i) => outside(`t${i}`, location(i)));

  it('1,900 tensors of one outside file are more than its bytes, whatever it is called; a few are read', async () => {
    const { model } = await read(graphOf(some, ...many(20, (i) => 'wv'[i % 2]!)));
    expect(model.graph.initializer.map(({ raw_data }) => raw_data.length)).to.deep.equal(new Array(20).fill(1_000_000));
    const limit =
      /: weights of t\d+: takes more than \d+ bytes of memory to read, the limit for \d+ bytes; valid: an ONNX/;
    await refusal(() => read(graphOf(some, ...many(1900, () => 'w'))), limit);
    await refusal(() => read(graphOf(some, ...many(1900, (i) => `${'./'.repeat(i)}w`))), limit);
  });

  it('messages and numbers of a byte or two are counted before they are made', async () => {
    const empty = Buffer.concat(new Array<Buffer>(2_000_000).fill(field(NODE, '')));
    await refusal(() => read(graphOf(empty)), /m\.onnx: takes more than \d+ steps to read/);
    const numbers = field(INITIALIZER, field(7, Buffer.alloc(11_000_000)));
    await refusal(() => read(graphOf(some, numbers)), /m\.onnx: takes more than 10000000 steps to read/);
  });

  it('graphs in graphs are followed a hundred deep', async () => {
    let inner = field(NODE, '');
    for (let i = 0; i < 5000; i++) inner = field(NODE, field(5, field(6, inner)));
    await refusal(() => read(graphOf(inner)), /damaged one \(messages nest too deeply\)/);
  });

  it('what says that it is longer than what holds it is damaged', () => {
    const whole = graphOf(some);
    expect(() => decodeModel(whole.subarray(0, -1))).to.throw('index out of range');
  });

  it('convolutions that share one kernel have one of their own each when batch norms are folded', () => {
    const tensor = (name: string, dims: number[]): TensorMessage => {
      const count = dims.reduce((product, size) => product * size, 1);
      return {
        name,
        dims,
        data_type: 1,
        raw_data: new Uint8Array(Float32Array.from({ length: count }, () => 1).buffer),
      };
    };
    const constants = (): Map<string, TensorMessage> =>
      new Map(
        [tensor('k', [256, 1024]), ...'gbmv'.split('').map((name) => tensor(name, [256]))].map((t) => [t.name, t]),
      );
    const chain = (length: number): NodeMessage[] =>
      Array.from({ length }, (_, i) => [
        node('Conv', [i === 0 ? 'x' : `n${i - 1}`, 'k'], `c${i}`),
        node('BatchNormalization', [`c${i}`, 'g', 'b', 'm', 'v'], `n${i}`),
      ]).flat();
    const budget = () => new Budget('m.onnx', 1_000_000, 'another');
    expect(foldBatchNorms(chain(20), constants(), 'n19', budget())).to.have.length(20);
    expect(() => foldBatchNorms(chain(200), constants(), 'n199', budget())).to.throw(/^m\.onnx: c\d+: takes more than/);
  });

  it('a node with 200,000 inputs is sorted', () => {
    const inputs = Array.from({ length: 200_000 }, (_, i) => `v${i}`);
    const nodes = [...inputs.map((name) => node('Relu', ['x'], name)), node('Concat', inputs, 'y')];
    const graph = { name: '', node: nodes, initializer: [], input: [], output: [] };
    expect(mapValues(graph, 'x', 'y', 'm.onnx').nodes).to.have.length(200_001);
  });
});
