import type { ByteReader } from './bytes.js';

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
