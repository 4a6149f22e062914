import type { GateLoss } from '../definitions.js';

/** Cross-entropy: the sum over images of -log softmax(d)[label]. */
export const crossEntropy = {
  name: 'cross-entropy',
  isSmooth: true,
  write: (algebra, distances, target) => {
    const logProbabilities = algebra.logSoftmax(distances);
    return {
      loss: algebra.negate(algebra.sum(algebra.multiply(target, logProbabilities))),
      gradient: algebra.subtract(algebra.exp(logProbabilities), target),
    };
  },
} as const satisfies GateLoss;
