import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { InputError, messageOf, Problems } from '../../errors.js';
import { counted, parseJson, wholeNumber } from '../../json.js';
import { type Progress, silent } from '../../progress.js';
import { readIfThere, readJson, sha256, writeFileAtomic } from '../../store/files.js';
import { readRegular } from '../../store/input.js';
import { ensureFolder } from '../../store/store.js';
import { classCounts, type DataReport, type FetchOptions, type ImageSource, type PublishedSplit } from '../dataset.js';
import { decodeImage } from '../image-folder/decode.js';
import { FileList, isFolder, type ListedFile, ORDER_SEED } from '../image-folder/listing.js';
import { folderSource } from '../image-folder/source.js';
import { geometryOf, type Preprocessing, usualGeometry } from '../preprocess.js';
import { groundTruthsOf, locate, missingSplit, names, published, type Scan, scanSplit, stem, wnids } from './layout.js';

const registerCommand = 'dgate data fetch imagenet --from FOLDER';

/** `<root>/imagenet/dataset.json`: only ImageNet's path is stored, nothing is copied. */
const registrationSchema = z.object({
  dataset: z.literal('imagenet'),
  folder: z.string(),
  /** When `dgate data verify` last read all of it (ISO 8601), and the hash of all bytes of a split in order. */
  verified: z.object({ date: z.string(), train: z.string().optional(), test: z.string().optional() }).optional(),
});

type Registration = z.infer<typeof registrationSchema>;

const registrationFolder = (root: string): string => join(root, 'imagenet');
const registrationPath = (root: string): string => join(registrationFolder(root), 'dataset.json');

/** @throws InputError if ImageNet is not registered, or its folder is gone */
async function readRegistration(root: string): Promise<Registration> {
  const registration = registrationSchema.safeParse(await readJson(registrationPath(root))).data;
  if (registration === undefined) throw new InputError(`${root}: no ImageNet here; run: ${registerCommand}`);
  if (isFolder(registration.folder)) return registration;
  throw new InputError(`${registration.folder}: gone, ImageNet was there; run: ${registerCommand}`);
}

async function writeRegistration(root: string, registration: Registration): Promise<void> {
  await writeFileAtomic(registrationPath(root), `${JSON.stringify(registration, null, 1)}\n`);
}

type Lists = ReadonlyMap<PublishedSplit, FileList>;

const splits = ['train', 'test'] as const;

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
  for (const split of splits) {
    if (folders[split] !== undefined) lists.set(split, await makeList(root, registration, split, progress));
  }
  await writeRegistration(root, registration);
  const notes = [...lists].flatMap(([split, list]) => incompleteness(split, list));
  for (const note of notes) progress.warn(note);
  return reportOf(root, 'registered', lists, notes);
}

/** The stored list of a split, rebuilt if files were added or removed. @throws InputError */
async function listOf(
  root: string,
  registration: Registration,
  split: PublishedSplit,
  progress: Progress = silent,
): Promise<FileList> {
  const stored = await readList(listPath(root, split));
  const current = locate(registration.folder)[split];
  const unchanged =
    stored !== undefined &&
    stored.list.directory === current &&
    stored.folders.every(([name, modifiedMs]) => modified(join(stored.list.directory, name)) === modifiedMs);
  return unchanged ? stored.list : makeList(root, registration, split, progress);
}

async function makeList(
  root: string,
  registration: Registration,
  split: PublishedSplit,
  progress: Progress,
): Promise<FileList> {
  const located = locate(registration.folder);
  const task = progress.begin(`listing ${located[split] ?? split}`, 0, 'files');
  const { directory, files, folders } = await scanSplit(located, split, modified, (done) => task.update(done));
  task.end(`${directory}: ${counted(files.length)} image files listed`);
  if (files.length === 0) throw new InputError(`${directory}: no image file; valid: *.JPEG`);
  const list = FileList.of(directory, files, split === 'train' ? ORDER_SEED : undefined);
  await writeList(listPath(root, split), list, folders);
  return list;
}

const listPath = (root: string, split: PublishedSplit): string => join(registrationFolder(root), `${split}.list`);

/** Modification time in ms; NaN, which equals nothing, if the path does not exist. */
const modified = (path: string): number => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Number.NaN;

/** Missing parts of ILSVRC2012 in a split: a line for classes, a line for images. */
function incompleteness(split: PublishedSplit, { labels, directory, count }: FileList): string[] {
  const counts = classCounts(labels, wnids.length);
  const missing = wnids.filter((_, label) => counts[label] === 0);
  const shown = missing.slice(0, 10).join(', ') + (missing.length > 10 ? ', ...' : '');
  const lines: string[] = [];
  if (missing.length > 0) lines.push(`${directory}: no image of ${missing.length} classes: ${shown}`);
  if (count !== published[split]) {
    lines.push(`${directory}: ${counted(count)} images; ILSVRC2012 has ${counted(published[split])}`);
  }
  return lines;
}

function reportOf(
  root: string,
  outcome: DataReport['outcome'],
  lists: Lists,
  notes: readonly string[],
  hashes: ReadonlyMap<PublishedSplit, string> = new Map(),
): DataReport {
  const counts = (split: PublishedSplit) => classCounts(lists.get(split)?.labels ?? [], wnids.length);
  const files = [...hashes].map(([split, sha256]) => {
    const { directory, sizes } = lists.get(split)!;
    return { name: directory, bytes: sizes.reduce((a, b) => a + b, 0), sha256 };
  });
  const imagesPerClass = { train: counts('train'), test: counts('test') };
  return { dataset: 'imagenet', directory: registrationFolder(root), outcome, files, notes, imagesPerClass };
}

