import { expect } from 'chai';
import { runModelOf } from '../../src/engines/onnxruntime/session.js';
import { Budget } from '../../src/json.js';
import { GraphBuilder } from '../../src/onnx/builder.js';
import { findCuts } from '../../src/onnx/graph/cuts.js';
import { prepareGraph } from '../../src/onnx/graph/prepare.js';
import { checkUserModel } from '../../src/onnx/graph/user-model.js';
import { decodeModel } from '../../src/onnx/proto.js';

/** A convolution, a chain of nodes, pooling and a linear layer. */
function chain(length: number, op: string): Uint8Array {
  const builder = new GraphBuilder('chain');
  const constant = builder.constant('one', Float32Array.of(1), []);
  const weights = builder.constant('w', new Float32Array(4 * 3 * 9).fill(0.1), [4, 3, 3, 3]);
  let x = builder.node('Conv', [builder.input('x', 'float', ['n', 3, 8, 8]), weights]);
  for (let i = 0; i < length; i++) x = builder.node(op, op === 'Add' ? [x, constant] : [x]);
  const pooled = builder.node('Flatten', [builder.node('GlobalAveragePool', [x])], { axis: 1 });
  builder.node('MatMul', [pooled, builder.constant('v', new Float32Array(40).fill(0.1), [4, 10])], {}, 'y');
  builder.output('y', 'float', ['n', 10]);
  return builder.encode();
}

async function prepare(length: number, op: string) {
  const bytes = chain(length, op);
  const path = `${op}.onnx`;
  const model = checkUserModel({
    path,
    sha256: '',
    model: decodeModel(bytes),
    budget: new Budget(path, bytes.length, ''),
  });
  const run = runModelOf(`${op}.onnx`);
  let outputs = 0;
  const graph = await prepareGraph(model, (probing, batches) => {
    outputs = decodeModel(probing).graph.output.length;
    return run(probing, batches);
  });
  return { graph, outputs };
}

describe('graphs of very many nodes', () => {
  for (const op of ['Identity', 'Relu', 'Add']) {
    it(`asks ONNX Runtime for no more sizes where 2,000 ${op} follow each other, and finds all places`, async () => {
      const [short, long] = [await prepare(2, op), await prepare(2000, op)];
      expect(long.outputs).to.equal(short.outputs);
      const { cuts } = await findCuts(long.graph, runModelOf('long'));
      const maps = cuts[0]!.alike.filter(({ shape, channels }) => shape.join() === '4,6,6' && channels === 'first');
      expect(maps).to.have.length(2001);
      expect(cuts.reduce((sum, { alike }) => sum + 1 + alike.length, 0)).to.equal(2003);
    });
  }

  it('looks at each node a fixed number of times when it searches for places', async () => {
    const visits = async (length: number): Promise<number> => {
      const { graph } = await prepare(length, 'Relu');
      let count = 0;
      const nodes = graph.nodes.map(
        (node) =>
          new Proxy(node, {
            get: (target, key) => {
              count++;
              return Reflect.get(target, key) as unknown;
            },
          }),
      );
      await findCuts({ ...graph, nodes }, runModelOf('visits'));
      return count;
    };
    const [few, many] = [await visits(500), await visits(5000)];
    expect(many / few).to.be.closeTo(10, 0.5);
  });
});
