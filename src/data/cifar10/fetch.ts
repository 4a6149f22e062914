import { mkdir, open, readdir, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { InputError } from '../../errors.js';
import { asFileProblem, exists, removeOnExit } from '../../store/files.js';
import { locked } from '../../store/lock.js';
import { ensureFolder } from '../../store/store.js';
import { sweep } from '../../store/sweep.js';
import type { DataReport, FetchOptions } from '../dataset.js';
import { isDescribed, writeDescription } from './description.js';
import { binaryFolder, type Cifar10Layout, cifar10, classesFile, classesText, directoryOf } from './layout.js';
import { makeFrom } from './sources.js';
import { type Inspection, inspectFolder, reportOf } from './verify.js';

const dayMs = 24 * 60 * 60 * 1000;

/**
 * Puts CIFAR-10 in `<root>/cifar10/cifar-10-batches-bin`, in the official binary layout, whichever source it comes from.
 *
 * Everything is made in a temporary folder beside it, verified there and renamed at the end, so that the folder is whole
 * or not there. Where it is already there and right, only that is said. About 0.5 GB of disk is needed meanwhile.
 *
 * @throws InputError where the source cannot be reached, lacks files or gives other data, or the disk refuses
 */
export async function fetchCifar10(options: FetchOptions, layout: Cifar10Layout = cifar10): Promise<DataReport> {
  const { root, progress } = options;
  const directory = directoryOf(root);
  const present = await keepPresent(options, layout);
  if (present !== undefined) return present;
  try {
    let waited = false;
    const onWait = (holder: string): void => {
      waited = true;
      progress.note(`${directory}: waiting for ${holder}, which fetches it`);
    };
    return await locked(`${directory}.lock`, onWait, async () => {
      const meanwhile = waited ? await keepPresent(options, layout) : undefined;
      return meanwhile ?? (await fetchAnew(options, directory, layout));
    });
  } catch (error) {
    throw asFileProblem(error, directory);
  }
}

/** What is there already, if it is right. */
async function keepPresent({ root, progress }: FetchOptions, layout: Cifar10Layout): Promise<DataReport | undefined> {
  const directory = directoryOf(root);
  const target = join(directory, binaryFolder);
  const present = await inspectFolder(target, layout);
  if (present.problems.length > 0) {
    if (!present.absent) progress.warn(`not CIFAR-10, to be replaced: ${present.problems.join('; ')}`);
    return undefined;
  }
  progress.note(`${target}: CIFAR-10 is already there and verified`);
  // Only for people: a folder that cannot be written is no reason to stop.
  if (!(await isDescribed(directory))) await writeDescription(directory, 'unknown').catch(() => {});
  return reportOf(directory, 'present', present);
}

async function fetchAnew(options: FetchOptions, directory: string, layout: Cifar10Layout): Promise<DataReport> {
  const { from, progress, download } = options;
  await ensureFolder(directory);
  await removeAbandoned(directory);
  await sweep(directory);
  const temporary = join(directory, temporaryName(hostname(), process.pid));
  const keep = removeOnExit(temporary);
  const made = join(temporary, binaryFolder);
  try {
    await mkdir(made, { recursive: true });
    const archive = join(directory, 'cifar-10-binary.tar.gz');
    const source = await makeFrom(from, { layout, progress, download, temporary, archive, made });
    await writeFile(join(made, classesFile), classesText());
    const found = await inspectFolder(made, layout);
    if (found.problems.length > 0) throw new InputError(refusal(source, found, made));
    await moveInto(join(directory, binaryFolder), made, join(temporary, 'replaced'), layout);
    await writeDescription(directory, source);
    progress.note(`${directory}: CIFAR-10 from ${source}, every file verified`);
    return reportOf(directory, 'fetched', found);
  } finally {
    await rm(temporary, { recursive: true, force: true });
    keep();
    // Where nothing came of it, no empty folder stays; one that holds something refuses to go.
    await rmdir(directory).catch(() => {});
  }
}

/** What the source gave instead of CIFAR-10; the paths are of a folder that will be gone, so only names are said. */
function refusal(source: string, found: Inspection, made: string): string[] {
  return found.problems.map((problem) => `${source}: not CIFAR-10: ${problem.replace(`${made}/`, '')}`);
}

/** Renames the finished folder into place. Another process may have been faster: then its folder stays. */
async function moveInto(target: string, made: string, replaced: string, layout: Cifar10Layout): Promise<void> {
  for (const { name } of layout.files) await flush(join(made, name));
  if (await exists(target)) {
    if ((await inspectFolder(target, layout)).problems.length === 0) return;
    await rename(target, replaced);
  }
  await rename(made, target);
}

async function flush(path: string): Promise<void> {
  const file = await open(path, 'r+');
  await file.sync().finally(() => file.close());
}

function temporaryName(host: string, pid: number): string {
  return `${binaryFolder}.${host}.${pid}.tmp`;
}

/** Removes what interrupted fetches left: those of processes of this machine that are gone, and all older than a day. */
async function removeAbandoned(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!name.startsWith(`${binaryFolder}.`) || !name.endsWith('.tmp')) continue;
    const path = join(directory, name);
    const pid = Number(name.split('.').at(-2));
    const ours = name === temporaryName(hostname(), pid);
    const ageMs = Date.now() - ((await stat(path).catch(() => undefined))?.mtimeMs ?? 0);
    if (ageMs > dayMs || (ours && (pid === process.pid || !isRunning(pid))))
      await rm(path, { recursive: true, force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it runs, as another user.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