/**
 * Opens a split; no image is read. Training images come in a fixed shuffled order, validation images by name.
 *
 * @throws InputError if ImageNet is not registered or lacks the split
 */
export async function loadImageNet(
  root: string,
  split: PublishedSplit,
  preprocessing: Preprocessing,
): Promise<ImageSource> {
  const list = await listOf(root, await readRegistration(root), split);
  return { ...folderSource(list, names, geometryOf(preprocessing, usualGeometry)), classIds: wnids };
}

interface Header {
  readonly directory: string;
  readonly count: number;
  readonly sha256: string;
  readonly folders: Scan['folders'];
}

/** Hash of the header; the lines have their own. */
const sealOf = ({ directory, count, sha256: hash, folders }: Header): string =>
  sha256(JSON.stringify([directory, count, hash, folders]));

/** Stores a list: a header as JSON, then `label bytes path` a line, in order. @param folders that it was made from */
export async function writeList(path: string, list: FileList, folders: Scan['folders']): Promise<void> {
  const { directory, count, sha256 } = list;
  const header: Header = { directory, count, sha256, folders };
  await writeFileAtomic(path, textOf(header, list));
}

function* textOf(header: Header, list: FileList): Generator<string> {
  let text = `${JSON.stringify({ ...header, seal: sealOf(header) })}\n`;
  for (const { label, bytes, path } of list.files()) {
    text += `${label} ${bytes} ${path}\n`;
    if (text.length < 1_000_000) continue;
    yield text;
    text = '';
  }
  yield text;
}

/** Reads a stored list; undefined if it is missing or damaged. */
export async function readList(
  path: string,
): Promise<{ readonly list: FileList; readonly folders: Scan['folders'] } | undefined> {
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
    const [, label = '', size = '', path = ''] = /^(\S*) (\S*) (.*)$/s.exec(line) ?? [];
    yield { label: wholeNumber(label) ?? Number.NaN, bytes: wholeNumber(size) ?? Number.NaN, path };
    at = end < 0 ? bytes.length : end + 1;
  }
}

/** Problems of one kind that are listed one by one; the rest is counted. */
const MOST_LISTED = 20;
const BATCH_FILES = 64;

/**
 * Reads and decodes every image, counts them, and compares their labels with file names and all ground truths.
 *
 * @throws InputError with all that is missing or wrong
 */
export async function verifyImageNet(root: string, progress: Progress = silent): Promise<DataReport> {
  const registration = await readRegistration(root);
  const folders = locate(registration.folder);
  const lists = new Map<PublishedSplit, FileList>();
  const hashes = new Map<PublishedSplit, string>();
  const problems = new Problems();
  for (const split of splits) if (folders[split] === undefined) problems.add(missingSplit(folders, split));
  for (const split of splits) {
    if (folders[split] === undefined) continue;
    const list = await listOf(root, registration, split, progress);
    lists.set(split, list);
    const { broken, hash } = await readAll(list, progress);
    const found = [...incompleteness(split, list), ...mislabelled(list, folders.root), ...broken];
    for (const problem of found) problems.add(problem);
    hashes.set(split, hash);
    const before = registration.verified?.[split];
    if (before !== undefined && before !== hash) {
      problems.add(`${list.directory}: not the bytes that were verified on ${registration.verified?.date}`);
    }
  }
  problems.throwIfAny();
  const verified = { date: new Date().toISOString(), ...Object.fromEntries(hashes) };
  await writeRegistration(root, { ...registration, verified });
  return reportOf(root, 'present', lists, [], hashes);
}

/** Decodes every file. @returns a line for each that cannot be, and one hash of all bytes in the list's order */
async function readAll(list: FileList, progress: Progress): Promise<{ broken: string[]; hash: string }> {
  const task = progress.begin(`reading ${list.directory}`, list.count, 'images');
  const broken = new Problems([], MOST_LISTED, 'more files that cannot be decoded');
  const whole = createHash('sha256');
  const check = async (index: number): Promise<string> => {
    const path = join(list.directory, list.path(index));
    let hash = '';
    try {
      const bytes = await readRegular(path);
      hash = sha256(bytes);
      await decodeImage(bytes, usualGeometry);
    } catch (error) {
      broken.add(`${path}: ${messageOf(error).split('\n')[0]}`);
    }
    return hash;
  };
  for (let start = 0; start < list.count; start += BATCH_FILES) {
    const count = Math.min(BATCH_FILES, list.count - start);
    for (const hash of await Promise.all(Array.from({ length: count }, (_, i) => check(start + i)))) whole.update(hash);
    task.update(start + count, broken.count > 0 ? `${broken.count} broken` : undefined);
  }
  task.end(`${list.directory}: ${counted(list.count)} files read, ${broken.count} cannot be decoded`);
  return { broken: broken.lines().sort(), hash: whole.digest('hex') };
}

/** Images whose name (n01440764_10026.JPEG) or ground truth contradicts the list. */
function mislabelled(list: FileList, root: string): string[] {
  const truths = groundTruthsOf(list.directory, root);
  const problems = new Problems([], MOST_LISTED, 'more labels');
  for (const { path, label } of list.files()) {
    const name = stem(path);
    const named = /^(n\d{8})_/.exec(name)?.[1];
    if (named !== undefined && named !== wnids[label]) {
      problems.add(`${list.directory}/${path}: of class ${named} by its name, of ${wnids[label]} by its folder`);
    }
    for (const { file, labels } of truths) {
      const other = labels.get(name);
      if (other === undefined || other === label) continue;
      problems.add(`${list.directory}/${path}: of class ${wnids[label]}, but of ${wnids[other]} by ${file}`);
    }
  }
  return problems.lines();
}
