import { InputError, messageOf } from '../../errors.js';
import type { Budget } from '../../json.js';
import { normScaleAndShift, scaledRows } from '../../networks/lower.js';
import { elementCount } from '../../tensor.js';
import { dataTypes, type NodeMessage, type TensorMessage } from '../proto.js';
import { countLocally, openBatch } from './batch.js';
import { asConstant, bytesOf, type Probed, probe, type RunModel, type RunValue } from './probe.js';
import { floatLogits, type UserModel } from './user-model.js';
import {
  attributeOf,
  type Format,
  floatsOf,
  formatsOf,
  inputsOf,
  intOf,
  mapValues,
  outputsOf,
  producersOf,
  type Sizes,
  type ValueMap,
} from './values.js';

/** A user's network, ready to be cut: nodes that work on images, in topological order, and constants. Values keep their names. */
export interface PreparedGraph {
  readonly model: UserModel;
  /** The value with the classes' numbers, float32 [n, classes]. */
  readonly logits: string;
  readonly nodes: readonly NodeMessage[];
  /** By name, with folded ones. */
  readonly constants: ReadonlyMap<string, TensorMessage>;
  /** Nodes that compute further constants, by their results: large ones, and quantised weights. */
  readonly constantNodes: ReadonlyMap<string, NodeMessage>;
  readonly shapes: Probed['shapes'];
  readonly formats: ReadonlyMap<string, Format>;
  /** Floating-point numbers among the weights that the logits depend on. */
  readonly parameters: number;
  /** What was changed on reading, in words. */
  readonly notes: readonly string[];
}

/** Whether a value is the same for all images. */
export const isConstant = ({ constants, constantNodes }: PreparedGraph, name: string): boolean =>
  constants.has(name) || constantNodes.has(name);

/** A larger difference than by rounding: images influence each other. */
const MOST_MIXING = 1e-3;

/**
 * Prepares a graph: makes values constant that do not depend on the images, takes the number of images from where it is used,
 * and folds batch norms.
 *
 * @throws InputError if the graph cannot process any number of images independently
 */
export async function prepareGraph(given: UserModel, run: RunModel): Promise<PreparedGraph> {
  const { input, file } = given;
  const { model, map, probed } = await probeAnyBatch(given, run);
  const notes = [...model.notes];
  const { graph } = model.file.model;
  const constants = new Map(graph.initializer.map((tensor): [string, TensorMessage] => [tensor.name, tensor]));
  for (const [name, [one, two]] of probed.values) if (isSame(one, two)) constants.set(name, asConstant(name, one));
  const counted = countLocally(map, probed, constants, model);
  for (const tensor of counted.constants) constants.set(tensor.name, tensor);
  const type = graph.input.find(({ name }) => name === input.value)!.type.tensor_type.elem_type;
  const formats = formatsOf(counted.nodes, constants, { name: input.value, type });
  const found = probed.shapes.get(model.logits)!;
  const logits = floatLogits({ ...model, path: file.path }, found, formats.get(model.logits)!);
  if (logits.isPair) {
    const one = `the one number of ${model.logits} stands for two classes`;
    notes.push(model.end === undefined ? `${one}, as before a sigmoid: the second where it is above 0` : one);
  }
  for (const tensor of logits.constants) constants.set(tensor.name, tensor);
  const nodes = [...foldBatchNorms(counted.nodes, constants, logits.name, file.budget), ...logits.nodes];
  const fixed = { ...graph, node: nodes, initializer: [...constants.values()] };
  const { nodes: needed, kinds } = mapValues(fixed, input.value, logits.name, file.path);
  const isFixed = (node: NodeMessage): boolean => kinds.get(outputsOf(node)[0] ?? '') === 'constant';
  const used = new Set(needed.flatMap(inputsOf));
  const shapes = new Map([...[...constants.values()].map(sizesOf), ...probed.shapes, ...logits.shapes]);
  const constantNodes = new Map(
    needed.filter(isFixed).flatMap((node) => outputsOf(node).map((name): [string, NodeMessage] => [name, node])),
  );
  return {
    model,
    logits: logits.name,
    nodes: needed.filter((node) => !isFixed(node)),
    constants: new Map([...constants].filter(([name]) => used.has(name))),
    constantNodes,
    shapes,
    formats,
    parameters: countParameters(graph.initializer, map, formats, probed.shapes),
    notes,
  };
}

