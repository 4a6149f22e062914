import type { Confidence } from '../definitions.js';

/** The largest distance minus the second largest. */
export const difference = {
  name: 'difference',
  label: 'largest distance minus the second largest',
  of: (row, winner) => {
    let second = Number.NEGATIVE_INFINITY;
    for (let c = 0; c < row.length; c++) if (c !== winner && row[c]! > second) second = row[c]!;
    return row.length > 1 ? row[winner]! - second : row[winner]!;
  },
  write: (graph, distances) => {
    const [values, positions] = [graph.fresh('largest_two'), graph.fresh('positions')];
    graph.nodes('TopK', [distances, graph.ints('two', [2])], { axis: 1 }, [values, positions]);
    const [first, second] = [graph.fresh('first'), graph.fresh('second')];
    graph.nodes('Split', [values, graph.ints('one_one', [1, 1])], { axis: 1 }, [first, second]);
    return graph.node('Reshape', [graph.node('Sub', [first, second]), graph.ints('flat', [-1])]);
  },
} as const satisfies Confidence;
