/**
 * Figure 5 of the paper: FLOPs and accuracy of two gates as their thresholds vary from -1 to 3.5. No thresholds are
 * chosen: all points are of the test images.
 *
 * Command   npx dgate run figure5                      (preset laptop: the narrow ResNet that ships with the project)
 *           npx dgate run figure5 --preset paper                     (the paper's network, which ships)
 * Expected  results/reference/figure5: with what table1 left in the cache seconds, from an empty one as long as table1. Read:
 *           docs/figures.md. Intervals are over the 10,000 test images.
 */
import { defineExperiment } from '../src/index.js';
import { laptop, smoke } from './parts/narrow-resnet.js';
import { pooling } from './parts/paper.js';

export default defineExperiment({
  name: 'figure5',
  title: 'Figure 5: FLOPs and accuracy over two thresholds, ResNet-101, CIFAR-10',
  network: 'resnet101-cifar10',
  // All three gates, as in Table 1: their features are extracted in one pass and shared. The figure takes the first two.
  gates: { after: [1, 2, 3] },
  thresholds: { validation: { kind: 'held-out' } },
  analysis: { kind: 'threshold-plane', gates: [1, 2], from: -1, to: 3.5, step: 0.1 },
  presets: {
    paper: { gates: { pooling } },
    laptop: {
      ...laptop,
      title: 'Figure 5, laptop: FLOPs and accuracy over two thresholds, narrow ResNet, CIFAR-10',
    },
    smoke: {
      ...smoke,
      title: 'Figure 5, smoke: a narrow ResNet, a small subset',
      analysis: { step: 0.5 },
    },
  },
});
