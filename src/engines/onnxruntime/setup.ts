/**
 * Sets up ONNX Runtime's CUDA libraries for onnxruntime-node, whose own installer fetches those for CUDA 12 from NuGet:
 * they are taken from the official Python wheel `onnxruntime-gpu` of the same version (1.30.0: built for CUDA 13). The
 * library that ships with onnxruntime-node loads them as they are.
 */
import { mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { diagnose } from '../doctor/diagnose.js';
import { fail } from '../setup/fail.js';
import { minorOfGlibc } from '../setup/glibc.js';
import { lock } from '../setup/lock.js';
import { fetchWheel } from '../setup/pip.js';
import { extractEntry, readRecords, withWheel } from '../setup/wheel.js';
import { packageVersion } from './engine.js';
import { cudaLibraries, libraryFolder } from './gpu.js';

export interface CudaSetupOptions {
  /** A wheel of onnxruntime-gpu; nothing is fetched. */
  readonly wheel?: string | undefined;
  readonly log: (line: string) => void;
}

export interface CudaSetupResult {
  /** Version of onnxruntime-node, and of the wheel. */
  readonly version: string;
  readonly folder: string;
  /** Whether the engine works here now; why not, if it does not. */
  readonly works: boolean;
  readonly reason?: string;
  /** False where it worked already. */
  readonly changed: boolean;
}

/** @throws InputError with one line: what is missing and what would change it */
export async function setupOrtCuda({ wheel, log }: CudaSetupOptions): Promise<CudaSetupResult> {
  const { platform, arch } = process;
  if (platform !== 'linux' || arch !== 'x64') fail(`ort-cuda: for Linux on x64 only (here: ${platform} ${arch})`);
  const [version, folder] = [await packageVersion(), libraryFolder()];
  if ((await diagnose('ort-cuda')).works) return { version, folder, works: true, changed: false };

  const unlock = lock(folder);
  const work = join(folder, `.setup-ort-cuda-${process.pid}`);
  const cleanUp = (): void => {
    rmSync(work, { recursive: true, force: true });
    unlock();
  };
  process.once('exit', cleanUp); // an interruption ends in it
  try {
    mkdirSync(work);
    const file = wheel === undefined ? fetch(version, work, log) : resolve(wheel);
    if (!statSync(file, { throwIfNoEntry: false })?.isFile()) fail(`${file} is no file; give the path of a wheel`);
    const needs = await extractLibraries(file, version, work, log);
    for (const name of cudaLibraries) renameSync(join(work, name), join(folder, name));
    const found = await diagnose('ort-cuda');
    if (found.works) return { version, folder, works: true, changed: true };
    log(`it needs an NVIDIA driver and, as PyPI names them, ${needs.join(', ')}, where the system's loader finds them`);
    return { version, folder, works: false, reason: found.reason, changed: true };
  } finally {
    cleanUp();
    process.removeListener('exit', cleanUp);
  }
}

function fetch(version: string, work: string, log: (line: string) => void): string {
  log(`fetching onnxruntime-gpu ${version} with pip (about 250 MB)`);
  return fetchWheel('onnxruntime-gpu', version, minorOfGlibc(), join(work, 'wheel'), log);
}

/** Extracts the libraries to a folder, each compared with the wheel's record. @returns the packages that they need */
export function extractLibraries(
  path: string,
  version: string,
  to: string,
  log: (line: string) => void = () => undefined,
): Promise<string[]> {
  return withWheel(path, async (wheel) => {
    const records = await readRecords(wheel, 'onnxruntime');
    const entries = cudaLibraries.map((name) => `onnxruntime/capi/${name}`);
    if (records === undefined || !entries.every((name) => wheel.entries.has(name))) {
      return fail(`${path} holds no CUDA libraries of ONNX Runtime; give a Linux wheel of onnxruntime-gpu ${version}`);
    }
    const found = /^Version: *(\S+)/m.exec(records.metadata)?.[1];
    if (found !== version) {
      fail(
        `${basename(path)} is version ${found ?? 'unknown'}; onnxruntime-node here is ${version}, give that version's`,
      );
    }
    log(`extracting ${basename(path)}`);
    for (const [i, name] of entries.entries()) {
      await extractEntry(wheel, name, records.hashes.get(name), join(to, cudaLibraries[i]!));
    }
    const needs = records.metadata.matchAll(/^Requires-Dist: *(nvidia-[\w.-]+)[ (]*([<>=!~][^;)\n]*)?/gm);
    return [...needs].map(([, name, versions = '']) => `${name!}${versions.trim()}`);
  });
}
