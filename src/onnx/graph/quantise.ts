import { InputError } from '../../errors.js';
import { dialectOfFile, type GraphBuilder, Rewriter } from '../builder.js';
import type { UserNetwork } from '../network.js';
import { dataTypes, type ModelMessage, type NodeMessage } from '../proto.js';
import { isConstant, type PreparedGraph } from './prepare.js';
import { attributeOf, floatsOf, inputsOf, intOf, outputsOf, textOf } from './values.js';

/** Smallest and largest number of each activation, over the images that it was calibrated on. */
export type Ranges = Readonly<Record<string, readonly [low: number, high: number]>>;

/**
 * Weights are whole numbers from -64 to 64: without VNNI, processors add two products of 8-bit numbers in 16 bits, and 255 x 64
 * x 2 is the most that fits. A network that saturates on some processors is another network there, and no promise made
 * elsewhere holds for it.
 */
const MOST_WEIGHT = 64;
const LEVELS = 255;

/** What the 8-bit form of an activation is called: a gate reads it there, and images that stay are gathered there. */
export const eightBitName = (tensor: string): string => `${tensor}/8bit`;

/**
 * What is quantised: what convolutions, products with weights and sums of two maps read, and what convolutions and sums
 * give, behind the activation that follows them. Everything else works on float32 numbers.
 *
 * @returns the nodes with weights, those that only move numbers and so work on 8-bit ones, and the activations
 * @throws InputError where nothing would be quantised
 */
function choose(graph: PreparedGraph) {
  const { nodes, logits, constants } = graph;
  const isWeight = (name: string): boolean => floatsOf(constants.get(name)) !== undefined;
  const isMap = (name: string): boolean => !isConstant(graph, name) && graph.shapes.get(name)![0].length === 4;
  const products = nodes.filter((node) => {
    const [images = '', weight = '', bias = ''] = node.input;
    const isLinear = isPlainGemm(node) || node.op_type === 'MatMul';
    const fits = node.op_type === 'Conv' || (isLinear && constants.get(weight)?.dims.length === 2);
    return fits && !isConstant(graph, images) && isWeight(weight) && (bias === '' || isWeight(bias));
  });
  if (products.length === 0) {
    const why = 'no convolution or product with float32 weights; valid: a network of float32 numbers';
    throw new InputError(`${graph.model.file.path}: ${why}`);
  }
  const sums = nodes.filter(({ op_type, input }) => op_type === 'Add' && input.every(isMap));
  const tensors = new Set([...products.map(({ input }) => input[0]!), ...sums.flatMap(({ input }) => input)]);
  const given = [...products.filter(({ op_type }) => op_type === 'Conv'), ...sums].map(({ output }) => output[0]!);
  const activated = new Map(nodes.filter(isActivation).map(({ input, output }) => [input[0]!, output[0]!]));
  for (const name of given) if (name !== logits) tensors.add(activated.get(name) ?? name);
  const moves = new Set<NodeMessage>();
  for (const node of nodes.toReversed()) {
    if (!isMove(node, constants) || !tensors.has(node.output[0]!)) continue;
    moves.add(node);
    tensors.add(node.input[0]!);
  }
  return { products: new Set(products), moves, tensors };
}

const isActivation = ({ op_type }: NodeMessage): boolean => op_type === 'Relu' || op_type === 'Clip';

function isPlainGemm(node: NodeMessage): boolean {
  const isUnscaled = ['alpha', 'beta'].every((name) => Number(attributeOf(node, name)?.f ?? 1) === 1);
  return node.op_type === 'Gemm' && isUnscaled && intOf(node, 'transA', 0) === 0;
}

const moving = new Set(['MaxPool', 'Slice', 'Transpose', 'Reshape', 'Flatten', 'Squeeze', 'Unsqueeze']);

/** Whether a node keeps the numbers of its first input; zeros that are padded are one of them. */
function isMove(node: NodeMessage, constants: PreparedGraph['constants']): boolean {
  if (!isFilling(node)) return moving.has(node.op_type) && outputsOf(node).length === 1;
  const [, , fill = ''] = node.input;
  return fill === '' || floatsOf(constants.get(fill))?.[0] === 0;
}

