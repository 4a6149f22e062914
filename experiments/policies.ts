/**
 * Losses and confidences of gates beside the paper's, on the same features: which saves most at the same margin.
 *
 * Command   npx dgate run policies          (another network: npx dgate run table2 --set analysis.kind=policies)
 * Expected  results/reference/policies: minutes of two cores after table1. Read: docs/policies.md.
 * The hinge takes stochastic steps, the paper's procedure; cross-entropy is trained to its optimum.
 */
import { defineExperiment } from '../src/index.js';
import { smoke } from './parts/narrow-resnet.js';

export default defineExperiment({
  name: 'policies',
  title: "Losses and confidences of gates beside the paper's, ResNet-101 on CIFAR-10",
  network: 'resnet101-cifar10',
  gates: { after: [1, 2, 3], solver: 'sgd' },
  thresholds: { validation: { kind: 'held-out' } },
  analysis: {
    kind: 'policies',
    policies: [
      ...(['max', 'softmax', 'entropy', 'difference', 'failure', 'patience', 'average'] as const).flatMap(
        (confidence) => [{ loss: 'hinge', confidence } as const, { loss: 'cross-entropy', confidence } as const],
      ),
      { loss: 'hinge', confidence: 'difference', perClass: true },
      { loss: 'hinge', confidence: 'failure', perClass: true },
      { loss: 'cross-entropy', confidence: 'difference', perClass: true },
      { loss: 'cross-entropy', confidence: 'failure', perClass: true },
    ],
  },
  presets: {
    paper: {},
    laptop: {
      title: "Losses and confidences of gates beside the paper's, small ResNet, CIFAR-10",
      network: 'resnet101-width0.5-blocks1.1.7.1-cifar10',
      checkpoint: 'dgate-resnet101-small-cifar10',
      gates: { pooling: ['4x4', '4x4', 'gap'] },
    },
    smoke: {
      ...smoke,
      title: 'Losses and confidences of gates, smoke: a narrow ResNet, a small subset',
      analysis: {
        policies: [
          { loss: 'hinge', confidence: 'max' },
          { loss: 'hinge', confidence: 'difference' },
          { loss: 'cross-entropy', confidence: 'softmax' },
          { loss: 'cross-entropy', confidence: 'difference', perClass: true },
          { loss: 'cross-entropy', confidence: 'failure' },
        ],
        margins: [0.01],
        seeds: 2,
      },
    },
  },
});
