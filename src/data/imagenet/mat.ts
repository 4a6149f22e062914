import { inflateSync } from 'node:zlib';
import { messageOf } from '../../errors.js';
import type { Budget } from '../../json.js';

/** A value in a MATLAB file, as far as `meta.mat` needs them. */
type MatValue = number[] | string | Readonly<Record<string, MatValue>>[] | undefined;

interface NumberType {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBuffer): ArrayLike<number | bigint>;
}

/** Element types of numbers (MAT-File Format, level 5, table 1-1). */
const numberTypes: Readonly<Record<number, NumberType>> = {
  1: Int8Array,
  2: Uint8Array,
  3: Int16Array,
  4: Uint16Array,
  5: Int32Array,
  6: Uint32Array,
  7: Float32Array,
  9: Float64Array,
  12: BigInt64Array,
  13: BigUint64Array,
  16: Uint8Array,
};

/** `meta.mat` inflates to less than a MB; its structures nest twice, its texts are sentences. */
const limits = { inflatedBytes: 2 ** 24, depth: 10, letters: 65_536 };
/** Memory that V8 needs for an element, which has at least 8 bytes in a file. */
const ELEMENT_BYTES = 150;
const [MATRIX, COMPRESSED] = [14, 15];
/** Array classes (table 1-3). */
const [STRUCT, CHAR] = [2, 4];

/**
 * Variables of a little-endian MATLAB level-5 file: numbers, texts and arrays of structures of these; others are undefined.
 *
 * @throws RangeError if it is no such file or damaged, InputError if the budget is spent
 */
export function readMat(file: Buffer, budget: Budget): Map<string, MatValue> {
  if (file.length < 128 || file.toString('latin1', 126, 128) !== 'IM') throw new RangeError('not a MATLAB 5 file');
  const variables = new Map<string, MatValue>();
  for (const element of elementsOf(file.subarray(128), budget)) {
    const found = element.type === COMPRESSED ? elementsOf(inflated(element.data, budget), budget)[0] : element;
    if (found?.type !== MATRIX) continue;
    const { name, value } = readMatrix(found.data, budget, 0);
    variables.set(name, value);
  }
  return variables;
}

function inflated(data: Buffer, budget: Budget): Buffer {
  let found: Buffer;
  try {
    found = inflateSync(data, { maxOutputLength: limits.inflatedBytes });
  } catch (error) {
    throw new RangeError(`it cannot be inflated: ${messageOf(error)}`);
  }
  budget.bytes(found.length);
  return found;
}

interface Element {
  readonly type: number;
  readonly data: Buffer;
}

/** Consecutive elements; each begins at a multiple of 8, except after compressed ones. */
function elementsOf(bytes: Buffer, budget: Budget): Element[] {
  const elements: Element[] = [];
  for (let at = 0; at + 8 <= bytes.length; ) {
    const first = bytes.readUInt32LE(at);
    const small = first >>> 16;
    const type = first & 0xffff;
    const length = small > 0 ? small : bytes.readUInt32LE(at + 4);
    const start = small > 0 ? at + 4 : at + 8;
    budget.steps();
    budget.bytes(ELEMENT_BYTES);
    if (small > 4) throw new RangeError(`an element of ${small} bytes where 4 have room`);
    if (start + length > bytes.length) throw new RangeError('it ends within an element');
    elements.push({ type, data: bytes.subarray(start, start + length) });
    if (small > 0) at += 8;
    else at = start + (type === COMPRESSED ? length : Math.ceil(length / 8) * 8);
  }
  return elements;
}

function readMatrix(bytes: Buffer, budget: Budget, depth: number): { readonly name: string; readonly value: MatValue } {
  const [flags, dimensions, name, ...content] = elementsOf(bytes, budget);
  if (flags === undefined || dimensions === undefined || name === undefined) return { name: '', value: undefined };
  return { name: name.data.toString('latin1'), value: contentOf(flags.data.readUInt8(0), content, budget, depth) };
}

function contentOf(kind: number, content: readonly Element[], budget: Budget, depth: number): MatValue {
  if (depth > limits.depth) throw new RangeError(`structures nest more than ${limits.depth} deep`);
  if (kind === STRUCT) return structuresOf(content, budget, depth);
  const values = content[0] === undefined ? [] : numbersOf(content[0], budget);
  if (kind === CHAR && values.length > limits.letters) throw new RangeError(`a text of ${values.length} letters`);
  if (kind === CHAR) return String.fromCharCode(...values);
  return kind >= 6 && kind <= 15 ? values : undefined;
}

/** Field names of equal length, then the fields of each structure. */
function structuresOf([width, names, ...values]: readonly Element[], budget: Budget, depth: number) {
  if (width === undefined || names === undefined) return [];
  const length = width.data.readInt32LE(0);
  if (length < 1 || names.data.length < length) throw new RangeError(`names of fields of ${length} bytes`);
  const count = Math.floor(names.data.length / length);
  budget.steps(count);
  const fields = Array.from({ length: count }, (_, i) =>
    names.data.toString('latin1', i * length, (i + 1) * length).replace(/\0.*$/s, ''),
  );
  return Array.from({ length: Math.floor(values.length / count) }, (_, item): Readonly<Record<string, MatValue>> => {
    const fieldOf = (i: number) => readMatrix(values[item * count + i]!.data, budget, depth + 1).value;
    return Object.fromEntries(fields.map((field, i) => [field, fieldOf(i)]));
  });
}

function numbersOf({ type, data }: Element, budget: Budget): number[] {
  const Numbers = numberTypes[type];
  if (Numbers === undefined) throw new RangeError(`numbers of type ${type}`);
  const length = Math.floor(data.length / Numbers.BYTES_PER_ELEMENT);
  budget.bytes(length * Float64Array.BYTES_PER_ELEMENT);
  const { buffer } = new Uint8Array(data.subarray(0, length * Numbers.BYTES_PER_ELEMENT));
  return Array.from(new Numbers(buffer), Number);
}
