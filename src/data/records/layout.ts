import { join } from 'node:path';
import { canonicalJson, sha256 } from '../../store/files.js';
import type { ImageShape, PublishedSplit } from '../dataset.js';
import type { Preprocessing } from '../preprocess.js';

/** CIFAR's images: planes R, G, B, each row-major. */
export const cifarShape: ImageShape = { channels: 3, height: 32, width: 32 };

/** Bytes of an image of CIFAR. */
export const imageBytes = 3 * 32 * 32;

/** One file of records. */
export interface RecordFile {
  readonly name: string;
  readonly split: PublishedSplit;
  readonly images: number;
  readonly sha256: string;
}

/** A dataset in the binary format of CIFAR: files of records, each the labels of an image and then its pixels. */
export interface RecordLayout {
  /** `cifar10` */
  readonly name: string;
  /** `CIFAR-10` */
  readonly title: string;
  readonly classes: readonly string[];
  /** Of its images; CIFAR's if absent. */
  readonly shape?: ImageShape;
  /** Bytes before the pixels of each record; the last is the class. */
  readonly labelBytes: number;
  /** Folder of the binary version, and the file in it that names the classes, one a line. */
  readonly folder: string;
  readonly classesFile: string;
  /** In the order of their images. */
  readonly files: readonly RecordFile[];
  readonly preprocessing: Preprocessing;
  /** A package that holds the images as PNG sheets (`sheets.ts`), and the name of its tarball. */
  readonly npm?: { readonly archive: string; readonly spec: string; readonly integrity: string };
  /** File name and address of the official archive; of the first file, where there are several. */
  readonly official: {
    readonly archive: string;
    readonly url: string;
    readonly bytes?: number;
    readonly sha256?: string;
    /** Names of the others, below the same address. */
    readonly others?: readonly string[];
  };
}

export const shapeOf = ({ shape = cifarShape }: RecordLayout): ImageShape => shape;

/** Bytes of a record: the labels, then the image. */
export function recordBytes(layout: RecordLayout): number {
  const { channels, height, width } = shapeOf(layout);
  return layout.labelBytes + channels * height * width;
}

/** Folder of a dataset among those in `root`; the folder of its binary version is in it. */
export const directoryOf = (root: string, { name }: RecordLayout): string => join(root, name);

/** The command for missing or damaged data. */
export const fetchCommand = ({ name }: RecordLayout): string => `dgate data fetch ${name}`;

export function filesOf(layout: RecordLayout, split: PublishedSplit): readonly RecordFile[] {
  return layout.files.filter((file) => file.split === split);
}

export function countOf(layout: RecordLayout, split: PublishedSplit): number {
  return filesOf(layout, split).reduce((sum, { images }) => sum + images, 0);
}

/** Content id of a split: a hash of its files' hashes. */
export function splitSha256(layout: RecordLayout, split: PublishedSplit): string {
  return sha256(canonicalJson(filesOf(layout, split).map((file) => file.sha256)));
}

/** Text of the file that names the classes: a name a line, then an empty line. */
export function classesText({ classes }: RecordLayout): string {
  return `${classes.join('\n')}\n\n`;
}
