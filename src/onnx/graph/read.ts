import { dirname } from 'node:path';
import protobuf from 'protobufjs';
import { InputError, messageOf } from '../../errors.js';
import { Budget, wholeNumber } from '../../json.js';
import { asFileProblem, sha256 } from '../../store/files.js';
import { asInputProblem, type InputFile, openBelow, openInput, readPart } from '../../store/input.js';
import {
  dataTypes,
  decodeModel,
  EXTERNAL,
  type ModelMessage,
  type NodeMessage,
  type TensorMessage,
  type ValueInfoMessage,
} from '../proto.js';

export interface UserFile {
  readonly path: string;
  /** Of the file and of all its weights in other files. */
  readonly sha256: string;
  readonly model: ModelMessage;
  /** For preparing it. */
  readonly budget: Budget;
}

/** A protocol buffer holds less than this. */
const MOST_BYTES = 2 ** 31;
const TOO_LARGE =
  'valid: less than 2.1 GB with all weights, since a gated network is one ONNX file, which holds no more';

/** Fields that dgate never writes, and `proto.ts` leaves out. */
const rareFields = `
syntax = "proto2";
message Model { optional Graph graph = 7; repeated bytes functions = 25; }
message Graph { repeated Tensor initializer = 5; repeated bytes sparse_initializer = 15; }
message Tensor { optional string name = 8; repeated Entry external_data = 13; }
message Entry { optional string key = 1; optional string value = 2; }
`;
let rareType: protobuf.Type | undefined;

interface Rare {
  readonly graph?: {
    readonly initializer: readonly { readonly external_data: readonly { key: string; value: string }[] }[];
    readonly sparse_initializer: readonly unknown[];
  };
  readonly functions: readonly unknown[];
}

/** Reads an ONNX file and its weights in other files. @throws InputError if it is none, or dgate does not support it */
export async function readUserFile(path: string): Promise<UserFile> {
  const bytes = await readWhole(path);
  const budget = new Budget(path, bytes.byteLength, 'an ONNX model that holds what it says');
  let model: ModelMessage;
  let rare: Rare;
  try {
    model = decodeModel(bytes, budget);
    rareType ??= protobuf.parse(rareFields, { keepCase: true }).root.lookupType('Model');
    rare = rareType.decode(bytes) as unknown as Rare;
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`${path}: not an ONNX file, or a damaged one (${messageOf(error)}); valid: an ONNX model`);
  }
  if (model.graph == null || (model.graph.node ?? []).length === 0) {
    throw new InputError(`${path}: not an ONNX file, or one without operators; valid: an ONNX model`);
  }
  if (rare.functions.length > 0) {
    throw new InputError(`${path}: holds functions; inline them: onnx.inliner.inline_local_functions(model)`);
  }
  if ((rare.graph?.sparse_initializer.length ?? 0) > 0) {
    throw new InputError(`${path}: holds sparse weights; valid: dense ones`);
  }
  return withOutsideWeights(path, bytes, model, rare, budget);
}

async function readWhole(path: string): Promise<Buffer> {
  const file = await openInput(path).catch((error: unknown) => Promise.reject(asInputProblem(error, path)));
  try {
    if (file.size >= MOST_BYTES) throw new InputError(`${path}: ${(file.size / 1e9).toFixed(1)} GB; ${TOO_LARGE}`);
    return await readPart(file, 0, file.size);
  } finally {
    await file.handle.close();
  }
}

async function withOutsideWeights(
  path: string,
  bytes: Buffer,
  model: ModelMessage,
  rare: Rare,
  budget: Budget,
): Promise<UserFile> {
  const { initializer } = model.graph;
  if (!initializer.some(({ data_location }) => data_location === EXTERNAL)) {
    return { path, sha256: sha256(bytes), model, budget };
  }
  let total = bytes.length;
  const hashes = [sha256(bytes)];
  const tensors: TensorMessage[] = [];
  const opened = new Set<string>();
  for (const [index, tensor] of initializer.entries()) {
    if (tensor.data_location !== EXTERNAL) {
      tensors.push(tensor);
      continue;
    }
    const entries = rare.graph!.initializer[index]!.external_data;
    const entry = Object.fromEntries(entries.map(({ key, value }) => [key, value]));
    const data = await readOutside(path, tensor.name, entry, MOST_BYTES - total, (file, wanted) => {
      if (!opened.has(file.path)) budget.add(file.size);
      opened.add(file.path);
      budget.bytes(wanted, `weights of ${tensor.name}`);
    });
    total += data.length;
    hashes.push(sha256(data));
    tensors.push({ name: tensor.name, dims: tensor.dims, data_type: tensor.data_type, raw_data: data });
  }
  const graph = { ...model.graph, initializer: tensors };
  return { path, sha256: sha256(hashes.join(' ')), model: { ...model, graph }, budget };
}

/**
 * Reads a tensor's bytes from a file in the model's own folder.
 *
 * @param room upper limit in bytes, exclusive
 * @param spend called before they are read
 */
