/**
 * Section 3.4 of the paper: ResNet-101 with three gates on ImageNet beside ACT, SACT and BlockDrop as published. One
 * margin for each of their accuracies: 1.1 and 0.6 points below the original's, none, and 0.4 above. ImageNet does not
 * ship; the presets laptop and smoke run the same comparison on CIFAR-10, where nothing can be concluded about the
 * published numbers, and say so.
 *
 * Command   npx dgate run imagenet                      (preset laptop: the narrow ResNet that ships with the project)
 *           npx dgate run imagenet --preset paper     (torchvision's ResNet-101; needs ImageNet)
 * Expected  results/reference/imagenet: a second after table1 (same features, cached), otherwise as long as table1. Both claims of
 *           section 3.4 "cannot be checked here"; the accuracies are Table 1's network's. Read: docs/imagenet.md.
 */
import { defineExperiment } from '../src/index.js';
import { heldOut, laptop, smoke } from './parts/narrow-resnet.js';

export default defineExperiment({
  name: 'imagenet',
  title: 'Section 3.4: ResNet-101 with three d-gates on ImageNet, beside ACT, SACT and BlockDrop',
  network: 'resnet101-imagenet',
  gates: { after: [1, 2, 3] },
  thresholds: { margins: [0.011, 0.006, 0, -0.004] },
  analysis: { kind: 'published-comparison', published: 'imagenet', dataset: 'imagenet' },
  presets: {
    // The metric costs one product a step (docs/imagenet.md): large batches.
    paper: { checkpoint: 'torchvision-resnet101-v1-imagenet', gates: { batchSize: 4096 } },
    laptop: {
      ...laptop,
      ...heldOut,
      title: 'Section 3.4, laptop: the same comparison on CIFAR-10 with a narrow ResNet',
    },
    smoke: {
      ...smoke,
      ...heldOut,
      title: 'Section 3.4, smoke: a narrow ResNet, a small subset',
    },
  },
});
