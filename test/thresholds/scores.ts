import type { Random } from '../../src/random.js';
import type { Scores } from '../../src/thresholds/evaluate.js';

/**
 * Random scores: confidences are multiples of a half from -2 to 2, so that most images tie with others, and half of the
 * predictions are right.
 */
export function randomScores(random: Random, count: number, gates: number): Scores {
  const labels = Int32Array.from({ length: count }, () => random.below(3));
  const predictions = (): Int32Array => labels.map((label) => (random.below(2) === 0 ? label : random.below(3)));
  return {
    count,
    labels,
    original: labels.map((label) => (random.below(5) > 0 ? label : (label + 1) % 3)),
    classes: Array.from({ length: gates }, predictions),
    confidences: Array.from({ length: gates }, () =>
      Float32Array.from({ length: count }, () => (random.below(9) - 4) / 2),
    ),
  };
}

/** Rising costs of `gates` + 1 exits. */
export function randomCosts(random: Random, gates: number): number[] {
  let cost = 0;
  return Array.from({ length: gates + 1 }, () => {
    cost += 1 + random.below(1000);
    return cost;
  });
}

/** Some of the positions 0 .. count - 1, in any order. */
export function randomImages(random: Random, count: number): Int32Array {
  const all = random.shuffle(Int32Array.from({ length: count }, (_, i) => i));
  return all.slice(0, 1 + random.below(count));
}
