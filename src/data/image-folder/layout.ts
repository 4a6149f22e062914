import { join } from 'node:path';
import { InputError } from '../../errors.js';
import { MOST_TEXT, readRegularSync } from '../../store/input.js';
import type { PublishedSplit } from '../dataset.js';
import { names as imagenetNames, wnids } from '../imagenet/classes.js';
import {
  compareText,
  foldersIn,
  imagesBelow,
  imagesIn,
  isFile,
  isFolder,
  type ListedFile,
  MACOSX,
  otherPicturesIn,
  scanClassFolders,
  sizeOf,
} from './listing.js';

/** The images of a split: class folders with the class of each, or images whose classes a table beside them says. */
export interface SplitFolder {
  readonly directory: string;
  readonly folders: readonly { readonly name: string; readonly label: number }[];
  /** Class by path of the image. */
  readonly table?: ReadonlyMap<string, number>;
}

/** A folder of images taken apart. */
export interface FolderLayout extends Readonly<Record<PublishedSplit, SplitFolder>> {
  readonly classes: readonly string[];
  /** ImageNet's ids of the classes, where the folders are named by them. */
  readonly classIds?: readonly string[];
  /** What was decided, and what is left out, in words. */
  readonly notes: readonly string[];
}

/** Names of the folders of splits, upper or lower case: `train`, `training_set`, `Valid`, `test-data`. */
const splitNames = {
  train: /^train(?:ing)?(?:[-_ ]?(?:set|data|images))?$/i,
  test: /^test(?:ing)?(?:[-_ ]?(?:set|data|images))?$/i,
  validation: /^val(?:id|idation)?(?:[-_ ]?(?:set|data|images))?$/i,
} as const;

/** tiny-imagenet's: a line `val_0.JPEG<tab>n03444034<tab>...` for each image in `images/`. */
const ANNOTATIONS = 'val_annotations.txt';

/**
 * Finds splits and classes in a folder; those of a folder that holds one folder only (`training_set/training_set`) are in that.
 *
 * @param outputs of the network, if known: 1000 make the classes of folders named by ImageNet's ids (imagenette) ImageNet's
 * @throws InputError if there is no such folder, there are no classes, or no other split with labels beside the training images
 */
export function folderLayout(given: string, outputs?: number): FolderLayout {
  if (!isFolder(given)) throw new InputError(`${given}: no such folder; valid: a folder of class folders`);
  const root = innermost(given);
  const named = (split: keyof typeof splitNames): string | undefined => {
    const name = foldersIn(root).find((one) => splitNames[split].test(one));
    return name === undefined ? undefined : innermost(join(root, name), true);
  };
  const train = named('train');
  const { names, notes } = classFoldersIn(train ?? root);
  const isImageNet = outputs === wnids.length && names.length < outputs && names.every((name) => wnids.includes(name));
  const labels = isImageNet ? wnids : names;
  if (isImageNet) notes.push(`${given}: ${names.length} of ImageNet's 1000 classes, by their ids`);
  const classes = isImageNet ? imagenetNames : names;
  const splitOf = (directory: string): SplitFolder => {
    const table = tableIn(directory, labels);
    const among = foldersIn(directory).flatMap((name) =>
      labels.includes(name) ? [{ name, label: labels.indexOf(name) }] : [],
    );
    return { directory, folders: among, ...(table && { table }) };
  };
  const whole = { classes, ...(isImageNet && { classIds: wnids }) };
  if (train === undefined) {
    const all = splitOf(root);
    return { ...whole, train: all, test: all, notes: [...notes, ...leftOut(all)] };
  }
  const others = [named('test'), named('validation')].filter((folder) => folder !== undefined).map(splitOf);
  const test = others.find(({ folders, table }) => folders.length > 0 || table !== undefined);
  if (test === undefined) throw new InputError(noOther(root, train, others));
  for (const { directory } of others.slice(0, others.indexOf(test))) {
    notes.push(
      `${directory}: ${imagesBelow(directory).length} images without labels, left out; reported on: ${test.directory}`,
    );
  }
  const strange = test.table
    ? []
    : foldersIn(test.directory).filter((name) => name !== MACOSX && !labels.includes(name));
  if (strange.length > 0)
    throw new InputError(`${test.directory}: ${strange.slice(0, 10).join(', ')}: no such class in ${train}`);
  const trained = splitOf(train);
  return { ...whole, train: trained, test, notes: [...notes, ...leftOut(trained), ...leftOut(test)] };
}

