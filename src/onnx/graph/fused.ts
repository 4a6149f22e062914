import { float, Rewriter } from '../builder.js';
import type { NodeMessage } from '../proto.js';
import { isOwnDomain } from './opsets.js';
import type { UserFile } from './read.js';
import { attributeOf } from './values.js';

/** ONNX Runtime's operators that add and normalise, and the norm that they apply. */
const norms: Readonly<Record<string, string>> = {
  SkipLayerNormalization: 'LayerNormalization',
  SkipSimplifiedLayerNormalization: 'SimplifiedLayerNormalization',
};

/** Epsilon of the fused operators by default. */
const EPSILON = 1e-12;

/**
 * Takes constants out of their nodes, and sums out of ONNX Runtime's fused norms; scikit-learn's `Scaler` becomes ONNX's own
 * operators. In a transformer that normalises first, the sum and its norm are both needed behind such a node, so that no place
 * for a gate would be left.
 */
export function takenApart(file: UserFile): UserFile {
  const { graph } = file.model;
  const to = new Rewriter('apart');
  for (const node of graph.node) {
    const value = node.op_type === 'Constant' && isOwnDomain(node.domain) ? attributeOf(node, 'value')?.t : undefined;
    if (value != null) to.tensor({ ...value, name: node.output[0]! });
    else if (node.domain === 'ai.onnx.ml' && node.op_type === 'Scaler') writeScaled(to, node);
    else if (Object.hasOwn(norms, node.op_type) && (node.output[3] ?? '') !== '') writeSumAndNorm(to, node);
    else to.copy(node);
  }
  const { node, initializer } = to.graph();
  const rewritten = { ...graph, node, initializer: [...graph.initializer, ...initializer] };
  return { ...file, model: { ...file.model, graph: rewritten } };
}

/** Inputs: value, skipped value, scale, shift, bias; outputs: norm, mean, deviation, sum. The last inputs may be absent. */
function writeSumAndNorm(to: Rewriter, node: NodeMessage): void {
  const [value = '', skipped = '', scale = '', ...rest] = node.input;
  const [shift = '', bias = ''] = node.op_type === 'SkipLayerNormalization' ? rest : ['', rest[0]];
  const biased = bias === '' ? value : to.node('Add', [value, bias]);
  const sum = to.node('Add', [biased, skipped], {}, node.output[3]);
  const epsilon = float(attributeOf(node, 'epsilon')?.f ?? EPSILON);
  to.node(norms[node.op_type]!, [sum, scale, ...(shift === '' ? [] : [shift])], { epsilon }, node.output[0]);
}

/** (x - offset) x scale, one number for each feature or one for all. */
function writeScaled(to: Rewriter, node: NodeMessage): void {
  const numbers = (name: string): string => {
    const floats = Float32Array.from(attributeOf(node, name)?.floats ?? []);
    return to.constant(to.fresh(name), floats, [floats.length]);
  };
  to.node('Mul', [to.node('Sub', [node.input[0]!, numbers('offset')]), numbers('scale')], {}, node.output[0]);
}
