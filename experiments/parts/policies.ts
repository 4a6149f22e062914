/** Every combination of what gates learn and are read by that the experiments on policies try; the paper's gates first. */
import { smoke as narrow } from './narrow-resnet.js';

const losses = ['hinge', 'cross-entropy'] as const;
const confidences = ['max', 'softmax', 'entropy', 'difference', 'failure', 'patience', 'average'] as const;

/** The first is the paper's gates, which all others are compared with. */
const policies = [
  ...confidences.flatMap((confidence) => losses.map((loss) => ({ loss, confidence }))),
  ...losses.flatMap((loss) => [
    { loss, confidence: 'difference', perClass: true } as const,
    { loss, confidence: 'failure', perClass: true } as const,
    { loss, confidence: 'average', previous: true } as const,
    { loss, confidence: 'average', weights: 'survivors' } as const,
  ]),
  { loss: 'hinge', confidence: 'average', solver: 'optimum' } as const,
];

export const every = { kind: 'policies', policies } as const;

/** A few of them on a small subset. The gates that such a run opens with look back in every way, for `dgate check`. */
export const smoke = {
  ...narrow,
  title: 'Losses and confidences of gates, smoke: a narrow ResNet, a small subset',
  gates: { ...narrow.gates, solver: 'optimum', confidence: 'average', previous: true },
  thresholds: { margins: [0.01], perClass: true },
  analysis: {
    policies: [
      { loss: 'hinge', confidence: 'max' },
      { loss: 'hinge', confidence: 'average', previous: true },
      { loss: 'cross-entropy', confidence: 'difference', perClass: true },
      { loss: 'cross-entropy', confidence: 'failure', weights: 'survivors' },
    ],
    margins: [0.01],
    seeds: 2,
  },
} as const;
