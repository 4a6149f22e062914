import { createHash } from 'node:crypto';
import { type Dirent, readdirSync, realpathSync, statSync } from 'node:fs';
import { extname, join, sep } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { InputError, Problems } from '../../errors.js';
import { Random } from '../../random.js';
import { asInputProblem, MOST_TEXT, readRegularSync } from '../../store/input.js';

/** Extensions of torchvision's ImageFolder, other ones of JPEG, and GIF. */
const imageFile = /\.(jpe?g|jpe|jfif|png|tiff?|webp|gif|bmp|ppm|pgm)$/i;

/** Formats that are decoded, for messages. */
export const FORMATS = 'JPEG, PNG, WebP, TIFF, GIF, BMP, PPM or PGM';

/** Beside a folder that macOS archived: no pictures, but the same names. */
export const MACOSX = '__MACOSX';

/** Folders with copies that systems make; Synology's hold thumbnails. */
const systemFolders = [MACOSX, '@eaDir'];

/** Files beside images that nobody takes for one; any other file is counted. */
const plainFile = /\.(txt|csv|tsv|jsonl?|xml|ya?ml|md|html?|db|ini|py|mat|npy|pkl)$/i;

/** Deepest level of nested folders. */
const DEEPEST = 20;

/** Seed of the order of training images; fixed, because it is part of cache keys. */
export const ORDER_SEED = 0;

/** Names of the folders in a folder (links followed), sorted, without hidden ones and those of systems. @throws InputError */
export function foldersIn(directory: string): string[] {
  return entriesOf(
    directory,
    (path, entry) =>
      !systemFolders.includes(entry.name) && (entry.isDirectory() || (entry.isSymbolicLink() && isFolder(path))),
  );
}

/** Names of the image files in a folder, sorted; no hidden files, pipes or devices. Reading reports broken links. */
export const imagesIn = (directory: string): string[] => filesIn(directory, true);

function filesIn(directory: string, areImages: boolean): string[] {
  const leadsToFile = (path: string, entry: Dirent): boolean =>
    entry.isSymbolicLink() && statSync(path, { throwIfNoEntry: false })?.isFile() !== false;
  return entriesOf(
    directory,
    (path, entry) => imageFile.test(entry.name) === areImages && (entry.isFile() || leadsToFile(path, entry)),
  );
}

/** Paths of the image files in a folder and all folders below it; links to a folder above are not followed. */
export const imagesBelow = (directory: string): string[] => filesBelow(directory, true);

function filesBelow(directory: string, areImages: boolean, above = [realPath(directory)]): string[] {
  if (above.length > DEEPEST + 1) {
    throw new InputError(`${directory}: folders are nested more than ${DEEPEST} deep; valid: move them up`);
  }
  const below = foldersIn(directory).flatMap((name) => {
    const path = join(directory, name);
    const real = realPath(path);
    const isAbove = above.some((folder) => folder === real || folder.startsWith(join(real, sep)));
    return isAbove ? [] : filesBelow(path, areImages, [...above, real]).map((file) => `${name}/${file}`);
  });
  return [...filesIn(directory, areImages), ...below];
}

/** A file, or all images in a folder and below it, by name. */
export const imageFiles = (path: string): string[] =>
  isFolder(path) ? imagesBelow(path).map((name) => join(path, name)) : [path];

/** A line that counts the files in a folder and below it that are no images, with their extensions; none without such files. */
export function otherFilesBelow(directory: string): string[] {
  const others = isFolder(directory) ? filesBelow(directory, false).filter((name) => !plainFile.test(name)) : [];
  if (others.length === 0) return [];
  const kinds = [...new Set(others.map((name) => extname(name).toLowerCase() || 'no extension'))].sort(compareText);
  const shown = kinds.slice(0, 5).join(', ') + (kinds.length > 5 ? ', ...' : '');
  return [`${directory}: ${others.length} other files (${shown}), left out; valid: ${FORMATS}`];
}

/** Whether this is a file, or a link to one. */
export function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

/** Whether this is a folder, or a link to one. */
export function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

function entriesOf(directory: string, wanted: (path: string, entry: Dirent) => boolean): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => !entry.name.startsWith('.') && wanted(join(directory, entry.name), entry))
      .map((entry) => entry.name)
      .sort(compareText);
  } catch (error) {
    throw asInputProblem(error, directory);
  }
}

function realPath(path: string): string {
  try {
    return realpathSync.native(path);
  } catch (error) {
    throw asInputProblem(error, path);
  }
}

/**
 * Labels by image from a table, a line each.
 *
 * @param valid form of a line, for messages
 * @param read image and label of a line (counted from 0, without the heading)
 * @param heading beginning of the first line, if there is one
 * @throws InputError naming the lines without an image or a label, or with an image that has another label above
 */
