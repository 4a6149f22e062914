import { basename, join, resolve } from 'node:path';
import { InputError } from '../../errors.js';
import {
  batchesOf,
  classCounts,
  type DataReport,
  type Dataset,
  holdOut,
  type ImageSource,
  type PublishedSplit,
  selectImages,
} from '../dataset.js';
import { names as imagenetNames, wnids } from '../imagenet/layout.js';
import {
  channelsIn,
  checkPreprocessing,
  type Geometry,
  geometryOf,
  type Preprocessing,
  type PreprocessingName,
  preprocessingNamed,
  usualGeometry,
} from '../preprocess.js';
import {
  compareText,
  FileList,
  FORMATS,
  foldersIn,
  imagesBelow,
  imagesIn,
  isFile,
  isFolder,
  type ListedFile,
  labelsIn,
  MACOSX,
  ORDER_SEED,
  otherFilesBelow,
  scanClassFolders,
  sizeOf,
} from './listing.js';
import { folderSource } from './source.js';

interface ImageFolderOptions {
  readonly preprocess: PreprocessingName | Preprocessing;
  /** Share of each class that becomes the test split, for a folder without splits. 0.2. */
  readonly testShare?: number;
  /** Seeds that division. 0. */
  readonly seed?: number;
  /** Classes of the network, if known: with 1000, folders named by ImageNet's ids get ImageNet's classes. */
  readonly outputs?: number;
  /** What the command line calls it; the folder's name if absent. */
  readonly name?: string;
}

/**
 * A folder of images as a dataset: `<dir>/<class>/<image>`, divided by seed into train and test, or `<dir>/train/<class>/` beside
 * `test`, `val` or `validation`. Classes are the folders' names, sorted; as numbers if all are numbers.
 *
 * Training images come in a fixed shuffled order: a run of them is a sample of all classes.
 *
 * @throws InputError if there is no such folder, it has no classes, or the preprocessing is invalid
 */
export function imageFolderDataset(dir: string, options: ImageFolderOptions): Dataset {
  const directory = resolve(dir);
  const preprocessing = preprocessingNamed(options.preprocess);
  checkPreprocessing(preprocessing);
  const geometry = geometryOf(preprocessing, usualGeometry);
  const layout = folderLayout(directory, options.outputs);
  const { classes, classIds, notes } = layout;
  const { testShare = 0.2, seed = 0, name = basename(directory) } = options;
  if (!(testShare > 0 && testShare < 1)) {
    throw new InputError(`testShare: ${testShare}; valid: a number between 0 and 1`);
  }
  const held = (count: number): number => Math.min(count - 1, Math.max(1, Math.round(count * testShare)));
  // Both splits of a folder without splits are parts of one list, which is built once.
  const lists = new Map<SplitFolder, Promise<FileList>>();
  const list = (folder: SplitFolder): Promise<FileList> => {
    const found = lists.get(folder) ?? listFolder(folder);
    lists.set(folder, found);
    return found;
  };
  const load = async (split: PublishedSplit, asked: Geometry): Promise<ImageSource> => {
    const source = { ...folderSource(await list(layout[split]), classes, asked), ...(classIds && { classIds }) };
    if (layout.train !== layout.test) return source;
    const parts = holdOut(source.labels, classes.length, held(source.count), seed);
    return selectImages(source, split === 'train' ? parts.rest : parts.held);
  };
  const counts = async (split: PublishedSplit) => classCounts((await load(split, geometry)).labels, classes.length);
  const report = async (): Promise<DataReport> => {
    const imagesPerClass = { train: await counts('train'), test: await counts('test') };
    return { dataset: name, directory, outcome: 'present', files: [], notes, imagesPerClass };
  };
  const all = imagesOf(layout.train).length;
  const test = layout.train === layout.test ? held(all) : imagesOf(layout.test).length;
  return {
    name,
    description: `${classes.length} classes of images in ${directory}`,
    input: { channels: channelsIn(geometry), height: geometry.crop, width: geometry.crop },
    classes,
    ...(classIds && { classIds }),
    notes,
    splits: { train: layout.train === layout.test ? all - test : all, test },
    preprocessing,
    isThere: () => Promise.resolve(true), // loading reports problems of the folder
    sources: [],
    fetch: report,
    verify: async () => {
      const problems = await unreadableIn(await load('train', geometry));
      problems.push(...(await unreadableIn(await load('test', geometry))));
      if (problems.length > 0) throw new InputError(problems);
      return report();
    },
    load: (_root, split, asked) => load(split, asked === undefined ? geometry : geometryOf(asked, geometry)),
  };
}

/** Decodes every image. @returns a line for each that cannot be decoded */
export async function unreadableIn(source: ImageSource, onBatch: (done: number) => void = () => {}): Promise<string[]> {
  for await (const { start, count } of batchesOf(source, 64)) onBatch(start + count);
  return [...(source.unreadable?.values() ?? [])];
}

