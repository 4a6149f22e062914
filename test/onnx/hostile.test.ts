import { expect } from 'chai';
import { InputError } from '../../src/errors.js';
import { GraphBuilder } from '../../src/onnx/builder.js';
import { gatedMetadata, readGatedFile } from '../../src/onnx/gated-file.js';
import { decodeModel, encodeModel, type GraphMessage, type NodeMessage } from '../../src/onnx/proto.js';
import { about } from './about.js';

/** A file that says of itself what dgate export says, around a graph of one node. */
function file(change: (graph: GraphMessage) => GraphMessage): Uint8Array {
  const builder = new GraphBuilder('hostile');
  builder.output(builder.node('Relu', [builder.input('images', 'float', [1])]), 'float', [1]);
  const model = decodeModel(builder.encode(gatedMetadata(about(1, 'max'))));
  return encodeModel({ ...model, graph: change(model.graph) });
}

const node = (more: object): NodeMessage => ({
  op_type: 'Relu',
  name: 'n',
  input: ['images'],
  output: ['x'],
  attribute: [],
  ...more,
});
const withNode = (more: object) => file((graph) => ({ ...graph, node: [...graph.node, node(more)] }));
const branch = (graph: Partial<GraphMessage>): GraphMessage => ({
  name: 'b',
  node: [],
  initializer: [],
  input: [],
  output: [],
  ...graph,
});
const inBranch = (graph: Partial<GraphMessage>) =>
  withNode({ op_type: 'If', attribute: [{ name: 'then_branch', type: 5, g: branch(graph) }] });
const outside = { name: 'w', dims: [1], data_type: 1, raw_data: new Uint8Array(), data_location: 1 };

describe('hostile ONNX files', () => {
  it('the file that the others are made of is read', () => {
    expect(
      readGatedFile(
        file((graph) => graph),
        'file',
      ).about.classes,
    ).to.have.length(10);
  });

  const refused: [string, () => Uint8Array, RegExp][] = [
    [
      'data in another file',
      () => file((graph) => ({ ...graph, initializer: [outside] })),
      /names data outside of the file/,
    ],
    [
      'data in another file, within a branch',
      () => inBranch({ initializer: [outside] }),
      /names data outside of the file/,
    ],
    [
      'data in another file, as an attribute in a branch',
      () => inBranch({ node: [node({ attribute: [{ name: 'value', type: 4, t: outside }] })] }),
      /names data outside of the file/,
    ],
    ['a loop', () => withNode({ op_type: 'Loop' }), /uses "Loop", which dgate export never does; valid/],
    ['a loop within a branch', () => inBranch({ node: [node({ op_type: 'Loop' })] }), /uses "Loop"/],
    ['a scan', () => withNode({ op_type: 'Scan' }), /uses "Scan"/],
    ['an operator of a library', () => withNode({ domain: 'evil.so' }), /uses "evil\.so\.Relu"/],
    ['an operator called as a terminal is commanded', () => withNode({ op_type: '\x1b[2J' }), /uses "\\u001b\[2J"/],
    [
      'a kernel larger than its weights, and than the image',
      () => {
        const weights = { name: 'w', dims: [4, 3, 3, 3], data_type: 1, raw_data: new Uint8Array(432) };
        const attribute = [{ name: 'kernel_shape', type: 7, ints: [255, 3] }];
        const conv = node({ op_type: 'Conv', input: ['images', 'w'], attribute });
        return file((graph) => ({ ...graph, initializer: [weights], node: [conv, ...graph.node] }));
      },
      /Conv n: kernel 255,3, weights 3,3; valid/,
    ],
    [
      'no metadata',
      () => encodeModel({ ...decodeModel(file((graph) => graph)), metadata_props: [] }),
      /not written by dgate export/,
    ],
    ['a length of 2^31 at the front', () => Buffer.from('3affffffff0f00', 'hex'), /not an ONNX file, or a damaged one/],
    ['groups in groups without end', () => Buffer.alloc(100_000, 0x3b), /not an ONNX file|not written by dgate/],
  ];
  for (const [what, make, message] of refused) {
    it(`with ${what}: refused in one line`, () => {
      expect(() => readGatedFile(make(), 'file'))
        .to.throw(InputError, message)
        .with.property('problems')
        .of.length(1);
    });
  }

  it('branches in branches are read or refused, however deep', () => {
    let deepest = 0;
    let graph = branch({});
    for (let depth = 1; depth < 120; depth++) {
      graph = branch({ node: [node({ op_type: 'If', attribute: [{ name: 'then_branch', type: 5, g: graph }] })] });
      let bytes: Uint8Array;
      try {
        bytes = file(() => graph);
      } catch {
        break; // too deep to be written
      }
      deepest = depth;
      try {
        readGatedFile(bytes, 'file');
      } catch (error) {
        expect(error, `${depth} deep`).to.be.instanceOf(InputError);
      }
    }
    expect(deepest).to.be.above(20);
  });

  it('cut off anywhere, it is refused', () => {
    const whole = file((graph) => graph);
    for (let length = 0; length < whole.length; length += 11) {
      expect(() => readGatedFile(whole.subarray(0, length), 'file'), `${length}`).to.throw(InputError, /^file: /);
    }
  });
});
