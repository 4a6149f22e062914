import { elementCount } from '../../tensor.js';
import { dataTypes, type NodeMessage } from '../proto.js';
import { isOwnDomain } from './opsets.js';
import type { PreparedGraph } from './prepare.js';
import { intOf, producersOf, textOf } from './values.js';

/** FLOPs of a graph for one image: 2 x multiply-accumulates of convolutions, linear layers and matrix products. */
export interface GraphFlops {
  /** By node of `PreparedGraph.nodes`. */
  readonly perNode: readonly number[];
  /** Bits of the numbers that each node multiplies: 8, 16 or 32. */
  readonly widths: readonly number[];
  readonly total: number;
  /** Operators that are not counted, most frequent first. */
  readonly notCounted: readonly { readonly op: string; readonly count: number }[];
  /** Those among them with unknown cost, missing from the total. */
  readonly unknown: readonly string[];
}

/** Operators that the convention does not count. Those missing here and in `counted` are reported. */
const cheap = new Set(
  (
    'Abs Acos Acosh Add AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization ' +
    'BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu CenterCropPad Clip Col2Im ' +
    'Compress Concat ConstantOfShape Cos Cosh CumProd CumSum DepthToSpace Div Dropout Elu Equal Erf Exp Expand ' +
    'EyeLike Flatten Floor Gather GatherElements GatherND Gelu GlobalAveragePool GlobalLpPool GlobalMaxPool ' +
    'Greater GreaterOrEqual GridSample GroupNormalization Hardmax HardSigmoid HardSwish Identity ' +
    'InstanceNormalization IsInf IsNaN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax ' +
    'LpNormalization LpPool LRN Max MaxPool MaxRoiPool MaxUnpool Mean MeanVarianceNormalization Min Mish Mod Mul ' +
    'Neg NonMaxSuppression NonZero Not OneHot Or Pad Pow PRelu Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ' +
    'ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ' +
    'ReverseSequence RMSNormalization RoiAlign RotaryEmbedding Round Scatter ScatterElements ScatterND Selu ' +
    'Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub ' +
    'Sum Swish Tan Tanh TensorScatter ThresholdedRelu Tile TopK Transpose Trilu Unique Unsqueeze Upsample Where ' +
    'Xor ' +
    'QuantizeLinear DequantizeLinear DynamicQuantizeLinear QLinearAdd QLinearMul QLinearConcat QLinearSigmoid ' +
    'QLinearLeakyRelu QLinearAveragePool QLinearGlobalAveragePool QLinearReduceMean QLinearSoftmax QLinearWhere ' +
    'BiasGelu FastGelu QuickGelu BiasSoftmax BiasSplitGelu SkipLayerNormalization SimplifiedLayerNormalization ' +
    'SkipSimplifiedLayerNormalization NhwcMaxPool ReorderInput ReorderOutput Inverse'
  ).split(' '),
);

type ShapeOf = (name: string) => readonly number[];

type Products = (node: NodeMessage, shapeOf: ShapeOf) => number;
// A weight is [out, in / groups, kernel...]: each output number takes in / groups x kernel multiplications.
const conv =
  (weight: number): Products =>
  ({ input, output }, shapeOf) =>
    elementCount(shapeOf(output[0]!)) * elementCount(shapeOf(input[weight]!).slice(1));
const gemm: Products = ({ input, output }, shapeOf) => {
  const rows = shapeOf(output[0]!)[0]!;
  return elementCount(shapeOf(output[0]!)) * (elementCount(shapeOf(input[0]!)) / rows);
};
const matMul: Products = (node, shapeOf) =>
  elementCount(shapeOf(node.output[0]!)) * shapeOf(node.input[0]!).at(intOf(node, 'transA', 0) === 1 ? -2 : -1)!;

/** Each step multiplies a row of images [steps, n, size] and its state by all weights of every direction. */
const recurrent: Products = ({ input }, shapeOf) => {
  const [steps, weights, ofState] = [0, 1, 2].map((i) => shapeOf(input[i]!));
  return elementCount(steps!.slice(0, 2)) * (elementCount(weights!) + elementCount(ofState!));
};

