import { InputError } from '../../errors.js';
import { Rewriter } from '../builder.js';
import { dataTypes, type GraphMessage, type ModelMessage, type NodeMessage, type TensorMessage } from '../proto.js';
import type { UserFile } from './read.js';
import { attributeOf, floatsOf, intOf, intsOf, producersOf, textOf } from './values.js';

const [LEAST_OPSET, MOST_OPSET] = [7, 25];
/** The first opset in which dgate's own nodes are valid, and the one that older graphs are converted to. */
const [OWN_OPSET, TARGET_OPSET] = [13, 17];

interface Source {
  readonly opset: number;
  /** Whether the file has floating-point numbers other than float32. */
  readonly hasOtherFloats: boolean;
  readonly constants: ReadonlyMap<string, TensorMessage>;
}

/** Writes the newer form of a node. @returns the problem, if there is no such form */
type Rule = (node: NodeMessage, to: Rewriter, source: Source) => string | undefined;

/** Operators that differ from opset 17 in opsets before `version`, and how to convert them. */
const rules: Readonly<Record<string, readonly [version: number, rule: Rule]>> = {
  Squeeze: [13, movedInts('axes')],
  Unsqueeze: [13, movedInts('axes')],
  ReduceSum: [13, movedInts('axes')],
  Split: [13, movedInts('split')],
  Slice: [10, movedInts('starts', 'ends', 'axes')],
  TopK: [10, movedInts('k')],
  Clip: [11, clip],
  Pad: [11, pad],
  Softmax: [13, overTwoAxes],
  LogSoftmax: [13, overTwoAxes],
  Hardmax: [13, overTwoAxes],
  Dropout: [12, copied('Identity')],
  BatchNormalization: [14, batchNormalization],
  Upsample: [10, resize],
  Resize: [13, resize],
  Scatter: [11, copied('ScatterElements')],
};

/**
 * Converts the graph of a file to an opset and IR version that the rest of dgate knows: opsets 7 to 12 to 17.
 *
 * @throws InputError for other opsets, or naming an operator that cannot be converted
 */
export function inCurrentOpset(file: UserFile): { readonly file: UserFile; readonly opset: number } {
  const { model, path } = file;
  const opset = versionOf(model);
  if (opset < LEAST_OPSET || opset > MOST_OPSET) {
    throw new InputError(`${path}: opset ${opset}; valid: ${LEAST_OPSET} to ${MOST_OPSET}: export again with opset 17`);
  }
  // IR versions before 4 demand that initializers are inputs.
  const ir_version = Math.max(8, Number(model.ir_version));
  if (opset >= OWN_OPSET) return { file: { ...file, model: { ...model, ir_version } }, opset };
  const hasOtherFloats = model.graph.initializer.some(({ data_type }) => otherFloats.has(data_type));
  const constants = new Map(model.graph.initializer.map((tensor) => [tensor.name, tensor]));
  for (const node of model.graph.node) {
    const value = node.op_type === 'Constant' ? attributeOf(node, 'value')?.t : undefined;
    if (value != null) constants.set(node.output[0]!, value);
  }
  const graph = upgraded(model.graph, { opset, hasOtherFloats, constants }, file, 'opset');
  const others = model.opset_import.filter(({ domain }) => !isOwnDomain(domain));
  const opset_import: ModelMessage['opset_import'] = [{ domain: '', version: TARGET_OPSET }, ...others];
  return { file: { ...file, model: { ...model, ir_version, opset_import, graph } }, opset };
}

/** Whether a domain is that of ONNX's own operators. */
export const isOwnDomain = (domain: string | undefined): boolean =>
  domain === undefined || /^(ai\.onnx)?$/.test(domain);

/** The version of ONNX's own operators. */
export const versionOf = ({ opset_import }: ModelMessage): number =>
  Number(opset_import.find(({ domain }) => isOwnDomain(domain))?.version ?? 1);

const otherFloats = new Set<number>([dataTypes.float16, dataTypes.double, dataTypes.bfloat16]);

function upgraded(graph: GraphMessage, source: Source, file: UserFile, name: string): GraphMessage {
  const to = new Rewriter(name);
  for (const [index, node] of graph.node.entries()) {
    const attribute = (node.attribute ?? []).map((each, i) =>
      each.g == null ? each : { ...each, g: upgraded(each.g, source, file, `${name}/${index}.${i}`) },
    );
    const found = isOwnDomain(node.domain) && Object.hasOwn(rules, node.op_type) ? rules[node.op_type] : undefined;
    if (found === undefined || source.opset >= found[0]) {
      to.copy({ ...node, attribute });
      continue;
    }
    file.budget.steps(8);
    const problem = found[1]({ ...node, attribute }, to, source);
    if (problem !== undefined) {
      const what = `${node.op_type} ${JSON.stringify(node.name || node.output[0])}`;
      throw new InputError(`${file.path}: ${what} of opset ${source.opset}: ${problem}; valid: opset 13 or newer`);
    }
  }
  const { node, initializer } = to.graph();
  return { ...graph, node, initializer: [...graph.initializer, ...initializer] };
}

