import { z } from 'zod';
import { InputError } from '../errors.js';
import { isScores } from '../experiment/network.js';
import { list, real, whole } from '../experiment/rules.js';
import { promisedTogether } from '../run/facts.js';
import { costsOfExits } from '../run/plan.js';
import { originalAccuracy, type Part } from '../run/search.js';
import type { ScoredRun } from '../run/stages.js';
import {
  type ChosenSystem,
  exitSystems,
  type System,
  systemFindings,
  systemRun,
  weightBytesOf,
} from '../run/systems.js';
import {
  answersAt,
  combine,
  countOutcomes,
  evaluate,
  outcomeIntervals,
  type Scores,
  scoresOfExits,
} from '../thresholds/evaluate.js';
import { choosePoint, type FrontierPoint, paretoFrontier } from '../thresholds/frontier.js';
import { type Choosable, certifyAmong } from '../thresholds/guarantee.js';
import { defineAnalysis } from './analysis.js';
import { setsOf } from './places.js';

/** Most exits of a system, so that all pairs of thresholds can be searched. */
const MOST_EXITS = 3;

const share = 'a share of accuracy from 0 to 0.5: 0.005 is half a point';
const options = z.strictObject({
  kind: z.literal('frontier'),
  /** Accuracies to reach, as margins below the reference's. */
  margins: list(real(0, 0.5, share), 'a list of margins: [0, 0.005]').default([0, 0.0025, 0.005, 0.01, 0.02, 0.03]),
  /** The exit that losses are counted from, counted from 1; the last one, the original, if absent. */
  reference: whole(1, 1000).optional(),
  /** The largest loss of the system with a guarantee. */
  drop: real(1e-6, 0.5, share).default(0.005),
  /** Of the guarantee, over the draw of the choosing images. Default 0.95. */
  confidence: real(0.5, 0.9999).default(0.95),
  /** `false`: uses no labels; margins, drop and results then mean agreement with the reference's answers. */
  labels: z.boolean({ error: 'true or false' }).default(true),
});
export type FrontierOptions = z.output<typeof options>;

/**
 * The cheapest system for each accuracy, among all choices of up to three exits: networks and cascades of a cascade, cut and gated
 * networks of a network with gates. Chosen on the choosing images, reported on the others.
 */
export const frontier = defineAnalysis({
  options,
  problems: ({ reference, labels }, { gates, network, thresholds }) => {
    const count = gates.after.length + 1;
    const isFitted = gates.calibrate === true || thresholds.perClass === true || gates.confidence === 'failure';
    const withLabels = 'true with calibrate, perClass and failure, which are fitted to labels';
    const unused = labels || !isFitted ? [] : [{ path: ['labels'], message: withLabels, input: labels }];
    if (reference === undefined || reference <= count || isScores(network)) return unused;
    return [...unused, { path: ['reference'], message: `an exit, 1 to ${count}`, input: reference }];
  },
  async compute(run, asked) {
    const { experiment, plan } = run;
    const reference = referenceOf(plan, asked);
    const test = judged(run.scores.test, plan, asked);
    const own = ({ scores, images }: Part['selection']) => ({ scores: judged(scores, plan, asked), images });
    const parts = run.parts.map((part) => ({ selection: own(part.selection), evaluation: own(part.evaluation) }));
    const frontiers = parts.map(({ selection }) => frontierOfAll(plan, selection));
    const searched = asked.margins.map((margin) => {
      const chosen = parts.map(({ selection }, i) => cheapest(frontiers[i]!, selection, reference, margin));
      return reported(`margin ${margin}`, run, parts, reference, chosen);
    });
    const promised = parts.map(({ selection }, i) => choosePromised(plan, selection, asked, experiment.seed + i));
    const all = [
      ...searched,
      reported(`at most ${asked.drop} at ${asked.confidence}`, run, parts, reference, promised),
      ...exitSystems(run, test, answersAt(test, reference)),
    ];
    const reached = asked.labels ? 'accuracy' : `agreement with exit ${reference + 1}`;
    const title = `The cheapest system for each ${reached}, and each exit alone`;
    const together = parts.length > 1 ? `; ${promisedTogether(parts.length, 'folds', asked.confidence)}` : '';
    const legend = `${LEGEND}${together}`;
    return systemFindings({ name: 'frontier', title, systems: all, isAgreement: !asked.labels, legend });
  },
});

type ExitPlan = Pick<ScoredRun['plan'], 'costs' | 'costsOf'>;

/** The system with a guarantee that saves most on the choosing images. The guarantee covers the choice among systems. */
export function choosePromised(
  plan: ExitPlan,
  { scores, images }: Part['selection'],
  promised: Pick<FrontierOptions, 'drop' | 'confidence' | 'reference'>,
  seed: number,
): ChosenSystem {
  const reference = referenceOf(plan, promised);
  const choices = [[reference], ...setsOf(plan.costs.length, MOST_EXITS)];
  const systems = choices.map((exits) => against(scores, exits, plan, reference));
  const { system, thresholds } = certifyAmong(systems, images, promised, seed);
  const exits = choices[system]!;
  return { exits, thresholds: thresholds.slice(0, exits.length - 1) };
}

