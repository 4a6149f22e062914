/**
 * Table 1 of the paper: ResNet-101 with three d-gates on CIFAR-10.
 *
 * Command   npx dgate run table1                       (preset laptop: the small ResNet that ships with the project)
 *           npx dgate run table1 --preset quick        (the narrow one, a quarter of the FLOPs: what `npm start` prints)
 *           npx dgate run table1 --preset paper                      (the paper's network, which ships)
 * Expected  results/reference/table1: minutes of two cores, CIFAR-10 fetched before. Read: docs/reproduce.md.
 * Two rows for each accuracy margin of the paper's table, thresholds searched gate after gate (the paper's way) and all
 * gates together, on the 5,000 training images that the network has not learnt from, reported on the 10,000 test images; the
 * paper's row under it.
 */
import { defineExperiment } from '../src/index.js';
import { lambdas } from './parts/lambdas.js';
import { laptop as narrow, smoke } from './parts/narrow-resnet.js';
import { pooling } from './parts/paper.js';

export default defineExperiment({
  name: 'table1',
  title: 'Table 1: ResNet-101 with three d-gates on CIFAR-10',
  network: 'resnet101-cifar10',
  published: 'table1',
  gates: { after: [1, 2, 3] },
  thresholds: {
    search: ['sequential', 'joint'],
    margins: [0.027, 0.017, 0.007, 0],
    // The paper's thresholds, unchanged.
    fixed: [
      [1, 0.6, 1.5],
      [1, 1.8, 1.5],
      [1.5, 1.7, 1],
      [2.4, 2.4, 1.5],
    ],
    validation: { kind: 'held-out' },
  },
  presets: {
    paper: {
      gates: { pooling, l2: lambdas },
      baselines: [
        { network: 'densenet201-cifar10', checkpoint: 'dgate-densenet201-cifar10' },
        { network: 'resnet101-width0.5-blocks1.1.7.1-cifar10', checkpoint: 'dgate-resnet101-small-cifar10' },
        { network: 'resnet101-width0.25-blocks1.1.7.1-cifar10', checkpoint: 'dgate-resnet101-narrow-cifar10' },
      ],
    },
    laptop: {
      title: 'Table 1, laptop: a small ResNet with the cost profile of ResNet-101, three d-gates, CIFAR-10',
      network: 'resnet101-width0.5-blocks1.1.7.1-cifar10',
      checkpoint: 'dgate-resnet101-small-cifar10',
      gates: { pooling: ['4x4', '4x4', 'gap'], l2: lambdas },
      baselines: [
        { network: 'resnet101-width0.25-blocks1.1.7.1-cifar10', checkpoint: 'dgate-resnet101-narrow-cifar10' },
      ],
    },
    quick: {
      ...narrow,
      title: 'Table 1, quick: a narrow ResNet with the cost profile of ResNet-101, three d-gates, CIFAR-10',
    },
    smoke: {
      ...smoke,
      gates: { ...smoke.gates, solver: 'optimum' },
      title: 'Table 1, smoke: a narrow ResNet, a small subset',
    },
  },
});
