import type { Confidence } from '../definitions.js';

/** Minus the entropy of the softmax in nats: BranchyNet's criterion, negated so that larger is more confident. */
export const entropy = {
  name: 'entropy',
  label: 'minus the entropy of the softmax',
  of: (row, winner) => {
    let sum = 0;
    let weighted = 0;
    for (const value of row) {
      const shifted = value - row[winner]!;
      const power = Math.exp(shifted);
      sum += power;
      weighted += power * shifted;
    }
    // entropy = log(sum) - weighted / sum, for logits minus the largest one
    return weighted / sum - Math.log(sum);
  },
  write: (graph, distances) => {
    const logarithms = graph.node('LogSoftmax', [distances], { axis: 1 });
    const terms = graph.node('Mul', [graph.node('Exp', [logarithms]), logarithms]);
    return graph.node('ReduceSum', [terms, graph.ints('class_axis', [1])], { keepdims: 0 });
  },
} as const satisfies Confidence;