/** Multiply-accumulates on one image, by counted operator. */
const counted: Readonly<Record<string, Products>> = {
  ...{ Conv: conv(1), FusedConv: conv(1), NhwcFusedConv: conv(1), ConvInteger: conv(1), QLinearConv: conv(3) },
  ...{ DeformConv: conv(1), GRU: recurrent, LSTM: recurrent, RNN: recurrent },
  // A weight is [in, out / groups, kernel...]: each input number goes into out / groups x kernel outputs.
  ConvTranspose: ({ input }, shapeOf) => elementCount(shapeOf(input[0]!)) * elementCount(shapeOf(input[1]!).slice(1)),
  ...{ Gemm: gemm, FusedGemm: gemm, QGemm: gemm },
  ...{ MatMul: matMul, FusedMatMul: matMul, MatMulInteger: matMul, QLinearMatMul: matMul },
  ...{ MatMulIntegerToFloat: matMul, DynamicQuantizeMatMul: matMul },
  // A weight of few bits is packed: [out, blocks, bytes].
  MatMulNBits: (node, shapeOf) => elementCount(shapeOf(node.input[0]!)) * intOf(node, 'N', Number.NaN),
  Einsum: einsumProducts,
  Attention: (node, shapeOf) =>
    isOwnDomain(node.domain) ? attentionProducts(node, shapeOf) : fusedAttention(node, shapeOf),
  // [n, tokens, size] each
  MultiHeadAttention: ({ input }, shapeOf) => {
    const [q, k, v] = [0, 1, 2].map((i) => shapeOf(input[i] ?? ''));
    return q!.length === 3 && k!.length === 3 ? elementCount(q!.slice(0, 2)) * k![1]! * (q![2]! + v![2]!) : Number.NaN;
  },
};

/** uint16, int16 */
const SIXTEEN = new Set<number | undefined>([4, 5]);

/** Operators that multiply 8-bit numbers. */
const narrow = /^(QLinear|QGemm|DynamicQuantizeMatMul)|Integer(ToFloat)?$/;

/** Bits of the numbers that a node multiplies: 8 if both are 8-bit, or dequantised. */
function widthOf(
  { op_type, input }: NodeMessage,
  { formats }: PreparedGraph,
  producers: ReadonlyMap<string, NodeMessage>,
): number {
  const isRestored = (name = ''): boolean => {
    const by = producers.get(name);
    return by?.op_type === 'DequantizeLinear' && !SIXTEEN.has(formats.get(by.input[0]!)?.type);
  };
  if (narrow.test(op_type) || (isRestored(input[0]) && isRestored(input[1]))) return 8;
  return formats.get(input[0] ?? '')?.type === dataTypes.float16 ? 16 : 32;
}

/** Operators with known cost. None runs a subgraph, and none comes from an external library. */
export const knownOperators: ReadonlySet<string> = new Set([...cheap, ...Object.keys(counted)]);

export function graphFlops(graph: PreparedGraph): GraphFlops {
  const { nodes, shapes, constantNodes } = graph;
  const producers = new Map([...producersOf(nodes), ...constantNodes]);
  const shapeOf: ShapeOf = (name) => shapes.get(name)?.[0] ?? [];
  const others = new Map<string, number>();
  const unknown = new Set<string>();
  const widths = nodes.map((node) => widthOf(node, graph, producers));
  const perNode = nodes.map((node) => {
    const op = node.op_type;
    const macs = counted[op]?.(node, shapeOf);
    if (macs !== undefined && Number.isFinite(macs)) return 2 * macs;
    others.set(op, (others.get(op) ?? 0) + 1);
    if (!cheap.has(op)) unknown.add(op);
    return 0;
  });
  return {
    perNode,
    widths,
    total: perNode.reduce((sum, flops) => sum + flops, 0),
    notCounted: [...others]
      .map(([op, count]) => ({ op, count }))
      .sort((a, b) => b.count - a.count || (a.op < b.op ? -1 : 1)),
    unknown: [...unknown],
  };
}

/** Every combination of the indices of two operands is one multiplication. NaN for other numbers of operands. */
function einsumProducts(node: NodeMessage, shapeOf: ShapeOf): number {
  const equation = (textOf(node, 'equation') ?? '').replaceAll(' ', '');
  const operands = equation.split('->')[0]!.split(',');
  if (operands.length !== 2 || equation.includes('.')) return Number.NaN;
  const sizes = new Map<string, number>();
  operands.forEach((letters, i) => {
    [...letters].forEach((letter, axis) => {
      sizes.set(letter, Math.max(sizes.get(letter) ?? 1, shapeOf(node.input[i]!)[axis] ?? Number.NaN));
    });
  });
  return elementCount([...sizes.values()]);
}

/** ONNX Runtime's `Attention`: images [n, tokens, size], weights [size, 3 x inner]; three projections, two products. */
function fusedAttention({ input }: NodeMessage, shapeOf: ShapeOf): number {
  const [images, weights] = [shapeOf(input[0]!), shapeOf(input[1]!)];
  const [tokens, size, all] = [images[1]!, images[2]!, weights[1]!];
  return images[0]! * tokens * (size * all + (2 * tokens * all) / 3);
}

/** ONNX's own `Attention` on [n, heads, tokens, size]: queries times keys, and the result times values. */
function attentionProducts({ input }: NodeMessage, shapeOf: ShapeOf): number {
  const [q, k, v] = [0, 1, 2].map((i) => shapeOf(input[i] ?? ''));
  if (q!.length !== 4 || k!.length !== 4 || v!.length !== 4 || (input[4] ?? '') !== '') return Number.NaN;
  const pairs = elementCount(q!.slice(0, 3)) * k![2]!;
  return pairs * (q![3]! + v![3]!);
}
