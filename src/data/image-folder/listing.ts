import { createHash } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { Random } from '../../random.js';
import { asFileProblem } from '../../store/files.js';

/** Extensions of torchvision's ImageFolder that are decoded here, and GIF. */
const imageFile = /\.(jpe?g|png|tiff?|webp|gif)$/i;

/** Pictures in other formats: they are counted and left out. */
const otherPicture = /\.(ppm|bmp|pgm|pbm|avif|heic|jxl|jp2|svg)$/i;

/** What macOS's archiver adds beside a folder: no pictures, with the same names. */
export const MACOSX = '__MACOSX';

/** Folders in each other that are looked into: links may lead in a circle. */
const DEEPEST = 8;

/** Names of the folders in a folder (links followed), sorted, without hidden ones. @throws InputError */
export function foldersIn(directory: string): string[] {
  return entriesOf(directory, (path, entry) => entry.isDirectory() || (entry.isSymbolicLink() && isFolder(path)));
}

/** Names of the image files in a folder, sorted, without hidden ones (macOS puts some beside images), pipes and devices. */
export function imagesIn(directory: string): string[] {
  return entriesOf(
    directory,
    (path, entry) => imageFile.test(entry.name) && (entry.isFile() || leadsToFile(path, entry)),
  );
}

/** Paths of the image files in a folder and in all folders below it, as torchvision walks it. */
export function imagesBelow(directory: string, depth = 0): string[] {
  const below = depth < DEEPEST ? foldersIn(directory).filter((name) => name !== MACOSX) : [];
  return [
    ...imagesIn(directory),
    ...below.flatMap((name) => imagesBelow(join(directory, name), depth + 1).map((path) => `${name}/${path}`)),
  ];
}

/** Number of pictures in a folder whose format is not decoded here. */
export function otherPicturesIn(directory: string): number {
  return entriesOf(directory, (_, entry) => otherPicture.test(entry.name)).length;
}

/** Whether this is a file, or a link to one. */
export function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

/** Whether this is a folder, or a link to one. */
export function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Whether this is a link to a file, or a broken one, which is reported when it is read. */
function leadsToFile(path: string, entry: Entry): boolean {
  return entry.isSymbolicLink() && statSync(path, { throwIfNoEntry: false })?.isFile() !== false;
}

type Entry = ReturnType<typeof readEntries>[number];

function entriesOf(directory: string, wanted: (path: string, entry: Entry) => boolean): string[] {
  const entries = readEntries(directory).filter(
    (entry) => !entry.name.startsWith('.') && wanted(join(directory, entry.name), entry),
  );
  return entries.map((entry) => entry.name).sort(compareText);
}

function readEntries(directory: string) {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    throw asFileProblem(error, directory);
  }
}

/**
 * The images of class folders and of folders below them, with their sizes; a broken link has size 0, so that it is reported
 * later.
 *
 * @param folders names of the class folders below `directory`, and the class of each
 * @param onFolder called after every folder with the number of files so far
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
    await setImmediate(); // one thousand folders of a thousand files: let Ctrl-C and progress through
  }
  return files;
}

/** Size of a file in bytes, 2^32 - 1 where it is larger; 0 if it does not exist. */
export function sizeOf(path: string): number {
  return Math.min(statSync(path, { throwIfNoEntry: false })?.size ?? 0, 2 ** 32 - 1);
}

/** One image file of a list. */
export interface ListedFile {
  /** Below the folder, with forward slashes. */
  readonly path: string;
  readonly label: number;
  readonly bytes: number;
}

/**
 * Image files of one split in their order, about 35 bytes a file: ImageNet's 1.28 million training images take 60 MB.
 *
 * Content ids of such lists are hashes of paths, labels and sizes: reading 150 GB before every run would take too long. If a
 * file is replaced by another with the same size and name, `dgate data verify` notices, a run does not.
 */
export class FileList {
  readonly #names: Buffer;
  /** (count + 1): where each name begins in `#names`. */
  readonly #starts: Uint32Array;

  private constructor(
    /** Absolute path of the folder that the paths are below. */
    readonly directory: string,
    names: Buffer,
    starts: Uint32Array,
    /** (count) */
    readonly labels: Int32Array,
    /** (count): size of each file in bytes. */
    readonly sizes: Uint32Array,
    /** Hash of paths, labels and sizes in order, in hex. */
    readonly sha256: string,
  ) {
    this.#names = names;
    this.#starts = starts;
  }

  get count(): number {
    return this.labels.length;
  }

  /** @param seed shuffles the files, which are otherwise sorted by path (code units); equal files, equal order */
  static of(directory: string, files: readonly ListedFile[], seed?: number): FileList {
    const order = Int32Array.from(files.keys()).sort((a, b) => compareText(files[a]!.path, files[b]!.path));
    if (seed !== undefined) new Random(seed, 'image order').shuffle(order);
    return FileList.inOrder(
      directory,
      files.length,
      (function* () {
        for (const index of order) yield files[index]!;
      })(),
    );
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
    return this.#names.toString('utf8', this.#starts[index]!, this.#starts[index + 1]!);
  }

  *files(): Generator<ListedFile> {
    for (let i = 0; i < this.count; i++) yield { path: this.path(i), label: this.labels[i]!, bytes: this.sizes[i]! };
  }
}

/** Order of texts by code units, for `sort`. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
