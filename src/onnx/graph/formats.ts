import type { NodeMessage, TensorMessage } from '../proto.js';
import { attributeOf, intOf } from './values.js';

/** How a value's numbers are stored. */
export interface Format {
  /** TensorProto.DataType. */
  readonly type: number;
  /** Names of the constants that 8-bit numbers stand for real ones with: scale, and zero point if any. */
  readonly quantised?: readonly string[];
  /** In a layout of ONNX Runtime's own, which depends on the processor. */
  readonly isBlocked?: true;
}

export const formatTypes = {
  float: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  double: 11,
  bfloat16: 16,
};
const { float, uint8, int8, int32, int64, bool } = formatTypes;
const is8Bit = (type: number | undefined): boolean => type === uint8 || type === int8;
const BLOCKED_DOMAIN = 'com.microsoft.nchwc';
/** ONNX's own operators, and those that ONNX Runtime's optimiser writes. */
export const domains: ReadonlySet<string | undefined> = new Set([
  undefined,
  '',
  'ai.onnx',
  'com.microsoft',
  BLOCKED_DOMAIN,
]);

/** Operators with results of one type, whatever goes in. */
const fixedTypes = new Map(
  Object.entries({
    [int64]: 'Shape Size ArgMax ArgMin NonZero',
    [bool]: 'Equal Greater GreaterOrEqual Less LessOrEqual Not And Or Xor IsNaN IsInf',
    [int32]: 'ConvInteger MatMulInteger',
    [float]: 'DynamicQuantizeMatMul MatMulIntegerToFloat',
    [uint8]: 'DynamicQuantizeLinear',
  }).flatMap(([type, ops]) => ops.split(' ').map((op): [string, number] => [op, Number(type)])),
);

/** Where quantising operators have the scale of their result; the zero point comes next. */
const scaleAt: Readonly<Record<string, number>> = {
  ...{ QuantizeLinear: 1, QLinearConv: 6, QLinearMatMul: 6, QLinearAdd: 6, QLinearMul: 6, QGemm: 7, QLinearConcat: 0 },
  ...{ QLinearAveragePool: 3, QLinearGlobalAveragePool: 3, QLinearLeakyRelu: 3, QLinearSigmoid: 3, QLinearSoftmax: 3 },
  ...{ QLinearReduceMean: 3, QLinearWhere: 7 },
};

/**
 * The formats of all values, from the operators that make them: most keep that of their first input.
 *
 * @param nodes in topological order
 * @param constants by name; only their types are read
 */
export function formatsOf(
  nodes: readonly NodeMessage[],
  constants: ReadonlyMap<string, TensorMessage>,
  input: { readonly name: string; readonly type: number },
): Map<string, Format> {
  const formats = new Map<string, Format>([[input.name, { type: input.type }]]);
  for (const [name, { data_type }] of constants) formats.set(name, { type: data_type });
  for (const node of nodes) {
    const format = formatBehind(node, formats);
    node.output.forEach((name, i) => {
      if (name !== '') formats.set(name, i === 0 ? format : { type: secondType(node, i) ?? format.type });
    });
  }
  return formats;
}

function formatBehind(node: NodeMessage, formats: ReadonlyMap<string, Format>): Format {
  const of = (at: number): Format | undefined => formats.get(node.input?.[at] ?? '');
  const { op_type: op } = node;
  const scale = scaleAt[op];
  if (scale !== undefined && (node.input[scale] ?? '') !== '') {
    const quantised = node.input.slice(scale, scale + 2).filter((name) => name !== '');
    return { type: of(scale + 1)?.type ?? (intOf(node, 'output_dtype', 0) || uint8), quantised };
  }
  const fixed = fixedTypes.get(op);
  if (fixed !== undefined) return { type: fixed };
  if (op === 'QGemm') return { type: float };
  if (op === 'Cast') return { type: intOf(node, 'to', float) };
  if (op === 'DequantizeLinear' || op === 'CastLike') return { type: of(1)?.type ?? float };
  if (op === 'Where') return { type: of(1)?.type ?? float };
  if (op === 'OneHot') return { type: of(2)?.type ?? float };
  if (op === 'Constant' || op === 'ConstantOfShape') return { type: attributeOf(node, 'value')?.t?.data_type ?? float };
  const first = of(0);
  const isBlocked = op !== 'ReorderOutput' && (node.domain === BLOCKED_DOMAIN || first?.isBlocked === true);
  return {
    type: first?.type ?? float,
    ...(first?.quantised !== undefined && is8Bit(first.type) && { quantised: first.quantised }),
    ...(isBlocked && { isBlocked }),
  };
}

function secondType({ op_type: op }: NodeMessage, output: number): number | undefined {
  if (op === 'DynamicQuantizeLinear') return output === 1 ? float : uint8;
  if (op === 'Dropout') return bool;
  return op === 'TopK' || op === 'MaxPool' ? int64 : undefined;
}
