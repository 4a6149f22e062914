import { createHash } from 'node:crypto';
import { closeSync, createWriteStream, mkdirSync, openSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { messageOf } from '../../../errors.js';
import { codeOf, fail } from './fail.js';
import { entryStream, openZip, readText, type Zip } from './zip.js';

/** TensorFlow's libraries in its Python package. */
export const libraries = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'] as const;

/** What a wheel of TensorFlow says of itself. */
export interface Wheel {
  /** Base64url SHA-256 of each file. */
  readonly hashes: ReadonlyMap<string, string>;
  /** The CUDA packages that its extra `and-cuda` asks pip for. */
  readonly cuda: readonly string[];
}

/** Whether the addon includes this header of the wheel. */
export function isWantedHeader(name: string): boolean {
  return (
    name.endsWith('.h') &&
    (name.startsWith('tensorflow/include/tensorflow/c/') ||
      /^tensorflow\/include\/(tensorflow\/core|.*\btsl)\/platform\/ctstring[^/]*$/.test(name) ||
      /^tensorflow\/include\/.*\btsl\/c\/[^/]*$/.test(name))
  );
}

/** Reads a wheel's own records. @throws InputError where it is no wheel of TensorFlow for Linux */
export function readWheel(path: string): Promise<Wheel> {
  return withZip(path, async (zip) => {
    const record = [...zip.entries.keys()].find((name) => /^tensorflow[^/]*\.dist-info\/RECORD$/.test(name));
    if (record === undefined || !zip.entries.has(`tensorflow/${libraries[0]}`)) {
      fail(
        `${path} holds no tensorflow/${libraries[0]}; give a Linux wheel of tensorflow-cpu or tensorflow, 2.13 or newer`,
      );
    }
    const lines = (await readText(zip, record)).split('\n').map((line) => /^"?(.*?)"?,sha256=([^,]*),/.exec(line));
    const hashes = lines.flatMap((match): [string, string][] =>
      match === null ? [] : [[match[1]!, match[2]!.replace(/=+$/, '')]],
    );
    const metadata = await readText(zip, record.replace(/RECORD$/, 'METADATA'));
    const needs = /^Requires-Dist: ([\w.-]+)[ \t]*(?:\(?([<>=!~][^;)\n]*)\)?)?[ \t]*;[ \t]*extra == ['"]and-cuda['"]/gm;
    const cuda = [...metadata.matchAll(needs)].map(
      ([, name, versions = '']) => `${name}${versions.replace(/\s+/g, '')}`,
    );
    return { hashes: new Map(hashes), cuda };
  });
}

/** Extracts the libraries to `lib` and the headers to `include`, each compared with the wheel's record. */
export function extractWheel(path: string, { hashes }: Wheel, to: string): Promise<void> {
  return withZip(path, async (zip) => {
    for (const name of zip.entries.keys()) {
      const target = targetOf(name);
      if (target === undefined) continue;
      if (name.split('/').includes('..')) fail(`${basename(path)} has an unsafe path ${name}; fetch it from PyPI`);
      await extractEntry(zip, name, hashes.get(name), join(to, target));
    }
  });
}

function targetOf(name: string): string | undefined {
  const library = libraries.find((candidate) => name === `tensorflow/${candidate}`);
  if (library !== undefined) return join('lib', library);
  return isWantedHeader(name) ? name.slice('tensorflow/'.length) : undefined;
}

async function withZip<T>(path: string, use: (zip: Zip) => Promise<T>): Promise<T> {
  const fd = openSync(path, 'r');
  try {
    return await use(openZip(fd, path));
  } finally {
    closeSync(fd);
  }
}

async function extractEntry(zip: Zip, name: string, sha256: string | undefined, target: string): Promise<void> {
  mkdirSync(dirname(target), { recursive: true });
  const entry = zip.entries.get(name)!;
  const hash = createHash('sha256');
  const tap = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  const wheel = basename(zip.path);
  try {
    await pipeline(entryStream(zip, entry), tap, createWriteStream(target));
  } catch (error) {
    if (codeOf(error) === 'ENOSPC') {
      fail(`the disk of ${dirname(target)} is full; free ${Math.ceil(entry.size / 1e6)} MB more`);
    }
    fail(`${name} in ${wheel} cannot be read (${messageOf(error)}); fetch the wheel again`);
  }
  if (hash.digest('base64url') !== sha256) {
    fail(`${name} in ${wheel} does not match the wheel's record; fetch the wheel again`);
  }
}
