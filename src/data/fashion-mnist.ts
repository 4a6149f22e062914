import { recordDataset } from './records/index.js';

/**
 * Fashion-MNIST (Xiao, Rasul, Vollgraf 2017, https://github.com/zalandoresearch/fashion-mnist, MIT): grey images of clothes.
 *
 * From its four idx files, which Debian has too (`dataset-fashion-mnist`); the hashes are those of records made from Debian's.
 */
export const fashionMnist = recordDataset({
  name: 'fashionmnist',
  title: 'Fashion-MNIST',
  classes: ['T-shirt/top', 'Trouser', 'Pullover', 'Dress', 'Coat', 'Sandal', 'Shirt', 'Sneaker', 'Bag', 'Ankle boot'],
  shape: { channels: 1, height: 28, width: 28 },
  labelBytes: 1,
  folder: 'fashion-mnist-records',
  classesFile: 'classes.txt',
  files: [
    {
      name: 'train.bin',
      split: 'train',
      images: 60_000,
      sha256: '6d226526ff970f03ea8725a39e125b1ab590f498a25f501e69a46359e7478773',
    },
    {
      name: 'test.bin',
      split: 'test',
      images: 10_000,
      sha256: 'c1f40a40017890ce0b14203aa6b8340d8bead8df69f0a9baba26c47b226338ba',
    },
  ],
  // Of all pixels of the training images.
  preprocessing: { mean: [0.286], std: [0.353] },
  official: {
    archive: 'train-images-idx3-ubyte.gz',
    url: 'https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/train-images-idx3-ubyte.gz',
    others: ['train-labels-idx1-ubyte.gz', 't10k-images-idx3-ubyte.gz', 't10k-labels-idx1-ubyte.gz'],
  },
});
