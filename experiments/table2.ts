/**
 * Table 2 of the paper: DenseNet-201 with three d-gates on CIFAR-10.
 *
 * Command   npx dgate run table2                       (preset laptop: the small DenseNet that ships with the project)
 *           npx dgate run table2 --preset quick        (the narrow one, a quarter of the FLOPs: what `npm start` prints)
 *           npx dgate run table2 --preset paper                      (the paper's network, which ships)
 * Expected  results/reference/table2: minutes of two cores, CIFAR-10 fetched before. Read: docs/reproduce.md.
 * Two rows for each accuracy margin of the paper's table, thresholds searched gate after gate (the paper's way) and all
 * gates together, on the 5,000 training images that the network has not learnt from, reported on the 10,000 test images; the
 * paper's row under it.
 */
import { defineExperiment } from '../src/index.js';
import { lambdas } from './parts/lambdas.js';
import { pooling } from './parts/paper.js';

/** The narrow DenseNet that ships: a quarter of the small one's FLOPs. */
const narrow = {
  network: 'densenet201-growth16-blocks1.2.16.8-cifar10',
  checkpoint: 'dgate-densenet201-narrow-cifar10',
} as const;

export default defineExperiment({
  name: 'table2',
  title: 'Table 2: DenseNet-201 with three d-gates on CIFAR-10',
  network: 'densenet201-cifar10',
  published: 'table2',
  gates: { after: [1, 2, 3] },
  thresholds: {
    search: ['sequential', 'joint'],
    margins: [0.031, 0.021, 0.011, 0.001],
    // The paper's thresholds, unchanged.
    fixed: [
      [1, 1, 1],
      [1.1, 1.7, 1],
      [1.5, 2.4, 1],
      [3.5, 3.5, 2.5],
    ],
    validation: { kind: 'held-out' },
  },
  presets: {
    paper: {
      gates: { pooling, l2: lambdas },
      baselines: [
        { network: 'densenet201-growth32-blocks1.2.16.8-cifar10', checkpoint: 'dgate-densenet201-small-cifar10' },
        { ...narrow },
      ],
    },
    laptop: {
      title: 'Table 2, laptop: a small DenseNet with the cost profile of DenseNet-201, three d-gates, CIFAR-10',
      network: 'densenet201-growth32-blocks1.2.16.8-cifar10',
      checkpoint: 'dgate-densenet201-small-cifar10',
      gates: { pooling: ['4x4', '4x4', 'gap'], l2: lambdas },
      baselines: [
        { network: 'densenet201-growth16-blocks1.2.16.8-cifar10', checkpoint: 'dgate-densenet201-narrow-cifar10' },
      ],
    },
    quick: {
      title: 'Table 2, quick: a narrow DenseNet with the cost profile of DenseNet-201, three d-gates, CIFAR-10',
      ...narrow,
      gates: { pooling: ['4x4', '4x4', 'gap'], solver: 'sgd' }, // seconds instead of a minute
    },
    smoke: {
      title: 'Table 2, smoke: a narrow DenseNet, a small subset',
      ...narrow,
      trainImages: 1000,
      testImages: 500,
      gates: { pooling: '2x2' },
    },
  },
});
