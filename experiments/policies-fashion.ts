/**
 * The experiment `policies` on Fashion-MNIST.
 *
 * Command   npx dgate run policies-fashion
 * Expected  results/reference/policies-fashion, read in docs/policies.md
 */
import { defineExperiment } from '../src/index.js';
import { every, smoke } from './parts/policies.js';

const network = {
  network: 'resnet101-width0.125-blocks1.1.2.1-fashionmnist',
  checkpoint: 'dgate-resnet101-narrow-fashionmnist',
  gates: { after: [1, 2, 3], pooling: ['4x4', '2x2', 'gap'], solver: 'sgd' },
} as const;

export default defineExperiment({
  name: 'policies-fashion',
  title: "Losses and confidences of gates beside the paper's, narrow ResNet, Fashion-MNIST",
  ...network,
  thresholds: { validation: { kind: 'held-out' } },
  analysis: every,
  presets: { paper: {}, laptop: {}, smoke: { ...smoke, ...network } },
});
