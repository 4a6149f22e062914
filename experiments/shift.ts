/**
 * What becomes of a promise on other images: the cascade of `cascade.ts` on corrupted CIFAR-10, thresholds chosen on clean
 * images; and what the promise costs where it is made anew on 200 corrupted ones (1,000 are too many where 1,000 are corrupted).
 *
 * Command   npx dgate run shift             (fetches data and checkpoints; dgate model fetch ID --from FILE takes a file)
 * Expected  results/reference/shift. Read: docs/thresholds.md, Under shift.
 * Eight corruptions of CIFAR-10-C at five severities, computed by its recipe (src/data/corruptions.ts).
 */
import { cascade, defineExperiment } from '../src/index.js';

export default defineExperiment({
  name: 'shift',
  title: 'A promise of clean images on corrupted ones: ResNet-20, then ResNet-56, CIFAR-10',
  network: cascade([
    { network: 'resnet20-cifar10', checkpoint: 'akamaster-resnet20-cifar10' },
    { network: 'resnet56-cifar10', checkpoint: 'akamaster-resnet56-cifar10' },
  ]),
  thresholds: {
    guarantee: { drop: 0.005, confidence: 0.95 },
    margins: [0, 0.01],
  },
  analysis: { kind: 'shift', anew: [200, 1000] },
  presets: {
    paper: {},
    laptop: { analysis: { images: 1000 } },
    smoke: {
      title: 'Shift, smoke: two networks that ship, a small subset',
      network: cascade([
        { network: 'densenet201-growth16-blocks1.2.16.8-cifar10', checkpoint: 'dgate-densenet201-narrow-cifar10' },
        { network: 'resnet101-width0.25-blocks1.1.7.1-cifar10', checkpoint: 'dgate-resnet101-narrow-cifar10' },
      ]),
      testImages: 500,
      thresholds: { guarantee: { drop: 0.05 } },
      analysis: { corruptions: ['shot-noise', 'jpeg'], severities: [5], images: 200, anew: [100] },
    },
  },
});
