import { recordDataset } from './records/index.js';
import type { RecordLayout } from './records/layout.js';

/** The twenty superclasses and the five classes of each, as the official page lists them. */
export const cifar100Superclasses: Readonly<Record<string, readonly string[]>> = {
  'aquatic mammals': ['beaver', 'dolphin', 'otter', 'seal', 'whale'],
  fish: ['aquarium_fish', 'flatfish', 'ray', 'shark', 'trout'],
  flowers: ['orchid', 'poppy', 'rose', 'sunflower', 'tulip'],
  'food containers': ['bottle', 'bowl', 'can', 'cup', 'plate'],
  'fruit and vegetables': ['apple', 'mushroom', 'orange', 'pear', 'sweet_pepper'],
  'household electrical devices': ['clock', 'keyboard', 'lamp', 'telephone', 'television'],
  'household furniture': ['bed', 'chair', 'couch', 'table', 'wardrobe'],
  insects: ['bee', 'beetle', 'butterfly', 'caterpillar', 'cockroach'],
  'large carnivores': ['bear', 'leopard', 'lion', 'tiger', 'wolf'],
  'large man-made outdoor things': ['bridge', 'castle', 'house', 'road', 'skyscraper'],
  'large natural outdoor scenes': ['cloud', 'forest', 'mountain', 'plain', 'sea'],
  'large omnivores and herbivores': ['camel', 'cattle', 'chimpanzee', 'elephant', 'kangaroo'],
  'medium-sized mammals': ['fox', 'porcupine', 'possum', 'raccoon', 'skunk'],
  'non-insect invertebrates': ['crab', 'lobster', 'snail', 'spider', 'worm'],
  people: ['baby', 'boy', 'girl', 'man', 'woman'],
  reptiles: ['crocodile', 'dinosaur', 'lizard', 'snake', 'turtle'],
  'small mammals': ['hamster', 'mouse', 'rabbit', 'shrew', 'squirrel'],
  trees: ['maple_tree', 'oak_tree', 'palm_tree', 'pine_tree', 'willow_tree'],
  'vehicles 1': ['bicycle', 'bus', 'motorcycle', 'pickup_truck', 'train'],
  'vehicles 2': ['lawn_mower', 'rocket', 'streetcar', 'tank', 'tractor'],
};

/**
 * CIFAR-100 (Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html): labels are the hundred fine classes, in the
 * alphabetical order of their names. Hashes: ankane/torchvision-ruby, lib/torchvision/datasets/cifar100.rb.
 */
export const cifar100Layout: RecordLayout = {
  name: 'cifar100',
  title: 'CIFAR-100',
  classes: Object.values(cifar100Superclasses).flat().sort(),
  labelBytes: 2, // the superclass, then the class
  folder: 'cifar-100-binary',
  classesFile: 'fine_label_names.txt',
  files: [
    {
      name: 'train.bin',
      split: 'train',
      images: 50_000,
      sha256: 'f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29',
    },
    {
      name: 'test.bin',
      split: 'test',
      images: 10_000,
      sha256: 'd8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a',
    },
  ],
  // Of all pixels of the training images, by channel: the values commonly used for this dataset.
  preprocessing: { mean: [0.5071, 0.4865, 0.4409], std: [0.2673, 0.2564, 0.2762] },
  official: {
    archive: 'cifar-100-binary.tar.gz',
    url: 'https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz',
    sha256: '58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec',
  },
};

export const cifar100 = recordDataset(cifar100Layout);
