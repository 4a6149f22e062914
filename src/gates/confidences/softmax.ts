import type { Confidence } from '../definitions.js';

/** The largest softmax probability. */
export const softmax = {
  name: 'softmax',
  label: 'largest softmax probability',
  of: (row, winner) => {
    let sum = 0;
    for (const value of row) sum += Math.exp(value - row[winner]!);
    return 1 / sum;
  },
  write: (graph, distances) => graph.rowMaxima(graph.node('Softmax', [distances], { axis: 1 })),
} as const satisfies Confidence;
