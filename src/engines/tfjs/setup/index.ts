/**
 * Sets up the native part of tfjs-node(-gpu) without its own download of libtensorflow, which fails for some and stops
 * at CUDA 11.2: the two TensorFlow libraries and the C headers are taken from the official Python wheel `tensorflow-cpu`
 * (for CUDA: `tensorflow`), and the package's own addon is compiled against them.
 */

import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { systemCode } from '../../../errors.js';
import { fail, inWorkFolder, oneLine, settingUp } from '../../setup.js';
import { ADDON, type AddonPackage, checkMachine, findPackage, type Smoke, smokeTest } from './machine.js';
import { libraries, placeTensorFlow, type SetupOptions, type Source } from './tensorflow.js';

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

  return inWorkFolder(addon.folder, 'tfjs-node', async (work) => {
    const deps = join(work, 'deps');
    mkdirSync(join(deps, 'lib'), { recursive: true });
    const source = await placeTensorFlow({ ...options, deps, work, glibcMinor, folder: addon.folder });
    const built = buildAddon(addon, deps, source, work, options.log);
    const smoke = swapIn(addon, deps, built, work, before.works);
    if (options.gpu && !smoke.gpu) options.log('TensorFlow sees no GPU here and will use the CPU; check nvidia-smi');
    return resultOf(addon, smoke, true);
  });
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

type Log = (line: string) => void;

/** Compiles the addon's two C++ files against TensorFlow's headers and libraries in `deps`. */
export function compileAddon(addon: AddonPackage, deps: string, output: string, work: string, log: Log): void {
  const compiler = process.env['CXX'] || 'c++';
  const [program = 'c++', ...first] = compiler.split(/\s+/);
  const sources = ['tfjs_backend.cc', 'tfjs_binding.cc'].map((file) => join(addon.folder, 'binding', file));
  const flags = ['-std=c++17', '-O2', '-fPIC', '-shared', '-w'];
  const defines = ['NODE_GYP_MODULE_NAME=tfjs_binding', 'BUILDING_NODE_EXTENSION', `NAPI_VERSION=${addon.napi}`];
  const args = [
    ...first,
    ...flags,
    ...defines.map((define) => `-D${define}`),
    `-I${nodeHeaders(work, log)}`,
    `-I${join(deps, 'include')}`,
    ...sources,
    '-o',
    output,
    `-L${join(deps, 'lib')}`,
    '-ltensorflow',
    '-ltensorflow_framework',
    '-Wl,-rpath,$ORIGIN/../../deps/lib',
    '-Wl,--allow-shlib-undefined',
  ];
  log(`compiling the addon with ${compiler}`);
  const { status, error, stderr } = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 2 ** 26 });
  if (systemCode(error) === 'ENOENT') fail(`no C++ compiler (${compiler}); run: apt-get install g++ (or set CXX)`);
  if (status !== 0) {
    const telling = /cannot find -l|undefined reference|file not found|No such file/;
    fail(`the addon did not compile: ${oneLine(stderr.split('\n').find((line) => telling.test(line)) ?? stderr)}`);
  }
}

/** A folder with node_api.h, whose interface is stable: Node's, node-gyp's, or from npm. */
function nodeHeaders(work: string, log: Log): string {
  const prefix = dirname(dirname(realpathSync(process.execPath)));
  const configured = process.env['npm_config_nodedir'];
  const folders = [
    ...(configured ? [join(configured, 'include/node')] : []),
    join(prefix, 'include/node'),
    '/usr/include/node',
    '/usr/include/nodejs/src',
    join(homedir(), '.cache/node-gyp', process.versions.node, 'include/node'),
  ];
  const isComplete = (folder: string): boolean =>
    ['node_api.h', 'js_native_api.h'].every((file) => existsSync(join(folder, file)));
  const found = folders.find(isComplete);
  if (found !== undefined) return found;

  log('no Node headers here: taking the npm package node-api-headers');
  const beside = join(dirname(process.execPath), 'npm');
  const options = ['--ignore-scripts', '--no-save', '--no-package-lock', '--no-audit', '--no-fund', '--prefix', work];
  const args = ['install', ...options, 'node-api-headers@1'];
  const { stderr, error } = spawnSync(existsSync(beside) ? beside : 'npm', args, { encoding: 'utf8' });
  const fetched = join(work, 'node_modules/node-api-headers/include');
  if (!isComplete(fetched)) {
    const said = oneLine(stderr || (error?.message ?? ''));
    fail(`no node_api.h here, and npm could not fetch node-api-headers (${said}); run: apt-get install libnode-dev`);
  }
  return fetched;
}

/**
 * Compares the C functions of TensorFlow that a compiled addon calls with those that the libraries export.
 *
 * @returns how many it calls
 * @throws InputError naming those that no library exports
 */
export function checkSymbols(addon: string, libraries: readonly string[]): number {
  const needed = functionsIn(nm('--undefined-only', addon));
  const exported = new Set(libraries.flatMap((library) => functionsIn(nm('--defined-only', library))));
  const missing = needed.filter((name) => !exported.has(name));
  if (needed.length === 0) fail(`${basename(addon)} calls no function of TensorFlow; remove it and set up again`);
  if (missing.length > 0) {
    const where = libraries.map((library) => basename(library)).join(' and ');
    fail(`${where} lack ${missing.join(', ')}, which the addon calls; try another wheel with --wheel FILE`);
  }
  return needed.length;
}

/**
 * Names of TensorFlow's C functions in what `nm -D` prints, without their version: lines such as
 * `00000000017aca00 T TF_NewTensor@@tensorflow` and `                 U TFE_NewOp@tensorflow`.
 */
export function functionsIn(output: string): string[] {
  return [...output.matchAll(/^[\da-f ]+ [TWUi] (TFE?_\w+)(?:@.*)?$/gm)].map(([, name]) => name!);
}

function nm(which: '--undefined-only' | '--defined-only', file: string): string {
  const { status, error, stdout, stderr } = spawnSync('nm', ['-D', which, file], {
    encoding: 'utf8',
    maxBuffer: 2 ** 30, // libtensorflow_cc exports some hundred thousand C++ functions
  });
  if (systemCode(error) === 'ENOENT') fail('no nm, which comes with compilers; run: apt-get install binutils');
  if (status !== 0) fail(`${basename(file)} is not a Linux library: ${oneLine(stderr || String(error ?? ''))}`);
  return stdout;
}
