import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Dataset, type ImageSource, imageSet, type PublishedSplit } from '../../src/data/dataset.js';

import { cifarShape as shape } from '../../src/data/records/layout.js';
import { cifar10 } from '../../src/data/registry.js';
import { Random } from '../../src/random.js';
import { exists, sha256 } from '../../src/store/files.js';

const { classes } = cifar10;

/** What a test wants of its images. */
export interface Generated {
  /** 2,200 if absent: two shards of 1,024 images and the rest. */
  readonly train?: number;
  /** 300 if absent. */
  readonly test?: number;
  /** Other seeds, other images. */
  readonly seed?: number;
  /** Called with the positions of every batch before it is given out. */
  readonly onBatch?: (split: PublishedSplit, positions: number[]) => void | Promise<void>;
}

/**
 * A dataset in the place of CIFAR-10 that needs no download: each class has a colour and a direction in which it
 * changes, under noise, so that gates have something to learn.
 */
export function generatedDataset({ train = 2200, test = 300, seed = 0, onBatch }: Generated = {}): Dataset {
  const counts = { train, test };
  return {
    name: 'cifar10',
    description: 'generated',
    input: shape,
    classes,
    splits: counts,
    preprocessing: { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] },
    isThere: (root) => exists(join(root, 'cifar10')),
    sources: ['nowhere'],
    fetch: async ({ root }) => {
      await mkdir(join(root, 'cifar10'), { recursive: true });
      return { dataset: 'cifar10', directory: root, outcome: 'fetched', files: [], imagesPerClass } as const;
    },
    verify: () => Promise.reject(new Error('not in these tests')),
    load: async (_root, split) => {
      const source = generatedImages(counts[split], `${split} ${seed}`);
      return {
        ...source,
        batch: async (positions) => {
          await onBatch?.(split, Array.from(positions));
          return source.batch(positions);
        },
      };
    },
  };
}

const imagesPerClass = { train: [], test: [] };

const made = new Map<string, ImageSource>();

function generatedImages(count: number, stream: string): ImageSource {
  const key = `${stream} ${count}`;
  const images = made.get(key) ?? makeImages(count, stream);
  made.set(key, images);
  return images;
}

function makeImages(count: number, stream: string): ImageSource {
  const { channels, height, width } = shape;
  const size = height * width;
  const random = new Random(7, stream);
  const labels = Int32Array.from({ length: count }, (_, i) => i % classes.length);
  const images = new Uint8Array(count * channels * size);
  for (let image = 0; image < count; image++) {
    const label = labels[image]!;
    const strength = 60 * random.uniform();
    for (let at = 0; at < channels * size; at++) {
      const channel = Math.floor(at / size);
      const place = label % 2 === 0 ? at % width : Math.floor((at % size) / width);
      const signal = strength * (((label >> channel) & 1) - 0.5) + strength * (place / width - 0.5);
      images[image * channels * size + at] = 128 + signal + 60 * (random.uniform() - 0.5);
    }
  }
  return imageSet({ ...shape, images, labels, classes, sha256: sha256(images) });
}
