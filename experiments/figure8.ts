/**
 * Figure 8 of the paper: images of classes that only gate 3 takes, all thresholds 1. The paper's
 * is on ImageNet; the presets laptop and smoke do the same on CIFAR-10's ten classes.
 *
 * Command   npx dgate run figure8                      (preset laptop: the narrow ResNet that ships with the project)
 *           npx dgate run figure8 --preset paper     (torchvision's ResNet-101; needs ImageNet)
 * Expected  results/reference/figure8: with what table1 left in the cache seconds, from an empty one as long as table1. Read:
 *           docs/figures.md.
 */
import { defineExperiment } from '../src/index.js';
import { groups, heldOut, laptop, smoke } from './parts/narrow-resnet.js';

export default defineExperiment({
  name: 'figure8',
  title: 'Figure 8: classes that need the last d-gate, ResNet-101, ImageNet',
  network: 'resnet101-imagenet',
  gates: { after: [1, 2, 3] },
  thresholds: {},
  analysis: { kind: 'class-distribution', show: 'late' },
  presets: {
    // The metric costs one product a step (docs/imagenet.md): large batches.
    paper: { checkpoint: 'torchvision-resnet101-v1-imagenet', gates: { batchSize: 4096 } },
    laptop: {
      ...laptop,
      ...heldOut,
      title: 'Figure 8, laptop: classes that need the last d-gate, narrow ResNet, CIFAR-10',
      analysis: { groups },
    },
    smoke: {
      ...smoke,
      ...heldOut,
      title: 'Figure 8, smoke: a narrow ResNet, a small subset',
      analysis: { groups },
    },
  },
});
