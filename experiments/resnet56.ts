/**
 * Two d-gates on a pretrained ResNet-56, CIFAR-10.
 *
 * Command   npx dgate run resnet56            (fetches data and checkpoint)
 *           npx dgate run resnet56 --checkpoint resnet56-4bfd9763.th
 * Expected  results/reference/resnet56: minutes of two cores. Read: docs/when-gates-pay.md.
 * The network is akamaster's and has seen all 50,000 training images, so thresholds are chosen on one half of the test images
 * and reported on the other, and the other way round.
 */
import { defineExperiment } from '../src/index.js';

export default defineExperiment({
  name: 'resnet56',
  title: 'ResNet-56 on CIFAR-10 with two d-gates',
  network: 'resnet56-cifar10',
  checkpoint: 'akamaster-resnet56-cifar10',
  gates: { after: [1, 2], pooling: '4x4' },
  thresholds: {
    search: ['sequential', 'joint'],
    guarantee: { drop: 0.005, confidence: 0.95 },
    margins: [0.001, 0.005, 0.01, 0.02],
    fixed: [
      [0, 0],
      [1, 1],
      [2, 2],
    ],
  },
  presets: {
    paper: {},
    laptop: {
      baselines: [
        { network: 'resnet20-cifar10', checkpoint: 'akamaster-resnet20-cifar10' },
        { network: 'resnet32-cifar10', checkpoint: 'akamaster-resnet32-cifar10' },
      ],
    },
    smoke: { trainImages: 1000, testImages: 500 },
  },
});
