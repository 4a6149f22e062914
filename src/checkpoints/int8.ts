import { InputError } from '../errors.js';
import { elementCount, type Tensor } from '../tensor.js';
import { asFloat16, type RawTensor, type StoredArray, toFloat32 } from './dtypes.js';

/**
 * Weights as 8-bit integers with a scale for each output channel: value = integer x scale of its row. In a file the
 * scales of `conv1.weight` (I8, [out, ...]) stand beside it as `conv1.weight_scale` (float, [out, 1, ...]), the names
 * that the compressed-tensors format of the vLLM project has.
 */
const scaleName = (name: string): string => `${name}_scale`;

/** [out, 1, ...] of [out, ...] */
const scaleShape = (shape: readonly number[]): number[] => shape.map((count, axis) => (axis === 0 ? count : 1));

/** The largest integer; -128 is not used, so that a weight and its negative are equally far from 0. */
const LARGEST = 127;

/**
 * A tensor as it is stored with `--int8`: matrices and filters as integers and their scales, rounded to the nearest;
 * vectors (biases, batch norms) in half precision.
 *
 * @param tensor [out, ...]
 * @returns one or two arrays with their names
 * @throws InputError where a value is not finite
 */
export function asInt8(name: string, tensor: Tensor): [string, StoredArray][] {
  const { shape, data } = tensor;
  if (shape.length < 2) return [[name, asFloat16(tensor)]];
  if (!data.every(Number.isFinite)) {
    throw new InputError(`${name}: holds values that are not finite; valid for --int8: finite ones`);
  }
  const rows = shape[0]!;
  const size = data.length / rows;
  const integers = new Int8Array(data.length);
  const scales = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    const values = data.subarray(row * size, (row + 1) * size);
    const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    scales[row] = largest / LARGEST;
    // Not by the number that was rounded to float32: a subnormal one could be 0.
    if (largest > 0) for (const [i, value] of values.entries()) integers[row * size + i] = round(value, largest);
  }
  return [
    [name, { dtype: 'I8', shape, data: integers }],
    [scaleName(name), { dtype: 'F32', shape: scaleShape(shape), data: scales }],
  ];
}

const round = (value: number, largest: number): number => Math.round((value / largest) * LARGEST);

/**
 * Stored tensors as float32: integers that have scales beside them are multiplied by these, all else is taken as it is
 * (see `toFloat32`).
 *
 * @param where what the error messages call the file
 * @param names those that are wanted; all if absent
 * @throws InputError where scales do not fit their integers
 */
export function toTensors(
  raw: ReadonlyMap<string, RawTensor>,
  where: string,
  names: Iterable<string> = withoutScales(raw).keys(),
): Map<string, Tensor> {
  const found = new Map<string, Tensor>();
  for (const name of names) {
    const { dtype, shape, bytes } = raw.get(name)!;
    const scales = dtype === 'I8' ? raw.get(scaleName(name)) : undefined;
    const data = toFloat32(dtype, bytes);
    found.set(name, { shape, data: scales === undefined ? data : scaled(data, shape, scales, `${where}: ${name}`) });
  }
  return found;
}

/** All but the scales of integers. */
export function withoutScales(raw: ReadonlyMap<string, RawTensor>): ReadonlyMap<string, RawTensor> {
  const scales = new Set([...raw].flatMap(([name, { dtype }]) => (dtype === 'I8' ? [scaleName(name)] : [])));
  return new Map([...raw].filter(([name]) => !scales.has(name)));
}

/** @param data integers, [rows, ...]; changed in place */
function scaled(data: Float32Array, shape: readonly number[], scales: RawTensor, where: string): Float32Array {
  const rows = shape[0] ?? 0;
  const { dtype, shape: given } = scales;
  if (!/^B?F/.test(dtype) || given[0] !== rows || elementCount(given) !== rows) {
    const valid = scaleShape(shape).join(', ');
    throw new InputError(`${where}: scales ${dtype} [${given.join(', ')}]; valid: a float type, [${valid}]`);
  }
  const factors = toFloat32(dtype, scales.bytes);
  const size = data.length / rows;
  for (let row = 0; row < rows; row++) {
    for (let i = row * size; i < (row + 1) * size; i++) data[i]! *= factors[row]!;
  }
  return data;
}
