import { Random } from '../src/random.js';
import type { ExitCosts, Scores } from '../src/thresholds/evaluate.js';

/** Scores of images that are harder or easier; the later the gate, the more often it is right. */
export function generatedScores(count: number, gates: number): { scores: Scores; costs: ExitCosts } {
  const random = new Random(1, 'bench');
  const labels = new Int32Array(count);
  const ease = Float64Array.from({ length: count }, () => random.uniform());
  const confidences = Array.from({ length: gates }, () => Float32Array.from(ease, (e) => e + random.uniform()));
  const classes = confidences.map((of, gate) => {
    const wrong = Math.max(0.06, 0.35 - 0.08 * gate);
    return Int32Array.from(of, (c) => Number(random.uniform() < wrong * (1 - c / 2)));
  });
  const original = labels.map(() => Number(random.uniform() < 0.06));
  const costs = gates <= 4 ? [1, 2, 5, 9, 10].slice(-gates - 1) : Array.from({ length: gates + 1 }, (_, i) => i + 1);
  return { scores: { count, labels, original, confidences, classes }, costs };
}

export const everyImage = (count: number): Int32Array => Int32Array.from({ length: count }, (_, i) => i);