async function readOutside(
  path: string,
  name: string,
  entry: Readonly<Record<string, string>>,
  room: number,
  spend: (file: InputFile, bytes: number) => void,
): Promise<Buffer> {
  const location = entry['location'] ?? '';
  const where = `${path}: weights of ${name}`;
  const offset = wholeNumber(entry['offset'] ?? '0');
  const length = entry['length'] === undefined ? undefined : wholeNumber(entry['length']);
  if (offset === undefined || offset < 0 || (entry['length'] !== undefined && (length === undefined || length < 0))) {
    throw new InputError(`${where}: offset ${entry['offset']}, length ${entry['length']}; valid: whole numbers`);
  }
  const file = await openBelow(dirname(path), location, 'the model').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') throw new InputError(`${where} lie in ${location}, which is missing beside it`);
    if (error instanceof InputError) throw new InputError(`${where} lie in ${error.message}`);
    throw asFileProblem(error, `${where} lie in ${location}`);
  });
  try {
    const wanted = length ?? file.size - offset;
    if (wanted < 0 || offset + wanted > file.size) {
      throw new InputError(`${where}: bytes ${offset} to ${offset + wanted} of ${location}, which has ${file.size}`);
    }
    if (wanted >= room) throw new InputError(`${where}: ${(wanted / 1e9).toFixed(1)} GB in ${location}; ${TOO_LARGE}`);
    spend(file, wanted);
    const data = await readPart(file, offset, wanted);
    if (data.length < wanted) throw new InputError(`${where}: ${location} ends too early`);
    return data;
  } finally {
    await file.handle.close();
  }
}

/** Types that ONNX Runtime has no convolutions for on a CPU. */
const wide = new Map<number, string>([
  [dataTypes.double, 'float64'],
  [dataTypes.bfloat16, 'bfloat16'],
]);
/** Attributes that name a type. */
const naming = new Set(['to', 'dtype', 'output_dtype', 'stash_type']);

/**
 * Converts a network of float64 or bfloat16 numbers to float32, if its images or a weight of two axes have such numbers. A
 * float32 network that computes some sizes in float64 stays unchanged.
 */
export function inFloat32(file: UserFile, notes: string[]): UserFile {
  const { graph } = file.model;
  const inside = graph.node.flatMap(({ attribute }) => (attribute ?? []).flatMap(({ t }) => (t == null ? [] : [t])));
  const weight = [...graph.initializer, ...inside].find(
    ({ data_type, dims }) => wide.has(data_type) && dims.length > 1,
  );
  const input = graph.input.find(({ type }) => wide.has(type?.tensor_type?.elem_type));
  const found = wide.get(weight?.data_type ?? input?.type.tensor_type.elem_type ?? 0);
  if (found === undefined) return file;
  notes.push(`${found} numbers are converted to float32`);
  const tensor = (from: TensorMessage): TensorMessage => {
    if (!wide.has(from.data_type)) return from;
    const data = numbersOf(from, file.budget);
    const { name, dims } = from;
    return { name, dims, data_type: dataTypes.float, raw_data: new Uint8Array(data.buffer) };
  };
  const node = ({ attribute, ...rest }: NodeMessage): NodeMessage => ({
    ...rest,
    attribute: (attribute ?? []).map((each) => {
      if (each.t != null) return { ...each, t: tensor(each.t) };
      return naming.has(each.name) && wide.has(Number(each.i)) ? { ...each, i: dataTypes.float } : each;
    }),
  });
  const value = (info: ValueInfoMessage): ValueInfoMessage => {
    const tensor_type = info.type?.tensor_type;
    if (!wide.has(tensor_type?.elem_type)) return info;
    return { ...info, type: { tensor_type: { ...tensor_type, elem_type: dataTypes.float } } };
  };
  const [initializer, nodes] = [graph.initializer.map(tensor), graph.node.map(node)];
  const [inputs, output] = [graph.input.map(value), graph.output.map(value)];
  const converted = { ...graph, initializer, node: nodes, input: inputs, output, value_info: [] };
  return { ...file, model: { ...file.model, graph: converted } };
}

function numbersOf(tensor: TensorMessage, budget: Budget): Float32Array {
  const { name, raw_data = new Uint8Array(), double_data = [], int32_data = [], data_type } = tensor;
  const size = data_type === dataTypes.double ? 8 : 2;
  const listed = size === 8 ? double_data : int32_data;
  const count = listed.length > 0 ? listed.length : Math.floor(raw_data.length / size);
  budget.bytes(4 * count, name);
  const view = new DataView(raw_data.buffer, raw_data.byteOffset, raw_data.byteLength);
  if (size === 8) return Float32Array.from({ length: count }, (_, i) => listed[i] ?? view.getFloat64(8 * i, true));
  // bfloat16 is the upper half of a float32.
  const bits = Uint32Array.from({ length: count }, (_, i) => (listed[i] ?? view.getUint16(2 * i, true)) << 16);
  return new Float32Array(bits.buffer);
}
