/**
 * Figures 6 to 8 of the paper, a table and a promise on a second data set: Fashion-MNIST, with the narrow ResNet that ships.
 *
 * Command   npx dgate run fashion --set analysis.show=counts,early,late     (Figures 7, 6 and 8)
 * Machine   two cores of an AMD EPYC, shared, 2026-11-28, Node 20.20.2, onnxruntime-node 1.30.0; seed 0: 3 minutes, data fetched before.
 * Expected  at distance 1 gates 1 and 2 take 93.4 % of Trouser, 92.1 % of Bag, 88.4 % of Ankle boot, 18.4 % of Shirt; promised at most
 *           0.5 points: 0.06 gained, 61.3 % of the FLOPs saved.
 */
import { defineExperiment } from '../src/index.js';

export default defineExperiment({
  name: 'fashion',
  title: 'Which classes each d-gate takes, narrow ResNet, Fashion-MNIST',
  network: 'resnet101-width0.125-blocks1.1.2.1-fashionmnist',
  checkpoint: 'dgate-resnet101-narrow-fashionmnist',
  gates: { after: [1, 2, 3], pooling: ['4x4', '2x2', 'gap'], solver: 'sgd' }, // the runs on record are so
  thresholds: {
    validation: { kind: 'held-out' },
    margins: [0, 0.005, 0.01],
    guarantee: { drop: 0.005, confidence: 0.95 },
  },
  analysis: {
    kind: 'class-distribution',
    show: 'counts',
    groups: {
      clothes: ['T-shirt/top', 'Trouser', 'Pullover', 'Dress', 'Coat', 'Shirt'],
      shoes: ['Sandal', 'Sneaker', 'Ankle boot'],
      bag: ['Bag'],
    },
  },
  presets: {
    paper: {},
    laptop: {},
    smoke: {
      title: 'Fashion-MNIST, smoke: a small subset',
      trainImages: 1000,
      testImages: 500,
    },
  },
});
