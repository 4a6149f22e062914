import { spawnSync } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { systemCode } from '../../../system-error.js';
import { fail, oneLine } from '../../setup/fail.js';
import type { AddonPackage } from './machine.js';

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
