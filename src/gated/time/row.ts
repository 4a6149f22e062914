import type { FeatureNetwork, GatedNetwork } from '../../engines/engine.js';
import { InputError } from '../../errors.js';
import { systemName } from '../../experiment/network.js';
import type { GatedBatch } from '../../gates/contracts.js';
import type { ProgressTask } from '../../progress.js';
import { modelName } from '../../report/rows.js';
import type { Row } from '../../run/search.js';
import { estimate, noiseWarnings, summarisePairs } from '../../timing/estimate.js';
import {
  batchesPerTurn,
  type Clock,
  chosenPairs,
  exactly,
  measurePairs,
  mlperf,
  type Rule,
  type TimedBatch,
  type TimedNetworks,
  threadsSleep,
  type WarmUp,
} from '../../timing/pairs.js';
import type { Agreement, RowTiming } from '../../timing/record.js';
import {
  compareBatch,
  emptyVerification,
  networkInput,
  type OpenGated,
  thresholdsByImage,
  type Verification,
} from '../open.js';
import type { RawPair, TimedRow, TimingOptions } from './files.js';

/** Full batches of test images, in order, with a row's thresholds for them. */
interface Schedule {
  readonly batches: readonly Omit<TimedBatch, 'input'>[];
  /** The batches with their pixels, repeated forever. */
  prepared(): AsyncGenerator<TimedBatch>;
}

/**
 * Divides the test images, or each fold of a cross-fit, into full batches, in the order of their first images.
 *
 * @param images how many of the test images, the first ones; all by default
 * @throws InputError if they fill no batch
 */
export function schedule(opened: OpenGated, row: Row, batch: number, images = opened.test.count): Schedule {
  const batches = thresholdsByImage(opened, row).flatMap((part) => {
    const positions = part.images.filter((position) => position < images);
    const full = Math.floor(positions.length / batch);
    return Array.from({ length: full }, (_, i) => ({
      ...part,
      images: positions.subarray(i * batch, (i + 1) * batch),
    }));
  });
  if (batches.length === 0) {
    const folds = opened.parts.length > 1 ? ` in ${opened.parts.length} folds` : '';
    throw new InputError(`--batch ${batch}: ${images} test images${folds} do not fill a batch; valid: fewer`);
  }
  batches.sort((a, b) => a.images[0]! - b.images[0]!);
  return {
    batches,
    async *prepared() {
      const original = originalOf(opened);
      for (;;) {
        for (const one of batches) {
          const input = await networkInput(opened, one.images);
          yield { ...one, input, originalInput: await networkInput(original, one.images) };
        }
      }
    },
  };
}

/** Pairs of each row that are discarded after the warm-up. */
export const DISCARDED_PAIRS = 5;

export interface Networks {
  readonly original: FeatureNetwork;
  readonly gated: GatedNetwork;
}

export interface Bench {
  readonly opened: OpenGated;
  readonly options: TimingOptions;
  readonly clock: Clock;
  readonly networks: Networks;
  readonly task: Pick<ProgressTask, 'update'>;
}

export function timedNetworks({ networks: { original, gated }, options }: Bench): TimedNetworks<GatedBatch> {
  return {
    rest: options.rest ?? threadsSleep,
    original: ({ input, originalInput, images }) => original.run(originalInput ?? input, images.length),
    gated: ({ input, images, thresholds, fitted }) => gated.run(input, images.length, thresholds, fitted),
  };
}

/** FLOPs of a row / the original's, over all test images. */
const shareOf = ({ flops }: OpenGated, { evaluation }: Row): number => evaluation.flops / flops.flops;

/** How long a row is timed. Each turn also takes a rest and an untimed run on two images (at batch 1: one). */
function ruleFor({ options, opened }: Bench, { batch, row, warm }: RowPlan, available: number): Rule {
  if (options.rules === 'mlperf') return mlperf(batch);
  if (options.images !== undefined) return exactly(available);
  const share = shareOf(opened, row);
  const originalMs = warm.medianMs[0]!;
  const beforeTurn = (originalMs * (1 + share) * Math.min(2, batch)) / batch + 5;
  const beforePair = beforeTurn / batchesPerTurn(originalMs, available);
  return chosenPairs(batch, originalMs * (1 + share) + beforePair, available);
}

