/**
 * A cascade of pretrained networks on CIFAR-10: ResNet-20 answers, ResNet-56 where ResNet-20 is not sure. Nothing is trained.
 *
 * Command   npx dgate run cascade             (fetches data and checkpoints; dgate model fetch ID --from FILE takes a file)
 * Machine   two cores of an AMD EPYC, 2026-11-28: under 3 minutes from an empty cache, CIFAR-10 fetched before; seed 0.
 * Expected  margins 0, 0.5, 1, 2 points: 0.01 points gained, then 0.50, 1.06, 1.66 lost, for 56.4, 62.5, 65.4, 67.7 % fewer FLOPs;
 *           guaranteed to lose at most 0.5 points: 0.04 gained, 53.4 % saved.
 * The networks are akamaster's (91.73 and 93.39 % on the test images) and have seen all 50,000 training images, so thresholds
 * are chosen on one half of the test images and reported on the other, and the other way round.
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
