import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { z } from 'zod';
import { isAbsent, systemCode } from '../../errors.js';
import { type Diagnosis, diagnose } from '../doctor/diagnose.js';
import {
  extractEntry,
  fail,
  fetchWheel,
  glibcMinorVersion,
  inWorkFolder,
  readRecords,
  settingUp,
  withWheel,
} from '../setup.js';
import { cudaLibraries, libraryFolder, packageVersion } from './engine.js';

interface CudaSetupOptions {
  /** A wheel of onnxruntime-gpu; nothing is fetched. */
  readonly wheel?: string | undefined;
  readonly log: (line: string) => void;
}

/**
 * Adds CUDA libraries to onnxruntime-node, from the Python wheel `onnxruntime-gpu` of the same version (1.30.0: for CUDA 13).
 * The installer of onnxruntime-node itself fetches those for CUDA 12.
 *
 * @returns the version; whether libraries were put in place; whether it works, otherwise why not and the command that may help
 * @throws InputError with one line: what is missing and how to get it
 */
export function setupOrtCuda({ wheel, log }: CudaSetupOptions) {
  return settingUp('ort-cuda', async () => {
    const { platform, arch } = process;
    if (platform !== 'linux' || arch !== 'x64') fail(`for Linux on x64 only (here: ${platform} ${arch})`);
    const [version, folder] = [await packageVersion(), libraryFolder()];
    const before = await diagnose('ort-cuda');
    if (before.works) return resultOf(version, folder, before, false);
    const placed = await placeCudaLibraries({ version, folder, wheel, log });
    const found = placed.changed ? await diagnose('ort-cuda') : before;
    if (!found.works && placed.needs.length > 0) {
      const packages = placed.needs.join(', ');
      log(`needed: an NVIDIA driver and, as PyPI names them, ${packages}, where the system's loader finds them`);
    }
    return resultOf(version, folder, found, placed.changed);
  });
}

function resultOf(version: string, folder: string, found: Diagnosis, changed: boolean) {
  const why = found.works ? {} : { reason: found.reason, command: found.command };
  return { version, folder, changed, works: found.works, ...why };
}

/** Written beside the libraries: their source. */
const STAMP = 'setup-ort-cuda.json';
const stampSchema = z.object({ version: z.string(), source: z.string(), needs: z.array(z.string()) });

/**
 * Puts the libraries of a wheel in place, all at once. Without a wheel, libraries of an earlier set-up stay.
 *
 * @returns the packages that they need, and whether anything changed
 * @throws InputError if there is no such wheel, or another set-up is running
 */
export async function placeCudaLibraries(options: CudaSetupOptions & Record<'version' | 'folder', string>) {
  const { version, folder, wheel, log } = options;
  const areThere = cudaLibraries.every((name) => existsSync(join(folder, name)));
  const stamp = areThere ? readStamp(folder) : undefined;
  if (wheel === undefined && stamp?.version === version) {
    log(`the libraries of ${stamp.source} are in place`);
    return { needs: stamp.needs, changed: false };
  }
  return inWorkFolder(folder, 'ort-cuda', async (work) => {
    if (wheel === undefined) log(`fetching onnxruntime-gpu ${version} with pip (about 250 MB)`);
    const fetched = (): string => fetchWheel('onnxruntime-gpu', version, glibcMinorVersion(), join(work, 'wheel'), log);
    const file = wheel === undefined ? fetched() : resolve(wheel);
    const needs = await extractLibraries(file, version, work, log);
    writeFileSync(join(work, STAMP), `${JSON.stringify({ version, source: basename(file), needs }, null, 2)}\n`);
    if (areThere && stamp === undefined) log('taking the place of CUDA libraries from elsewhere');
    rmSync(join(folder, STAMP), { force: true });
    for (const name of [...cudaLibraries, STAMP]) renameSync(join(work, name), join(folder, name));
    return { needs, changed: true };
  });
}

function readStamp(folder: string): z.infer<typeof stampSchema> | undefined {
  try {
    return stampSchema.parse(JSON.parse(readFileSync(join(folder, STAMP), 'utf8')));
  } catch (error) {
    if (systemCode(error) !== undefined && !isAbsent(error)) throw error;
    return undefined; // missing or incomplete: install again
  }
}

/** Extracts the libraries and checks their hashes. @returns the packages that they need */
function extractLibraries(path: string, version: string, to: string, log: (line: string) => void): Promise<string[]> {
  return withWheel(path, async (wheel) => {
    const records = await readRecords(wheel, 'onnxruntime');
    const entries = cudaLibraries.map((name) => `onnxruntime/capi/${name}`);
    if (records === undefined || !entries.every((name) => wheel.entries.has(name))) {
      return fail(`${path} holds no CUDA libraries of ONNX Runtime; give a Linux wheel of onnxruntime-gpu ${version}`);
    }
    const found = /^Version: *(\S+)/m.exec(records.metadata)?.[1];
    if (found !== version) {
      const is = `${basename(path)} is version ${found ?? 'unknown'}`;
      fail(`${is}; onnxruntime-node here is ${version}, give that version's`);
    }
    log(`extracting ${basename(path)}`);
    for (const [i, name] of entries.entries()) {
      await extractEntry(wheel, name, records.hashes.get(name), join(to, cudaLibraries[i]!));
    }
    const needs = records.metadata.matchAll(/^Requires-Dist: *(nvidia-[\w.-]+)[ (]*([<>=!~][^;)\n]*)?/gm);
    return [...needs].map(([, name, versions = '']) => `${name!}${versions.trim()}`);
  });
}
