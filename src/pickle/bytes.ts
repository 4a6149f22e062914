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
