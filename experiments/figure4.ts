/**
 * Figure 4 of the paper: accuracy against FLOPs for two gates, trained with hinge loss and with cross-entropy. The
 * cross-entropy gate with each confidence that the literature uses: largest logit, largest softmax probability, entropy
 * (BranchyNet), difference of the two largest logits; the hinge gate with the largest distance (the paper's) and the
 * difference of the two largest. Lambda is chosen for each on the held-out images alike (first seed), thresholds too.
 *
 * Command   npx dgate run figure4                      (preset laptop: the narrow ResNet that ships with the project)
 *           npx dgate run figure4 --preset paper --checkpoint FILE   (the paper's network; no public weights exist)
 * Machine   two cores of an AMD EPYC, 2026-11-23, Node 20.20.2, onnxruntime-node 1.30.0; seeds 0 to 2. Minutes of gates after
 *           the features of table1 (6 min 40 s on 2026-11-22, when cross-entropy took stochastic steps only), 12 s again.
 * Expected  hinge (largest distance) minus cross-entropy at 10, 20 ... 60 % fewer FLOPs, in points, seeds within 0.12:
 *           largest logit +0.17 +0.62 +0.96 +1.07 +1.02 +1.18 (holds); softmax -0.07 -0.04 -0.05 -0.32 -0.65 -0.61, entropy
 *           -0.07 -0.05 +0.02 -0.37 -0.37 -0.06, difference -0.06 -0.02 -0.10 -0.24 -0.64 -0.58 (do not hold).
 */
import { defineExperiment } from '../src/index.js';
import { laptop, smoke } from './parts/narrow-resnet.js';

export default defineExperiment({
  name: 'figure4',
  title: 'Figure 4: hinge and cross-entropy, two d-gates on ResNet-101, CIFAR-10',
  network: 'resnet101-cifar10',
  // All three gates, as in Table 1: their features are extracted in one pass and shared. The figure takes the first two.
  // Stochastic steps, the paper's procedure, as the figure on record: the smallest lambdas are slow to bring to their optimum.
  gates: { after: [1, 2, 3], solver: 'sgd' },
  thresholds: { validation: { kind: 'held-out' } },
  analysis: { kind: 'loss-comparison', gates: [1, 2], seeds: 3 },
  presets: {
    paper: {},
    laptop: {
      ...laptop,
      title: 'Figure 4, laptop: hinge and cross-entropy, two d-gates on a narrow ResNet, CIFAR-10',
    },
    smoke: {
      ...smoke,
      title: 'Figure 4, smoke: a narrow ResNet, a small subset',
      analysis: { l2: [0.002, 0.02] },
    },
  },
});
