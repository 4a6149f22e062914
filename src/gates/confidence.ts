import { difference } from './confidences/difference.js';
import { entropy } from './confidences/entropy.js';
import { max } from './confidences/max.js';
import { softmax } from './confidences/softmax.js';
import type { Confidence } from './definitions.js';

/** All confidences: each is a file in `confidences/` and an entry here. */
export const confidences = [max, softmax, entropy, difference] as const satisfies readonly Confidence[];
export type ConfidenceKind = (typeof confidences)[number]['name'];
export const confidenceKinds = confidences.map(({ name }) => name);

/** The confidence of this name. @throws Error for an unknown name; the schema checks names from outside */
export function confidenceOf(kind: ConfidenceKind): Confidence {
  const found = confidences.find(({ name }) => name === kind);
  if (found === undefined) throw new Error(`confidence ${kind}: unknown; valid: ${confidenceKinds.join(', ')}`);
  return found;
}

/** A gate's answers for a batch of images. */
export interface Decisions {
  /** argmax of the distances (the first of equal ones), [count] */
  readonly classes: Int32Array;
  /** [count] */
  readonly confidences: Float32Array;
}

/**
 * Class and confidence of each image.
 *
 * @param distances [count, classes] row-major
 * @param stride from one image's numbers to the next one's, if they hold more than the distances
 */
export function decide(
  distances: Float32Array,
  classes: number,
  kind: ConfidenceKind,
  stride: number = classes,
): Decisions {
  const confidence = confidenceOf(kind);
  const count = distances.length / stride;
  const winners = new Int32Array(count);
  const values = new Float32Array(count);
  for (let image = 0; image < count; image++) {
    const row = distances.subarray(image * stride, image * stride + classes);
    let winner = 0;
    for (let c = 1; c < classes; c++) if (row[c]! > row[winner]!) winner = c;
    winners[image] = winner;
    values[image] = confidence.of(row, winner);
  }
  return { classes: winners, confidences: values };
}