/** Probes the graph; if two images together give other results than each alone, rewritten for any number. */
async function probeAnyBatch(
  model: UserModel,
  run: RunModel,
): Promise<{ readonly model: UserModel; readonly map: ValueMap; readonly probed: Probed }> {
  const { file, input } = model;
  const map = mapValues(file.model.graph, input.value, model.logits, file.path);
  if (map.kinds.get(model.logits) !== 'data') {
    throw new InputError(`${file.path}: ${model.logits} does not depend on the images`);
  }
  const first = await tryTwo(model, map, run);
  const isRight = 'probed' in first;
  if (isRight && input.batch !== 1) return { model, map, probed: first.probed };
  // Throws if even one image fails.
  const alone = (): Promise<Probed> =>
    probe(model, map, run, true).catch((problem: unknown) => {
      if (!(problem instanceof InputError && (input.batch ?? 1) > 1)) throw problem;
      throw new InputError(`${file.path}: ${limit(model)}: ${problem.message.replace(`${file.path}: `, '')}`);
    });
  const rewritten = openBatch(map, isRight ? first.probed : await alone(), model);
  if (isRight && !rewritten.isOfOne) return { model, map, probed: first.probed };
  const { nodes, constants, changed, lost } = rewritten;
  const initializer = [...file.model.graph.initializer, ...constants];
  const graph = { ...file.model.graph, node: nodes, initializer };
  const did = [...changed].map(([op, count]) => `${count} ${op}`).join(', ');
  const notes = [...model.notes, `${did} of one image work on any number now: two together give what each gives alone`];
  const open = { ...model, file: { ...file, model: { ...file.model, graph } }, notes };
  const openMap = mapValues(graph, input.value, model.logits, file.path);
  const second = changed.size === 0 ? first : await tryTwo(open, openMap, run);
  if ('probed' in second) return { model: open, map: openMap, probed: second.probed };
  if (isRight) return { model, map, probed: first.probed };
  const why =
    lost === undefined
      ? messageOf(second.problem).replace(`${file.path}: `, '')
      : `${nameOf(lost)} mixes images or drops their number`;
  throw second.isMixing && lost === undefined
    ? second.problem
    : new InputError(`${file.path}: ${limit(model)}: ${why}`, { cause: second.problem });
}

const nameOf = ({ op_type, name, output }: NodeMessage): string => `${op_type} ${JSON.stringify(name || output[0])}`;

const limit = ({ input: { batch = 1, name } }: UserModel): string =>
  `works on ${batch} image${batch > 1 ? 's' : ''} at a time only, and cannot be rewritten for more (or export it with dynamic_axes={'${name}': {0: 'batch'}}, in newer PyTorch dynamic_shapes)`;

type Outcome = { readonly probed: Probed } | { readonly problem: unknown; readonly isMixing: boolean };

async function tryTwo(model: UserModel, map: ValueMap, run: RunModel): Promise<Outcome> {
  let probed: Probed;
  try {
    probed = await probe(model, map, run);
  } catch (problem) {
    if (!(problem instanceof InputError)) throw problem;
    return { problem, isMixing: false };
  }
  const { path } = model.file;
  const [one, two] = probed.shapes.get(model.logits)!;
  if (one[0] !== 1 || two[0] !== 2) {
    const found = `${model.logits} is [${one.join(', ')}] for one image, [${two.join(', ')}] for two`;
    return { problem: new InputError(`${path}: ${found}; valid: [images, classes]`), isMixing: false };
  }
  if (probed.mixing <= MOST_MIXING) return { probed };
  const found = Number.isFinite(probed.mixing) ? `differ by ${probed.mixing.toExponential(1)}` : 'are not finite';
  const valid = 'valid: a network in evaluation mode (model.eval()) that looks at each image by itself';
  const problem = `${path}: logits of two images together ${found} from those of each alone; ${valid}`;
  return { problem: new InputError(problem), isMixing: true };
}