const without = ({ attribute }: NodeMessage, ...names: readonly string[]) =>
  attribute.filter(({ name }) => !names.includes(name));

/** Another operator that does the same; `Identity` keeps the first output only. */
function copied(op_type: string): Rule {
  return (node, to) => {
    const isSame = op_type !== 'Identity';
    const [input, output] = isSame ? [node.input, node.output] : [node.input.slice(0, 1), node.output.slice(0, 1)];
    to.copy({ ...node, op_type, input, output, attribute: isSame ? node.attribute : [] });
    return undefined;
  };
}

/** Whole numbers that were attributes and became inputs, in this order. An open end (int64's largest) becomes 2^62. */
function movedInts(...names: readonly string[]): Rule {
  return (node, to) => {
    const moved = names.map((name) => {
      const values = attributeOf(node, name)?.ints ?? [];
      const single = attributeOf(node, name)?.i;
      if (values.length > 0)
        return to.ints(
          to.fresh(name),
          values.map((end) => Math.min(Number(end), 2 ** 62)),
        );
      return single === undefined || name !== 'k' ? '' : to.ints(to.fresh(name), [Number(single)]);
    });
    while (moved.at(-1) === '') moved.pop();
    to.copy({ ...node, input: [node.input[0]!, ...moved], attribute: without(node, ...names) });
    return undefined;
  };
}

/** A constant of the same type as a value. */
function numberLike(to: Rewriter, value: number, like: string, { hasOtherFloats }: Source): string {
  const constant = to.constant(to.fresh('number'), Float32Array.of(value), []);
  return hasOtherFloats ? to.node('CastLike', [constant, like]) : constant;
}

function clip(node: NodeMessage, to: Rewriter, source: Source): undefined {
  const bounds = ['min', 'max'].map((name) => {
    const bound = attributeOf(node, name)?.f;
    return bound === undefined ? '' : numberLike(to, bound, node.input[0]!, source);
  });
  to.copy({ ...node, input: [node.input[0]!, ...bounds], attribute: [] });
}

function pad(node: NodeMessage, to: Rewriter, source: Source): undefined {
  const value = attributeOf(node, 'value')?.f ?? 0;
  const input = [node.input[0]!, to.ints(to.fresh('pads'), intsOf(node, 'pads') ?? [])];
  if (value !== 0) input.push(numberLike(to, value, node.input[0]!, source));
  to.copy({ ...node, input, attribute: without(node, 'pads', 'value') });
}

/** Before opset 13 the axes from `axis` on counted as one. */
function overTwoAxes(node: NodeMessage, to: Rewriter): undefined {
  const [input = ''] = node.input;
  const axis = intOf(node, 'axis', 1);
  if (axis === -1) return void to.copy(node);
  const rows = to.node(node.op_type, [to.node('Flatten', [input], { axis })], { axis: -1 });
  to.node('Reshape', [rows, to.node('Shape', [input])], {}, node.output[0]);
}

/** MXNet writes `spatial` 0 with one number for each channel, which can only be meant as 1. */
function batchNormalization(node: NodeMessage, to: Rewriter, { constants }: Source): string | undefined {
  const isOfChannels = constants.get(node.input[1] ?? '')?.dims.length === 1;
  if (intOf(node, 'spatial', 1) !== 1 && !isOfChannels) return 'normalises each pixel by itself (spatial 0)';
  to.copy({ ...node, output: node.output.slice(0, 1), attribute: without(node, 'spatial') });
  return undefined;
}

