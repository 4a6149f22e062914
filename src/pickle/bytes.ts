import { InputError } from '../errors.js';

/** Longest text in bytes; half of what V8 holds. */
const LONGEST_TEXT = 2 ** 28;

/** Walks over bytes and refuses, naming the file and the byte, to walk beyond their end. */
export class ByteReader {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #where: string;
  position: number;

  constructor(bytes: Uint8Array, start: number, where: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#where = where;
    this.position = start;
  }

  /** The error for something wrong at a byte of this file. */
  problem(what: string, at = this.position): InputError {
    return new InputError(`${this.#where}: byte ${at}: ${what}`);
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

  /** Protocol 1 writes floats big-endian, unlike everything else. */
  float64BigEndian(): number {
    return this.#view.getFloat64(this.#take(8), false);
  }

  /** An unsigned size of 1, 4 or 8 bytes. @throws InputError above `most`, or where it goes beyond the end */
  size(width: 1 | 4 | 8, most = this.#bytes.byteLength): number {
    const at = this.position;
    if (width === 1) return this.byte();
    const value = width === 4 ? this.#view.getUint32(this.#take(4), true) : Number(this.uint64());
    if (value > most) throw this.problem(`size ${value}; valid: at most ${most}`, at);
    return value;
  }

  /** A view, not a copy. */
  bytes(length: number): Uint8Array {
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  text(length: number, encoding: 'utf-8' | 'latin1'): string {
    if (length > LONGEST_TEXT) throw this.problem(`a text of ${length} bytes; valid: at most ${LONGEST_TEXT}`);
    const bytes = this.bytes(length);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString(
      encoding === 'latin1' ? 'latin1' : 'utf8',
    );
  }

  /** Text (latin1) up to a line feed, which is taken too. */
  line(most = 100_000): string {
    const end = this.#bytes.indexOf(0x0a, this.position);
    if (end < 0) throw this.problem('truncated: a line has no end');
    if (end - this.position > most) throw this.problem(`a line of more than ${most} bytes`);
    const text = this.text(end - this.position, 'latin1');
    this.position++;
    return text;
  }

  #take(length: number): number {
    const start = this.position;
    if (start + length > this.#bytes.byteLength) {
      throw this.problem(`truncated: needs ${length} more bytes, has ${this.#bytes.byteLength - start}`);
    }
    this.position = start + length;
    return start;
  }
}

/** Python integers are unbounded; none in a checkpoint needs more bytes than this. */
const maxIntegerBytes = 1024;

export type PickleLiteral = null | boolean | number | bigint | string | Uint8Array;

/**
 * The number, text or bytes that this opcode holds, or undefined for any other opcode.
 *
 * @throws InputError where it is cut off or too long
 */
export function readLiteral(code: number, reader: ByteReader): PickleLiteral | undefined {
  switch (code) {
    case 0x4e: // NONE
      return null;
    case 0x88: // NEWTRUE
    case 0x89: // NEWFALSE
      return code === 0x88;
    case 0x49: // INT
    case 0x4c: // LONG
      return integerOf(reader.line(maxIntegerBytes), reader);
    case 0x46: // FLOAT
      return Number(reader.line(maxIntegerBytes));
    case 0x4a: // BININT
      return reader.int32();
    case 0x4b: // BININT1
      return reader.byte();
    case 0x4d: // BININT2
      return reader.uint16();
    case 0x47: // BINFLOAT
      return reader.float64BigEndian();
    case 0x8a: // LONG1
      return longOf(reader.bytes(reader.byte()));
    case 0x8b: // LONG4
      return longOf(reader.bytes(reader.size(4, maxIntegerBytes)));
    case 0x53: // STRING: a Python 2 string in quotes
      return reader.line().slice(1, -1);
    case 0x56: // UNICODE: latin1 with \u and \U escapes for the rest
      return reader
        .line()
        .replace(/\\u([\da-f]{4})|\\U(000[\da-f]{5}|0010[\da-f]{4})/g, (_, short: string, long: string) =>
          String.fromCodePoint(Number.parseInt(short ?? long, 16)),
        );
    case 0x8c: // SHORT_BINUNICODE
      return reader.text(reader.size(1), 'utf-8');
    case 0x58: // BINUNICODE
      return reader.text(reader.size(4), 'utf-8');
    case 0x8d: // BINUNICODE8
      return reader.text(reader.size(8), 'utf-8');
    case 0x55: // SHORT_BINSTRING: Python 2 bytes or text
      return reader.text(reader.size(1), 'latin1');
    case 0x54: // BINSTRING
      return reader.text(reader.size(4), 'latin1');
    case 0x43: // SHORT_BINBYTES
      return reader.bytes(reader.size(1));
    case 0x42: // BINBYTES
      return reader.bytes(reader.size(4));
    case 0x8e: // BINBYTES8
    case 0x96: // BYTEARRAY8
      return reader.bytes(reader.size(8));
    default:
      return undefined;
  }
}

/** Text of INT (00 and 01 are booleans) and LONG (ends in L). */
function integerOf(line: string, reader: ByteReader): boolean | number | bigint {
  if (line === '00' || line === '01') return line === '01';
  if (!/^-?\d+L?$/.test(line)) throw reader.problem('malformed pickle: not a whole number');
  return narrowed(BigInt(line.replace('L', '')));
}

/** Little-endian two's complement of any length; none is 0. */
function longOf(bytes: Uint8Array): number | bigint {
  const hex = Buffer.from(bytes).reverse().toString('hex');
  return bytes.length === 0 ? 0 : narrowed(BigInt.asIntN(bytes.length * 8, BigInt(`0x${hex}`)));
}

/** A number where it can hold the value exactly. */
function narrowed(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
