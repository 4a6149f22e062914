import { join } from 'node:path';
import { exists } from '../../store/files.js';
import type { Dataset } from '../dataset.js';
import { names, published, wnids } from './layout.js';

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
  fetch: async (options) => (await import('./register.js')).registerImageNet(options),
  verify: async (root, progress) => (await import('./register.js')).verifyImageNet(root, progress),
  load: async (root, split, preprocessing) =>
    (await import('./register.js')).loadImageNet(root, split, preprocessing ?? imagenet.preprocessing),
};
