import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fail } from '../../setup/fail.js';
import { glibcMinorVersion } from '../../setup/pip.js';
import { nodePackages } from '../node.js';

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

/** @returns the minor version of glibc 2. @throws InputError where no wheel of TensorFlow can run */
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

/** The package that dgate would load. @throws InputError where there is none */
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