async function listFolder(split: SplitFolder): Promise<FileList> {
  const files = await folderFiles(split);
  if (files.length >= 2) return FileList.of(split.directory, files, ORDER_SEED);
  throw new InputError(`${split.directory}: ${files.length} images in ${split.folders.length} class folders`);
}

/**
 * All images in a folder and below it without labels (each is -1), to compare answers.
 *
 * @param side of the network's input in pixels, if the preprocessing has no crop
 * @param classes of the network
 * @throws InputError if there are no images
 */
export function unlabelledImages(
  directory: string,
  preprocessing: Preprocessing,
  side = usualGeometry.crop,
  classes: readonly string[] = [],
): ImageSource {
  if (!isFolder(directory)) throw new InputError(`${directory}: no such folder; valid: a folder of images`);
  const files = imagesBelow(directory).map((path) => ({ path, label: -1, bytes: sizeOf(join(directory, path)) }));
  if (files.length === 0) throw new InputError(`${directory}: no images; valid: ${FORMATS} files`);
  const usual = side === usualGeometry.crop ? usualGeometry : { ...usualGeometry, resize: side, crop: side };
  return folderSource(FileList.of(directory, files, ORDER_SEED), classes, geometryOf(preprocessing, usual));
}

/** The images of a split: in class folders, or with the classes in a table. */
interface SplitFolder {
  readonly directory: string;
  readonly folders: readonly { readonly name: string; readonly label: number }[];
  /** Class by path of the image. */
  readonly table?: ReadonlyMap<string, number>;
}

/** Splits and classes of a folder of images. */
interface FolderLayout extends Readonly<Record<PublishedSplit, SplitFolder>> {
  readonly classes: readonly string[];
  /** ImageNet's ids of the classes, if the folders are named by them. */
  readonly classIds?: readonly string[];
  /** What was decided and what is left out, in words. */
  readonly notes: readonly string[];
}

/** Names of the folders of splits, by a word in them: `train`, `Training_Set`, `seg_train`, `val2017`. */
const splitNames = (['train(?:ing)?', 'test(?:ing)?', 'val(?:id|idation)?'] as const).map(
  (word) => new RegExp(`(?:^|[^a-z])${word}(?:set|data|images)?(?![a-z])`, 'i'),
);
const isSplitName = (name: string): boolean => splitNames.some((pattern) => pattern.test(name));

/** tiny-imagenet's table: a line `val_0.JPEG<tab>n03444034<tab>...` for each image in `images/`. */
const ANNOTATIONS = 'val_annotations.txt';

/**
 * Finds splits and classes in a folder. Enters a folder that holds only one folder (`training_set/training_set`).
 *
 * @param outputs of the network, if known: 1000 give folders named by ImageNet's ids (imagenette) ImageNet's classes
 * @throws InputError if there is no such folder, there are no classes, or no labelled split beside the training images
 */
export function folderLayout(given: string, outputs?: number): FolderLayout {
  if (!isFolder(given)) throw new InputError(`${given}: no such folder; valid: a folder of class folders`);
  const root = innermost(given);
  const inside = foldersIn(root);
  const [training, ...rest] = splitNames.map((pattern) =>
    inside.filter((name) => pattern.test(name)).map((name) => innermost(join(root, name), true)),
  );
  // Without folders inside, it may be a class of that name.
  const train = training!.find((one) => foldersIn(one).length > 0 || inside.every(isSplitName));
  if (train === undefined && inside.length > 0 && inside.every(isSplitName)) {
    throw new InputError(`${root}: has ${inside.join('/, ')}/ but no train/ beside it`);
  }
  const { names, notes } = classFoldersIn(train ?? root);
  const isImageNet = outputs === wnids.length && names.length < outputs && names.every((name) => wnids.includes(name));
  const labels = isImageNet ? wnids : names;
  if (isImageNet) notes.push(`${given}: ${names.length} of ImageNet's 1000 classes, by their ids`);
  const labelOf = new Map(labels.map((name, label) => [name, label]));
  const splitOf = (directory: string): SplitFolder => {
    const table = tableIn(directory, labelOf);
    const known = foldersIn(directory).filter((name) => labelOf.has(name));
    const folders = known.map((name) => ({ name, label: labelOf.get(name)! }));
    return { directory, folders, ...(table && { table }) };
  };
  const whole = { classes: isImageNet ? imagenetNames : names, ...(isImageNet && { classIds: wnids }) };
  if (train === undefined) {
    const all = splitOf(root);
    return { ...whole, train: all, test: all, notes: [...notes, ...leftOut(all)] };
  }
  const others = rest
    .flat()
    .filter((folder) => folder !== train)
    .map(splitOf);
  const test = others.find(({ folders, table }) => folders.length > 0 || table !== undefined);
  if (test === undefined) throw new InputError(noOther(train, others));
  for (const name of inside) {
    const folder = innermost(join(root, name), true);
    const count = [train, test.directory].includes(folder) ? 0 : imagesBelow(folder).length;
    if (count > 0) notes.push(`${folder}: ${count} images, left out; reported on: ${test.directory}`);
  }
  const strange = test.table ? [] : foldersIn(test.directory).filter((name) => !labelOf.has(name));
  if (strange.length > 0) throw new InputError(noSuchClass(test.directory, strange, train));
  const trained = splitOf(train);
  return { ...whole, train: trained, test, notes: [...notes, ...leftOut(trained), ...leftOut(test)] };
}

