/**
 * Figures 6 to 8 of the paper, a table and a promise on a second data set: Fashion-MNIST, with the narrow ResNet that ships.
 *
 * Command   npx dgate run fashion --set analysis.show=counts,early,late     (Figures 7, 6 and 8)
 * Expected  results/reference/fashion: minutes of two cores, data fetched before. Read: docs/figures.md.
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