/** Scores with the reference's answers as labels, unless labels are used. */
export function judged(scores: Scores, plan: ExitPlan, asked: Pick<FrontierOptions, 'labels' | 'reference'>): Scores {
  return asked.labels ? scores : { ...scores, labels: answersAt(scores, referenceOf(plan, asked)) };
}

/** Position of the reference, from 0. @throws InputError for an unknown exit */
export function referenceOf(
  { costs: { length } }: ExitPlan,
  { reference = length }: Pick<FrontierOptions, 'reference'>,
): number {
  if (reference <= length) return reference - 1;
  throw new InputError(`analysis.reference: ${reference}; valid: an exit, 1 to ${length}`);
}

const LEGEND =
  '1 (0.80) > 3: an image leaves at exit 1 if its confidence is at least 0.80, otherwise at exit 3. margin 0.01: chosen to lose one point at most; at most: with a promise; |: thresholds of the first and second half';

/** A system compared with the reference. If it ends elsewhere, its last exit takes all remaining images. */
function against(scores: Scores, exits: readonly number[], plan: ExitPlan, reference: number): Choosable {
  const costs = costsOfExits(plan, exits);
  const endsElsewhere = exits.at(-1) !== reference;
  const asked = endsElsewhere ? exits : exits.slice(0, -1);
  const everything = new Float32Array(scores.count).fill(Number.POSITIVE_INFINITY);
  return {
    scores: {
      ...scores,
      original: answersAt(scores, reference),
      classes: asked.map((exit) => answersAt(scores, exit)),
      confidences: asked.map((exit) => (exit === exits.at(-1) ? everything : scores.confidences[exit]!)),
    },
    costs: endsElsewhere ? [...costs, Math.max(costsOfExits(plan, [reference])[0]!, costs.at(-1)!)] : costs,
  };
}

type Candidate = ChosenSystem & { readonly point: FrontierPoint };

/** The Pareto frontiers of all systems on some choosing images. */
export function frontierOfAll(plan: ExitPlan, { scores, images }: Part['selection']): Candidate[] {
  return setsOf(plan.costs.length, MOST_EXITS).flatMap((exits) => {
    const own = scoresOfExits(scores, exits);
    const costs = costsOfExits(plan, exits);
    const points =
      exits.length === 1
        ? [{ thresholds: [], ...evaluate(own, [], costs, images) }]
        : paretoFrontier(own, costs, images).points;
    return points.map((point) => ({ exits, thresholds: point.thresholds, point }));
  });
}

/** The cheapest system at a margin. There always is one: the reference alone reaches all margins. */
export function cheapest(
  candidates: readonly Candidate[],
  { scores, images }: Part['selection'],
  reference: number,
  margin: number,
): ChosenSystem {
  const original = originalAccuracy({ ...scores, original: answersAt(scores, reference) }, images);
  const points = candidates.map(({ point }) => point);
  const best = choosePoint(points, images.length, { kind: 'accuracy', required: original - margin }, [1]);
  return candidates[points.indexOf(best!)]!;
}

/** A system chosen for each part, on the images that the part reports. */
function reported(
  asked: string,
  { plan }: ScoredRun,
  parts: readonly Part[],
  reference: number,
  chosen: readonly ChosenSystem[],
): System {
  const found = parts.map(({ evaluation: { scores, images } }, i) => {
    const { exits, thresholds } = chosen[i]!;
    const system = against(scores, exits, plan, reference);
    const all = system.scores.classes.map((_, k) => thresholds[k] ?? Number.NEGATIVE_INFINITY);
    const counts = countOutcomes(system.scores, all, images);
    return { counts, costs: system.costs, evaluation: evaluate(system.scores, all, system.costs, images) };
  });
  const { accuracy, flops } = combine(found.map(({ evaluation }) => evaluation));
  // Exits by their numbers, each with its threshold.
  const label = ({ exits, thresholds }: ChosenSystem): string =>
    exits.map((exit, i) => `${exit + 1}${i < thresholds.length ? ` (${thresholds[i]!.toFixed(2)})` : ''}`).join(' > ');
  // The folds may have chosen different systems, so their exits are concatenated.
  const counts = Int32Array.from(found.flatMap((part) => [...part.counts]));
  const costs = found.flatMap((part) => part.costs);
  const weights = chosen.map(({ exits }) => weightBytesOf(plan, exits));
  return {
    weightsBytes: weights.includes(undefined) ? undefined : Math.max(...weights.map((bytes) => bytes!)),
    name: `${asked}: ${[...new Set(chosen.map(label))].join(' | ')}`,
    kind: 'dynamic',
    runs: chosen.map((of) => systemRun(plan, of)),
    accuracy,
    flops,
    intervals: outcomeIntervals(counts, costs),
  };
}