/** `Upsample` and `Resize` before opset 11 scaled from the corner; later ones have attributes for it. */
function resize(node: NodeMessage, to: Rewriter, { opset, constants }: Source): string | undefined {
  const how = textOf(node, 'coordinate_transformation_mode');
  if (how === 'tf_half_pixel_for_nn') return `the coordinates ${how} were given up`;
  if (opset >= 11) {
    to.copy(node);
    return undefined;
  }
  const moved = attributeOf(node, 'scales')?.floats ?? [];
  const scales =
    moved.length === 0 ? node.input[1] : to.constant(to.fresh('scales'), Float32Array.from(moved), [moved.length]);
  if (scales === undefined) return 'has no scales';
  const factors = moved.length === 0 ? (floatsOf(constants.get(scales)) ?? []) : moved;
  // ONNX Runtime rounds up for axes that shrink; a newer operator rounds all axes alike.
  const nearest_mode = factors.some((factor) => factor < 1) ? 'ceil' : 'floor';
  if (nearest_mode === 'ceil' && factors.some((factor) => factor > 1)) return 'scales one axis up and another down';
  const mode = textOf(node, 'mode') ?? 'nearest';
  const corner = { coordinate_transformation_mode: 'asymmetric', nearest_mode };
  const attributes = { mode: mode === 'bilinear' ? 'linear' : mode, ...corner };
  to.node('Resize', [node.input[0]!, '', scales], attributes, node.output[0]);
  return undefined;
}

/** Products of 8-bit numbers, and the same of float32 numbers. */
const products: Readonly<Record<string, string>> = { ConvInteger: 'Conv', MatMulInteger: 'MatMul' };

/**
 * Gives each image a scale of its own, and multiplies its rounded numbers as float32. `DynamicQuantizeLinear` takes one scale
 * for a whole batch, so that results would depend on the other images.
 */
export function quantisedImageByImage(file: UserFile, notes: string[]): UserFile {
  const { graph } = file.model;
  const producers = producersOf(graph.node);
  if (!graph.node.some(({ op_type }) => op_type === 'DynamicQuantizeLinear')) return file;
  const { opset_import: opsets, ir_version: irVersion } = file.model;
  const to = new Rewriter('dynamic', undefined, { opsets, irVersion });
  for (const node of graph.node) {
    const source = producers.get(node.input[0] ?? '');
    file.budget.steps(4);
    const isProduct = Object.hasOwn(products, node.op_type) && source?.op_type === 'DynamicQuantizeLinear';
    if (node.op_type === 'DynamicQuantizeLinear') writeScales(to, node);
    else if (isProduct) writeProduct(to, node);
    else to.copy(node);
  }
  notes.push(
    'dynamic quantisation rounds each image by itself, with float32 products: its operator rounds a batch together',
  );
  const { node, initializer } = to.graph();
  const rewritten = { ...graph, node, initializer: [...graph.initializer, ...initializer] };
  return { ...file, model: { ...file.model, graph: rewritten } };
}

/** ONNX's definition over all axes but the first: whole numbers 0 to 255 as float32, scales and zero points [n, 1, ...]. */
function writeScales(to: Rewriter, { input, output }: NodeMessage): void {
  const [images = ''] = input;
  const number = (value: number): string => to.constant(`dgate/number${value}`, Float32Array.of(value), []);
  const [zero, most] = [number(0), number(255)];
  const [numbers, scale, start] = output as [string, string, string];
  // The number of axes is not known here: reduce rows [n, 1], then reshape to [n, 1, ...].
  const rows = to.node('Flatten', [images], { axis: 1 });
  const sizes = to.node('Shape', [images]);
  const ones = to.node('Div', [sizes, sizes]);
  const rest = to.node('Slice', [ones, to.ints('dgate/from1', [1]), to.ints('dgate/end', [2 ** 31])]);
  const each = to.node('Concat', [to.ints('dgate/rest', [-1]), rest], { axis: 0 });
  const largestOf = (value: string): string => to.node('Reshape', [to.rowMaxima(to.node('Max', [value, zero])), each]);
  const [largest, least] = [largestOf(rows), largestOf(to.node('Neg', [rows]))];
  const range = to.node('Div', [to.node('Add', [largest, least]), most]);
  to.node('Max', [range, number(1e-30)], {}, scale);
  const clipped = to.node('Clip', [to.node('Div', [least, scale]), zero, most]);
  to.node('Round', [clipped], {}, start);
  const moved = to.node('Add', [to.node('Round', [to.node('Div', [images, scale])]), start]);
  to.node('Clip', [moved, zero, most], {}, numbers);
}

function writeProduct(to: Rewriter, node: NodeMessage): void {
  const [images = '', weights = '', start = '', zero = ''] = node.input;
  const shifted = start === '' ? images : to.node('Sub', [images, start]);
  const asFloats = (value: string): string => to.node('Cast', [value], { to: dataTypes.float });
  const real = zero === '' ? asFloats(weights) : to.node('Sub', [asFloats(weights), asFloats(zero)]);
  to.copy({ ...node, op_type: products[node.op_type]!, input: [shifted, real] });
}
