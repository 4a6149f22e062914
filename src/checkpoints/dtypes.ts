import { InputError } from '../errors.js';
import { elementCount, type Tensor } from '../tensor.js';

/** Element types of stored tensors, by the names that safetensors gives them, with their size in bytes. */
export const dtypeBytes = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
} as const;

export type Dtype = keyof typeof dtypeBytes;

/** An array to be stored with its own element type. F16 holds the bits, see `toFloat16Bits`. */
export type StoredArray =
  | { readonly dtype: 'F32'; readonly shape: readonly number[]; readonly data: Float32Array }
  | { readonly dtype: 'F16'; readonly shape: readonly number[]; readonly data: Uint16Array }
  | { readonly dtype: 'I32'; readonly shape: readonly number[]; readonly data: Int32Array }
  | { readonly dtype: 'I64'; readonly shape: readonly number[]; readonly data: BigInt64Array }
  | { readonly dtype: 'I8'; readonly shape: readonly number[]; readonly data: Int8Array }
  | { readonly dtype: 'U8'; readonly shape: readonly number[]; readonly data: Uint8Array };

/** One tensor as it lies in the file; `bytes` is a view of the file's buffer (little-endian, row-major). */
export interface RawTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** Whether this text names an element type that dgate reads. */
export function isDtype(text: unknown): text is Dtype {
  return typeof text === 'string' && Object.hasOwn(dtypeBytes, text);
}

/**
 * float32 values of little-endian elements; no copy for F32 that lies aligned in its buffer.
 *
 * Whole numbers beyond 2^24 and F64 are rounded to the nearest float32.
 *
 * @param bytes a whole number of elements
 */
export function toFloat32(dtype: Dtype, bytes: Uint8Array): Float32Array {
  const count = bytes.byteLength / dtypeBytes[dtype];
  const size = dtypeBytes[dtype];
  // Typed arrays need their offset to be a multiple of the element size. (Not slice(): a Buffer's does not copy.)
  const { buffer, byteOffset } = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  switch (dtype) {
    case 'F32':
      return new Float32Array(buffer, byteOffset, count);
    case 'F64':
      return Float32Array.from(new Float64Array(buffer, byteOffset, count));
    case 'F16':
      return widen(new Uint16Array(buffer, byteOffset, count), halfToSingleBits);
    case 'BF16':
      return widen(new Uint16Array(buffer, byteOffset, count), (bits) => bits << 16);
    case 'I64':
      return numbersOf(new BigInt64Array(buffer, byteOffset, count));
    case 'U64':
      return numbersOf(new BigUint64Array(buffer, byteOffset, count));
    case 'I32':
      return Float32Array.from(new Int32Array(buffer, byteOffset, count));
    case 'U32':
      return Float32Array.from(new Uint32Array(buffer, byteOffset, count));
    case 'I16':
      return Float32Array.from(new Int16Array(buffer, byteOffset, count));
    case 'U16':
      return Float32Array.from(new Uint16Array(buffer, byteOffset, count));
    case 'I8':
      return Float32Array.from(new Int8Array(buffer, byteOffset, count));
    case 'U8':
      return Float32Array.from(bytes);
    case 'BOOL':
      return Float32Array.from(bytes).map((byte) => (byte === 0 ? 0 : 1));
  }
}

/** In a loop: `Float32Array.from` with a function takes ten times as long. */
function numbersOf(integers: BigInt64Array | BigUint64Array): Float32Array {
  const numbers = new Float32Array(integers.length);
  for (let i = 0; i < numbers.length; i++) numbers[i] = Number(integers[i]);
  return numbers;
}

/** A tensor to be stored in half precision. */
export const asFloat16 = ({ shape, data }: Tensor): StoredArray => ({ dtype: 'F16', shape, data: toFloat16Bits(data) });

/** Bits of IEEE float16, rounded to nearest even as hardware does; beyond 65504 becomes infinity. */
export function toFloat16Bits(values: Float32Array): Uint16Array {
  const source = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(source, singleToHalfBits);
}

function widen(halves: Uint16Array, bitsOf: (half: number) => number): Float32Array {
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = bitsOf(halves[i]!);
  return new Float32Array(bits.buffer);
}

/** float16 bits -> float32 bits: 1 sign, 5 exponent (bias 15), 10 fraction -> 1, 8 (bias 127), 23. */
function halfToSingleBits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (fraction << 13);
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (fraction << 13);
  if (fraction === 0) return sign;
  // Subnormal: fraction * 2^-24. Shift the leading one to the hidden place.
  const shift = Math.clz32(fraction) - 21;
  return sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13);
}

function singleToHalfBits(single: number): number {
  const sign = (single >>> 16) & 0x8000;
  const exponent = (single >>> 23) & 0xff;
  const fraction = single & 0x7fffff;
  if (exponent === 0xff) return sign | 0x7c00 | (fraction === 0 ? 0 : 0x200 | (fraction >> 13));
  if (exponent >= 143) return sign | 0x7c00;
  if (exponent < 102) return sign;
  // A carry out of the fraction runs into the exponent, which is what rounding up to the next power of two needs.
  if (exponent >= 113) return sign | roundedShift(((exponent - 112) << 23) | fraction, 13);
  return sign | roundedShift(0x800000 | fraction, 126 - exponent);
}

/** value >> bits, rounded to nearest, ties to even. */
function roundedShift(value: number, bits: number): number {
  const floor = value >>> bits;
  const rest = value & ((1 << bits) - 1);
  const half = 1 << (bits - 1);
  return rest > half || (rest === half && (floor & 1) === 1) ? floor + 1 : floor;
}

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
    // Not by the scale rounded to float32: a subnormal one could be 0.
    if (largest > 0) for (const [i, value] of values.entries()) integers[row * size + i] = round(value, largest);
  }
  return [
    [name, { dtype: 'I8', shape, data: integers }],
    [scaleName(name), { dtype: 'F32', shape: scaleShape(shape), data: scales }],
  ];
}

const round = (value: number, largest: number): number => Math.round((value / largest) * LARGEST);

/**
 * Stored tensors as float32: integers are multiplied by their scales, others are converted (see `toFloat32`).
 *
 * @param where what the error messages call the file
 * @param names of the tensors to read; all if absent
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
