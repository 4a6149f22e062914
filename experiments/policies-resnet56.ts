/**
 * The experiment `policies` on a pretrained ResNet-56, whose thresholds are chosen on one half of the test images for the other.
 *
 * Command   npx dgate run policies-resnet56            (fetches data and checkpoint)
 * Expected  results/reference/policies-resnet56, read in docs/policies.md
 */
import { defineExperiment } from '../src/index.js';
import { every, smoke } from './parts/policies.js';

const network = { network: 'resnet56-cifar10', checkpoint: 'akamaster-resnet56-cifar10' } as const;

export default defineExperiment({
  name: 'policies-resnet56',
  title: "Losses and confidences of gates beside the paper's, ResNet-56 on CIFAR-10",
  ...network,
  gates: { after: [1, 2], pooling: '4x4', solver: 'sgd' },
  thresholds: {},
  analysis: every,
  presets: { paper: {}, laptop: {}, smoke: { ...smoke, ...network } },
});
