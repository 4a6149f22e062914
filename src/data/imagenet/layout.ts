import { statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { Budget } from '../../budget.js';
import { InputError, messageOf } from '../../errors.js';
import { wholeNumber } from '../../json.js';
import { MOST_TEXT, readRegularSync } from '../../store/input.js';
import type { PublishedSplit } from '../dataset.js';
import { foldersIn, imagesIn, isFolder, type ListedFile, scanClassFolders, sizeOf } from '../image-folder/listing.js';
import { wnids } from './classes.js';
import { readMat } from './mat.js';

/** Labels of validation images that lie in one folder. */
export interface GroundTruth {
  /** Its source file. */
  readonly file: string;
  /** Class of each image by the file's name without extension: positions in the sorted wnids. */
  readonly labels: ReadonlyMap<string, number>;
}

const truthName = 'ILSVRC2012_validation_ground_truth.txt';

/** Valid ground truths of a flat `val/`, for messages. */
export const groundTruthForms =
  `the devkit (${truthName} beside meta.mat), Kaggle's LOC_val_solution.csv, or Caffe's val.txt ` +
  '(file and class number a line)';

/** Usual folders of ground truths, below ImageNet's. */
const folders = [
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
  return roots
    .flatMap((root) => folders.map((folder) => join(root, folder)))
    .flatMap((folder) => groundTruthsIn(folder));
}

function groundTruthsIn(folder: string): GroundTruth[] {
  const readers: readonly (readonly [string, (text: string, file: string) => ReadonlyMap<string, number>])[] = [
    [truthName, (text, file) => fromDevkit(text, file, join(folder, 'meta.mat'))],
    ['LOC_val_solution.csv', fromKaggle],
    ['val.txt', fromCaffe],
  ];
  return readers.flatMap(([name, read]) => {
    const file = join(folder, name);
    if (statSync(file, { throwIfNoEntry: false })?.isFile() !== true) return [];
    return [{ file, labels: read(readRegularSync(file, MOST_TEXT).toString('utf8'), file) }];
  });
}

/**
 * The devkit's: line i is the ILSVRC2012_ID of validation image i. These ids are not in the order of the wnids; only
 * `meta.mat` says which is which.
 */
function fromDevkit(text: string, file: string, meta: string): ReadonlyMap<string, number> {
  const labelOfId = classIds(meta, file);
  return new Map(
    text
      .trim()
      .split(/\s+/)
      .map((id, i) => {
        const label = labelOfId.get(wholeNumber(id) ?? Number.NaN);
        if (label === undefined) throw new InputError(`${file}:${i + 1}: ${id}; valid: ids of meta.mat, 1 to 1000`);
        return [`ILSVRC2012_val_${String(i + 1).padStart(8, '0')}`, label];
      }),
  );
}

const META = 'meta.mat of the ILSVRC2012 devkit';

/** Label of each ILSVRC2012_ID; ids over 1000 are inner nodes of WordNet. */
function classIds(meta: string, file: string): ReadonlyMap<number, number> {
  if (statSync(meta, { throwIfNoEntry: false })?.isFile() !== true) {
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
      const label = typeof wnid === 'string' ? wnids.indexOf(wnid) : -1;
      if (Array.isArray(id) && typeof id[0] === 'number' && id[0] <= 1000 && label >= 0) labels.set(id[0], label);
    }
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`${meta}: ${messageOf(error)}; valid: ${META}`);
  }
  if (labels.size === 0) throw new InputError(`${meta}: names none of the 1000 classes; valid: that of ILSVRC2012`);
  return labels;
}

/** `ILSVRC2012_val_00000001,n02437136 12 34 56 78` a line, after a heading. */
function fromKaggle(text: string, file: string): ReadonlyMap<string, number> {
  const lines = text.trim().split(/\r?\n/);
  if (!/^ImageId,/.test(lines[0]!)) throw new InputError(`${file}:1: ${lines[0]}; valid: ImageId,PredictionString`);
  return new Map(
    lines.slice(1).map((line, i) => {
      const [, image, wnid = ''] = /^(\w+),(n\d{8})\b/.exec(line) ?? [];
      const label = wnids.indexOf(wnid);
      if (image === undefined || label < 0) throw new InputError(`${file}:${i + 2}: ${line}; valid: image,wnid ...`);
      return [image, label];
    }),
  );
}

/** `ILSVRC2012_val_00000001.JPEG 65` a line; classes counted from 0 in the order of the wnids. */
function fromCaffe(text: string, file: string): ReadonlyMap<string, number> {
  const lines = text.trim().split(/\r?\n/);
  return new Map(
    lines.map((line, i) => {
      const [, image, label] = /^(?:.*\/)?([^/.\s]+)\.\w+\s+(\d+)$/.exec(line) ?? [];
      if (image === undefined || Number(label) >= wnids.length) {
        throw new InputError(`${file}:${i + 1}: ${line}; valid: FILE CLASS, classes 0 to 999`);
      }
      return [image, Number(label)];
    }),
  );
}

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
