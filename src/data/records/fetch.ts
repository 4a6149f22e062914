import { mkdir, open, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { InputError } from '../../errors.js';
import {
  asFileProblem,
  exists,
  readIfThere,
  readSealed,
  removeOnExit,
  temporaryName,
  writeSealed,
} from '../../store/files.js';
import { lockedUnlessDone, sweep } from '../../store/lock.js';
import { ensureFolder } from '../../store/store.js';
import type { DataReport, FetchOptions } from '../dataset.js';
import {
  absentMessage,
  countOf,
  fetchCommand,
  folderOf,
  type RecordLayout,
  readRecordFile,
  recordBytes,
} from './layout.js';
import { makeFrom } from './sources.js';

/**
 * Installs a dataset in its folder (`<root>/cifar10/cifar-10-batches-bin`) in the official binary layout, from any source.
 * Keeps a valid one; makes another in a temporary folder (about 0.5 GB), which it verifies and renames.
 *
 * @throws InputError if the source cannot be reached, lacks files or has other data, or the disk fails
 */
export async function fetchRecords(options: FetchOptions, layout: RecordLayout): Promise<DataReport> {
  const directory = dirname(folderOf(options.root, layout));
  try {
    return await lockedUnlessDone(
      `${directory}.lock`,
      () => keepPresent(options, layout),
      (holder) => options.progress.note(`${directory}: waiting for ${holder}, which fetches it`),
      () => fetchToFolder(options, layout),
    );
  } catch (error) {
    throw asFileProblem(error, directory);
  }
}

/** The existing dataset, if it is valid. */
async function keepPresent({ root, progress }: FetchOptions, layout: RecordLayout): Promise<DataReport | undefined> {
  const target = folderOf(root, layout);
  const present = await inspectFolder(target, layout);
  if (present.problems.length > 0) {
    if (!present.absent) progress.warn(`not ${layout.title}, to be replaced: ${present.problems.join('; ')}`);
    return undefined;
  }
  progress.note(`${target}: ${layout.title} is already there and verified`);
  // Only informative: the folder may be read-only.
  if (!(await exists(descriptionPath(target)))) await writeDescription(target, layout.name, 'unknown').catch(() => {});
  return reportOf(layout, target, 'present', present);
}

async function fetchToFolder(options: FetchOptions, layout: RecordLayout): Promise<DataReport> {
  const { root, from, progress, download } = options;
  const target = folderOf(root, layout);
  const directory = dirname(target);
  await ensureFolder(directory);
  await sweep(directory);
  const temporary = temporaryName(target);
  const keep = removeOnExit(temporary);
  const made = join(temporary, layout.folder);
  try {
    await mkdir(made, { recursive: true });
    const archive = join(directory, layout.official.archive);
    const source = await makeFrom(from, { layout, progress, download, temporary, archive, made });
    await writeFile(join(made, layout.classesFile), classesText(layout));
    const found = await inspectFolder(made, layout);
    if (found.problems.length > 0) {
      // File names only: the temporary folder is removed.
      const problems = found.problems.map((problem) => problem.replace(`${made}/`, ''));
      throw new InputError(problems.map((problem) => `${source}: not ${layout.title}: ${problem}`));
    }
    for (const { name } of layout.files) await flush(join(made, name));
    // A process that lost its lock may have finished first: its valid folder stays.
    if ((await inspectFolder(target, layout)).problems.length > 0) {
      if (await exists(target)) await rename(target, join(temporary, 'replaced'));
      await rename(made, target);
    }
    await writeDescription(target, layout.name, source);
    progress.note(`${directory}: ${layout.title} from ${source}, every file verified`);
    return reportOf(layout, target, 'fetched', found);
  } finally {
    // tar may still be writing after it found an archive damaged.
    await rm(temporary, { recursive: true, force: true, maxRetries: 5 });
    keep();
    await rmdir(directory).catch(() => {}); // removes it only if it is empty, after a failure
  }
}

async function flush(path: string): Promise<void> {
  const file = await open(path, 'r+');
  await file.sync().finally(() => file.close());
}

type Inspection = Awaited<ReturnType<typeof inspectFolder>>;

/** Checks size and sha256 of every file and the number of images of each class. @throws InputError with a line per problem */
export async function verifyRecords(root: string, layout: RecordLayout): Promise<DataReport> {
  const folder = folderOf(root, layout);
  const found = await inspectFolder(folder, layout);
  if (found.absent) throw new InputError(absentMessage(root, layout));
  const problems = [...found.problems];
  const description = await readSealed(descriptionPath(folder));
  if (description !== undefined && 'why' in description) {
    problems.push(`${description.why}; it only records where the data came from: delete it`);
  }
  if (problems.length > 0) throw new InputError([...problems, `to fetch it again: ${fetchCommand(layout)}`]);
  return reportOf(layout, folder, 'present', found);
}

/** Problems of a folder, none if it holds the dataset; whether all record files are missing; images of each class. */
async function inspectFolder(folder: string, layout: RecordLayout) {
  const problems: string[] = [];
  const imagesPerClass = { train: layout.classes.map(() => 0), test: layout.classes.map(() => 0) };
  for (const file of layout.files) {
    const counts = imagesPerClass[file.split];
    const problem = await readRecordFile(folder, file, layout, (record) => {
      const label = record[layout.labelBytes - 1]!;
      if (label < counts.length) counts[label]!++; // others change the hash
    });
    if (problem !== undefined) problems.push(problem);
  }
  const absent = problems.filter((problem) => problem.endsWith(': missing')).length === layout.files.length;
  if (problems.length === 0) problems.push(...problemsOfCounts(folder, imagesPerClass, layout));
  const path = join(folder, layout.classesFile);
  const names = (await readIfThere(path))?.toString('latin1');
  if (names === undefined) problems.push(`${path}: missing`);
  else if (names !== classesText(layout)) problems.push(`${path}: not the classes of ${layout.title}`);
  return { problems, absent, imagesPerClass };
}

function problemsOfCounts(folder: string, found: DataReport['imagesPerClass'], layout: RecordLayout): string[] {
  return (['train', 'test'] as const).flatMap((split) => {
    const expected = countOf(layout, split) / layout.classes.length;
    return layout.classes.flatMap((name, label) => {
      const count = found[split][label];
      return count === expected ? [] : [`${folder}: ${split}: ${count} images of ${name}; valid: ${expected}`];
    });
  });
}

function reportOf(
  layout: RecordLayout,
  folder: string,
  outcome: DataReport['outcome'],
  { imagesPerClass }: Inspection,
): DataReport {
  const files = layout.files.map(({ name, images, sha256 }) => ({ name, bytes: images * recordBytes(layout), sha256 }));
  return { dataset: layout.name, directory: dirname(folder), outcome, files, imagesPerClass };
}

const classesText = ({ classes }: RecordLayout): string => `${classes.join('\n')}\n\n`;

/** `<root>/<name>/dataset.json`: where the data came from, for readers only. */
const descriptionPath = (folder: string): string => join(dirname(folder), 'dataset.json');

async function writeDescription(folder: string, dataset: string, source: string): Promise<void> {
  await writeSealed(descriptionPath(folder), { dataset, source, verified: new Date().toISOString() });
}
