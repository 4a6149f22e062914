/**
 * Figure 1 of the paper: what a linear classifier on the features after stage 1 gets right and wrong, and whether its
 * errors stay within the superordinate class (animal, vehicle).
 *
 * Command   npx dgate run figure1                      (preset laptop: the narrow ResNet that ships with the project)
 *           npx dgate run figure1 --preset paper                     (the paper's network, which ships)
 * Expected  results/reference/figure1: with what table1 left in the cache seconds, from an empty one as long as table1. Read:
 *           docs/figures.md. Intervals are over the 10,000 test images.
 */
import { defineExperiment } from '../src/index.js';
import { groups, laptop, smoke } from './parts/narrow-resnet.js';
import { pooling } from './parts/paper.js';

export default defineExperiment({
  name: 'figure1',
  title: 'Figure 1: right and wrong on shallow features of ResNet-101, CIFAR-10',
  network: 'resnet101-cifar10',
  // All three gates, as in Table 1: their features are extracted in one pass and shared. The figure takes the first.
  gates: { after: [1, 2, 3] },
  thresholds: { validation: { kind: 'held-out' } },
  analysis: {
    kind: 'shallow-errors',
    gate: 1,
    classes: ['cat', 'truck'],
    groups,
  },
  presets: {
    paper: { gates: { pooling } },
    laptop: {
      ...laptop,
      title: 'Figure 1, laptop: right and wrong on shallow features of a narrow ResNet, CIFAR-10',
    },
    smoke: {
      ...smoke,
      title: 'Figure 1, smoke: a narrow ResNet, a small subset',
    },
  },
});
