/**
 * A cascade of pretrained networks on CIFAR-10: ResNet-20 answers, ResNet-56 where ResNet-20 is not sure. Nothing is trained.
 *
 * Command   npx dgate run cascade             (fetches data and checkpoints; dgate model fetch ID --from FILE takes a file)
 * Expected  results/reference/cascade: seconds of two cores once CIFAR-10 is there. Read: docs/when-gates-pay.md, docs/cascades.md.
 * The networks are akamaster's and have seen all 50,000 training images, so thresholds are chosen on one half of the test images
 * and reported on the other, and the other way round.
 */
import { cascade, defineExperiment } from '../src/index.js';

export default defineExperiment({
  name: 'cascade',
  title: 'ResNet-20, then ResNet-56 where it is not sure, CIFAR-10',
  network: cascade([
    { network: 'resnet20-cifar10', checkpoint: 'akamaster-resnet20-cifar10' },
    { network: 'resnet56-cifar10', checkpoint: 'akamaster-resnet56-cifar10' },
  ]),
  thresholds: {
    guarantee: { drop: 0.005, confidence: 0.95 },
    margins: [0, 0.005, 0.01, 0.02],
  },
  presets: {
    paper: {},
    laptop: { baselines: [{ network: 'resnet32-cifar10', checkpoint: 'akamaster-resnet32-cifar10' }] },
    smoke: {
      title: 'Cascade, smoke: two networks that ship, a small subset',
      network: cascade([
        { network: 'resnet101-width0.25-blocks1.1.7.1-cifar10', checkpoint: 'dgate-resnet101-narrow-cifar10' },
        { network: 'resnet101-width0.5-blocks1.1.7.1-cifar10', checkpoint: 'dgate-resnet101-small-cifar10' },
      ]),
      testImages: 1000,
    },
  },
});
