import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import type { InputError } from '../../../src/errors.js';

/** An entry of a made-up zip file. */
export interface Entry {
  readonly name: string;
  readonly data: Buffer;
  readonly method?: 'stored' | 'deflated';
}

export interface ZipOptions {
  /** Sizes, offsets and the end record in the 64-bit form. */
  readonly zip64?: boolean;
  readonly comment?: string;
}

/** A zip file (APPNOTE.TXT, 4.3); checksums are left 0, as wheels bring better ones. */
export function zipOf(entries: readonly Entry[], { zip64 = false, comment = '' }: ZipOptions = {}): Buffer {
  const locals: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, data, method = 'deflated' } of entries) {
    const bytes = method === 'stored' ? data : deflateRawSync(data);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50);
    local.writeUInt16LE(Buffer.byteLength(name), 26);
    local.writeUInt16LE(4, 28); // an extra field of 4 bytes that only the local header has
    locals.push(local, Buffer.from(name), Buffer.alloc(4), bytes);
    const extra = zip64 ? Buffer.alloc(28) : Buffer.alloc(0);
    const record = Buffer.alloc(46);
    record.writeUInt32LE(0x02014b50);
    record.writeUInt16LE(method === 'stored' ? 0 : 8, 10);
    [bytes.length, data.length].forEach((size, i) => {
      record.writeUInt32LE(zip64 ? 0xffffffff : size, 20 + 4 * i);
    });
    record.writeUInt16LE(Buffer.byteLength(name), 28);
    record.writeUInt16LE(extra.length, 30);
    record.writeUInt32LE(zip64 ? 0xffffffff : offset, 42);
    if (zip64) {
      extra.writeUInt16LE(1);
      extra.writeUInt16LE(24, 2);
      [data.length, bytes.length, offset].forEach((value, i) => {
        extra.writeBigUInt64LE(BigInt(value), 4 + 8 * i);
      });
    }
    directory.push(record, Buffer.from(name), extra);
    offset += 34 + Buffer.byteLength(name) + bytes.length;
  }
  const size = Buffer.concat(directory).length;
  const end = endRecords(entries.length, size, offset, zip64);
  end.writeUInt16LE(comment.length, end.length - 2);
  return Buffer.concat([...locals, ...directory, end, Buffer.from(comment)]);
}

function endRecords(count: number, size: number, at: number, zip64: boolean): Buffer {
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50);
  end.writeUInt16LE(zip64 ? 0xffff : count, 10);
  end.writeUInt32LE(zip64 ? 0xffffffff : size, 12);
  end.writeUInt32LE(zip64 ? 0xffffffff : at, 16);
  if (!zip64) return end;
  const record = Buffer.alloc(56);
  record.writeUInt32LE(0x06064b50);
  [count, size, at].forEach((value, i) => {
    record.writeBigUInt64LE(BigInt(value), 32 + 8 * i);
  });
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50);
  locator.writeBigUInt64LE(BigInt(at + size), 8);
  return Buffer.concat([record, locator, end]);
}

/** What a wheel of TensorFlow consists of, in small. */
export const tensorflowFiles: Readonly<Record<string, string>> = {
  'tensorflow/libtensorflow_cc.so.2': 'library of C++ and C '.repeat(1000),
  'tensorflow/libtensorflow_framework.so.2': 'framework',
  'tensorflow/include/tensorflow/c/c_api.h': '// the C interface',
  'tensorflow/include/tensorflow/c/eager/c_api.h': '// eager',
  'tensorflow/include/tensorflow/core/platform/ctstring_internal.h': '// strings',
  'tensorflow/include/external/local_tsl/tsl/c/tsl_status.h': '// status',
  'tensorflow/include/tensorflow/core/graph.h': '// not needed',
  'tensorflow/python/keras.py': '# not needed',
};

export interface WheelOptions {
  readonly files?: Readonly<Record<string, string>>;
  /** Lines of METADATA beyond the name. */
  readonly requires?: readonly string[];
  /** Changes the text of RECORD. */
  readonly record?: (text: string) => string;
}

/** Writes a made-up wheel. Returns its path. */
export function writeWheel(folder: string, name: string, options: WheelOptions = {}): string {
  const { files = tensorflowFiles, requires = [], record = (text) => text } = options;
  const info = `${name.split('-').slice(0, 2).join('-')}.dist-info`;
  const hash = (text: string): string => createHash('sha256').update(text).digest('base64url');
  const lines = Object.entries(files).map(([path, text]) => `${path},sha256=${hash(text)},${text.length}`);
  const all = {
    ...files,
    [`${info}/METADATA`]: ['Name: tensorflow', ...requires, ''].join('\n'),
    [`${info}/RECORD`]: record([...lines, `${info}/RECORD,,`, ''].join('\n')),
  };
  const path = join(folder, name);
  writeFileSync(path, zipOf(Object.entries(all).map(([entry, text]) => ({ name: entry, data: Buffer.from(text) }))));
  return path;
}

/** The problem that ends some work. @throws Error where there is none, or it isn't one for the user */
export async function problemOf(work: () => unknown): Promise<string> {
  try {
    await work();
  } catch (error) {
    // By name: mocha's loader can hold a module twice.
    if (!(error instanceof Error) || error.name !== 'InputError') throw error;
    const { problems } = error as InputError;
    if (problems.length !== 1 || problems[0]!.includes('\n')) throw new Error(`not one line: ${problems.join('\n')}`);
    return problems[0]!;
  }
  throw new Error('no problem was found');
}

/** A folder of each test's own in the suite that asks for it. */
export function temporaryFolder(): () => string {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'dgate-setup-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  return () => folder;
}
