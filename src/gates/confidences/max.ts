import type { Confidence } from '../definitions.js';

/**
 * The largest distance to a decision boundary (hinge; Algorithm 1 of the paper) or the largest logit (cross-entropy).
 */
export const max = {
  name: 'max',
  label: 'largest distance or logit',
  of: (row, winner) => row[winner]!,
  write: (graph, distances) => graph.rowMaxima(distances),
  isLargestDistance: true,
} as const satisfies Confidence;
