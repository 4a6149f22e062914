/**
 * Sets up the native part of tfjs-node(-gpu) without its own download of libtensorflow, which often fails and stops at CUDA
 * 11.2. Takes the libraries and C headers from the Python wheel `tensorflow-cpu` (for CUDA: `tensorflow`), and compiles the
 * package's own addon against them.
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
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { systemCode } from '../../../errors.js';
import { fail, glibcMinorVersion, inWorkFolder, oneLine, settingUp } from '../../setup.js';
import { installCommand, installedNodePackages, nodePackages } from '../backend.js';
import { libraries, placeTensorFlow, type SetupOptions, type Source } from './tensorflow.js';

type Log = SetupOptions['log'];

const ADDON = 'tfjs_binding.node';

/** An installed tfjs-node or tfjs-node-gpu; `napi` is the version of Node-API that its addon is built for. */
export type AddonPackage = ReturnType<typeof findPackage>;

/** @returns the minor version of glibc 2. @throws InputError if no wheel of TensorFlow can run on this machine */
function checkMachine(): number {
  const { platform, arch } = process;
  if (platform !== 'linux') {
    fail(`for Linux only (here: ${platform}); on Windows use WSL 2, elsewhere the package's own installer`);
  }
  if (!['x64', 'arm64'].includes(arch)) fail(`no TensorFlow wheel for ${arch}; an x64 or arm64 machine is needed`);
  const glibcMinor = glibcMinorVersion();
  if (arch === 'x64') {
    const cpu = readFileSync('/proc/cpuinfo', 'utf8');
    if (/^flags/m.test(cpu) && !/^flags.*\bavx\b/m.test(cpu)) {
      fail('this processor has no AVX, which TensorFlow wheels need; run on another machine');
    }
  }
  return glibcMinor;
}

interface PackageJson {
  readonly version: string;
  readonly binary?: { readonly napi_versions?: readonly number[]; readonly module_path?: string };
}

/** The package that dgate would load. @throws InputError if none is installed */
export function findPackage() {
  const name = installedNodePackages()[0] ?? fail(`${nodePackages[0]} is not installed; run: ${installCommand()}`);
  const file = createRequire(import.meta.url).resolve(`${name}/package.json`);
  const { version, binary } = JSON.parse(readFileSync(file, 'utf8')) as PackageJson;
  const folder = dirname(file);
  if (!existsSync(join(folder, 'binding', 'tfjs_backend.cc'))) {
    fail(`${folder} has no C++ sources of the addon; run: ${installCommand(name)}`);
  }
  const supported = (binary?.napi_versions ?? [8]).filter((napi) => napi <= Number(process.versions['napi']));
  if (supported.length === 0) fail(`${name} ${version} supports no Node-API version of Node ${process.version}`);
  const napi = Math.max(...supported);
  const path = binary?.module_path?.replace('{napi_build_version}', String(napi)) ?? `lib/napi-v${napi}`;
  return { name, version, folder, napi, addon: join(folder, path, ADDON) };
}

type Smoke =
  | { readonly works: true; readonly tensorflow: string; readonly gpu: boolean }
  | { readonly works: false; readonly why: string };

const PROGRAM = `
const util = require('node:util'); // as restoreRemovedUtil
util.isNullOrUndefined ??= (value) => value == null;
util.isArray ??= Array.isArray;
const tf = require(process.argv[1]);
(async () => {
  await tf.ready();
  if (tf.getBackend() !== 'tensorflow') throw new Error('backend is ' + tf.getBackend());
  const x = tf.tensor4d([1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 3, 3, 1]), w = tf.ones([2, 2, 1, 1]);
  const y = Array.from(tf.conv2d(x, w, 1, 'valid').dataSync());
  const [dx, dw] = tf.grads((a, b) => tf.conv2d(a, b, 1, 'valid').sum())([x, w]);
  const m = Array.from(tf.matMul([[1, 2], [3, 4]], [[5, 6], [7, 8]]).dataSync());
  const got = JSON.stringify([y, Array.from(dw.dataSync()), Array.from(dx.dataSync()), m]);
  const want = '[[12,16,24,28],[12,16,24,28],[1,2,1,2,4,2,1,2,1],[19,22,43,50]]';
  if (got !== want) throw new Error('wrong results: ' + got);
  const { binding, isUsingGpuDevice } = tf.backend();
  process.stdout.write('SMOKE ' + JSON.stringify({ tensorflow: binding.TF_Version, gpu: isUsingGpuDevice }) + '\\n');
})().catch((e) => { console.error('Error: ' + String(e?.message ?? e).split('\\n')[0]); process.exit(1); });
`;