export interface RowPlan {
  readonly batch: number;
  readonly index: number;
  readonly row: Row;
  readonly warm: WarmUp;
  readonly onShare: (share: number) => void;
}

export async function timeRow(bench: Bench, plan: RowPlan): Promise<TimedRow> {
  const { clock, opened, options } = bench;
  const { batch, index: rowIndex, row } = plan;
  const planned = schedule(opened, row, batch, options.images);
  const rule = ruleFor(bench, plan, planned.batches.length);
  const perTurn = batchesPerTurn(plan.warm.medianMs[0]!, rule.leastPairs);
  const compared = emptyVerification();
  const discarded = exactly(DISCARDED_PAIRS);
  for await (const _ of measurePairs(clock, timedNetworks(bench), planned.prepared(), 1, discarded.isEnough));
  const pairs: RawPair[] = [];
  const isEnough: Rule['isEnough'] = (soFar) => {
    plan.onShare(rule.done(soFar));
    return rule.isEnough(soFar);
  };
  for await (const pair of measurePairs(clock, timedNetworks(bench), planned.prepared(), perTurn, isEnough)) {
    const { images, thresholds } = pair.batch;
    // Compare each image once: the batches repeat.
    if (pairs.length < planned.batches.length) {
      compareBatch(compared, opened.scores, thresholds, images, pair.result);
    }
    const exits = countExits(pair.result.exits, originalOf(opened).costs.length);
    const spent = pair.result.exits.reduce((sum, exit) => sum + opened.costs[exit]!, 0);
    pairs.push({
      repeat: options.repeat ?? 1,
      batch,
      row: rowIndex + 1,
      index: pairs.length,
      image: images[0]!,
      turn: pair.turn,
      first: pair.first,
      originalMs: pair.originalMs,
      gatedMs: pair.gatedMs,
      flopsShare: spent / (images.length * opened.flops.flops),
      exits,
    });
  }
  const timing = {
    ...rowTiming(opened, row, batch, pairs),
    date: new Date().toISOString(),
    rule: rule.description,
    batchesPerTurn: perTurn,
    ...verdict(pairs, compared, shareOf(opened, row), opened.experiment.seed),
  };
  return { timing, pairs };
}

export const originalOf = (opened: OpenGated): OpenGated => opened.beside?.original ?? opened;

export const nameOf = ({ beside, experiment }: OpenGated, { thresholds }: Row): string =>
  beside?.name ?? modelName(thresholds, systemName(experiment.network));

/** A row's thresholds for JSON; null for a closed gate. */
export function plainThresholds({ thresholds }: Row): RowTiming['thresholds'] {
  return thresholds.map((part) => part.map((t) => (Number.isFinite(t) ? t : null)));
}

function rowTiming(opened: OpenGated, row: Row, batch: number, pairs: readonly RawPair[]) {
  return {
    model: nameOf(opened, row),
    thresholds: plainThresholds(row),
    ...summarisePairs(pairs, batch),
    exits: pairs[0]!.exits.map((_, exit) => pairs.reduce((sum, pair) => sum + pair.exits[exit]!, 0)),
  };
}

/** Speed-up, efficiency, agreement with the evaluation, and warnings. */
function verdict(pairs: readonly RawPair[], compared: Verification, share: number, seed: number) {
  const found = estimate(pairs, share, seed);
  const agreement = agreementOf(compared);
  const { differing, images } = agreement;
  const wrong = `class or exit of ${differing} of ${images} images differs from the cached evaluation`;
  const warnings = [...(differing > 0 ? [wrong] : []), ...noiseWarnings(pairs, share, seed)];
  return { ...found, speedUps: [found.speedUp], agreement, warnings };
}

export function agreementOf({ images, near, different }: Verification): Agreement {
  return { images, nearThreshold: near, differing: different.length };
}

function countExits(exits: Int32Array, ways: number): number[] {
  const counts = new Array<number>(ways).fill(0);
  for (const exit of exits) counts[exit]!++;
  return counts;
}
