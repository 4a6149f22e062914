import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { InputError, messageOf } from '../../errors.js';
import { Budget, wholeNumber } from '../../json.js';
import { projectRoot } from '../../project.js';
import { readRegularSync } from '../../store/input.js';
import type { PublishedSplit } from '../dataset.js';
import {
  foldersIn,
  imagesIn,
  isFile,
  isFolder,
  type ListedFile,
  labelsIn,
  scanClassFolders,
  sizeOf,
} from '../image-folder/listing.js';
import { readMat } from './mat.js';

/**
 * The 1000 classes of ILSVRC2012: WordNet id and a short name per line, in the order of the ids and of PyTorch's outputs.
 *
 * Ids: timm's imagenet_synsets.txt (Apache-2.0, Ross Wightman). Names: torchvision's _IMAGENET_CATEGORIES
 * (BSD-3-Clause, copyright Soumith Chintala 2016).
 */
const table = fileURLToPath(new URL('data/imagenet-classes.txt', projectRoot));
const lines = readRegularSync(table).toString('utf8').trim().split('\n');

/** WordNet ids (n01440764), sorted; (1000). */
export const wnids: readonly string[] = lines.map((line) => line.slice(0, 9));

/** Short names (tench), in the order of the ids; (1000). */
export const names: readonly string[] = lines.map((line) => line.slice(10));

const labelByWnid: ReadonlyMap<string, number> = new Map(wnids.map((wnid, label) => [wnid, label]));

/** Labels of validation images that lie in one folder. */
interface GroundTruth {
  readonly file: string;
  /** Class of each image, a position in `wnids`, by the file's name without extension. */
  readonly labels: ReadonlyMap<string, number>;
}

const devkit = 'ILSVRC2012_validation_ground_truth.txt';

/** Usual folders of ground truths, below ImageNet's. */
const truthFolders = [
  '',
  'devkit',
  'devkit/data',
  'ILSVRC2012_devkit_t12',
  'ILSVRC2012_devkit_t12/data',
  'val',
  'caffe_ilsvrc12',
];

/** Every ground truth below these folders. @throws InputError if one is damaged */
export function findGroundTruths(roots: readonly string[]): GroundTruth[] {
  const folders = roots.flatMap((root) => truthFolders.map((folder) => join(root, folder)));
  return folders.flatMap((folder) =>
    Object.entries(truthReaders).flatMap(([name, read]) => {
      const file = join(folder, name);
      return isFile(file) ? [{ file, labels: read(file) }] : [];
    }),
  );
}

const truthReaders: Readonly<Record<string, (file: string) => ReadonlyMap<string, number>>> = {
  /** Line i is the ILSVRC2012_ID of validation image i. Only `meta.mat` says which class has which id. */
  [devkit](file) {
    const labels = labelsById(join(dirname(file), 'meta.mat'), file);
    return labelsIn(file, 'ids of meta.mat, 1 to 1000', (id, i) => [
      `ILSVRC2012_val_${String(i + 1).padStart(8, '0')}`,
      labels.get(wholeNumber(id) ?? Number.NaN),
    ]);
  },
  /** Kaggle's: `ILSVRC2012_val_00000001,n02437136 12 34 56 78` a line, after a heading. */
  'LOC_val_solution.csv'(file) {
    const read = (line: string) => {
      const [, image, wnid = ''] = /^(\w+),(n\d{8})\b/.exec(line) ?? [];
      return [image, labelByWnid.get(wnid)] as const;
    };
    return labelsIn(file, 'image,wnid ...', read, 'ImageId,PredictionString');
  },
  /** Caffe's: `ILSVRC2012_val_00000001.JPEG 65` a line. */
  'val.txt'(file) {
    return labelsIn(file, 'FILE CLASS, classes 0 to 999', (line) => {
      const [, image, label] = /^(?:.*\/)?([^/.\s]+)\.\w+\s+(\d+)$/.exec(line) ?? [];
      return [image, Number(label) < wnids.length ? Number(label) : undefined];
    });
  },
};

const META = 'meta.mat of the ILSVRC2012 devkit';

