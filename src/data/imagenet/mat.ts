import { inflateSync } from 'node:zlib';
import type { Budget } from '../../budget.js';
import { messageOf } from '../../errors.js';

/** A value in a MATLAB file, as far as the devkit's `meta.mat` needs them. */
export type MatValue = number[] | string | Readonly<Record<string, MatValue>>[] | undefined;

/** Element types (MAT-File Format, level 5, table 1-1) with the size of one number in bytes. */
const numbers: Readonly<Record<number, { readonly bytes: number; readonly read: (b: Buffer, at: number) => number }>> =
  {
    1: { bytes: 1, read: (b, at) => b.readInt8(at) },
    2: { bytes: 1, read: (b, at) => b.readUInt8(at) },
    3: { bytes: 2, read: (b, at) => b.readInt16LE(at) },
    4: { bytes: 2, read: (b, at) => b.readUInt16LE(at) },
    5: { bytes: 4, read: (b, at) => b.readInt32LE(at) },
    6: { bytes: 4, read: (b, at) => b.readUInt32LE(at) },
    7: { bytes: 4, read: (b, at) => b.readFloatLE(at) },
    9: { bytes: 8, read: (b, at) => b.readDoubleLE(at) },
    12: { bytes: 8, read: (b, at) => Number(b.readBigInt64LE(at)) },
    13: { bytes: 8, read: (b, at) => Number(b.readBigUInt64LE(at)) },
    16: { bytes: 1, read: (b, at) => b.readUInt8(at) },
  };
/** The real file's only variable has less than one of these megabytes; its structures nest twice, its texts are sentences. */
const limits = { inflatedBytes: 2 ** 24, depth: 10, letters: 65_536 };
/** What V8 takes for an element, which has 8 bytes or more in a file. */
const ELEMENT_BYTES = 150;
const MATRIX = 14;
const COMPRESSED = 15;
/** Array classes (table 1-3). */
const STRUCT = 2;
const CHAR = 4;

/**
 * Variables of a MATLAB level-5 file, little-endian: numbers, texts and arrays of structures of these; anything else is
 * undefined.
 *
 * @param budget of the file
 * @throws RangeError where it is no such file or is damaged, InputError where the budget is spent
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

/** The elements that stand one after the other; each begins at a multiple of 8, but after compressed ones. */
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
  const kind = flags.data.readUInt8(0);
  return { name: name.data.toString('latin1'), value: contentOf(kind, content, budget, depth) };
}

function contentOf(kind: number, content: readonly Element[], budget: Budget, depth: number): MatValue {
  if (depth > limits.depth) throw new RangeError(`structures nest more than ${limits.depth} deep`);
  if (kind === STRUCT) return structuresOf(content, budget, depth);
  const values = content[0] === undefined ? [] : numbersOf(content[0], budget);
  if (kind === CHAR && values.length > limits.letters) throw new RangeError(`a text of ${values.length} letters`);
  if (kind === CHAR) return String.fromCharCode(...values);
  return kind >= 6 && kind <= 15 ? values : undefined;
}

/** Field names of equal length, then the fields of the first structure, of the second, and so on. */
function structuresOf(
  [width, names, ...values]: readonly Element[],
  budget: Budget,
  depth: number,
): Readonly<Record<string, MatValue>>[] {
  if (width === undefined || names === undefined) return [];
  const length = width.data.readInt32LE(0);
  if (length < 1 || names.data.length < length) throw new RangeError(`names of fields of ${length} bytes`);
  budget.steps(names.data.length / length);
  const fields = Array.from({ length: Math.floor(names.data.length / length) }, (_, i) =>
    names.data.toString('latin1', i * length, (i + 1) * length).replace(/\0.*$/s, ''),
  );
  return Array.from({ length: Math.floor(values.length / fields.length) }, (_, item) =>
    Object.fromEntries(
      fields.map((field, i) => [field, readMatrix(values[item * fields.length + i]!.data, budget, depth + 1).value]),
    ),
  );
}

function numbersOf({ type, data }: Element, budget: Budget): number[] {
  const kind = numbers[type];
  if (kind === undefined) throw new RangeError(`numbers of type ${type}`);
  const length = Math.floor(data.length / kind.bytes);
  budget.bytes(length * Float64Array.BYTES_PER_ELEMENT);
  return Array.from({ length }, (_, i) => kind.read(data, i * kind.bytes));
}