/** The images of a split. */
export async function folderFiles({ directory, folders, table }: SplitFolder): Promise<ListedFile[]> {
  if (table === undefined) return scanClassFolders(directory, folders);
  return imagesOf({ directory, folders, table }).map((path) => ({
    path,
    label: table.get(path)!,
    bytes: sizeOf(join(directory, path)),
  }));
}

/** Paths of the images of a split. */
export function imagesOf({ directory, folders, table }: SplitFolder): string[] {
  if (table !== undefined) return imagesBelow(directory).filter((path) => table.has(path));
  return folders.flatMap(({ name }) => imagesBelow(join(directory, name)).map((path) => `${name}/${path}`));
}

/** The folder inside, while there is one only and it holds folders; a split alone is not entered from outside. */
function innermost(folder: string, isSplit = false): string {
  const inside = foldersIn(folder).filter((name) => name !== MACOSX);
  const [name = ''] = inside;
  const only = join(folder, name);
  const isLone = inside.length === 1 && imagesIn(folder).length === 0 && !isFile(join(folder, ANNOTATIONS));
  if (!isLone || (!isSplit && splitNames.train.test(name))) return folder;
  return foldersIn(only).length > 0 && imagesIn(only).length === 0 ? innermost(only, isSplit) : folder;
}

function classFoldersIn(train: string): { names: string[]; notes: string[] } {
  const names = foldersIn(train).filter((name) => name !== MACOSX);
  if (names.length < 2) {
    throw new InputError(`${train}: ${names.length} folders; valid: a folder for each of at least two classes`);
  }
  const notes: string[] = [];
  const byText = [...names].sort(compareText);
  if (names.every((name) => /^\d{1,9}$/.test(name))) {
    names.sort((a, b) => Number(a) - Number(b) || compareText(a, b));
    if (names.some((name, i) => name !== byText[i])) {
      notes.push(
        `${train}: classes in the order of their numbers: ${names.slice(0, 3).join(', ')} ... ${names.at(-1)}`,
      );
    }
  }
  return { names, notes };
}

/** Labels of a table beside the images, by path below the folder. @throws InputError where a line is something else */
function tableIn(directory: string, labels: readonly string[]): ReadonlyMap<string, number> | undefined {
  const path = join(directory, ANNOTATIONS);
  if (!isFile(path)) return undefined;
  const place = isFolder(join(directory, 'images')) ? 'images/' : '';
  const lines = readRegularSync(path, MOST_TEXT).toString('utf8').trim().split(/\r?\n/);
  return new Map(
    lines.map((line, i) => {
      const [image = '', name = ''] = line.split('\t');
      const label = labels.indexOf(name);
      if (label < 0)
        throw new InputError(`${path}:${i + 1}: ${line}; valid: an image, a tab, the name of a class folder`);
      return [place + image, label];
    }),
  );
}

function noOther(root: string, train: string, others: readonly SplitFolder[]): string {
  const [first] = others;
  if (first === undefined) return `${root}: has train/ but no test/, val/ or validation/ beside it`;
  const strange = foldersIn(first.directory);
  if (strange.length > 0) return `${first.directory}: ${strange.slice(0, 10).join(', ')}: no such class in ${train}`;
  return `${first.directory}: images without labels; valid: a folder for each class, or val/ with labels beside it`;
}

/** What of a split is no part of it, a line for each kind. */
function leftOut({ directory, folders, table }: SplitFolder): string[] {
  const notes: string[] = [];
  const say = (count: number, what: string) => {
    if (count > 0) notes.push(`${directory}: ${count} ${what}`);
  };
  const empty = folders.filter(({ name }) => imagesBelow(join(directory, name)).length === 0).map(({ name }) => name);
  say(empty.length, `class folders without images: ${empty.slice(0, 5).join(', ')}`);
  if (table === undefined) say(imagesIn(directory).length, 'images outside the class folders, left out');
  const others = [directory, ...folders.map(({ name }) => join(directory, name))];
  const count = others.reduce((sum, folder) => sum + otherPicturesIn(folder), 0);
  say(
    count,
    'pictures of formats that are not decoded (BMP, PPM, PGM and others), left out; valid: JPEG, PNG, WebP, TIFF, GIF',
  );
  if (isFolder(join(directory, MACOSX))) notes.push(`${directory}: ${MACOSX}, left out`);
  return notes;
}
