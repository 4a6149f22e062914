/**
 * Figure 4 of the paper: accuracy against FLOPs for two gates, trained with hinge loss and with cross-entropy. The
 * cross-entropy gate with each confidence that the literature uses: largest logit, largest softmax probability, entropy
 * (BranchyNet), difference of the two largest logits; the hinge gate with the largest distance (the paper's) and the
 * difference of the two largest. Lambda is chosen for each on the held-out images alike (first seed), thresholds too.
 *
 * Command   npx dgate run figure4                      (preset laptop: the narrow ResNet that ships with the project)
 *           npx dgate run figure4 --preset paper                     (the paper's network, which ships)
 * Expected  results/reference/figure4: minutes of gates after the features of table1, seconds again. The claim holds for the
 *           largest logit and not for the other confidences. Read: docs/figures.md.
 */
import { defineExperiment } from '../src/index.js';
import { laptop, smoke } from './parts/narrow-resnet.js';
import { pooling } from './parts/paper.js';

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
    paper: { gates: { pooling } },
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
