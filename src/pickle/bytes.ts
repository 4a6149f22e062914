import { InputError } from '../errors.js';

/** Longest text in bytes; half of what V8 holds. */
const LONGEST_TEXT = 2 ** 28;

/** Reads bytes in order. An error for reading beyond their end names the file and the byte. */
export class ByteReader {
  readonly #view: DataView;

  constructor(
    private readonly all: Uint8Array,
    public position: number,
    private readonly where: string,
  ) {
    this.#view = new DataView(all.buffer, all.byteOffset, all.byteLength);
  }

  /** An error at a byte of this file. */
  problem(what: string, at = this.position): InputError {
    return new InputError(`${this.where}: byte ${at}: ${what}`);
  }

  byte(): number {
    return this.#view.getUint8(this.#take(1));
  }

  uint16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  int32(): number {
    return this.#view.getInt32(this.#take(4), true);
  }

  uint64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  float64BigEndian(): number {
    return this.#view.getFloat64(this.#take(8), false);
  }

  /** An unsigned size of 1, 4 or 8 bytes. @throws InputError above `most`, or beyond the end */
  size(width: 1 | 4 | 8, most = this.all.byteLength): number {
    const at = this.position;
    if (width === 1) return this.byte();
    const value = width === 4 ? this.#view.getUint32(this.#take(4), true) : Number(this.uint64());
    if (value > most) throw this.problem(`size ${value}; valid: at most ${most}`, at);
    return value;
  }

  /** A view, not a copy. */
  bytes(length: number): Uint8Array {
    const start = this.#take(length);
    return this.all.subarray(start, start + length);
  }

  text(length: number, encoding: 'utf8' | 'latin1'): string {
    if (length > LONGEST_TEXT) throw this.problem(`a text of ${length} bytes; valid: at most ${LONGEST_TEXT}`);
    const bytes = this.bytes(length);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString(encoding);
  }

  /** Text (latin1) up to a line feed, which is consumed. */
  line(most = 100_000): string {
    const end = this.all.indexOf(0x0a, this.position);
    if (end < 0) throw this.problem('truncated: a line has no end');
    if (end - this.position > most) throw this.problem(`a line of more than ${most} bytes`);
    const text = this.text(end - this.position, 'latin1');
    this.position++;
    return text;
  }

  #take(length: number): number {
    const start = this.position;
    if (start + length > this.all.byteLength) {
      throw this.problem(`truncated: needs ${length} more bytes, has ${this.all.byteLength - start}`);
    }
    this.position = start + length;
    return start;
  }
}

/** Longest Python integer in bytes; checkpoints hold shorter ones. */
const INTEGER_BYTES = 1024;

export type PickleLiteral = null | boolean | number | bigint | string | Uint8Array;

/** Numbers, texts and bytes by their opcodes. Each reader throws InputError if the pickle is cut off or the value too long. */
export const literals: Readonly<Record<number, (reader: ByteReader) => PickleLiteral>> = {
  78: () => null, // NONE
  136: () => true, // NEWTRUE
  137: () => false, // NEWFALSE
  73: (reader) => integerOf(reader.line(INTEGER_BYTES), reader), // INT
  76: (reader) => integerOf(reader.line(INTEGER_BYTES), reader), // LONG
  70: (reader) => Number(reader.line(INTEGER_BYTES)), // FLOAT
  74: (reader) => reader.int32(), // BININT
  75: (reader) => reader.byte(), // BININT1
  77: (reader) => reader.uint16(), // BININT2
  71: (reader) => reader.float64BigEndian(), // BINFLOAT
  138: (reader) => longOf(reader.bytes(reader.byte())), // LONG1
  139: (reader) => longOf(reader.bytes(reader.size(4, INTEGER_BYTES))), // LONG4
  83: (reader) => reader.line().slice(1, -1), // STRING: a Python 2 string in quotes
  86: (reader) => unescaped(reader.line()), // UNICODE
  140: (reader) => reader.text(reader.size(1), 'utf8'), // SHORT_BINUNICODE
  88: (reader) => reader.text(reader.size(4), 'utf8'), // BINUNICODE
  141: (reader) => reader.text(reader.size(8), 'utf8'), // BINUNICODE8
  85: (reader) => reader.text(reader.size(1), 'latin1'), // SHORT_BINSTRING: Python 2 bytes or text
  84: (reader) => reader.text(reader.size(4), 'latin1'), // BINSTRING
  67: (reader) => reader.bytes(reader.size(1)), // SHORT_BINBYTES
  66: (reader) => reader.bytes(reader.size(4)), // BINBYTES
  142: (reader) => reader.bytes(reader.size(8)), // BINBYTES8
  150: (reader) => reader.bytes(reader.size(8)), // BYTEARRAY8
};

/** Latin1 with \u and \U escapes for the rest. */
const unescaped = (line: string): string =>
  line.replace(/\\u([\da-f]{4})|\\U(000[\da-f]{5}|0010[\da-f]{4})/g, (_, short: string, long: string) =>
    String.fromCodePoint(Number.parseInt(short ?? long, 16)),
  );

/** Text of INT (00 and 01 are booleans) and LONG (ends in L). */
function integerOf(line: string, reader: ByteReader): boolean | number | bigint {
  if (line === '00' || line === '01') return line === '01';
  if (!/^-?\d+L?$/.test(line)) throw reader.problem('malformed pickle: not a whole number');
  return narrowed(BigInt(line.replace('L', '')));
}

/** Little-endian two's complement of any length; 0 if empty. */
function longOf(bytes: Uint8Array): number | bigint {
  const hex = Buffer.from(bytes).reverse().toString('hex');
  return bytes.length === 0 ? 0 : narrowed(BigInt.asIntN(bytes.length * 8, BigInt(`0x${hex}`)));
}

/** A number if it holds the value exactly. */
function narrowed(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
