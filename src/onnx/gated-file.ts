import { z } from 'zod';
import { Budget } from '../budget.js';
import { InputError, messageOf } from '../errors.js';
import { confidenceKinds } from '../gates/confidence.js';
import { parseJson } from '../json.js';
import { knownOperators } from './graph/flops.js';
import { domains } from './graph/values.js';
import {
  decodeModel,
  encodeModel,
  type GraphMessage,
  type ModelMessage,
  type NodeMessage,
  type TensorMessage,
} from './proto.js';

/** Increase when older files can no longer be read. */
const FORMAT = 1;
const PREFIX = 'dgate.';

const share = z.number().min(0).max(1);
const counted = z.number().int().min(1);
const side = z.number().int().min(1).max(4096);
const threshold = z.union([z.number(), z.literal('Infinity').transform(() => Number.POSITIVE_INFINITY)]);

/** Metadata of a file that `dgate export` writes: each key is a metadata property `dgate.<key>`, in JSON. */
const aboutSchema = z.strictObject({
  format: z.literal(FORMAT),
  /** Inputs and outputs, in words. */
  usage: z.string(),
  /** Names of the classes, by index. */
  classes: z.array(z.string()).min(2),
  /** The graph takes bytes and normalises them itself: (byte / 255 - mean) / std; `order` is that of the channels. */
  preprocessing: z.strictObject({
    height: side,
    width: side,
    order: z.enum(['rgb', 'bgr', 'grey']),
    mean: z.array(z.number()).min(1).max(3),
    std: z.array(z.number().positive()).min(1).max(3),
    /** Size that images of other sizes are resized to. */
    resize: side,
    interpolation: z.enum(['bilinear', 'bicubic']),
    squash: z.boolean(),
  }),
  /** Every exit but the last. Of a cascade each has its network, counted from 1; without a stage it is that network's classifier. */
  gates: z.array(
    z.strictObject({ network: counted.optional(), stage: counted.optional(), features: z.number().int().min(1) }),
  ),
  /** Of a cascade its networks. */
  networks: z.array(z.string()).min(2).optional(),
  /** The confidence that is compared with the thresholds. */
  confidence: z.enum(confidenceKinds),
  /** What the numbers of each exit are divided by before the confidence, the last one's included; the graph does it. */
  temperatures: z.array(z.number().positive()).min(1).optional(),
  /** Thresholds of the row that was exported, exact as float32. */
  thresholds: z.array(threshold),
  /** Results of these thresholds on images that they were not chosen on. */
  expected: z.strictObject({
    images: z.number().int().min(1),
    /** Null where the images had no labels. */
    accuracy: share.nullable(),
    originalAccuracy: share.nullable(),
    flops: z.number().positive(),
    originalFlops: z.number().positive(),
    flopsReduction: z.number(),
    exits: z.array(share),
  }),
  provenance: z.record(z.string(), z.unknown()),
});

export type AboutGated = z.output<typeof aboutSchema>;

/** The metadata properties of a file. */
export function gatedMetadata(about: AboutGated): Record<string, string> {
  const text = (value: unknown): string =>
    JSON.stringify(value, (_key, item: unknown) => (item === Number.POSITIVE_INFINITY ? 'Infinity' : item));
  return Object.fromEntries(Object.entries(about).map(([key, value]) => [`${PREFIX}${key}`, text(value)]));
}

/** A file of `dgate export`, checked. */
export interface GatedFile {
  readonly about: AboutGated;
  /** The graph alone, re-encoded after the checks: everything outside dgate's part of ONNX is dropped. */
  readonly model: Uint8Array;
}

/**
 * Reads a file of `dgate export`. The file is not trusted: no other file that it names is read.
 *
 * @throws InputError if it is damaged, or not such a file
 */
