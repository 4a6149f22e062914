import {
  cpSync,
  existsSync,
  linkSync,
  readdirSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import { extractEntry, fail, fetchCuda, fetchWheel, readRecords, withWheel } from '../../setup.js';

export interface SetupOptions {
  readonly gpu?: boolean | undefined;
  /** A wheel of tensorflow-cpu or tensorflow; nothing is fetched. */
  readonly wheel?: string | undefined;
  /** A Python folder with an installed TensorFlow; linked, not copied. */
  readonly sitePackages?: string | undefined;
  /** Folder for extracted libraries: `npm ci` removes those in node_modules. */
  readonly cache: string;
  readonly log: (line: string) => void;
}

/** The newest tested versions of TensorFlow, by the oldest glibc 2 that they run on. */
const tested = [
  { glibcMinor: 27, version: '2.21.0' },
  { glibcMinor: 17, version: '2.16.2' },
];
/** Written last into an extracted wheel. */
const COMPLETE = 'complete';

export interface Source {
  readonly source: string;
  readonly gpu: boolean;
  /** Folder of NVIDIA's libraries; TensorFlow looks for them in `../nvidia`. */
  readonly nvidia?: string;
}

export interface Placing extends SetupOptions {
  /** For `lib` and `include`. */
  readonly deps: string;
  /** For temporary files. */
  readonly work: string;
  readonly glibcMinor: number;
  readonly folder: string;
}

/** Puts TensorFlow's libraries and headers into `deps`. @throws InputError where the source lacks them */
export async function placeTensorFlow(placing: Placing): Promise<Source> {
  return placing.sitePackages === undefined ? placeFromWheel(placing) : placeInstalled(placing, placing.sitePackages);
}

function placeInstalled({ deps }: Placing, sitePackages: string): Source {
  const site = resolve(sitePackages);
  const from = join(site, 'tensorflow');
  if (!existsSync(join(from, libraries[0]))) {
    fail(`${from} has no ${libraries[0]}; give the folder that \`pip show tensorflow\` calls Location`);
  }
  place(from, from, deps);
  const nvidia = join(site, 'nvidia');
  return existsSync(nvidia) ? { source: from, gpu: true, nvidia } : { source: from, gpu: false };
}

async function placeFromWheel(placing: Placing): Promise<Source> {
  const { deps, work, gpu = false, wheel, glibcMinor, log } = placing;
  checkDisk(placing.folder, gpu);
  const choice = chooseWheel({ gpu, arch: process.arch, glibcMinor });
  const cached = gpu || wheel ? undefined : cachedWheel(placing.cache, choice);
  if (cached !== undefined) {
    log(`taking TensorFlow from ${cached}`);
    place(cached, join(cached, 'lib'), deps);
    return { source: basename(cached), gpu };
  }
  if (wheel === undefined) {
    log(`fetching ${choice.distribution} ${choice.version} with pip (about ${gpu ? 570 : 270} MB)`);
  }
  const file =
    wheel === undefined
      ? fetchWheel(choice.distribution, choice.version, glibcMinor, join(work, 'wheel'), log)
      : resolve(wheel);
  const name = basename(file);
  const records = await readWheel(file);
  if (gpu && !name.startsWith('tensorflow-')) fail(`${name} is a CPU build; for --gpu give a wheel of tensorflow`);
  await extract(placing, file, records);
  if (!gpu) return { source: name, gpu };
  const { cuda } = records;
  if (cuda.length === 0) {
    fail(`${name} names no CUDA packages; pip install tensorflow[and-cuda] in a venv and give --site-packages DIR`);
  }
  log(`fetching the CUDA libraries with pip (several GB): ${cuda.join(' ')}`);
  fetchCuda(cuda, glibcMinor, join(deps, 'cuda'), log);
  return { source: name, gpu, nvidia: join('cuda', 'nvidia') }; // relative: it moves along with deps
}

/** The wheel for a machine: its distribution and version. @throws InputError if no wheel supports its glibc */
export function chooseWheel({ gpu, arch, glibcMinor }: { gpu: boolean; arch: string; glibcMinor: number }) {
  const version = tested.find((candidate) => glibcMinor >= candidate.glibcMinor)?.version;
  if (version === undefined) return fail(`glibc 2.${glibcMinor} is too old for TensorFlow; use a newer Linux`);
  // On arm64 the plain `tensorflow` wheel is the CPU build.
  return { distribution: gpu || arch === 'arm64' ? 'tensorflow' : 'tensorflow-cpu', version };
}

function checkDisk(folder: string, gpu: boolean): void {
  const { bavail, bsize } = statfsSync(folder);
  const needed = gpu ? 8e9 : 1.4e9;
  if (bavail * bsize < needed) fail(`${(needed / 1e9).toFixed(1)} GB of free disk are needed at ${folder}; free some`);
}

/** Extracts a wheel into the cache, unless it is there. */
async function extract({ cache, deps, log }: Placing, file: string, records: TensorFlowWheel): Promise<void> {
  const kept = join(resolve(cache), basename(file, '.whl'));
  if (!existsSync(join(kept, COMPLETE))) {
    log(`extracting ${basename(file)} to ${kept}`);
    const temporary = `${kept}.${process.pid}`;
    try {
      await extractWheel(file, records, temporary);
      writeFileSync(join(temporary, COMPLETE), '');
      rmSync(kept, { recursive: true, force: true });
      renameSync(temporary, kept);
    } finally {
      rmSync(temporary, { recursive: true, force: true });
    }
  }
  place(kept, join(kept, 'lib'), deps);
}

/** Links TensorFlow's libraries and copies its headers. @param from the folder of `include` @param lib that of the libraries */
function place(from: string, lib: string, deps: string): void {
  for (const library of libraries) linkFile(join(lib, library), join(deps, 'lib', library));
  cpSync(join(from, 'include'), join(deps, 'include'), {
    recursive: true,
    filter: (path) => statSync(path).isDirectory() || isWantedHeader(`tensorflow/${relative(from, path)}`),
  });
}

/** The folder of a completely extracted wheel. */
function cachedWheel(cache: string, { distribution, version }: ReturnType<typeof chooseWheel>): string | undefined {
  if (!existsSync(cache)) return undefined;
  const prefix = `${distribution.replace('-', '_')}-${version}-`;
  const name = readdirSync(cache).find((entry) => entry.startsWith(prefix) && existsSync(join(cache, entry, COMPLETE)));
  return name === undefined ? undefined : resolve(cache, name);
}

/** Links a file; symbolically on another disk, or without the right to hard-link. */
function linkFile(from: string, to: string): void {
  rmSync(to, { force: true });
  try {
    linkSync(from, to);
  } catch {
    symlinkSync(from, to);
  }
}

export const libraries = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'] as const;

/** Whether the addon includes this header of the wheel. */
export function isWantedHeader(name: string): boolean {
  return (
    name.endsWith('.h') &&
    (name.startsWith('tensorflow/include/tensorflow/c/') ||
      /^tensorflow\/include\/(tensorflow\/core|.*\btsl)\/platform\/ctstring[^/]*$/.test(name) ||
      /^tensorflow\/include\/.*\btsl\/c\/[^/]*$/.test(name))
  );
}

type TensorFlowWheel = Awaited<ReturnType<typeof readWheel>>;

/** The hashes of a wheel's files, and as `cuda` the packages of its extra `and-cuda`. @throws InputError if it is not of TensorFlow */
export function readWheel(path: string) {
  return withWheel(path, async (wheel) => {
    const records = await readRecords(wheel, 'tensorflow');
    if (records === undefined || !wheel.entries.has(`tensorflow/${libraries[0]}`)) {
      return fail(
        `${path} holds no tensorflow/${libraries[0]}; give a Linux wheel of tensorflow-cpu or tensorflow, 2.13 or newer`,
      );
    }
    const needs = /^Requires-Dist: ([\w.-]+)[ \t]*(?:\(?([<>=!~][^;)\n]*)\)?)?[ \t]*;[ \t]*extra == ['"]and-cuda['"]/gm;
    const found = [...records.metadata.matchAll(needs)];
    return {
      hashes: records.hashes,
      cuda: found.map(([, name, versions = '']) => `${name}${versions.replace(/\s+/g, '')}`),
    };
  });
}

/** Extracts the libraries to `lib` and the headers to `include`, and checks their hashes. */
export function extractWheel(path: string, { hashes }: Pick<TensorFlowWheel, 'hashes'>, to: string): Promise<void> {
  return withWheel(path, async (zip) => {
    for (const name of zip.entries.keys()) {
      const library = libraries.find((candidate) => name === `tensorflow/${candidate}`);
      if (library === undefined && !isWantedHeader(name)) continue;
      if (name.split('/').includes('..')) fail(`${basename(path)} has an unsafe path ${name}; fetch it from PyPI`);
      const target = library === undefined ? name.slice('tensorflow/'.length) : join('lib', library);
      await extractEntry(zip, name, hashes.get(name), join(to, target));
    }
  });
}
