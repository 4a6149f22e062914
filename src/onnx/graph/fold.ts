import type { Budget } from '../../budget.js';
import { normScaleAndShift, scaledRows } from '../../networks/lower.js';
import type { NodeMessage, TensorMessage } from '../proto.js';
import { asConstant } from './probe.js';
import { floatsOf, inputsOf, outputsOf } from './values.js';

/** Constants by name; folded weights are added. */
type Constants = Map<string, TensorMessage>;

/**
 * Folds every batch norm into the convolution before it, with the arithmetic of built-in networks (`networks/lower.ts`): the
 * same network has bit-identical weights either way. Most exporters have already folded them, in float32. A batch norm stays
 * if another node reads the convolution, or if a parameter is not a float32 constant.
 *
 * @param kept a value that must stay: the logits
 */
export function foldBatchNorms(
  nodes: readonly NodeMessage[],
  constants: Constants,
  kept: string,
  budget: Budget,
): NodeMessage[] {
  const uses = new Map<string, number>([[kept, 1]]);
  for (const name of nodes.flatMap(inputsOf)) uses.set(name, (uses.get(name) ?? 0) + 1);
  const convolutions = new Map(
    nodes
      .filter(({ op_type, output }) => op_type === 'Conv' && uses.get(output[0]!) === 1)
      .map((node): [string, NodeMessage] => [node.output[0]!, node]),
  );
  const replaced = new Map<NodeMessage, NodeMessage | undefined>();
  for (const norm of nodes) {
    const conv = norm.op_type === 'BatchNormalization' ? convolutions.get(norm.input[0]!) : undefined;
    const folded = conv && foldedConv(conv, norm, constants, budget);
    if (folded === undefined) continue;
    replaced.set(conv!, undefined);
    replaced.set(norm, folded);
  }
  return nodes.flatMap((node) => (replaced.has(node) ? (replaced.get(node) ?? []) : [node]));
}

/** Folds a convolution and the batch norm behind it into one convolution; undefined if that is impossible. */
function foldedConv(
  conv: NodeMessage,
  norm: NodeMessage,
  constants: Constants,
  budget: Budget,
): NodeMessage | undefined {
  const attribute = (name: string) => norm.attribute.find((each) => each.name === name);
  if (outputsOf(norm).length !== 1 || Number(attribute('training_mode')?.i ?? 0) !== 0) return undefined;
  const [, kernel = '', offset = ''] = conv.input;
  const weight = floatsOf(constants.get(kernel));
  // Each convolution gets a kernel of its own, also where several share one.
  budget.bytes(weight?.byteLength ?? 0, conv.name);
  const [gamma, beta, mean, variance] = norm.input.slice(1).map((name) => floatsOf(constants.get(name)));
  const bias = offset === '' ? new Float32Array(gamma?.length ?? 0) : floatsOf(constants.get(offset));
  if (!(weight && gamma && beta && mean && variance && bias)) return undefined;
  const { scale, shift } = normScaleAndShift({ gamma, beta, mean, variance }, epsilonOf(attribute('epsilon')?.f), bias);
  const output = norm.output[0]!;
  const [folded, moved] = [`kernel of ${output}`, `offset of ${output}`];
  const add = (name: string, dims: readonly number[], data: Float32Array): void => {
    constants.set(name, asConstant(name, { type: 'float32', dims, data }));
  };
  add(folded, constants.get(kernel)!.dims.map(Number), scaledRows(weight, scale));
  add(moved, [shift.length], shift);
  return { ...conv, name: norm.name, input: [conv.input[0]!, folded, moved], output: [output] };
}

/** The decimal value that was written: a float32 attribute rounds 1e-5, also ONNX's default, to 9.99999975e-6. */
const epsilonOf = (attribute: number | undefined): number => Number((attribute ?? 1e-5).toPrecision(7));
