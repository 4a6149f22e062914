import type { GateLoss } from '../definitions.js';

/**
 * One-vs-all hinge (paper, equations 1 and 2): the sum over images and classes of max(0, 1 - y d) with y = 1 for the
 * image's class and -1 for the others. The sub-gradient is -y where y d < 1, otherwise 0 (the paper prints the
 * condition as y_hat < 1; its text includes the sign of y).
 */
export const hinge = {
  name: 'hinge',
  isSmooth: false,
  write: (algebra, distances, target) => {
    const signs = algebra.subtract(algebra.multiply(target, algebra.scalar(2)), algebra.scalar(1));
    const violation = algebra.relu(algebra.subtract(algebra.scalar(1), algebra.multiply(signs, distances)));
    // The step of the violation is 1 where the margin is violated, otherwise 0.
    return { loss: algebra.sum(violation), gradient: algebra.negate(algebra.multiply(signs, algebra.step(violation))) };
  },
} as const satisfies GateLoss;