export function readGatedFile(bytes: Uint8Array, path: string): GatedFile {
  let model: ModelMessage;
  try {
    model = decodeModel(bytes, new Budget(path, bytes.byteLength, 'a file of dgate export'));
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`${path}: not an ONNX file, or a damaged one (${messageOf(error)}); ${VALID}`);
  }
  const isOwn = (model.metadata_props ?? []).some(({ key }) => key.startsWith(PREFIX));
  if (!isOwn) throw new InputError(`${path}: not written by dgate export; ${VALID}`);
  if (model.graph === undefined || model.graph === null) throw new InputError(`${path}: holds no graph; ${VALID}`);
  if (refersOutside(model.graph)) {
    throw new InputError(`${path}: names data outside of the file, which dgate export never does; ${VALID}`);
  }
  const strange = strangeOperator(model.graph);
  if (strange !== undefined) {
    throw new InputError(`${path}: uses ${JSON.stringify(strange)}, which dgate export never does; ${VALID}`);
  }
  const misfit = misfitKernel(model.graph);
  if (misfit !== undefined) throw new InputError(`${path}: ${misfit}; ${VALID}`);
  return { about: aboutOf(model, path)!, model: encodeModel(model) };
}

const VALID = 'valid: a file of dgate export';

/** What a model says of itself, if `dgate export` wrote it. @throws InputError where that is damaged */
export function aboutOf({ metadata_props: all }: ModelMessage, path: string): AboutGated | undefined {
  const properties = (all ?? []).filter(({ key }) => key.startsWith(PREFIX));
  return properties.length === 0 ? undefined : parseAbout(properties, path);
}

function parseAbout(properties: ModelMessage['metadata_props'], path: string): AboutGated {
  const values = properties.map(({ key, value }): [string, unknown] => [key.slice(PREFIX.length), parsed(value)]);
  const result = aboutSchema.safeParse(Object.fromEntries(values));
  if (result.success && result.data.thresholds.length === result.data.gates.length) return result.data;
  const where = result.error?.issues[0]?.path.join('.') ?? 'thresholds';
  throw new InputError(`${path}: its metadata ${PREFIX}${where} are not those of this dgate; ${VALID} of this version`);
}

function parsed(text: string): unknown {
  try {
    return parseJson(text, PREFIX);
  } catch {
    return undefined; // reported as missing
  }
}

/**
 * Operators of exported graphs: those that dgate writes and those of networks that it accepts. None of them loops (Loop,
 * Scan), and none comes from a library outside the file.
 */
const operators = new Set([
  ...knownOperators,
  ...(
    'Add ArgMax AveragePool BatchNormalization Cast Concat Conv Div Exp Expand Flatten Gather Gemm GlobalAveragePool ' +
    'Floor GreaterOrEqual Identity If LogSoftmax MatMul MaxPool Mul NonZero Not Pad ReduceMax ReduceSum Relu Reshape ScatterND ' +
    'Shape Size Slice Softmax Split Sub TopK'
  ).split(' '),
]);

/** Nodes of a graph and of the graphs inside it. */
function* nodesOf({ node: nodes }: GraphMessage): Generator<NodeMessage> {
  for (const node of nodes) {
    yield node;
    for (const { g } of node.attribute) if (g != null) yield* nodesOf(g);
  }
}

/** The first operator outside this list. */
function strangeOperator(graph: GraphMessage): string | undefined {
  for (const { op_type: operator, domain } of nodesOf(graph)) {
    if (!operators.has(operator)) return operator;
    if (!domains.has(domain)) return `${domain}.${operator}`;
  }
  return undefined;
}

/**
 * A convolution whose kernel size differs from its weights'. If it is larger than the image, ONNX Runtime 1.30 crashes
 * instead of refusing it.
 */
function misfitKernel(graph: GraphMessage): string | undefined {
  const sizes = new Map(graph.initializer.map(({ name, dims }) => [name, dims.slice(2).map(Number).join()]));
  for (const { op_type: operator, input, name, attribute } of nodesOf(graph)) {
    const weights = sizes.get(input[1] ?? '');
    const kernel = attribute
      .find((each) => each.name === 'kernel_shape')
      ?.ints?.map(Number)
      .join();
    if (operator === 'Conv' && weights !== undefined && kernel !== undefined && kernel !== weights) {
      return `Conv ${name}: kernel ${kernel}, weights ${weights}`;
    }
  }
  return undefined;
}

/** TensorProto.DataLocation EXTERNAL. */
const EXTERNAL = 1;

function refersOutside(graph: GraphMessage): boolean {
  const isOutside = (tensor: TensorMessage | null | undefined): boolean => tensor?.data_location === EXTERNAL;
  const attributes = [...nodesOf(graph)].flatMap(({ attribute }) => attribute);
  return (
    graph.initializer.some(isOutside) || attributes.some(({ g, t }) => isOutside(t) || g?.initializer.some(isOutside))
  );
}
