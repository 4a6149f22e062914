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
  readonly cache?: string | undefined;
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
  for (const library of libraries) linkFile(join(from, library), join(deps, 'lib', library));
  cpSync(join(from, 'include'), join(deps, 'include'), {
    recursive: true,
    filter: (path) => statSync(path).isDirectory() || isWantedHeader(`tensorflow/${relative(from, path)}`),
  });
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
    linkExtracted(cached, deps);
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

interface WheelChoice {
  readonly distribution: string;
  readonly version: string;
}

/** The wheel for a machine. @throws InputError if no wheel supports its glibc */
export function chooseWheel(machine: { gpu: boolean; arch: string; glibcMinor: number }): WheelChoice {
  const { gpu, arch, glibcMinor } = machine;
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

/** Extracts a wheel, into the cache where there is one. */
async function extract({ cache, deps, log }: Placing, file: string, records: TensorFlowWheel): Promise<void> {
  if (cache === undefined) {
    log(`extracting ${basename(file)}`);
    return extractWheel(file, records, deps);
  }
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
  linkExtracted(kept, deps);
}

function linkExtracted(from: string, deps: string): void {
  for (const library of libraries) linkFile(join(from, 'lib', library), join(deps, 'lib', library));
  cpSync(join(from, 'include'), join(deps, 'include'), { recursive: true });
}

/** The folder of a completely extracted wheel. */
function cachedWheel(cache: string | undefined, { distribution, version }: WheelChoice): string | undefined {
  if (cache === undefined || !existsSync(cache)) return undefined;
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

interface TensorFlowWheel {
  /** Base64url SHA-256 of each file. */
  readonly hashes: ReadonlyMap<string, string>;
  /** The CUDA packages of its extra `and-cuda`. */
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
    const needs = /^Requires-Dist: ([\w.-]+)[ \t]*(?:\(?([<>=!~][^;)\n]*)\)?)?[ \t]*;[ \t]*extra == ['"]and-cuda['"]/gm;
    const found = [...records.metadata.matchAll(needs)];
    return {
      hashes: records.hashes,
      cuda: found.map(([, name, versions = '']) => `${name}${versions.replace(/\s+/g, '')}`),
    };
  });
}

/** Extracts the libraries to `lib` and the headers to `include`, and checks their hashes. */
export function extractWheel(path: string, { hashes }: TensorFlowWheel, to: string): Promise<void> {
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
