import { InputError } from '../../errors.js';
import type { NodeMessage, TensorMessage } from '../proto.js';
import { foldBatchNorms } from './fold.js';
import { asConstant, type Probed, probe, type RunModel, type RunValue } from './probe.js';
import type { UserModel } from './user-model.js';
import { inputsOf, mapValues } from './values.js';

/**
 * A user's network, prepared for cutting: only nodes that work on images, in topological order; everything else is constant.
 * Values keep their names.
 */
export interface PreparedGraph {
  readonly model: UserModel;
  readonly nodes: readonly NodeMessage[];
  /** By name; folded ones too. */
  readonly constants: ReadonlyMap<string, TensorMessage>;
  /** Sizes of every value for one image, and for two. */
  readonly shapes: Probed['shapes'];
  /** Floating-point numbers in the file's weights that the logits depend on. */
  readonly parameters: number;
}

/** Rounding may differ with the number of images; a larger difference means that images influence each other. */
const MOST_MIXING = 1e-3;

/**
 * Prepares a graph: values that do not depend on the images become constants, and so does the target shape of a `Reshape`
 * that depends only on the number of images (exporters compute it in every block). Batch norms behind convolutions are folded.
 *
 * @throws InputError if the graph cannot process any number of images independently
 */
export async function prepareGraph(model: UserModel, run: RunModel): Promise<PreparedGraph> {
  const { file, input, logits } = model;
  const { path } = file;
  const map = mapValues(file.model.graph, input.name, logits, path);
  if (map.kinds.get(logits) !== 'data') throw new InputError(`${path}: ${logits} does not depend on the images`);
  const probed = await probeAnyBatch(model, () => probe(model, map, run));
  checkLogits(model, probed);
  const constants = new Map(
    file.model.graph.initializer.map((tensor): [string, TensorMessage] => [tensor.name, tensor]),
  );
  for (const [name, [one, two]] of probed.values) {
    if (isSame(one, two)) constants.set(name, asConstant(name, one));
  }
  const counted = map.nodes.map((node) => withFixedTarget(node, constants, probed.shapes));
  const nodes = foldBatchNorms(counted, constants, logits, file.budget);
  const fixed = { ...file.model.graph, node: nodes, initializer: [...constants.values()] };
  const needed = mapValues(fixed, input.name, logits, path).nodes;
  const used = new Set(needed.flatMap(inputsOf));
  return {
    model,
    nodes: needed,
    constants: new Map([...constants].filter(([name]) => used.has(name))),
    shapes: new Map([...[...constants.values()].map(sizesOf), ...probed.shapes]),
    parameters: countParameters(file.model.graph.initializer, map.nodes),
  };
}

/** Probes a graph. If it fails and the file fixes the number of images, the error says how to lift that limit. */
async function probeAnyBatch(model: UserModel, work: () => Promise<Probed>): Promise<Probed> {
  const { batch, name } = model.input;
  if (batch === undefined) return work();
  try {
    return await work();
  } catch (error) {
    throw new InputError(`${model.file.path}: ${fixedBatch(batch, name)}`, { cause: error });
  }
}

const fixedBatch = (batch: number, name: string): string =>
  `works on ${batch} image${batch > 1 ? 's' : ''} at a time only; export it again with dynamic_axes={'${name}': {0: 'batch'}}`;

function checkLogits({ file, input, logits }: UserModel, { shapes, mixing }: Probed): void {
  const [one, two] = shapes.get(logits)!;
  const classes = one.at(-1) ?? 0;
  if (one.length !== 2 || one[0] !== 1 || two[0] !== 2 || classes < 2) {
    const why =
      input.batch !== undefined && two[0] !== 2 ? fixedBatch(input.batch, input.name) : 'valid: [images, classes]';
    throw new InputError(
      `${file.path}: ${logits} is [${one.join(', ')}] for one image, [${two.join(', ')}] for two; ${why}`,
    );
  }
  if (!(mixing <= MOST_MIXING)) {
    const found = Number.isFinite(mixing) ? `differ by ${mixing.toExponential(1)}` : 'are not finite';
    throw new InputError(
      `${file.path}: logits of two images together ${found} from those of each alone; valid: a network in evaluation mode (model.eval()) that looks at each image by itself`,
    );
  }
}

function isSame(one: RunValue, two: RunValue): boolean {
  if (one.dims.length !== two.dims.length || one.dims.some((size, axis) => size !== two.dims[axis])) return false;
  const [a, b] = [one, two].map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength));
  return a!.equals(b!);
}

/** Replaces the target shape of a Reshape that depends only on the number of images by a constant with -1 for it. */
function withFixedTarget(
  node: NodeMessage,
  constants: Map<string, TensorMessage>,
  shapes: Probed['shapes'],
): NodeMessage {
  const target = node.input[1];
  if (node.op_type !== 'Reshape' || target === undefined || constants.has(target)) return node;
  const [one, two] = shapes.get(node.output[0]!)!;
  const open = one.flatMap((size, axis) => (size === two[axis] ? [] : [axis]));
  if (open.length !== 1 || one.length !== two.length || one.includes(0)) return node;
  const name = `target of ${node.output[0]}`;
  const sizes = BigInt64Array.from(one, (size, axis) => BigInt(axis === open[0] ? -1 : size));
  constants.set(name, asConstant(name, { type: 'int64', dims: [sizes.length], data: sizes }));
  return { ...node, input: [node.input[0]!, name] };
}

/** A constant's sizes: the same for one image and for two. */
function sizesOf({ name, dims }: TensorMessage): [string, readonly [readonly number[], readonly number[]]] {
  const sizes = (dims ?? []).map(Number);
  return [name, [sizes, sizes]];
}

function countParameters(weights: readonly TensorMessage[], nodes: readonly NodeMessage[]): number {
  const used = new Set(nodes.flatMap(inputsOf));
  const floats = weights.filter(({ name, data_type }) => used.has(name) && floating.has(data_type));
  return floats.reduce((sum, { dims }) => sum + dims.reduce((product, size) => product * Number(size), 1), 0);
}

/** float32, float16, float64, bfloat16 */
const floating = new Set([1, 10, 11, 16]);
