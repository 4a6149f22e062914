import { spawnSync } from 'node:child_process';
import { basename } from 'node:path';
import { systemCode } from '../../../system-error.js';
import { fail, oneLine } from '../../setup/fail.js';

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
  if (status !== 0) fail(`${basename(file)} is no library for Linux: ${oneLine(stderr || String(error ?? ''))}`);
  return stdout;
}
