/**
 * Figure 6 of the paper: images of classes that gates 1 and 2 take, all thresholds 1. The paper's
 * is on ImageNet; the presets laptop and smoke do the same on CIFAR-10's ten classes.
 *
 * Command   npx dgate run figure6                      (preset laptop: the narrow ResNet that ships with the project)
 *           npx dgate run figure6 --preset paper     (torchvision's ResNet-101; needs ImageNet)
 * Expected  results/reference/figure6: with what table1 left in the cache seconds, from an empty one as long as table1. Read:
 *           docs/figures.md.
 */
import { defineExperiment } from '../src/index.js';
import { groups, heldOut, laptop, smoke } from './parts/narrow-resnet.js';

export default defineExperiment({
  name: 'figure6',
  title: 'Figure 6: classes that leave early, ResNet-101, ImageNet',
  network: 'resnet101-imagenet',
  gates: { after: [1, 2, 3] },
  thresholds: {},
  analysis: { kind: 'class-distribution', show: 'early' },
  presets: {
    // The metric costs one product a step (docs/imagenet.md): large batches.
    paper: { checkpoint: 'torchvision-resnet101-v1-imagenet', gates: { batchSize: 4096 } },
    laptop: {
      ...laptop,
      ...heldOut,
      title: 'Figure 6, laptop: classes that leave early, narrow ResNet, CIFAR-10',
      analysis: { groups },
    },
    smoke: {
      ...smoke,
      ...heldOut,
      title: 'Figure 6, smoke: a narrow ResNet, a small subset',
      analysis: { groups },
    },
  },
});