/** Loads the package in a child process and checks some results, gradients of a convolution included. */
export function smokeTest({ addon, folder }: AddonPackage): Smoke {
  const fails = (why: string): Smoke => ({ works: false, why });
  if (!existsSync(addon)) return fails(`${addon} does not exist`);
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, ['-e', PROGRAM, folder], {
    encoding: 'utf8',
    timeout: 300_000,
    maxBuffer: 2 ** 26,
    env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: process.env['TF_CPP_MIN_LOG_LEVEL'] ?? '2', NODE_OPTIONS: '' },
  });
  const line = /^SMOKE (.*)$/m.exec(stdout ?? '');
  if (status === 0 && line?.[1] !== undefined) {
    return { works: true, ...(JSON.parse(line[1]) as { tensorflow: string; gpu: boolean }) };
  }
  if (signal === 'SIGILL') return fails('this processor lacks an instruction that the wheel needs');
  if (signal !== null) return fails(`ended by ${signal}${signal === 'SIGTERM' ? ' (no result in 300 s)' : ''}`);
  return fails(oneLine(stderr || stdout || `exit ${status}`));
}

/** Written beside the libraries: their source. */
const STAMP = 'setup-tfjs-node.json';
/** The names that the addon links. */
const linkNames = { 'libtensorflow.so': libraries[0], 'libtensorflow_framework.so': libraries[1] };

/** Sets up tfjs-node; `changed` is false if it worked already. @throws InputError with one line: what is missing and how to get it */
export const setupTfjsNode = (options: SetupOptions) => settingUp('tfjs-node', () => setUp(options));

async function setUp(options: SetupOptions) {
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

function resultOf(addon: AddonPackage, { tensorflow, gpu }: Working, changed: boolean) {
  return { package: `${addon.name}@${addon.version}`, folder: addon.folder, tensorflow, gpu, changed };
}

function wasSetUpForGpu(addon: AddonPackage): boolean {
  const file = join(addon.folder, 'deps', STAMP);
  return existsSync(file) && (JSON.parse(readFileSync(file, 'utf8')) as Source).gpu;
}

function buildAddon(addon: AddonPackage, deps: string, source: Source, work: string, log: Log): string {
  if (source.nvidia !== undefined) symlinkSync(source.nvidia, join(deps, 'nvidia'));
  for (const [link, library] of Object.entries(linkNames)) symlinkSync(library, join(deps, 'lib', link));
  const built = join(work, ADDON);
  compileAddon(addon, deps, built, work, log);
  const placed = libraries.map((library) => join(deps, 'lib', library));
  const called = checkSymbols(built, placed);
  log(`the libraries export all ${called} C functions that the addon calls (nm -D)`);
  const stamp = { ...source, addon: addon.version, napi: addon.napi };
  writeFileSync(join(deps, STAMP), `${JSON.stringify(stamp, null, 2)}\n`);
  return built;
}

/** Puts the new files in place. Restores the old ones if only these work. */
function swapIn(addon: AddonPackage, deps: string, built: string, work: string, didWork: boolean): Working {
  const place = join(addon.folder, 'deps');
  const old = join(work, 'old');
  mkdirSync(old);
  if (existsSync(place)) renameSync(place, join(old, 'deps'));
  renameSync(deps, place);
  mkdirSync(dirname(addon.addon), { recursive: true });
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

/** Compiles the addon's two C++ files against TensorFlow's headers and libraries in `deps`. */
export function compileAddon(addon: AddonPackage, deps: string, output: string, work: string, log: Log): void {
  const compiler = process.env['CXX'] || 'c++';
  const [program = 'c++', ...first] = compiler.split(/\s+/);
  const sources = ['tfjs_backend.cc', 'tfjs_binding.cc'].map((file) => join(addon.folder, 'binding', file));
  const flags = ['-std=c++17', '-O2', '-fPIC', '-shared', '-w'];
  const defines = ['-DNODE_GYP_MODULE_NAME=tfjs_binding', '-DBUILDING_NODE_EXTENSION', `-DNAPI_VERSION=${addon.napi}`];
  const headers = [`-I${nodeHeaders(work, log)}`, `-I${join(deps, 'include')}`];
  const linked = [`-L${join(deps, 'lib')}`, '-ltensorflow', '-ltensorflow_framework'];
  const atRunTime = ['-Wl,-rpath,$ORIGIN/../../deps/lib', '-Wl,--allow-shlib-undefined'];
  const args = [...first, ...flags, ...defines, ...headers, ...sources, '-o', output, ...linked, ...atRunTime];
  log(`compiling the addon with ${compiler}`);
  const { status, error, stderr } = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 2 ** 26 });
  if (systemCode(error) === 'ENOENT') fail(`no C++ compiler (${compiler}); run: apt-get install g++ (or set CXX)`);
  if (status !== 0) {
    const telling = /cannot find -l|undefined reference|file not found|No such file/;
    fail(`the addon did not compile: ${oneLine(stderr.split('\n').find((line) => telling.test(line)) ?? stderr)}`);
  }
}

/** A folder with node_api.h, of any version: Node's, node-gyp's, or from npm. */
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

/** Checks that the libraries export all C functions of TensorFlow that an addon calls. @returns their number @throws InputError */
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

/** TensorFlow's C functions in the output of `nm -D`: `00000000017aca00 T TF_NewTensor@@tensorflow`, `  U TFE_NewOp`. */
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
