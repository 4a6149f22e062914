import { mkdir, open, readdir, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { InputError, ifThere } from '../../errors.js';
import { asFileProblem, exists, removeOnExit } from '../../store/files.js';
import { locked, sweep } from '../../store/lock.js';
import { isRunning } from '../../store/processes.js';
import { ensureFolder } from '../../store/store.js';
import type { DataReport, FetchOptions } from '../dataset.js';
import { classesText, directoryOf, type RecordLayout } from './layout.js';
import { makeFrom } from './sources.js';
import { type Inspection, inspectFolder, isDescribed, reportOf, writeDescription } from './verify.js';

const dayMs = 24 * 60 * 60 * 1000;

/**
 * Installs a dataset in its folder (`<root>/cifar10/cifar-10-batches-bin`), in the official binary layout, from any source.
 *
 * Everything is made in a temporary folder beside it, verified there and renamed at the end, so that the folder is complete
 * or does not exist. If it already exists and is valid, it is kept. About 0.5 GB of disk is needed temporarily.
 *
 * @throws InputError if the source cannot be reached, lacks files or has other data, or the disk fails
 */
export async function fetchRecords(options: FetchOptions, layout: RecordLayout): Promise<DataReport> {
  const { root, progress } = options;
  const directory = directoryOf(root, layout);
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
      return meanwhile ?? (await fetchToFolder(options, directory, layout));
    });
  } catch (error) {
    throw asFileProblem(error, directory);
  }
}

/** The existing dataset, if it is valid. */
async function keepPresent({ root, progress }: FetchOptions, layout: RecordLayout): Promise<DataReport | undefined> {
  const directory = directoryOf(root, layout);
  const target = join(directory, layout.folder);
  const present = await inspectFolder(target, layout);
  if (present.problems.length > 0) {
    if (!present.absent) progress.warn(`not ${layout.title}, to be replaced: ${present.problems.join('; ')}`);
    return undefined;
  }
  progress.note(`${target}: ${layout.title} is already there and verified`);
  // Informative only: an unwritable folder is not a reason to stop.
  if (!(await isDescribed(directory))) await writeDescription(directory, layout.name, 'unknown').catch(() => {});
  return reportOf(layout, directory, 'present', present);
}

async function fetchToFolder(options: FetchOptions, directory: string, layout: RecordLayout): Promise<DataReport> {
  const { from, progress, download } = options;
  await ensureFolder(directory);
  await removeAbandoned(directory, layout.folder);
  await sweep(directory);
  const temporary = join(directory, temporaryName(layout.folder, hostname(), process.pid));
  const keep = removeOnExit(temporary);
  const made = join(temporary, layout.folder);
  try {
    await mkdir(made, { recursive: true });
    const archive = join(directory, layout.official.archive);
    const source = await makeFrom(from, { layout, progress, download, temporary, archive, made });
    await writeFile(join(made, layout.classesFile), classesText(layout));
    const found = await inspectFolder(made, layout);
    if (found.problems.length > 0) throw new InputError(refusal(layout, source, found, made));
    await moveInto(join(directory, layout.folder), made, join(temporary, 'replaced'), layout);
    await writeDescription(directory, layout.name, source);
    progress.note(`${directory}: ${layout.title} from ${source}, every file verified`);
    return reportOf(layout, directory, 'fetched', found);
  } finally {
    await rm(temporary, { recursive: true, force: true });
    keep();
    // After a failure, remove the folder if it is empty; otherwise rmdir fails.
    await rmdir(directory).catch(() => {});
  }
}

/** Problems of the source's data, with file names only: the temporary folder is removed. */
function refusal({ title }: RecordLayout, source: string, found: Inspection, made: string): string[] {
  return found.problems.map((problem) => `${source}: not ${title}: ${problem.replace(`${made}/`, '')}`);
}

/** Renames the finished folder into place. If another process was faster, its folder stays. */
async function moveInto(target: string, made: string, replaced: string, layout: RecordLayout): Promise<void> {
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

function temporaryName(folder: string, host: string, pid: number): string {
  return `${folder}.${host}.${pid}.tmp`;
}

/** Removes leftovers of interrupted fetches: of ended processes of this machine, and all older than a day. */
async function removeAbandoned(directory: string, folder: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!name.startsWith(`${folder}.`) || !name.endsWith('.tmp')) continue;
    const path = join(directory, name);
    const pid = Number(name.split('.').at(-2));
    const ours = name === temporaryName(folder, hostname(), pid);
    const ageMs = Date.now() - ((await ifThere(path, stat(path)))?.mtimeMs ?? 0);
    if (ageMs > dayMs || (ours && (pid === process.pid || !isRunning(pid))))
      await rm(path, { recursive: true, force: true });
  }
}
