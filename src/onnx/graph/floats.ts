import { dataTypes, type NodeMessage, type TensorMessage, type ValueInfoMessage } from '../proto.js';
import { formatTypes } from './formats.js';
import type { UserFile } from './read.js';

/** Types that ONNX Runtime has no convolutions for on a CPU. */
const names = new Map([
  [formatTypes.double, 'float64'],
  [formatTypes.bfloat16, 'bfloat16'],
]);
/** Attributes that name a type. */
const naming = new Set(['to', 'dtype', 'output_dtype', 'stash_type']);

/**
 * Converts a network of float64 or bfloat16 numbers to float32. A network is one if its images or a weight of two axes are;
 * others that compute a few sizes in float64 stay as they are.
 */
export function inFloat32(file: UserFile, notes: string[]): UserFile {
  const { graph } = file.model;
  const inside = graph.node.flatMap(({ attribute }) => (attribute ?? []).flatMap(({ t }) => (t == null ? [] : [t])));
  const weight = [...graph.initializer, ...inside].find(
    ({ data_type, dims }) => names.has(data_type) && dims.length > 1,
  );
  const input = graph.input.find(({ type }) => names.has(type?.tensor_type?.elem_type));
  const found = names.get(weight?.data_type ?? input?.type.tensor_type.elem_type ?? 0);
  if (found === undefined) return file;
  notes.push(`${found} numbers are converted to float32`);
  const tensor = (from: TensorMessage): TensorMessage => {
    if (!names.has(from.data_type)) return from;
    const data = numbersOf(from, (bytes) => file.budget.bytes(bytes, from.name));
    const { name, dims } = from;
    return { name, dims, data_type: dataTypes.float, raw_data: new Uint8Array(data.buffer) };
  };
  const node = ({ attribute, ...rest }: NodeMessage): NodeMessage => ({
    ...rest,
    attribute: (attribute ?? []).map((each) => {
      if (each.t != null) return { ...each, t: tensor(each.t) };
      return naming.has(each.name) && names.has(Number(each.i)) ? { ...each, i: dataTypes.float } : each;
    }),
  });
  const value = (info: ValueInfoMessage): ValueInfoMessage => {
    const tensor_type = info.type?.tensor_type;
    if (!names.has(tensor_type?.elem_type)) return info;
    return { ...info, type: { tensor_type: { ...tensor_type, elem_type: dataTypes.float } } };
  };
  const [initializer, nodes] = [graph.initializer.map(tensor), graph.node.map(node)];
  const [inputs, output] = [graph.input.map(value), graph.output.map(value)];
  const converted = { ...graph, initializer, node: nodes, input: inputs, output, value_info: [] };
  return { ...file, model: { ...file.model, graph: converted } };
}

function numbersOf(tensor: TensorMessage, spend: (bytes: number) => void): Float32Array {
  const { raw_data = new Uint8Array(), double_data = [], int32_data = [], data_type } = tensor;
  const size = data_type === formatTypes.double ? 8 : 2;
  const listed = size === 8 ? double_data : int32_data;
  const count = listed.length > 0 ? listed.length : Math.floor(raw_data.length / size);
  spend(4 * count);
  const view = new DataView(raw_data.buffer, raw_data.byteOffset, raw_data.byteLength);
  if (size === 8) return Float32Array.from({ length: count }, (_, i) => listed[i] ?? view.getFloat64(8 * i, true));
  // The upper half of a float32.
  const bits = Uint32Array.from({ length: count }, (_, i) => (listed[i] ?? view.getUint16(2 * i, true)) << 16);
  return new Float32Array(bits.buffer);
}
