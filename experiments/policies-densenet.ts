/**
 * The experiment `policies` on Table 2's network.
 *
 * Command   npx dgate run policies-densenet
 * Expected  results/reference/policies-densenet, read in docs/policies.md
 */
import { defineExperiment } from '../src/index.js';
import { every, smoke } from './parts/policies.js';

export default defineExperiment({
  name: 'policies-densenet',
  title: "Losses and confidences of gates beside the paper's, DenseNet-201 on CIFAR-10",
  network: 'densenet201-cifar10',
  gates: { after: [1, 2, 3], solver: 'sgd' },
  thresholds: { validation: { kind: 'held-out' } },
  analysis: every,
  presets: {
    paper: {},
    laptop: {
      title: "Losses and confidences of gates beside the paper's, small DenseNet, CIFAR-10",
      network: 'densenet201-growth32-blocks1.2.16.8-cifar10',
      checkpoint: 'dgate-densenet201-small-cifar10',
      gates: { pooling: ['4x4', '4x4', 'gap'] },
    },
    smoke: {
      ...smoke,
      network: 'densenet201-growth16-blocks1.2.16.8-cifar10',
      checkpoint: 'dgate-densenet201-narrow-cifar10',
    },
  },
});
