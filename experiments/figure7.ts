/**
 * Figure 7 of the paper: how many images of each class each gate classifies correctly with distance at least 1.
 * The paper's is on ImageNet; the presets laptop and smoke do the same on CIFAR-10's ten classes.
 *
 * Command   npx dgate run figure7                      (preset laptop: the narrow ResNet that ships with the project)
 *           npx dgate run figure7 --preset paper     (torchvision's ResNet-101; needs ImageNet)
 * Expected  results/reference/figure7: with what table1 left in the cache seconds, from an empty one as long as table1. Read:
 *           docs/figures.md.
 */
import { defineExperiment } from '../src/index.js';
import { groups, heldOut, laptop, smoke } from './parts/narrow-resnet.js';

export default defineExperiment({
  name: 'figure7',
  title: 'Figure 7: which classes each d-gate takes, ResNet-101, ImageNet',
  network: 'resnet101-imagenet',
  gates: { after: [1, 2, 3] },
  thresholds: {},
  analysis: { kind: 'class-distribution', show: 'counts' },
  presets: {
    // The metric costs one product a step (docs/imagenet.md): large batches.
    paper: { checkpoint: 'torchvision-resnet101-v1-imagenet', gates: { batchSize: 4096 } },
    laptop: {
      ...laptop,
      ...heldOut,
      title: 'Figure 7, laptop: which classes each d-gate takes, narrow ResNet, CIFAR-10',
      analysis: { groups },
    },
    smoke: {
      ...smoke,
      ...heldOut,
      title: 'Figure 7, smoke: a narrow ResNet, a small subset',
      analysis: { groups },
    },
  },
});
