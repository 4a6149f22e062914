import { encodeSafetensors, type Storable } from '../checkpoints/load.js';
import { isScores } from '../experiment/network.js';
import type { ExitCosts, Scores } from '../thresholds/evaluate.js';
import type { RunOutcome } from './stages.js';

/**
 * A file of scores as `network: scores(FILE)` and `dgate run --scores` read it (docs/scores.md): labels, FLOPs, and class and
 * confidence of each image at each exit, unrounded.
 */
function encodeScores(scores: Scores, costs: ExitCosts, original: number): Iterable<Uint8Array> {
  const shape = [scores.count];
  const answers = [...scores.classes, scores.original];
  return encodeSafetensors(
    new Map<string, Storable>([
      ['labels', { dtype: 'I32', shape, data: scores.labels }],
      ['costs', { dtype: 'I64', shape: [costs.length], data: BigInt64Array.from(costs, BigInt) }],
      ['original_cost', { dtype: 'I64', shape: [1], data: BigInt64Array.of(BigInt(original)) }],
      ...answers.map((data, i): [string, Storable] => [`exit${i + 1}_class`, { dtype: 'I32', shape, data }]),
      ...scores.confidences.map((data, i): [string, Storable] => [
        `exit${i + 1}_confidence`,
        { shape, data: data as Float32Array },
      ]),
    ]),
  );
}

/** A file that a run writes. */
type NamedFile = readonly [name: string, bytes: () => Iterable<Uint8Array>];

/**
 * The scores of a run's reported images, and of the choosing images where these are others. None for a run on a file of scores,
 * without labels, with confidences fitted to each part (calibration, predicted failure), or with costs that are not whole numbers.
 */
export function scoresFiles(of: RunOutcome): NamedFile[] {
  const { experiment, parts, scores, exitCosts, original } = of;
  if (isScores(experiment.network) || experiment.unlabelled !== undefined) return [];
  const isFitted = parts.some(({ evaluation }) => evaluation.scores !== scores.test);
  if (isFitted || ![...exitCosts, original.flops].every(Number.isSafeInteger)) return [];
  const file = (name: string, of: Scores): NamedFile => [name, () => encodeScores(of, exitCosts, original.flops)];
  return [
    file('scores.safetensors', scores.test),
    ...(scores.heldOut === undefined ? [] : [file('scores-choosing.safetensors', scores.heldOut)]),
  ];
}
