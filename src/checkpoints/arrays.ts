import { extname } from 'node:path';
import { InputError } from '../errors.js';
import { Budget } from '../json.js';
import { MOST_TEXT, readInput } from '../store/input.js';
import { elementCount } from '../tensor.js';
import { type Dtype, dtypes, elementBytes, type RawTensor } from './dtypes.js';
import { parseSafetensors } from './load.js';
import { openArchive } from './pytorch.js';

/** Arrays of a file by their names. */
export type NamedArrays = ReadonlyMap<string, RawTensor>;

/**
 * Reads arrays of numbers from .npz (NumPy's savez and savez_compressed), .safetensors, or .csv, whose columns are arrays;
 * columns `NAME_0`, `NAME_1`, ... are one array NAME [rows, columns].
 *
 * @throws InputError if the file is none of these, or damaged
 */
export async function readArrays(path: string): Promise<{ readonly arrays: NamedArrays; readonly bytes: Uint8Array }> {
  const kind = extname(path).toLowerCase();
  const bytes = await readInput(path, kind === '.csv' ? MOST_TEXT : undefined);
  if (kind === '.npz') return { arrays: await readNpz(bytes, path), bytes };
  if (kind === '.safetensors') return { arrays: parseSafetensors(bytes, path).tensors, bytes };
  if (kind === '.csv') return { arrays: readCsvArrays(bytes.toString('utf8'), path), bytes };
  throw new InputError(`${path}: unknown kind of file; valid: .npz, .safetensors, .csv`);
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

const numpyTypes = new Map(Object.entries(dtypes).map(([name, { numpy }]) => [numpy as string, name as Dtype]));

/** One array as NumPy saves it (numpy.org/doc/stable/reference/generated/numpy.lib.format.html). */
function readNpy(bytes: Uint8Array, at: string): RawTensor {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (file.length < 12 || file.toString('latin1', 0, 6) !== '\x93NUMPY')
    throw new InputError(`${at}: not a .npy array`);
  const long = file[6]! > 1;
  const start = (long ? 12 : 10) + (long ? file.readUInt32LE(8) : file.readUInt16LE(8));
  const header = file.toString('latin1', long ? 12 : 10, Math.min(start, 10_000));
  const descr = /'descr': *'([<>|=]?)(\w+)'/.exec(header);
  const dtype = descr === null ? undefined : numpyTypes.get(descr[2]!);
  const axes = /'shape': *\(([\d, ]*)\)/.exec(header)?.[1];
  if (descr === null || dtype === undefined || descr[1] === '>' || axes === undefined) {
    throw new InputError(`${at}: ${header.slice(0, 80).trim()}; valid: an array of little-endian numbers`);
  }
  const shape = axes.split(',').flatMap((size) => (size.trim() === '' ? [] : [Number(size)]));
  if (/'fortran_order': *True/.test(header) && shape.length > 1) {
    throw new InputError(`${at}: in Fortran's order; valid: numpy.ascontiguousarray of it`);
  }
  const data = bytes.subarray(start);
  const size = elementCount(shape) * elementBytes(dtype);
  if (size !== data.byteLength) {
    throw new InputError(`${at}: ${data.byteLength} bytes; ${dtype} [${shape.join(', ')}] needs ${size}`);
  }
  return { dtype, shape, bytes: data };
}

function readCsvArrays(text: string, where: string): NamedArrays {
  const lines = text
    .replaceAll(/^\uFEFF|"/g, '') // numbers may stand in quotes
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '');
  const separator = /[,;\t]/.exec(lines[0] ?? '')?.[0] ?? ',';
  const columns = (lines.shift() ?? '').split(separator).map((name) => name.trim());
  if (new Set(columns).size < columns.length)
    throw new InputError(`${where}: a column appears twice; valid: each once`);
  const values = columns.map(() => new Float64Array(lines.length));
  for (const [row, line] of lines.entries()) {
    const cells = line.split(separator);
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
