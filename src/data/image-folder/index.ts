import { basename, join, resolve } from 'node:path';
import { InputError } from '../../errors.js';
import type { DataReport, Dataset, ImageSource, PublishedSplit } from '../dataset.js';
import { selectImages } from '../images.js';
import { checkPreprocessing, type Preprocessing } from '../preprocess.js';
import { classCounts, holdOut } from '../splits.js';
import {
  channelsIn,
  type Geometry,
  geometryOf,
  type PreprocessingName,
  preprocessingNamed,
  usualGeometry,
} from './geometry.js';
import { type FolderLayout, folderFiles, folderLayout, imagesOf, type SplitFolder } from './layout.js';
import { FileList, imagesBelow, isFolder, sizeOf } from './listing.js';
import { folderSource } from './source.js';

/** Seed of the order of training images: always the same, so that cached results are found again. */
export const ORDER_SEED = 0;

export interface ImageFolderOptions {
  /** By name (`geometry.ts`) or as numbers. */
  readonly preprocess: PreprocessingName | Preprocessing;
  /** Share of the images that become the test split, with every class's share; for a folder without splits. 0.2. */
  readonly testShare?: number;
  /** Seeds that division. 0. */
  readonly seed?: number;
  /** Classes of the network, where they are known: 1000 with folders named by ImageNet's ids mean ImageNet's classes. */
  readonly outputs?: number;
  /** What the command line calls it; the folder's name if absent. */
  readonly name?: string;
}

/**
 * A folder of images as a dataset: `<dir>/<class>/<image>`, divided by seed into train and test; or
 * `<dir>/train/<class>/` beside `<dir>/test/<class>/` (or `val`, or `validation`; see `layout.ts`). Classes are the folders'
 * names, sorted: as numbers where all are numbers.
 *
 * Training images come in a shuffled order that is always the same, so that any run of them is a sample of all classes.
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
  if (!(testShare > 0 && testShare < 1))
    throw new InputError(`testShare: ${testShare}; valid: a number between 0 and 1`);
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
    const held = heldOf(source.count, testShare);
    const parts = holdOut(source.labels, classes.length, held, seed);
    return selectImages(source, split === 'train' ? parts.rest : parts.held);
  };
  const report = async (): Promise<DataReport> => {
    const counts = async (split: PublishedSplit) => classCounts((await load(split, geometry)).labels, classes.length);
    const imagesPerClass = { train: await counts('train'), test: await counts('test') };
    return { dataset: name, directory, outcome: 'present', files: [], notes, imagesPerClass };
  };
  return {
    name,
    description: `${classes.length} classes of images in ${directory}`,
    input: { channels: channelsIn(geometry), height: geometry.crop, width: geometry.crop },
    classes,
    ...(classIds && { classIds }),
    notes,
    splits: countsOf(layout, testShare),
    preprocessing,
    isThere: () => Promise.resolve(true), // loading reports problems of the folder
    sources: [],
    fetch: () => report(),
    verify: async () => {
      const problems: string[] = [];
      for (const split of ['train', 'test'] as const)
        problems.push(...(await unreadableIn(await load(split, geometry))));
      if (problems.length > 0) throw new InputError(problems);
      return report();
    },
    load: (_root, split, asked) => load(split, asked === undefined ? geometry : geometryOf(asked, geometry)),
  };
}

/** Decodes every image. @returns a line for each that cannot be decoded */
export async function unreadableIn(source: ImageSource, onBatch: (done: number) => void = () => {}): Promise<string[]> {
  const size = 64;
  for (let start = 0; start < source.count; start += size) {
    const count = Math.min(size, source.count - start);
    await source.batch(Int32Array.from({ length: count }, (_, i) => start + i));
    onBatch(start + count);
  }
  return [...(source.unreadable?.values() ?? [])];
}

/** Images of a folder without splits that become the test split. */
function heldOf(count: number, testShare: number): number {
  return Math.min(count - 1, Math.max(1, Math.round(count * testShare)));
}

function countsOf({ train, test }: FolderLayout, testShare: number): Dataset['splits'] {
  const all = imagesOf(train).length;
  if (train !== test) return { train: all, test: imagesOf(test).length };
  const held = heldOf(all, testShare);
  return { train: all - held, test: held };
}

async function listFolder(split: SplitFolder): Promise<FileList> {
  const files = await folderFiles(split);
  if (files.length < 2) {
    throw new InputError(`${split.directory}: ${files.length} images in ${split.folders.length} class folders`);
  }
  return FileList.of(split.directory, files, ORDER_SEED);
}

/**
 * All images in a folder and below it, without labels (each is -1): for what only compares answers.
 *
 * @param side of the network's input in pixels, where the preprocessing has no crop
 * @param classes that the network tells apart
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
  if (files.length === 0) throw new InputError(`${directory}: no images; valid: JPEG, PNG, WebP, TIFF or GIF files`);
  const usual = side === usualGeometry.crop ? usualGeometry : { ...usualGeometry, resize: side, crop: side };
  return folderSource(FileList.of(directory, files, ORDER_SEED), classes, geometryOf(preprocessing, usual));
}
