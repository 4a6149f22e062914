/**
 * Sets up the native part of tfjs-node(-gpu) without its own download of libtensorflow, which fails for some and stops
 * at CUDA 11.2: the two TensorFlow libraries and the C headers are taken from the official Python wheel `tensorflow-cpu`
 * (for CUDA: `tensorflow`), and the package's own addon is compiled against them.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { removeOnExit } from '../../../store/cleanup.js';
import { fail, lockSetup, settingUp } from '../../setup/fail.js';
import { checkSymbols, compileAddon } from './build.js';
import { ADDON, type AddonPackage, checkMachine, findPackage, type Smoke, smokeTest } from './machine.js';
import { placeTensorFlow, type SetupOptions, type Source } from './tensorflow.js';
import { libraries } from './wheel.js';

export interface SetupResult {
  readonly package: string;
  readonly folder: string;
  readonly tensorflow: string;
  /** Whether TensorFlow uses a GPU here. */
  readonly gpu: boolean;
  /** False if it worked already. */
  readonly changed: boolean;
}

/** Written beside the libraries: their source. */
const STAMP = 'setup-tfjs-node.json';
/** Names that the addon links, and the libraries they mean. */
const linkNames = { 'libtensorflow.so': libraries[0], 'libtensorflow_framework.so': libraries[1] };

/** @throws InputError with one line: what is missing and how to get it */
export function setupTfjsNode(options: SetupOptions): Promise<SetupResult> {
  return settingUp('tfjs-node', () => setUp(options));
}

async function setUp(options: SetupOptions): Promise<SetupResult> {
  const glibcMinor = checkMachine();
  const addon = findPackage();
  const before = smokeTest(addon);
  if (before.works && (!options.gpu || before.gpu || wasSetUpForGpu(addon))) return resultOf(addon, before, false);
  if (options.gpu && process.arch !== 'x64') fail('the wheels for arm64 have no CUDA; leave out --gpu');

  const lock = await lockSetup(addon.folder);
  const work = join(addon.folder, `.setup-tfjs-node-${process.pid}`);
  const keep = removeOnExit(work);
  try {
    const deps = join(work, 'deps');
    mkdirSync(join(deps, 'lib'), { recursive: true });
    const source = await placeTensorFlow({ ...options, deps, work, glibcMinor, folder: addon.folder });
    const built = buildAddon(addon, deps, source, work, options.log);
    const smoke = swapIn(addon, deps, built, work, before.works);
    if (options.gpu && !smoke.gpu) options.log('TensorFlow sees no GPU here and will use the CPU; check nvidia-smi');
    return resultOf(addon, smoke, true);
  } finally {
    rmSync(work, { recursive: true, force: true });
    keep();
    await lock.release();
  }
}

type Working = Extract<Smoke, { works: true }>;

function resultOf(addon: AddonPackage, { tensorflow, gpu }: Working, changed: boolean): SetupResult {
  return { package: `${addon.name}@${addon.version}`, folder: addon.folder, tensorflow, gpu, changed };
}

function wasSetUpForGpu(addon: AddonPackage): boolean {
  const file = join(addon.folder, 'deps', STAMP);
  return existsSync(file) && (JSON.parse(readFileSync(file, 'utf8')) as Source).gpu;
}

function buildAddon(
  addon: AddonPackage,
  deps: string,
  source: Source,
  work: string,
  log: (line: string) => void,
): string {
  if (source.nvidia !== undefined) symlinkSync(source.nvidia, join(deps, 'nvidia'));
  for (const [link, library] of Object.entries(linkNames)) symlinkSync(library, join(deps, 'lib', link));
  const built = join(work, ADDON);
  compileAddon(addon, deps, built, work, log);
  const called = checkSymbols(
    built,
    libraries.map((library) => join(deps, 'lib', library)),
  );
  log(`the libraries export all ${called} C functions that the addon calls (nm -D)`);
  const stamp = { ...source, addon: addon.version, napi: addon.napi };
  writeFileSync(join(deps, STAMP), `${JSON.stringify(stamp, null, 2)}\n`);
  return built;
}

/** Puts the new files in place. If they do not work and the old ones did, restores the old ones. */
function swapIn(addon: AddonPackage, deps: string, built: string, work: string, didWork: boolean): Working {
  const place = join(addon.folder, 'deps');
  const old = join(work, 'old');
  mkdirSync(old);
  if (existsSync(place)) renameSync(place, join(old, 'deps'));
  renameSync(deps, place);
  mkdirSync(addon.addonFolder, { recursive: true });
  if (existsSync(addon.addon)) renameSync(addon.addon, join(old, ADDON));
  renameSync(built, addon.addon);
  const smoke = smokeTest(addon);
  if (smoke.works) return smoke;
  if (didWork) {
    rmSync(place, { recursive: true, force: true });
    if (existsSync(join(old, 'deps'))) renameSync(join(old, 'deps'), place);
    renameSync(join(old, ADDON), addon.addon);
  }
  return fail(`the addon compiled but does not load: ${smoke.why}; try another wheel with --wheel FILE`);
}
