/**
 * What a gate holds against its threshold. One module for search, evaluation and figures alike.
 *
 * `max`: the largest distance to a decision boundary (hinge; the paper's, Algorithm 1) or the largest logit
 * (cross-entropy); `softmax`: the largest softmax probability; `entropy`: minus the entropy of the softmax in nats
 * (BranchyNet's criterion, sign turned so that larger is surer); `difference`: the two largest, subtracted.
 */
export const confidenceKinds = ['max', 'softmax', 'entropy', 'difference'] as const;
export type ConfidenceKind = (typeof confidenceKinds)[number];

/** A gate's answer for each image of a batch. */
export interface Decisions {
  /** argmax of the distances (the first one of equals), [count] */
  readonly classes: Int32Array;
  /** [count] */
  readonly confidences: Float32Array;
}

/**
 * Class and confidence of each image.
 *
 * @param distances [count, classes] row-major
 * @param stride from one image's numbers to the next one's, if there is more than the distances
 */
export function decide(
  distances: Float32Array,
  classes: number,
  kind: ConfidenceKind,
  stride: number = classes,
): Decisions {
  const count = distances.length / stride;
  const winners = new Int32Array(count);
  const confidences = new Float32Array(count);
  for (let image = 0; image < count; image++) {
    const row = distances.subarray(image * stride, image * stride + classes);
    let winner = 0;
    for (let c = 1; c < classes; c++) if (row[c]! > row[winner]!) winner = c;
    winners[image] = winner;
    confidences[image] = confidence(row, winner, kind);
  }
  return { classes: winners, confidences };
}

function confidence(row: Float32Array, winner: number, kind: ConfidenceKind): number {
  const largest = row[winner]!;
  if (kind === 'max') return largest;
  if (kind === 'difference') {
    let second = Number.NEGATIVE_INFINITY;
    for (let c = 0; c < row.length; c++) if (c !== winner && row[c]! > second) second = row[c]!;
    return row.length > 1 ? largest - second : largest;
  }
  let sum = 0;
  let weighted = 0;
  for (const value of row) {
    const shifted = value - largest;
    const power = Math.exp(shifted);
    sum += power;
    weighted += power * shifted;
  }
  // entropy = log(sum) - weighted / sum, with all logits shifted by the largest
  return kind === 'softmax' ? 1 / sum : weighted / sum - Math.log(sum);
}
