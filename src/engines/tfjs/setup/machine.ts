import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fail, glibcMinorVersion, oneLine } from '../../setup.js';
import { nodePackages } from '../backend.js';

/** File name of tfjs-node's addon. */
export const ADDON = 'tfjs_binding.node';

/** An installed tfjs-node or tfjs-node-gpu. */
export interface AddonPackage {
  readonly name: string;
  readonly version: string;
  readonly folder: string;
  /** Version of Node-API that the addon is built for. */
  readonly napi: number;
  readonly addonFolder: string;
  readonly addon: string;
}

/** @returns the minor version of glibc 2. @throws InputError if no wheel of TensorFlow can run on this machine */
export function checkMachine(): number {
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

/** What the set-up reads of the package's package.json. */
interface PackageJson {
  readonly version: string;
  readonly binary?: { readonly napi_versions?: readonly number[]; readonly module_path?: string };
}

/** The package that dgate would load. @throws InputError if none is installed */
export function findPackage(): AddonPackage {
  const require = createRequire(import.meta.url);
  for (const name of nodePackages) {
    let file: string;
    try {
      file = require.resolve(`${name}/package.json`);
    } catch {
      continue;
    }
    const { version, binary } = JSON.parse(readFileSync(file, 'utf8')) as PackageJson;
    const folder = dirname(file);
    if (!existsSync(join(folder, 'binding', 'tfjs_backend.cc'))) {
      fail(`${folder} has no C++ sources of the addon; run: npm install --ignore-scripts ${name}@4.22.0`);
    }
    const supported = (binary?.napi_versions ?? [8]).filter((napi) => napi <= Number(process.versions['napi']));
    if (supported.length === 0) fail(`${name} ${version} supports no Node-API version of Node ${process.version}`);
    const napi = Math.max(...supported);
    const path = binary?.module_path?.replace('{napi_build_version}', String(napi)) ?? `lib/napi-v${napi}`;
    const addonFolder = join(folder, path);
    return { name, version, folder, napi, addonFolder, addon: join(addonFolder, ADDON) };
  }
  return fail(`${nodePackages[0]} is not installed; run: npm install --ignore-scripts ${nodePackages[0]}@4.22.0`);
}

/** Result of loading the addon. */
export type Smoke =
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

/** Loads the package in a child process and checks some arithmetic, including gradients of a convolution. */
export function smokeTest({ addon, folder }: AddonPackage): Smoke {
  if (!existsSync(addon)) return { works: false, why: `${addon} does not exist` };
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
  if (signal === 'SIGILL') return { works: false, why: 'this processor lacks an instruction that the wheel needs' };
  if (signal !== null) {
    return { works: false, why: `ended by ${signal}${signal === 'SIGTERM' ? ' (no result in 300 s)' : ''}` };
  }
  return { works: false, why: oneLine(stderr || stdout || `exit ${status}`) };
}
