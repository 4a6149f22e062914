import { InputError } from '../errors.js';
import { elementCount, type Tensor } from '../tensor.js';

/** Element types of stored tensors by their names in safetensors; `torch` and `numpy` are the names of others for them. */
export const dtypes = {
  F64: { array: Float64Array, numpy: 'f8', torch: ['float64', 'double', 'DoubleStorage'] },
  F32: { array: Float32Array, numpy: 'f4', torch: ['float32', 'float', 'FloatStorage'] },
  F16: { array: Uint16Array, numpy: 'f2', torch: ['float16', 'half', 'HalfStorage'] },
  BF16: { array: Uint16Array, numpy: undefined, torch: ['bfloat16', 'BFloat16Storage'] },
  I64: { array: BigInt64Array, numpy: 'i8', torch: ['int64', 'long', 'LongStorage'] },
  I32: { array: Int32Array, numpy: 'i4', torch: ['int32', 'int', 'IntStorage'] },
  I16: { array: Int16Array, numpy: 'i2', torch: ['int16', 'short', 'ShortStorage'] },
  I8: { array: Int8Array, numpy: 'i1', torch: ['int8', 'CharStorage'] },
  U64: { array: BigUint64Array, numpy: 'u8', torch: ['uint64'] },
  U32: { array: Uint32Array, numpy: 'u4', torch: ['uint32'] },
  U16: { array: Uint16Array, numpy: 'u2', torch: ['uint16'] },
  U8: { array: Uint8Array, numpy: 'u1', torch: ['uint8', 'ByteStorage', 'UntypedStorage'] },
  BOOL: { array: Uint8Array, numpy: 'b1', torch: ['bool', 'BoolStorage'] },
} as const;

export type Dtype = keyof typeof dtypes;

export const elementBytes = (dtype: Dtype): number => dtypes[dtype].array.BYTES_PER_ELEMENT;

/** An array to be stored with its own element type. F16 holds bits, see `toFloat16Bits`. */
export type StoredArray = {
  [D in 'F32' | 'F16' | 'I32' | 'I64' | 'I8' | 'U8']: {
    readonly dtype: D;
    readonly shape: readonly number[];
    readonly data: (typeof dtypes)[D]['array']['prototype'];
  };
}['F32' | 'F16' | 'I32' | 'I64' | 'I8' | 'U8'];

/** A tensor of a file; `bytes` is a view of the file's buffer (little-endian, row-major). */
export interface RawTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

export function isDtype(text: unknown): text is Dtype {
  return typeof text === 'string' && Object.hasOwn(dtypes, text);
}

/**
 * float32 values of little-endian elements; no copy of F32 that is aligned in its buffer. Rounds F64 and large integers to the
 * nearest float32.
 *
 * @param bytes a whole number of elements
 */
export function toFloat32(dtype: Dtype, bytes: Uint8Array): Float32Array {
  const elements = elementsOf(dtype, bytes);
  if (elements instanceof Float32Array) return elements;
  if (dtype === 'F16' || dtype === 'BF16') {
    const bitsOf = dtype === 'F16' ? halfToSingleBits : (bits: number) => bits << 16;
    const bits = new Uint32Array(elements.length);
    for (let i = 0; i < bits.length; i++) bits[i] = bitsOf(Number(elements[i]));
    return new Float32Array(bits.buffer);
  }
  return copied(dtype, elements, new Float32Array(elements.length));
}

/** Values as doubles: exact except for 64-bit integers beyond 2^53. */
export function toFloat64({ dtype, bytes }: RawTensor): Float64Array {
  const isNarrow = dtype === 'F16' || dtype === 'BF16';
  const elements = isNarrow ? toFloat32(dtype, bytes) : elementsOf(dtype, bytes);
  return copied(dtype, elements, new Float64Array(elements.length));
}

function elementsOf(dtype: Dtype, bytes: Uint8Array): ArrayLike<number | bigint> {
  const size = elementBytes(dtype);
  // Typed arrays must be aligned to their element size. (Not slice(): a Buffer's does not copy.)
  const { buffer, byteOffset } = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  const array: new (buffer: ArrayBufferLike, offset: number, length: number) => ArrayLike<number | bigint> =
    dtypes[dtype].array;
  return new array(buffer, byteOffset, bytes.byteLength / size);
}

/** A loop: `Float32Array.from` with a function takes ten times as long. */
function copied<T extends Float32Array | Float64Array>(dtype: Dtype, from: ArrayLike<number | bigint>, to: T): T {
  for (let i = 0; i < to.length; i++) to[i] = Number(from[i]);
  if (dtype === 'BOOL') for (let i = 0; i < to.length; i++) to[i] = Math.min(1, to[i]!);
  return to;
}

/** A tensor to be stored in half precision. */
export const asFloat16 = ({ shape, data }: Tensor): StoredArray => ({ dtype: 'F16', shape, data: toFloat16Bits(data) });

/** Bits of IEEE float16, rounded to nearest even; beyond 65504 infinity. */
export function toFloat16Bits(values: Float32Array): Uint16Array {
  const source = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(source, singleToHalfBits);
}

/** float16 bits -> float32 bits: 1 sign, 5 exponent (bias 15), 10 fraction -> 1, 8 (bias 127), 23. */
function halfToSingleBits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (fraction << 13);
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (fraction << 13);
  if (fraction === 0) return sign;
  // Subnormal: fraction * 2^-24. The leading one becomes the hidden bit.
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
  // A carry out of the fraction correctly increments the exponent.
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
 * 8-bit weights have a scale for each output channel: value = integer x scale. The scales of `conv1.weight` (I8, [out, ...])
 * are `conv1.weight_scale` (float, [out, 1, ...]), as in vLLM's compressed-tensors format.
 */
const scaleName = (name: string): string => `${name}_scale`;

/** [out, 1, ...] of [out, ...] */
const scaleShape = (shape: readonly number[]): number[] => shape.map((count, axis) => (axis === 0 ? count : 1));

/** The largest integer; the range is symmetric, without -128. */
const LARGEST = 127;

/**
 * A tensor for `--int8`: matrices and filters as integers with scales, vectors (biases, batch norms) in half precision.
 *
 * @param tensor [out, ...]
 * @returns one or two arrays with their names
 * @throws InputError if a value is not finite
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
    if (largest === 0) continue;
    // Not by the scale in float32: a subnormal one could be 0.
    for (const [i, value] of values.entries()) integers[row * size + i] = Math.round((value / largest) * LARGEST);
  }
  return [
    [name, { dtype: 'I8', shape, data: integers }],
    [scaleName(name), { dtype: 'F32', shape: scaleShape(shape), data: scales }],
  ];
}

/**
 * Stored tensors as float32; 8-bit integers are multiplied by their scales.
 *
 * @param where name of the file, for messages
 * @param names of the tensors to read; all if absent
 * @throws InputError if scales do not fit their integers
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

/** All tensors except scales of integers. */
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