export function labelsIn(
  path: string,
  valid: string,
  read: (line: string, index: number) => readonly [image: string | undefined, label: number | undefined],
  heading?: string,
): ReadonlyMap<string, number> {
  const lines = readRegularSync(path, MOST_TEXT).toString('utf8').trim().split(/\r?\n/);
  const problems = new Problems();
  const refuse = (index: number, expected: string) =>
    problems.add(`${path}:${index + 1}: ${lines[index]}; valid: ${expected}`);
  const first = heading === undefined ? 0 : 1;
  if (heading !== undefined && !lines[0]!.startsWith(heading)) refuse(0, heading);
  const labels = new Map<string, number>();
  for (let i = first; i < lines.length; i++) {
    const [image, label] = read(lines[i]!, i - first);
    if (image === undefined || label === undefined) refuse(i, valid);
    else if ((labels.get(image) ?? label) !== label) refuse(i, `one class for ${image}, which has another above`);
    else labels.set(image, label);
  }
  problems.throwIfAny();
  return labels;
}

/**
 * The images of class folders and the folders below them, with their sizes.
 *
 * @param folders names of the class folders below `directory`, and the class of each
 * @param onFolder called after each folder with the number of files so far
 */
export async function scanClassFolders(
  directory: string,
  folders: readonly { readonly name: string; readonly label: number }[],
  onFolder: (files: number) => void = () => {},
): Promise<ListedFile[]> {
  const files: ListedFile[] = [];
  for (const { name, label } of folders) {
    for (const image of imagesBelow(join(directory, name))) {
      files.push({ path: `${name}/${image}`, label, bytes: sizeOf(join(directory, name, image)) });
    }
    onFolder(files.length);
    await setImmediate(); // lets Ctrl-C and progress through
  }
  return files;
}

/** Size of a file in bytes, at most 2^32 - 1; 0 if it does not exist. */
export function sizeOf(path: string): number {
  return Math.min(statSync(path, { throwIfNoEntry: false })?.size ?? 0, 2 ** 32 - 1);
}

export interface ListedFile {
  /** Below the folder, with forward slashes. */
  readonly path: string;
  readonly label: number;
  readonly bytes: number;
}

/**
 * Image files of a split in order, about 35 bytes a file: ImageNet's 1.28 million training images take 60 MB.
 *
 * The content id hashes paths, labels and sizes, because reading 150 GB before each run takes too long. Of a file replaced by
 * one of the same size, only `dgate data verify` notices.
 */
export class FileList {
  private constructor(
    /** Absolute path of the folder that the paths are below. */
    readonly directory: string,
    private readonly names: Buffer,
    /** (count + 1): where each name begins in `names`. */
    private readonly starts: Uint32Array,
    /** (count) */
    readonly labels: Int32Array,
    /** (count): size of each file in bytes. */
    readonly sizes: Uint32Array,
    /** Hash of paths, labels and sizes in order, in hex. */
    readonly sha256: string,
  ) {}

  get count(): number {
    return this.labels.length;
  }

  /** Files sorted by path (code units), then shuffled if there is a seed. */
  static of(directory: string, files: readonly ListedFile[], seed?: number): FileList {
    const order = Int32Array.from(files.keys()).sort((a, b) => compareText(files[a]!.path, files[b]!.path));
    if (seed !== undefined) new Random(seed, 'image order').shuffle(order);
    const ordered = function* () {
      for (const index of order) yield files[index]!;
    };
    return FileList.inOrder(directory, files.length, ordered());
  }

  /** A list of `count` files in the given order. */
  static inOrder(directory: string, count: number, files: Iterable<ListedFile>): FileList {
    const labels = new Int32Array(count);
    const sizes = new Uint32Array(count);
    const starts = new Uint32Array(count + 1);
    const hash = createHash('sha256');
    let names = Buffer.alloc(Math.max(1, count * 32));
    let index = 0;
    let end = 0;
    for (const { path, label, bytes } of files) {
      const length = Buffer.byteLength(path);
      while (end + length > names.length) names = Buffer.concat([names, Buffer.alloc(names.length)]);
      names.write(path, end);
      starts[index] = end;
      labels[index] = label;
      sizes[index] = bytes;
      hash.update(`${label} ${bytes} ${path}\n`);
      end += length;
      index++;
    }
    starts[count] = end;
    return new FileList(directory, names.subarray(0, end), starts, labels, sizes, hash.digest('hex'));
  }

  /** Path of a file below `directory`. */
  path(index: number): string {
    return this.names.toString('utf8', this.starts[index]!, this.starts[index + 1]!);
  }

  *files(): Generator<ListedFile> {
    for (let i = 0; i < this.count; i++) yield { path: this.path(i), label: this.labels[i]!, bytes: this.sizes[i]! };
  }
}

/** Order of texts by code units, for `sort`. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