function isSame(one: RunValue, two: RunValue): boolean {
  if (one.dims.length !== two.dims.length || one.dims.some((size, axis) => size !== two.dims[axis])) return false;
  return bytesOf(one.data).equals(bytesOf(two.data));
}

function sizesOf({ name, dims }: TensorMessage): [string, Sizes] {
  const sizes = (dims ?? []).map(Number);
  return [name, [sizes, sizes]];
}

function countParameters(
  weights: readonly TensorMessage[],
  { nodes, inflated }: ValueMap,
  formats: ReadonlyMap<string, Format>,
  shapes: Probed['shapes'],
): number {
  const used = new Set(nodes.flatMap(inputsOf));
  const floats = weights.filter(({ name, data_type }) => used.has(name) && floating.has(data_type));
  const made = nodes.filter(({ op_type, output }) => op_type === 'ConstantOfShape' && inflated.has(output[0]!));
  const makes = made.filter(({ output }) => floating.has(formats.get(output[0]!)!.type));
  const sizes = [...floats.map(({ dims }) => dims), ...makes.map(({ output }) => shapes.get(output[0]!)![0])];
  return sizes.reduce((sum, each) => sum + elementCount(each.map(Number)), 0);
}

const { float, float16, double, bfloat16 } = dataTypes;
const floating = new Set<number>([float, float16, double, bfloat16]);

/** Constants by name; folded weights are added. */
type Constants = Map<string, TensorMessage>;

/**
 * Folds each batch norm into the convolution before it, with the arithmetic of `networks/lower.ts`, so that weights are
 * bit-identical to those of the built-in network. A batch norm stays if another node reads the convolution, or if a parameter
 * is not a float32 constant.
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
  const convolutions = producersOf(
    nodes.filter(({ op_type, output }) => op_type === 'Conv' && uses.get(output[0]!) === 1),
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

function foldedConv(
  conv: NodeMessage,
  norm: NodeMessage,
  constants: Constants,
  budget: Budget,
): NodeMessage | undefined {
  if (outputsOf(norm).length !== 1 || intOf(norm, 'training_mode', 0) !== 0) return undefined;
  const [, kernel = '', offset = ''] = conv.input;
  const weight = floatsOf(constants.get(kernel));
  budget.bytes(weight?.byteLength ?? 0, conv.name); // convolutions may share a kernel
  const [gamma, beta, mean, variance] = norm.input.slice(1).map((name) => floatsOf(constants.get(name)));
  const bias = offset === '' ? new Float32Array(gamma?.length ?? 0) : floatsOf(constants.get(offset));
  if (!(weight && gamma && beta && mean && variance && bias)) return undefined;
  // The decimal number that was written: float32 rounds 1e-5, also ONNX's default, to 9.99999975e-6.
  const epsilon = Number((attributeOf(norm, 'epsilon')?.f ?? 1e-5).toPrecision(7));
  const { scale, shift } = normScaleAndShift({ gamma, beta, mean, variance }, epsilon, bias);
  const output = norm.output[0]!;
  const [folded, moved] = [`kernel of ${output}`, `offset of ${output}`];
  const add = (name: string, dims: readonly number[], data: Float32Array): void => {
    constants.set(name, asConstant(name, { type: 'float32', dims, data }));
  };
  add(folded, constants.get(kernel)!.dims.map(Number), scaledRows(weight, scale));
  add(moved, [shift.length], shift);
  return { ...conv, name: norm.name, input: [conv.input[0]!, folded, moved], output: [output] };
}
