/**
 * Losses, confidences and training of gates beside the paper's, on the same features: which saves most at the same margin.
 *
 * Command   npx dgate run policies policies-densenet policies-resnet56 policies-fashion
 * Expected  results/reference/policies, read in docs/policies.md
 * The hinge takes stochastic steps, the paper's procedure; cross-entropy, and the hinge where it says so, go to their optimum.
 */
import { defineExperiment } from '../src/index.js';
import { every, smoke } from './parts/policies.js';

export default defineExperiment({
  name: 'policies',
  title: "Losses and confidences of gates beside the paper's, ResNet-101 on CIFAR-10",
  network: 'resnet101-cifar10',
  gates: { after: [1, 2, 3], solver: 'sgd' },
  thresholds: { validation: { kind: 'held-out' } },
  analysis: every,
  presets: {
    paper: {},
    laptop: {
      title: "Losses and confidences of gates beside the paper's, small ResNet, CIFAR-10",
      network: 'resnet101-width0.5-blocks1.1.7.1-cifar10',
      checkpoint: 'dgate-resnet101-small-cifar10',
      gates: { pooling: ['4x4', '4x4', 'gap'] },
    },
    smoke,
  },
});
