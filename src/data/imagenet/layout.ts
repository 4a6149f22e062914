import { dirname, join, resolve } from 'node:path';
import { InputError } from '../../errors.js';
import type { PublishedSplit } from '../dataset.js';
import type { ListedFile } from '../image-folder/listing.js';
import { foldersIn, imagesIn, isFolder, scanClassFolders, sizeOf } from '../image-folder/scan.js';
import { wnids } from './classes.js';
import { findGroundTruths, groundTruthForms } from './ground-truth.js';

/** Images that ILSVRC2012 has; its validation images are what dgate reports on, hence "test". */
export const published: Readonly<Record<PublishedSplit, number>> = { train: 1_281_167, test: 50_000 };

/** Folders of the splits in a copy of ImageNet; absent if it lacks one. */
export interface ImageNetFolders {
  /** The folder that the user named. */
  readonly root: string;
  readonly train?: string;
  readonly test?: string;
}

/** Below the folder: as most unpack it, and as Kaggle's archive does. */
const places = ['', 'Data/CLS-LOC', 'ILSVRC/Data/CLS-LOC'];

/** Finds `train/` and `val/`. @throws InputError if there is neither */
export function locate(folder: string): ImageNetFolders {
  const root = resolve(folder);
  if (!isFolder(root)) throw new InputError(`${root}: no such folder; valid: the folder that holds train/ and val/`);
  for (const place of places) {
    const [train, test] = [join(root, place, 'train'), join(root, place, 'val')];
    const found = { ...(isFolder(train) && { train }), ...(isFolder(test) && { test }) };
    if (Object.keys(found).length > 0) return { root, ...found };
  }
  throw new InputError(
    `${root}: neither train/ nor val/ here; valid: train/<wnid>/*.JPEG, val/*.JPEG or val/<wnid>/*.JPEG, ` +
      "also below ILSVRC/Data/CLS-LOC as in Kaggle's archive",
  );
}

/** A split on the disk. */
export interface Scan {
  readonly directory: string;
  readonly files: readonly ListedFile[];
  /** Every folder that holds images, with its time of change, by which later runs notice added or removed files. */
  readonly folders: readonly (readonly [path: string, modifiedMs: number])[];
}

/**
 * Lists the images of a split. A class folder's label is the position of its wnid among all 1000, however many are there.
 *
 * @throws InputError naming folders that are not classes, or a flat `val/` without ground truth
 */
export async function scanSplit(
  folders: ImageNetFolders,
  split: PublishedSplit,
  modified: (path: string) => number,
  onFolder: (files: number) => void = () => {},
): Promise<Scan> {
  const directory = folders[split];
  if (directory === undefined) {
    throw new InputError(`${folders.root}: no ${split === 'train' ? 'train/' : 'val/'} folder here`);
  }
  const names = foldersIn(directory);
  if (names.length === 0) {
    if (split === 'train') throw new InputError(`${directory}: no class folders; valid: train/<wnid>/*.JPEG`);
    return { directory, files: flatFiles(directory, folders.root), folders: [['', modified(directory)]] };
  }
  const labels = new Map(wnids.map((wnid, label) => [wnid, label]));
  const strange = names.filter((name) => !labels.has(name));
  if (strange.length > 0) {
    throw new InputError(
      `${directory}: ${strange.slice(0, 10).join(', ')}: none of the 1000 classes; valid: folders named by wnid ` +
        '(n01440764); for other classes see imageFolder in docs/own-network.md',
    );
  }
  const classes = names.map((name) => ({ name, label: labels.get(name)! }));
  const files = await scanClassFolders(directory, classes, onFolder);
  return {
    directory,
    files,
    folders: ['', ...names].map((name) => [name, modified(join(directory, name))]),
  };
}

/** Images of a flat `val/` with the labels of the first ground truth there is. */
function flatFiles(directory: string, root: string): ListedFile[] {
  const truth = groundTruthsOf(directory, root)[0];
  if (truth === undefined) {
    throw new InputError(
      `${directory}: images without labels; valid: val/<wnid>/*.JPEG, or beside it ${groundTruthForms}`,
    );
  }
  return imagesIn(directory).map((name) => {
    const label = truth.labels.get(stem(name));
    if (label === undefined) throw new InputError(`${directory}/${name}: not in ${truth.file}`);
    return { path: name, label, bytes: sizeOf(join(directory, name)) };
  });
}

/** Every ground truth of a copy of ImageNet. */
export function groundTruthsOf(directory: string, root: string) {
  return findGroundTruths([...new Set([root, dirname(directory)])]);
}

/** A file's name without folders and extension. */
export function stem(path: string): string {
  return path.replace(/^.*\//, '').replace(/\.\w+$/, '');
}
