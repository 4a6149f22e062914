/**
 * Figures 6 to 8 of the paper on CIFAR-10's ten classes, with the paper's network: which classes each gate takes, which leave early,
 * and which need the last gate.
 *
 * Command   npx dgate run classes --preset paper --set analysis.show=counts,early,late     (Figures 7, 6 and 8)
 * Expected  results/reference/classes: with what `table1 --preset paper` left in the cache seconds. Read: docs/figures.md.
 */
import { defineExperiment } from '../src/index.js';
import { lambdas } from './parts/lambdas.js';
import { groups, heldOut, laptop, smoke } from './parts/narrow-resnet.js';
import { pooling } from './parts/paper.js';

export default defineExperiment({
  name: 'classes',
  title: 'Which classes each d-gate takes, ResNet-101, CIFAR-10',
  network: 'resnet101-cifar10',
  gates: { after: [1, 2, 3] },
  ...heldOut,
  analysis: { kind: 'class-distribution', show: 'counts', groups },
  presets: {
    paper: { gates: { pooling, l2: lambdas } },
    laptop: { ...laptop, title: 'Which classes each d-gate takes, narrow ResNet, CIFAR-10' },
    smoke: { ...smoke, title: 'Which classes each d-gate takes, smoke: a small subset' },
  },
});