async function folderFiles(split: SplitFolder): Promise<ListedFile[]> {
  const { directory, folders, table } = split;
  if (table === undefined) return scanClassFolders(directory, folders);
  return imagesOf(split).map((path) => ({ path, label: table.get(path)!, bytes: sizeOf(join(directory, path)) }));
}

/** @param below all images in the split's folder */
function imagesOf({ directory, folders, table }: SplitFolder, below = imagesBelow(directory)): string[] {
  const names = new Set(folders.map(({ name }) => name));
  return below.filter((path) => table?.has(path) ?? names.has(topOf(path)));
}

/** The folder that a path begins with, or nothing. */
const topOf = (path: string): string => path.slice(0, Math.max(0, path.indexOf('/')));

/** Enters a folder's only folder while that holds folders. A lone `train/` is entered only within a split. */
function innermost(folder: string, isSplit = false): string {
  const inside = foldersIn(folder);
  const [name = ''] = inside;
  const only = join(folder, name);
  const isLone = inside.length === 1 && imagesIn(folder).length === 0 && !isFile(join(folder, ANNOTATIONS));
  if (!isLone || (!isSplit && isSplitName(name))) return folder;
  return foldersIn(only).length > 0 && imagesIn(only).length === 0 ? innermost(only, isSplit) : folder;
}

function classFoldersIn(train: string): { names: string[]; notes: string[] } {
  const names = foldersIn(train);
  if (names.length < 2) {
    throw new InputError(`${train}: ${names.length} folders; valid: a folder for each of at least two classes`);
  }
  const byText = [...names].sort(compareText);
  if (names.every((name) => /^\d{1,9}$/.test(name))) names.sort((a, b) => Number(a) - Number(b) || compareText(a, b));
  if (names.every((name, i) => name === byText[i])) return { names, notes: [] };
  const shown = `${names.slice(0, 3).join(', ')} ... ${names.at(-1)}`;
  return { names, notes: [`${train}: classes in the order of their numbers: ${shown}`] };
}

/** Labels of a table beside the images, by path below the folder. @throws InputError naming the invalid lines */
function tableIn(directory: string, labelOf: ReadonlyMap<string, number>): ReadonlyMap<string, number> | undefined {
  const path = join(directory, ANNOTATIONS);
  if (!isFile(path)) return undefined;
  const place = isFolder(join(directory, 'images')) ? 'images/' : '';
  return labelsIn(path, 'an image, a tab, the name of a class folder', (line) => {
    const [image = '', name = ''] = line.split('\t');
    return [place + image, labelOf.get(name)];
  });
}

function noOther(train: string, others: readonly SplitFolder[]): string {
  const [first] = others;
  if (first === undefined) return `${train}: training images, but no test/, val/ or validation/ beside them`;
  const strange = foldersIn(first.directory);
  if (strange.length > 0) return noSuchClass(first.directory, strange, train);
  return `${first.directory}: images without labels; valid: a folder for each class, or val/ with labels beside it`;
}

const noSuchClass = (directory: string, folders: readonly string[], train: string): string =>
  `${directory}: ${folders.slice(0, 10).join(', ')}: no such class in ${train}`;

/** What is left out of a split, a line for each kind. */
function leftOut(split: SplitFolder): string[] {
  const { directory, folders, table } = split;
  const images = imagesBelow(directory);
  const labelled = imagesOf(split, images);
  const full = new Set(labelled.map(topOf));
  const empty = folders.map(({ name }) => name).filter((name) => !full.has(name));
  const counts: readonly (readonly [number, string])[] = [
    [table === undefined ? empty.length : 0, `class folders without images: ${empty.slice(0, 5).join(', ')}`],
    [images.length - labelled.length, 'images without a class, left out'],
    [table === undefined ? 0 : table.size - labelled.length, `images of ${ANNOTATIONS} are not there`],
  ];
  const notes = counts.flatMap(([count, what]) => (count > 0 ? [`${directory}: ${count} ${what}`] : []));
  const system = isFolder(join(directory, MACOSX)) ? [`${directory}: ${MACOSX}, left out`] : [];
  return [...notes, ...system, ...otherFilesBelow(directory)];
}