const isFilling = (node: NodeMessage): boolean =>
  node.op_type === 'Pad' && (textOf(node, 'mode') ?? 'constant') === 'constant';

/** Whether rounding to numbers from 0 up does the same: its result is never below 0, and no more than the largest one seen. */
const isCutByRounding = ({ op_type, input: [, low = ''] }: NodeMessage, { constants }: PreparedGraph): boolean =>
  op_type === 'Relu' || (op_type === 'Clip' && floatsOf(constants.get(low))?.[0] === 0);

const rangeName = (tensor: string, end: 'low' | 'high'): string => `dgate/${end} of ${tensor}`;

/**
 * The graph with an output for each activation that becomes 8-bit numbers: the largest number of each image, and the largest of
 * its negative, [images].
 *
 * @returns its bytes, and how to read the range of every such activation from what it gives for some batches
 */
export function rangeGraph(user: UserNetwork) {
  const tensors = [...choose(user.graph).tensors];
  const to = copyOf(user.graph, '8bit');
  for (const node of user.graph.nodes) to.copy(node);
  for (const tensor of tensors) {
    const rows = to.node('Flatten', [tensor], { axis: 1 });
    for (const [end, value] of [['high', rows] as const, ['low', to.node('Neg', [rows])] as const]) {
      to.node('Identity', [to.rowMaxima(value)], {}, rangeName(tensor, end));
      to.output(rangeName(tensor, end), 'float', ['batch']);
    }
  }
  const rangesOf = (results: readonly ReadonlyMap<string, { readonly data: ArrayLike<number | bigint> }>[]) => {
    const largest = (name: string): number =>
      results.reduce((most, values) => Math.max(most, ...Array.from(values.get(name)!.data, Number)), 0);
    return Object.fromEntries(
      tensors.map((tensor): [string, Ranges[string]] => {
        return [tensor, [-largest(rangeName(tensor, 'low')), largest(rangeName(tensor, 'high'))]];
      }),
    );
  };
  return { bytes: to.encode(), rangesOf };
}

/** A builder with the graph's input, constants and the nodes that compute further constants. @param name of the step */
export function copyOf(
  { model, constants, constantNodes }: PreparedGraph,
  name: string,
  without: ReadonlySet<string> = new Set(),
): GraphBuilder {
  const to = new Rewriter(name, undefined, dialectOfFile(model.file.model));
  const { channels, height, width, value } = model.input;
  to.input(value, 'float', ['batch', channels, height, width]);
  for (const [constant, tensor] of constants) if (!without.has(constant)) to.tensor(tensor);
  for (const node of new Set(constantNodes.values())) to.copy(node);
  return to;
}

/** Scale and zero point of an activation: a range that holds 0, so that zeros stay zeros. */
function scaleOf([low, high]: Ranges[string]): { readonly scale: number; readonly zero: number } {
  const [from, to] = [Math.min(0, low), Math.max(0, high)];
  const scale = Math.fround((to - from) / LEVELS || 1);
  return { scale, zero: Math.max(0, Math.min(LEVELS, Math.round(-from / scale))) };
}

/**
 * The graph with 8-bit numbers: each activation that is chosen is rounded (`QuantizeLinear`, one scale for the tensor, uint8) and
 * stands for float32 numbers again (`DequantizeLinear`); weights are int8 with one scale for each output channel, biases
 * int32. ONNX Runtime and others join such pairs with the operator between them into one on 8-bit numbers. A ReLU is left to the
 * rounding, which cuts at 0 too: ONNX Runtime 1.30 joins it in a branch, but keeps the operators that it has joined.
 *
 * @param ranges of every chosen activation (`rangeGraph`)
 */
