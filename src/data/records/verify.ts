import { join } from 'node:path';
import { z } from 'zod';
import { InputError } from '../../errors.js';
import { exists, readIfThere, readTextIfThere, sha256, writeFileAtomic } from '../../store/files.js';
import { seal, unseal } from '../../store/text.js';
import type { DataReport, PublishedSplit } from '../dataset.js';
import {
  classesText,
  countOf,
  directoryOf,
  fetchCommand,
  type RecordFile,
  type RecordLayout,
  recordBytes,
} from './layout.js';

/** Findings from every byte of a folder of record files. */
export interface Inspection {
  /** One line each; empty if the folder holds the dataset. */
  readonly problems: readonly string[];
  /** Whether all record files are missing. */
  readonly absent: boolean;
  readonly files: DataReport['files'];
  readonly imagesPerClass: DataReport['imagesPerClass'];
}

/**
 * Checks the size and sha256 of every file of a dataset and the number of images of each class.
 *
 * @throws InputError with one line per problem
 */
export async function verifyRecords(root: string, layout: RecordLayout): Promise<DataReport> {
  const directory = directoryOf(root, layout);
  const found = await inspectFolder(join(directory, layout.folder), layout);
  if (found.absent) throw new InputError(absentMessage(root, layout));
  const described = await problemOfDescription(directory);
  const problems = [...found.problems, ...(described === undefined ? [] : [described])];
  if (problems.length > 0) throw new InputError([...problems, `to fetch it again: ${fetchCommand(layout)}`]);
  return reportOf(layout, directory, 'present', found);
}

export function absentMessage(root: string, layout: RecordLayout): string {
  return `${root}: no ${layout.title} here; run: ${fetchCommand(layout)}`;
}

export function reportOf(
  { name: dataset }: RecordLayout,
  directory: string,
  outcome: DataReport['outcome'],
  found: Inspection,
): DataReport {
  return { dataset, directory, outcome, files: found.files, imagesPerClass: found.imagesPerClass };
}

/** Reads a folder of record files, one file (30 MB) at a time, and lists all problems. */
export async function inspectFolder(folder: string, layout: RecordLayout): Promise<Inspection> {
  const problems: string[] = [];
  const files: { name: string; bytes: number; sha256: string }[] = [];
  const imagesPerClass = { train: layout.classes.map(() => 0), test: layout.classes.map(() => 0) };
  for (const file of layout.files) {
    const path = join(folder, file.name);
    const data = await readIfThere(path);
    if (data === undefined) {
      problems.push(`${path}: missing`);
      continue;
    }
    const hash = sha256(data);
    files.push({ name: file.name, bytes: data.length, sha256: hash });
    problems.push(...problemsOfFile(path, data.length, hash, file, layout));
    countLabels(data, imagesPerClass[file.split], layout);
  }
  if (problems.length === 0) problems.push(...problemsOfCounts(folder, imagesPerClass, layout));
  const names = (await readIfThere(join(folder, layout.classesFile)))?.toString('latin1');
  if (names !== classesText(layout)) {
    problems.push(
      `${join(folder, layout.classesFile)}: ${names === undefined ? 'missing' : `not the classes of ${layout.title}`}`,
    );
  }
  return { problems, absent: files.length === 0, files, imagesPerClass };
}

function problemsOfFile(path: string, bytes: number, hash: string, file: RecordFile, layout: RecordLayout): string[] {
  const expectedBytes = file.images * recordBytes(layout);
  if (bytes !== expectedBytes) return [`${path}: ${bytes} bytes; valid: ${expectedBytes}`];
  if (hash !== file.sha256) return [`${path}: sha256 ${hash}; valid: ${file.sha256}`];
  return [];
}

function problemsOfCounts(folder: string, found: Inspection['imagesPerClass'], layout: RecordLayout): string[] {
  return (['train', 'test'] as const satisfies readonly PublishedSplit[]).flatMap((split) => {
    const expected = countOf(layout, split) / layout.classes.length;
    return layout.classes.flatMap((name, label) => {
      const count = found[split][label];
      return count === expected ? [] : [`${folder}: ${split}: ${count} images of ${name}; valid: ${expected}`];
    });
  });
}

/** Counts the labels of all complete records; the hash reveals invalid labels. */
function countLabels(records: Uint8Array, counts: number[], layout: RecordLayout): void {
  const bytes = recordBytes(layout);
  for (let start = 0; start + bytes <= records.length; start += bytes) {
    const label = records[start + layout.labelBytes - 1]!;
    if (label < counts.length) counts[label]!++;
  }
}

const descriptionSchema = z.object({
  dataset: z.string(),
  /** Where the data came from. */
  source: z.string(),
  /** When it was fetched and verified, in ISO 8601. */
  verified: z.string(),
});

/** `<root>/<name>/dataset.json`: the data's source, for readers only. */
export async function writeDescription(directory: string, dataset: string, source: string): Promise<void> {
  const description = { dataset, source, verified: new Date().toISOString() };
  await writeFileAtomic(pathOf(directory), seal(description));
}

/** The problem with the description, in one line; undefined if it is valid or missing. */
async function problemOfDescription(directory: string): Promise<string | undefined> {
  const path = pathOf(directory);
  const text = await readTextIfThere(path);
  if (text === undefined || descriptionSchema.safeParse(unseal(text)).success) return undefined;
  return `${path}: is not what was written there; it only says where the data came from and can be deleted`;
}

export async function isDescribed(directory: string): Promise<boolean> {
  return exists(pathOf(directory));
}

function pathOf(directory: string): string {
  return join(directory, 'dataset.json');
}
