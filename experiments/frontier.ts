/**
 * The cheapest system for each accuracy on CIFAR-10: every network at hand alone, and all cascades of two and three of them.
 *
 * Command   npx dgate run frontier            (or: npx dgate frontier frontier --margin 0.005 --out best.onnx)
 * Expected  results/reference/frontier: a minute of two cores after cascade, seconds again. Read: docs/when-gates-pay.md.
 *           npx dgate run frontier --preset paper     (with the paper's two networks: ten minutes more)
 * Losses are counted from ResNet-56 (in the preset paper from DenseNet-201), the most accurate network. Thresholds and systems
 * are chosen on one half of the test images and reported on the other, and the other way round.
 */
import { cascade, defineExperiment } from '../src/index.js';

const atHand = [
  { network: 'resnet20-cifar10', checkpoint: 'akamaster-resnet20-cifar10' },
  { network: 'densenet201-growth16-blocks1.2.16.8-cifar10', checkpoint: 'dgate-densenet201-narrow-cifar10' },
  { network: 'resnet101-width0.25-blocks1.1.7.1-cifar10', checkpoint: 'dgate-resnet101-narrow-cifar10' },
  { network: 'resnet32-cifar10', checkpoint: 'akamaster-resnet32-cifar10' },
  { network: 'resnet56-cifar10', checkpoint: 'akamaster-resnet56-cifar10' },
  { network: 'densenet201-growth32-blocks1.2.16.8-cifar10', checkpoint: 'dgate-densenet201-small-cifar10' },
  { network: 'resnet101-width0.5-blocks1.1.7.1-cifar10', checkpoint: 'dgate-resnet101-small-cifar10' },
];

export default defineExperiment({
  name: 'frontier',
  title: 'The cheapest of all networks and cascades at hand, CIFAR-10',
  network: cascade(atHand),
  thresholds: {},
  analysis: { kind: 'frontier', reference: 5 },
  presets: {
    paper: {
      title: 'The cheapest of all networks and cascades at hand, the paper’s two networks included, CIFAR-10',
      network: cascade([
        ...atHand,
        { network: 'densenet201-cifar10', checkpoint: 'dgate-densenet201-cifar10' },
        { network: 'resnet101-cifar10', checkpoint: 'dgate-resnet101-cifar10' },
      ]),
      analysis: { reference: 8 },
    },
    smoke: {
      title: 'Frontier, smoke: two networks that ship, a small subset',
      network: cascade([
        { network: 'densenet201-growth16-blocks1.2.16.8-cifar10', checkpoint: 'dgate-densenet201-narrow-cifar10' },
        { network: 'resnet101-width0.25-blocks1.1.7.1-cifar10', checkpoint: 'dgate-resnet101-narrow-cifar10' },
      ]),
      testImages: 500,
      analysis: { reference: 2 },
    },
  },
});
