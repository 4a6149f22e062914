import { basename, join } from 'node:path';
import { fail } from '../../setup/fail.js';
import { extractEntry, readRecords, withWheel } from '../../setup/wheel.js';

/** TensorFlow's libraries in its Python package. */
export const libraries = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'] as const;

/** What a wheel of TensorFlow states about itself. */
export interface TensorFlowWheel {
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

/** Reads a wheel's records. @throws InputError if it is not a Linux wheel of TensorFlow */
export function readWheel(path: string): Promise<TensorFlowWheel> {
  return withWheel(path, async (wheel) => {
    const records = await readRecords(wheel, 'tensorflow');
    if (records === undefined || !wheel.entries.has(`tensorflow/${libraries[0]}`)) {
      return fail(
        `${path} holds no tensorflow/${libraries[0]}; give a Linux wheel of tensorflow-cpu or tensorflow, 2.13 or newer`,
      );
    }
    const { hashes, metadata } = records;
    const needs = /^Requires-Dist: ([\w.-]+)[ \t]*(?:\(?([<>=!~][^;)\n]*)\)?)?[ \t]*;[ \t]*extra == ['"]and-cuda['"]/gm;
    const cuda = [...metadata.matchAll(needs)].map(
      ([, name, versions = '']) => `${name}${versions.replace(/\s+/g, '')}`,
    );
    return { hashes, cuda };
  });
}

/** Extracts the libraries to `lib` and the headers to `include`, each compared with the wheel's record. */
export function extractWheel(path: string, { hashes }: TensorFlowWheel, to: string): Promise<void> {
  return withWheel(path, async (zip) => {
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
