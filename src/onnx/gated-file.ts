import { z } from 'zod';
import { InputError, messageOf } from '../errors.js';
import { confidenceKinds } from '../gates/confidence.js';
import { Budget, parseJson } from '../json.js';
import { knownOperators } from './graph/flops.js';
import { domains, intsOf, nodesOf } from './graph/values.js';
import {
  decodeModel,
  EXTERNAL,
  encodeModel,
  type GraphMessage,
  type ModelMessage,
  type TensorMessage,
} from './proto.js';

/** Increase when older files can no longer be read. */
const FORMAT = 1;
const PREFIX = 'dgate.';

const share = z.number().min(0).max(1);
const counted = z.number().int().min(1);
const side = z.number().int().min(1).max(4096);
const threshold = z.union([z.number(), z.literal('Infinity').transform(() => Number.POSITIVE_INFINITY)]);

/** Metadata of a file of `dgate export`: each key is a property `dgate.<key>`, in JSON. */
const aboutSchema = z.strictObject({
  format: z.literal(FORMAT),
  usage: z.string(),
  classes: z.array(z.string()).min(2),
  /** The graph normalises bytes: (byte / 255 - mean) / std; `order` is that of the channels. */
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
  /** All exits but the last. In a cascade with the network, counted from 1; without a stage: its classifier. */
  gates: z.array(
    z.strictObject({ network: counted.optional(), stage: counted.optional(), features: z.number().int().min(1) }),
  ),
  networks: z.array(z.string()).min(2).optional(),
  confidence: z.enum(confidenceKinds),
  /** The graph divides the numbers of each exit by these. */
  temperatures: z.array(z.number().positive()).min(1).optional(),
  /** Of each gate: weights of the largest distance, softmax, entropy and difference, whose sum is the confidence `failure`. */
  factors: z.array(z.array(z.number())).optional(),
  /** Of each gate: what is added to the confidence by the gate's answer. */
  offsets: z.array(z.array(z.number())).optional(),
  /** Of the exported row, exact as float32. */
  thresholds: z.array(threshold),
  /** Results on images that did not choose the thresholds. */
  expected: z.strictObject({
    images: z.number().int().min(1),
    /** Null without labels. */
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

export function gatedMetadata(about: AboutGated): Record<string, string> {
  const text = (value: unknown): string =>
    JSON.stringify(value, (_key, item: unknown) => (item === Number.POSITIVE_INFINITY ? 'Infinity' : item));
  return Object.fromEntries(Object.entries(about).map(([key, value]) => [`${PREFIX}${key}`, text(value)]));
}

export interface GatedFile {
  readonly about: AboutGated;
  /** The graph, re-encoded: fields outside the schema of `proto.ts` are dropped. */
  readonly model: Uint8Array;
}

/** Reads an untrusted file of `dgate export`. @throws InputError if it is damaged or none */
export function readGatedFile(bytes: Uint8Array, path: string): GatedFile {
  const file = readIfGated(bytes, path);
  if (file !== undefined) return file;
  throw new InputError(`${path}: not written by dgate export; ${VALID}, from an experiment with this network`);
}

/** The same; undefined for an ONNX file of somebody else. @throws InputError if it is damaged */
export function readIfGated(bytes: Uint8Array, path: string): GatedFile | undefined {
  let model: ModelMessage;
  try {
    model = decodeModel(bytes, new Budget(path, bytes.byteLength, 'a file of dgate export'));
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(
      `${path}: not an ONNX file, or a damaged one (${messageOf(error)}); ${VALID}, or another whole ONNX model`,
    );
  }
  const isOwn = (model.metadata_props ?? []).some(({ key }) => key.startsWith(PREFIX));
  if (!isOwn) return undefined;
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

/** The metadata of a file of `dgate export`; undefined for other models. @throws InputError if it is damaged */
export function aboutOf({ metadata_props: all }: ModelMessage, path: string): AboutGated | undefined {
  const properties = (all ?? []).filter(({ key }) => key.startsWith(PREFIX));
  if (properties.length === 0) return undefined;
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

/** Operators of exported graphs. None loops, and none comes from a library outside the file. */
const operators = new Set([...knownOperators, ...'Constant If DFT Det STFT'.split(' ')]);

function strangeOperator(graph: GraphMessage): string | undefined {
  for (const { op_type: operator, domain } of nodesOf(graph)) {
    if (!operators.has(operator) && domain !== 'com.microsoft') return operator;
    if (!domains.has(domain)) return `${domain}.${operator}`;
  }
  return undefined;
}

/** A convolution whose kernel size differs from its weights'. ONNX Runtime 1.30 crashes if it is larger than the image. */
function misfitKernel(graph: GraphMessage): string | undefined {
  const sizes = new Map(graph.initializer.map(({ name, dims }) => [name, dims.slice(2).map(Number).join()]));
  for (const node of nodesOf(graph)) {
    const weights = sizes.get(node.input[1] ?? '');
    const kernel = intsOf(node, 'kernel_shape')?.join();
    if (node.op_type === 'Conv' && weights !== undefined && kernel !== undefined && kernel !== weights) {
      return `Conv ${node.name}: kernel ${kernel}, weights ${weights}`;
    }
  }
  return undefined;
}

function refersOutside(graph: GraphMessage): boolean {
  const isOutside = (tensor: TensorMessage | null | undefined): boolean => tensor?.data_location === EXTERNAL;
  const attributes = [...nodesOf(graph)].flatMap(({ attribute }) => attribute);
  return (
    graph.initializer.some(isOutside) || attributes.some(({ g, t }) => isOutside(t) || g?.initializer.some(isOutside))
  );
}