export function quantisedModel(user: UserNetwork, ranges: Ranges): ModelMessage {
  const { graph } = user;
  const { products, moves, tensors } = choose(graph);
  const weights = new Set([...products].flatMap(({ input }) => input.slice(1)));
  const others = new Set(graph.nodes.filter((node) => !products.has(node)).flatMap(inputsOf));
  const to = copyOf(user.graph, '8bit', new Set([...weights].filter((name) => !others.has(name))));
  /** Which activation gave a tensor its scale: what is moved keeps it. */
  const scaledAs = new Map<string, string>();
  const parameters = (tensor: string): [scale: string, zero: string] => {
    const as = scaledAs.get(tensor)!;
    const { scale, zero } = scaleOf(ranges[as]!);
    return [to.constant(`${as}/scale`, Float32Array.of(scale), []), to.constant(`${as}/zero`, Uint8Array.of(zero), [])];
  };
  const real = (tensor: string): string => (tensors.has(tensor) ? `${tensor}/real` : tensor);
  const dequantise = (tensor: string): void => {
    to.node('DequantizeLinear', [eightBitName(tensor), ...parameters(tensor)], {}, real(tensor));
  };
  const quantise = (tensor: string, from = tensor): void => {
    scaledAs.set(tensor, tensor);
    to.node('QuantizeLinear', [from, ...parameters(tensor)], {}, eightBitName(tensor));
    dequantise(tensor);
  };
  const { value } = graph.model.input;
  if (tensors.has(value)) quantise(value);
  for (const node of graph.nodes) {
    const [output] = outputsOf(node) as [string];
    const [first = '', ...rest] = node.input;
    if (moves.has(node)) {
      scaledAs.set(output, scaledAs.get(first)!);
      const [, zero] = parameters(first);
      const input = isFilling(node) ? [rest[0]!, zero, ...rest.slice(2)] : rest;
      to.copy({ ...node, input: [eightBitName(first), ...input], output: [eightBitName(output)] });
      dequantise(output);
      continue;
    }
    if (tensors.has(output) && isCutByRounding(node, graph)) {
      quantise(output, real(first));
      continue;
    }
    const scale = products.has(node) ? scaleOf(ranges[scaledAs.get(first)!]!).scale : 1;
    const constants = products.has(node) ? writeWeights(to, graph, node, scale) : rest.map(real);
    to.copy({ ...node, input: [real(first), ...constants] });
    for (const name of outputsOf(node)) if (tensors.has(name)) quantise(name);
  }
  to.output(graph.logits, 'float', ['batch', graph.shapes.get(graph.logits)![0][1]!]);
  return { ...graph.model.file.model, graph: to.graph() };
}

/** Writes a product's weights and bias as whole numbers with their scales. @returns what the product reads */
function writeWeights(to: GraphBuilder, { constants }: PreparedGraph, node: NodeMessage, scale: number): string[] {
  const [, weight = '', bias = ''] = node.input;
  const tensor = constants.get(weight)!;
  const [values, dims] = [floatsOf(tensor)!, tensor.dims.map(Number)];
  const axis = node.op_type === 'MatMul' || (node.op_type === 'Gemm' && intOf(node, 'transB', 0) === 0) ? 1 : 0;
  const channels = dims[axis]!;
  const channelOf = (i: number): number => (axis === 1 ? i % channels : Math.floor((i * channels) / values.length));
  const largest = new Float32Array(channels);
  for (const [i, value] of values.entries()) {
    largest[channelOf(i)] = Math.max(largest[channelOf(i)]!, Math.abs(value));
  }
  const scales = largest.map((most) => most / MOST_WEIGHT || 1);
  const write = (name: string, data: Int8Array | Int32Array, sizes: readonly number[]): string => {
    const type = data instanceof Int8Array ? dataTypes.int8 : dataTypes.int32;
    return to.tensor({ name, dims: sizes, data_type: type, raw_data: new Uint8Array(data.buffer) });
  };
  const rounded = Int8Array.from(values, (value, i) => Math.round(value / scales[channelOf(i)]!));
  const name = `${weight}/${axis}/8bit`;
  const written = [
    write(name, rounded, dims),
    to.constant(`${name}/scale`, scales, [channels]),
    write(`${name}/zero`, new Int8Array(channels), [channels]),
  ];
  const real = to.node('DequantizeLinear', written, { axis });
  if (bias === '') return [real];
  const biases = floatsOf(constants.get(bias))!;
  const steps = scales.map((step) => step * scale);
  const most = 2 ** 31 - 1;
  const whole = Int32Array.from(steps, (step, c) => {
    return Math.round(Math.max(-most, Math.min(most, biases[c % biases.length]! / step)));
  });
  const own = to.fresh('bias');
  const biased = [write(own, whole, [channels]), to.constant(`${own}/scale`, steps, [channels])];
  return [real, to.node('DequantizeLinear', biased, { axis: 0 })];
}