/** Label of each ILSVRC2012_ID; ids over 1000 are inner nodes of WordNet. */
function labelsById(meta: string, file: string): ReadonlyMap<number, number> {
  if (!isFile(meta)) {
    throw new InputError(`${meta}: missing; ${file} cannot be read without it; valid: both files of the devkit`);
  }
  const labels = new Map<number, number>();
  try {
    const bytes = readRegularSync(meta);
    const synsets = readMat(bytes, new Budget(meta, bytes.length, META)).get('synsets');
    if (!Array.isArray(synsets)) throw new RangeError('no variable "synsets"');
    for (const synset of synsets) {
      if (typeof synset !== 'object') throw new RangeError('"synsets" is not a list of structures');
      const { ILSVRC2012_ID: id, WNID: wnid } = synset;
      const label = typeof wnid === 'string' ? labelByWnid.get(wnid) : undefined;
      if (Array.isArray(id) && typeof id[0] === 'number' && id[0] <= 1000 && label !== undefined)
        labels.set(id[0], label);
    }
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`${meta}: ${messageOf(error)}; valid: ${META}`);
  }
  if (labels.size === 0) throw new InputError(`${meta}: names none of the 1000 classes; valid: that of ILSVRC2012`);
  return labels;
}

/** Images of ILSVRC2012. */
export const published: Readonly<Record<PublishedSplit, number>> = { train: 1_281_167, test: 50_000 };

/** Folders of the splits in a copy of ImageNet; absent if it lacks one. */
interface ImageNetFolders {
  /** The folder that the user named. */
  readonly root: string;
  readonly train?: string;
  readonly test?: string;
}

/** Finds `train/` and `val/`, also below the folders of Kaggle's archive. @throws InputError if there is neither */
export function locate(folder: string): ImageNetFolders {
  const root = resolve(folder);
  if (!isFolder(root)) throw new InputError(`${root}: no such folder; valid: the folder that holds train/ and val/`);
  for (const place of ['', 'Data/CLS-LOC', 'ILSVRC/Data/CLS-LOC']) {
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
  /** Folders with images and their modification times, to notice added or removed files later. */
  readonly folders: readonly (readonly [path: string, modifiedMs: number])[];
}

/**
 * Lists the images of a split. The label of a class folder is the position of its wnid among all 1000.
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
  if (directory === undefined) throw new InputError(missingSplit(folders, split));
  const inside = foldersIn(directory);
  if (inside.length === 0) {
    if (split === 'train') throw new InputError(`${directory}: no class folders; valid: train/<wnid>/*.JPEG`);
    return { directory, files: flatFiles(directory, folders.root), folders: [['', modified(directory)]] };
  }
  const strange = inside.filter((name) => !labelByWnid.has(name));
  if (strange.length > 0) {
    throw new InputError(
      `${directory}: ${strange.slice(0, 10).join(', ')}: none of the 1000 classes; valid: folders named by wnid ` +
        '(n01440764); for other classes see imageFolder in docs/own-network.md',
    );
  }
  const classes = inside.map((name) => ({ name, label: labelByWnid.get(name)! }));
  const files = await scanClassFolders(directory, classes, onFolder);
  return { directory, files, folders: ['', ...inside].map((name) => [name, modified(join(directory, name))]) };
}

export const missingSplit = ({ root }: ImageNetFolders, split: PublishedSplit): string =>
  `${root}: no ${split === 'train' ? 'train/' : 'val/'} folder here`;

/** Images of a flat `val/` with the labels of the first ground truth. */
function flatFiles(directory: string, root: string): ListedFile[] {
  const truth = groundTruthsOf(directory, root)[0];
  if (truth === undefined) {
    throw new InputError(
      `${directory}: images without labels; valid: val/<wnid>/*.JPEG, or beside it the devkit (${devkit} beside ` +
        "meta.mat), Kaggle's LOC_val_solution.csv, or Caffe's val.txt (file and class number a line)",
    );
  }
  return imagesIn(directory).map((path) => {
    const label = truth.labels.get(stem(path));
    if (label === undefined) throw new InputError(`${directory}/${path}: not in ${truth.file}`);
    return { path, label, bytes: sizeOf(join(directory, path)) };
  });
}

/** Every ground truth of a copy of ImageNet. */
export function groundTruthsOf(directory: string, root: string): GroundTruth[] {
  return findGroundTruths([...new Set([root, dirname(directory)])]);
}

/** A file's name without folders and extension. */
export const stem = (path: string): string => path.replace(/^.*\//, '').replace(/\.\w+$/, '');
