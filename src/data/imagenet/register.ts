import { statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { InputError } from '../../errors.js';
import { parseJson, wholeNumber } from '../../json.js';
import { type Progress, silent } from '../../progress.js';
import { readIfThere, readJson, sha256, writeFileAtomic } from '../../store/files.js';
import { ensureFolder } from '../../store/store.js';
import type { DataReport, FetchOptions, ImageSource, PublishedSplit } from '../dataset.js';
import { geometryOf, usualGeometry } from '../image-folder/geometry.js';
import { ORDER_SEED } from '../image-folder/index.js';
import { FileList, isFolder, type ListedFile } from '../image-folder/listing.js';
import { folderSource } from '../image-folder/source.js';
import type { Preprocessing } from '../preprocess.js';
import { classCounts } from '../splits.js';
import { names, wnids } from './classes.js';
import { locate, published, type Scan, scanSplit } from './layout.js';

const registerCommand = 'dgate data fetch imagenet --from FOLDER';

const registrationSchema = z.object({
  dataset: z.literal('imagenet'),
  /** ImageNet's folder. */
  folder: z.string(),
  /** When `dgate data verify` last read all of it (ISO 8601), and the hash of all bytes of a split in order. */
  verified: z.object({ date: z.string(), train: z.string().optional(), test: z.string().optional() }).optional(),
});

/** `<root>/imagenet/dataset.json`: only ImageNet's path is stored, nothing is copied. */
export type Registration = z.infer<typeof registrationSchema>;

const registrationFolder = (root: string): string => join(root, 'imagenet');

/** @throws InputError if ImageNet is not registered, or its folder is gone */
export async function readRegistration(root: string): Promise<Registration> {
  const path = join(registrationFolder(root), 'dataset.json');
  const registration = registrationSchema.safeParse(await readJson(path)).data;
  if (registration === undefined) throw new InputError(`${root}: no ImageNet here; run: ${registerCommand}`);
  if (!isFolder(registration.folder)) {
    throw new InputError(`${registration.folder}: gone, ImageNet was there; run: ${registerCommand}`);
  }
  return registration;
}

export async function writeRegistration(root: string, registration: Registration): Promise<void> {
  await writeFileAtomic(join(registrationFolder(root), 'dataset.json'), `${JSON.stringify(registration, null, 1)}\n`);
}

/**
 * Stores ImageNet's path and lists its files; nothing is copied.
 *
 * @throws InputError if the folder does not have ImageNet's layout
 */
export async function registerImageNet({ root, from, progress }: FetchOptions): Promise<DataReport> {
  if (from === 'official') {
    throw new InputError(
      'imagenet: image-net.org gives it to registered users only; get ILSVRC2012 there (or from Kaggle), unpack it to ' +
        `train/<wnid>/ and val/, then run: ${registerCommand}`,
    );
  }
  const folders = locate(from);
  await ensureFolder(registrationFolder(root));
  const registration: Registration = { dataset: 'imagenet', folder: folders.root };
  const lists = new Map<PublishedSplit, FileList>();
  for (const split of splitsOf(folders)) lists.set(split, (await makeList(root, registration, split, progress)).list);
  await writeRegistration(root, registration);
  const notes = [...lists].flatMap(([split, list]) => incompleteness(split, list));
  for (const note of notes) progress.warn(note);
  return imageNetReport(root, 'registered', lists, notes);
}

/** The splits that a copy has. */
export function splitsOf(folders: { readonly train?: string; readonly test?: string }): PublishedSplit[] {
  return (['train', 'test'] as const).filter((split) => folders[split] !== undefined);
}

/** The stored list of a split, rebuilt if files were added or removed. @throws InputError */
export async function listOf(
  root: string,
  registration: Registration,
  split: PublishedSplit,
  progress: Progress = silent,
): Promise<StoredList> {
  const stored = await readList(listPath(root, split));
  const current = locate(registration.folder)[split];
  const unchanged =
    stored !== undefined &&
    stored.list.directory === current &&
    stored.folders.every(([name, modifiedMs]) => modified(join(stored.list.directory, name)) === modifiedMs);
  return unchanged ? stored : makeList(root, registration, split, progress);
}

async function makeList(
  root: string,
  registration: Registration,
  split: PublishedSplit,
  progress: Progress,
): Promise<StoredList> {
  const folders = locate(registration.folder);
  const task = progress.begin(`listing ${folders[split] ?? split}`, 0, 'files');
  const { directory, files, folders: seen } = await scanSplit(folders, split, modified, (done) => task.update(done));
  task.end(`${directory}: ${files.length.toLocaleString('en')} image files listed`);
  if (files.length === 0) throw new InputError(`${directory}: no image file; valid: *.JPEG`);
  const list = FileList.of(directory, files, split === 'train' ? ORDER_SEED : undefined);
  await writeList(listPath(root, split), list, seen);
  return { list, folders: seen };
}

function listPath(root: string, split: PublishedSplit): string {
  return join(registrationFolder(root), `${split}.list`);
}

/** Modification time in ms; NaN, which equals nothing, if the path does not exist. */
function modified(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Number.NaN;
}

/** Missing parts of ILSVRC2012 in a split: a line for classes, a line for images. */
export function incompleteness(split: PublishedSplit, list: FileList): string[] {
  const counts = classCounts(list.labels, wnids.length);
  const missing = wnids.filter((_, label) => counts[label] === 0);
  const lines: string[] = [];
  if (missing.length > 0) {
    const more = missing.length > 10 ? ', ...' : '';
    lines.push(`${list.directory}: no image of ${missing.length} classes: ${missing.slice(0, 10).join(', ')}${more}`);
  }
  if (list.count !== published[split]) {
    const number = (count: number): string => count.toLocaleString('en');
    lines.push(`${list.directory}: ${number(list.count)} images; ILSVRC2012 has ${number(published[split])}`);
  }
  return lines;
}

export function imageNetReport(
  root: string,
  outcome: DataReport['outcome'],
  lists: ReadonlyMap<PublishedSplit, FileList>,
  notes: readonly string[],
  hashes: ReadonlyMap<PublishedSplit, string> = new Map(),
): DataReport {
  const counts = (split: PublishedSplit) => classCounts(lists.get(split)?.labels ?? [], wnids.length);
  const files = [...lists].flatMap(([split, { directory, sizes }]) => {
    const sha256 = hashes.get(split);
    return sha256 === undefined ? [] : [{ name: directory, bytes: sizes.reduce((a, b) => a + b, 0), sha256 }];
  });
  const imagesPerClass = { train: counts('train'), test: counts('test') };
  return { dataset: 'imagenet', directory: registrationFolder(root), outcome, files, notes, imagesPerClass };
}

/**
 * Opens a split; no image is read. Training images come in a shuffled order that is always the same, validation images
 * by name.
 *
 * @throws InputError if ImageNet is not registered or lacks the split
 */
export async function loadImageNet(
  root: string,
  split: PublishedSplit,
  preprocessing: Preprocessing,
): Promise<ImageSource> {
  const { list } = await listOf(root, await readRegistration(root), split);
  return { ...folderSource(list, names, geometryOf(preprocessing, usualGeometry)), classIds: wnids };
}

interface Header {
  readonly directory: string;
  readonly count: number;
  readonly sha256: string;
  readonly folders: Scan['folders'];
}

/** A stored list of files, and the folders that it was made from. */
export interface StoredList {
  readonly list: FileList;
  readonly folders: Scan['folders'];
}

/** Stores a list: a header as JSON, then `label bytes path` a line, in order. */
export async function writeList(path: string, list: FileList, folders: Scan['folders']): Promise<void> {
  const { directory, count, sha256 } = list;
  const header: Header = { directory, count, sha256, folders };
  await writeFileAtomic(path, textOf(header, list));
}

/** Hash of the header; the lines have their own. */
function sealOf({ directory, count, sha256: hash, folders }: Header): string {
  return sha256(JSON.stringify([directory, count, hash, folders]));
}

function* textOf(header: Header, list: FileList): Generator<string> {
  yield `${JSON.stringify({ ...header, seal: sealOf(header) })}\n`;
  let lines: string[] = [];
  for (const { label, bytes, path } of list.files()) {
    lines.push(`${label} ${bytes} ${path}\n`);
    if (lines.length === 10_000) {
      yield lines.join('');
      lines = [];
    }
  }
  yield lines.join('');
}

/** Reads a stored list; undefined if it is missing or damaged. */
export async function readList(path: string): Promise<StoredList | undefined> {
  const bytes = await readIfThere(path);
  const end = bytes?.indexOf(10) ?? -1;
  if (bytes === undefined || end < 0) return undefined;
  try {
    const { seal, ...header } = parseJson(bytes.toString('utf8', 0, end), path) as Header & { seal: unknown };
    if (seal !== sealOf(header)) return undefined;
    const list = FileList.inOrder(header.directory, header.count, filesIn(bytes, end + 1));
    return list.sha256 === header.sha256 ? { list, folders: header.folders } : undefined;
  } catch {
    return undefined; // damaged: it is made again
  }
}

function* filesIn(bytes: Buffer, start: number): Generator<ListedFile> {
  for (let at = start; at < bytes.length; ) {
    const end = bytes.indexOf(10, at);
    const line = bytes.toString('utf8', at, end < 0 ? bytes.length : end);
    const first = line.indexOf(' ');
    const second = line.indexOf(' ', first + 1);
    yield {
      label: wholeNumber(line.slice(0, first)) ?? Number.NaN,
      bytes: wholeNumber(line.slice(first + 1, second)) ?? Number.NaN,
      path: line.slice(second + 1),
    };
    at = end < 0 ? bytes.length : end + 1;
  }
}
