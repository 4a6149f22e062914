import { createHash } from 'node:crypto';
import { Random } from '../../random.js';

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
