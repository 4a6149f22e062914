import { extname } from 'node:path';
import { Budget } from '../budget.js';
import { InputError } from '../errors.js';
import { MOST_TEXT, readInput } from '../store/input.js';
import { elementCount } from '../tensor.js';
import { type Dtype, dtypeBytes, type RawTensor, toFloat32 } from './dtypes.js';
import { openArchive } from './pytorch.js';
import { parseSafetensors } from './safetensors.js';

/** Arrays of a file by their names. */
export type NamedArrays = ReadonlyMap<string, RawTensor>;

/**
 * Arrays of numbers from a file of others: .npz (NumPy's savez and savez_compressed), .safetensors, or .csv, whose columns
 * are arrays of one number for each row; columns `NAME_0`, `NAME_1`, ... are one array NAME [rows, columns].
 *
 * @throws InputError where the file is none of these, or damaged
 */
export async function readArrays(path: string): Promise<{ readonly arrays: NamedArrays; readonly bytes: Uint8Array }> {
  const kind = extname(path).toLowerCase();
  const bytes = await readInput(path, kind === '.csv' ? MOST_TEXT : undefined);
  if (kind === '.npz') return { arrays: await readNpz(bytes, path), bytes };
  if (kind === '.safetensors') return { arrays: parseSafetensors(bytes, path).tensors, bytes };
  if (kind === '.csv') return { arrays: readCsvArrays(bytes.toString('utf8'), path), bytes };
  throw new InputError(`${path}: not a kind of file that holds arrays; valid: .npz, .safetensors, .csv`);
}

async function readNpz(bytes: Uint8Array, where: string): Promise<NamedArrays> {
  const archive = await openArchive(bytes, new Budget(where, bytes.byteLength, 'numpy.savez without compression'));
  const arrays = new Map<string, RawTensor>();
  for (const entry of archive.entries.keys()) {
    const name = entry.replace(/\.npy$/, '');
    if (name !== entry) arrays.set(name, readNpy(await archive.read(entry), `${where}: ${name}`));
  }
  return arrays;
}

/** Element types of NumPy, without their byte order. */
const numpyTypes: Readonly<Record<string, Dtype>> = {
  ...{ f2: 'F16', f4: 'F32', f8: 'F64', b1: 'BOOL', i1: 'I8', i2: 'I16', i4: 'I32', i8: 'I64' },
  ...{ u1: 'U8', u2: 'U16', u4: 'U32', u8: 'U64' },
};

/**
 * One array as NumPy saves it: magic, version, length of the header, a header in Python's words, the elements.
 * Format: numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 */
function readNpy(bytes: Uint8Array, at: string): RawTensor {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (file.length < 12 || file.toString('latin1', 0, 6) !== '\x93NUMPY')
    throw new InputError(`${at}: not a .npy array`);
  const long = file[6]! > 1;
  const start = (long ? 12 : 10) + (long ? file.readUInt32LE(8) : file.readUInt16LE(8));
  const header = file.toString('latin1', long ? 12 : 10, Math.min(start, 10_000));
  const descr = /'descr': *'([<>|=]?)(\w+)'/.exec(header);
  const dtype = descr === null ? undefined : numpyTypes[descr[2]!];
  const axes = /'shape': *\(([\d, ]*)\)/.exec(header)?.[1];
  if (descr === null || dtype === undefined || descr[1] === '>' || axes === undefined) {
    throw new InputError(`${at}: ${header.slice(0, 80).trim()}; valid: an array of little-endian numbers`);
  }
  const shape = axes.split(',').flatMap((size) => (size.trim() === '' ? [] : [Number(size)]));
  if (/'fortran_order': *True/.test(header) && shape.length > 1) {
    throw new InputError(`${at}: in Fortran's order; valid: numpy.ascontiguousarray of it`);
  }
  const data = bytes.subarray(start);
  const size = elementCount(shape) * dtypeBytes[dtype];
  if (size !== data.byteLength) {
    throw new InputError(`${at}: ${data.byteLength} bytes; ${dtype} [${shape.join(', ')}] needs ${size}`);
  }
  return { dtype, shape, bytes: data };
}

function readCsvArrays(text: string, where: string): NamedArrays {
  const lines = text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '');
  const columns = (lines.shift() ?? '').split(',').map((name) => name.trim().replaceAll('"', ''));
  if (new Set(columns).size < columns.length) throw new InputError(`${where}: a column twice; valid: each once`);
  const values = columns.map(() => new Float64Array(lines.length));
  for (const [row, line] of lines.entries()) {
    const cells = line.split(',');
    if (cells.length !== columns.length) {
      throw new InputError(
        `${where}: row ${row + 1}: ${cells.length} cells; valid: ${columns.length}, one number a column`,
      );
    }
    for (const [i, cell] of cells.entries()) values[i]![row] = cell.trim() === '' ? Number.NaN : Number(cell);
  }
  const arrays = new Map<string, RawTensor>();
  for (const [i, column] of columns.entries()) {
    arrays.set(column, { dtype: 'F64', shape: [lines.length], bytes: new Uint8Array(values[i]!.buffer) });
    const name = /^(.+)_0$/.exec(column)?.[1];
    const places = name === undefined ? [] : columns.map((_, k) => columns.indexOf(`${name}_${k}`));
    const numbered = places.slice(0, places.includes(-1) ? places.indexOf(-1) : undefined);
    if (name === undefined) continue;
    const data = Float64Array.from({ length: lines.length * numbered.length }, (_, at) => {
      return values[numbered[at % numbered.length]!]![Math.floor(at / numbered.length)]!;
    });
    arrays.set(name, { dtype: 'F64', shape: [lines.length, numbered.length], bytes: new Uint8Array(data.buffer) });
  }
  return arrays;
}

/** Every element as a double: exact but for 64-bit integers beyond 2^53. */
export function numbersOf({ dtype, bytes }: RawTensor): Float64Array {
  const { buffer } = new Uint8Array(bytes);
  if (dtype === 'F64') return new Float64Array(buffer);
  if (dtype === 'I64') return Float64Array.from(new BigInt64Array(buffer), Number);
  if (dtype === 'U64') return Float64Array.from(new BigUint64Array(buffer), Number);
  if (dtype === 'I32') return Float64Array.from(new Int32Array(buffer));
  if (dtype === 'U32') return Float64Array.from(new Uint32Array(buffer));
  return Float64Array.from(toFloat32(dtype, bytes));
}
