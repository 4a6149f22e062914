import type { Claim, FindingTable, Verdict } from '../report/findings.js';
import type { ScoredRun } from '../run/analyses.js';
import type { ExitCosts, Scores } from '../thresholds/evaluate.js';
import { printedClaim, settle } from './claims.js';
import { flopsReductionOf, lossVerdict, type Measures, measureThresholds, NO_LOSS } from './measures.js';
import { counted, percent, points, within } from './words.js';

/** One point of the plane of two thresholds. */
export interface PlanePoint {
  readonly t1: number;
  readonly t2: number;
  readonly accuracy: number;
  /** Average FLOPs per image. */
  readonly flops: number;
  /** Share of images that leave at each exit. */
  readonly exits: readonly number[];
}

/** Thresholds of the paper's claims. */
const claimed = [
  [0, 0],
  [2, 2],
] as const;

/** Tolerance of a printed "about", as a share of FLOPs: five points. */
const ABOUT = 0.05;

/** Verdicts on the paper's claims about the plane, and measurements at the thresholds of the claims. */
export async function planeClaims(
  run: ScoredRun,
  scores: Scores,
  costs: ExitCosts,
  plane: readonly PlanePoint[],
): Promise<{ readonly points: FindingTable; readonly claims: readonly Claim[] }> {
  const total = run.original.flops;
  const [zero, two] = claimed.map((thresholds) => measureThresholds([{ scores, thresholds }], costs)) as [
    Measures,
    Measures,
  ];
  const settled = async (id: string, of: 'points' | 'plane', row: string, found: Found): Promise<Claim> =>
    settle(await printedClaim(id), run.experiment, { ...found, trace: { file: `${of}.csv`, row } });
  const value = async (id: string): Promise<number> => (await printedClaim(id)).value;
  const [atZero, atTwo] = ['t1 = 0, t2 = 0', 't1 = 2, t2 = 2'];
  return {
    points: pointTable([zero, two], total),
    claims: [
      await settled('figure5-flops', 'points', atZero, factorFound(zero, plane, run, await value('figure5-flops'))),
      await settled('figure5-loss', 'points', atZero, lossFound(zero, total, await value('figure5-loss'))),
      await settled('figure5-no-loss', 'points', atTwo, noLossFound(two, plane, run)),
      await settled('figure5-saving', 'points', atTwo, savingFound(two, total, await value('figure5-saving'))),
      await settled('figure5-monotone', 'plane', 'neighbouring rows', monotoneFound(plane, scores.count)),
    ],
  };
}

interface Found {
  readonly measured: string;
  readonly verdict: Verdict;
  readonly why?: string | undefined;
}

function pointTable(measures: readonly Measures[], total: number): FindingTable {
  return {
    name: 'points',
    title: 'FLOPs and accuracy at the thresholds of the paper, with 95 % intervals over the test images',
    columns: [
      't1',
      't2',
      'flops_per_image',
      'flops_reduction_fraction',
      'flops_reduction_low_fraction',
      'flops_reduction_high_fraction',
      'accuracy_drop_fraction',
      'accuracy_drop_low_fraction',
      'accuracy_drop_high_fraction',
    ],
    rows: measures.map((found, i) => {
      const { share, interval } = flopsReductionOf(found, total);
      const { drop, dropInterval } = found;
      return [
        ...claimed[i]!,
        found.flops,
        share,
        interval.low,
        interval.high,
        drop,
        dropInterval.low,
        dropInterval.high,
      ];
    }),
    consoleRows: measures.length,
  };
}

function factorFound(zero: Measures, plane: readonly PlanePoint[], { original }: ScoredRun, printed: number): Found {
  const factor = (flops: number): string => (original.flops / flops).toFixed(2);
  const measured = `${factor(zero.flops)} x [${factor(zero.flopsInterval.high)}, ${factor(zero.flopsInterval.low)}]`;
  if (original.flops / zero.flopsInterval.low >= printed) return { measured, verdict: 'holds' };
  const reached = plane.filter(({ flops }) => original.flops / flops >= printed);
  const best = reached.sort((a, b) => b.accuracy - a.accuracy)[0];
  const why =
    best === undefined
      ? `no thresholds of the plane reach it; most: ${factor(Math.min(...plane.map(({ flops }) => flops)))} x`
      : `reached at (${best.t1}, ${best.t2}), the best such thresholds, with ${points(original.accuracy - best.accuracy)} lost`;
  return { measured, verdict: 'does not hold', why };
}

function lossFound({ drop, dropInterval, flops }: Measures, total: number, printed: number): Found {
  const holds = dropInterval.low <= printed;
  return {
    measured: `${points(drop)} ${within(dropInterval, 2)} lost`,
    verdict: holds ? 'holds' : 'does not hold',
    why: `${holds ? 'no more' : 'more'} is lost than printed, with ${(total / flops).toFixed(2)} x fewer FLOPs`,
  };
}

function noLossFound({ drop, dropInterval }: Measures, plane: readonly PlanePoint[], { original }: ScoredRun): Found {
  const verdict = lossVerdict(dropInterval);
  const measured = `${points(drop)} ${within(dropInterval, 2)} lost at (2, 2)`;
  if (verdict === 'holds') return { measured, verdict, why: `a loss below ${points(NO_LOSS)} counts as none` };
  return { measured, verdict, why: noLossFrom(plane, original.accuracy, original.flops) };
}

/** The point on the diagonal that reaches the original's accuracy, and the FLOPs saved there. */
function noLossFrom(plane: readonly PlanePoint[], accuracy: number, total: number): string {
  const diagonal = plane.filter(({ t1, t2 }) => t1 === t2).sort((a, b) => b.t1 - a.t1);
  const lossy = diagonal.findIndex((point) => !(accuracy - point.accuracy <= NO_LOSS));
  const last = diagonal[lossy < 0 ? diagonal.length - 1 : lossy - 1];
  const most = `at most ${points(NO_LOSS)}`;
  if (last === undefined) return `no equal thresholds of the plane lose ${most}`;
  return `equal thresholds lose ${most} from (${last.t1}, ${last.t2}) on, ${percent(1 - last.flops / total)} fewer FLOPs there`;
}

function savingFound(two: Measures, total: number, printed: number): Found {
  const { share, interval } = flopsReductionOf(two, total);
  const measured = `${percent(share)} ${within(interval)} at (2, 2)`;
  if (interval.high >= printed - ABOUT) return { measured, verdict: 'holds' };
  return {
    measured,
    verdict: 'does not hold',
    why: 'too few images reach a distance of 2 at the early gates of this network',
  };
}

function monotoneFound(plane: readonly PlanePoint[], images: number): Found {
  const { flopsFalls, accuracyFalls, worst, beyondNoise } = monotony(plane, images);
  const verdict = flopsFalls > 0 || beyondNoise ? 'does not hold' : worst <= NO_LOSS ? 'holds' : 'undecided';
  const why = beyondNoise
    ? 'images that a higher threshold passes on are classified worse there'
    : `falls of at most ${points(NO_LOSS)}, or within the noise of this number of images, are ignored`;
  return {
    measured:
      `to a higher threshold FLOPs fall in ${counted(flopsFalls)} steps of the plane, accuracy falls in ` +
      `${percent(accuracyFalls)} of them, by at most ${points(worst)}`,
    verdict,
    why: verdict === 'holds' ? undefined : why,
  };
}

/** Standard deviations that a fall must exceed; there are thousands of steps. */
const NOISE = 4;

/** Steps of the grid to the next higher threshold at which FLOPs or accuracy fall. @param images test images */
export function monotony(plane: readonly PlanePoint[], images: number) {
  const side = Math.round(Math.sqrt(plane.length));
  let [steps, flopsFalls, falls, worst, beyondNoise] = [0, 0, 0, 0, false];
  plane.forEach((point, at) => {
    const up = [(at + 1) % side === 0 ? undefined : plane[at + 1], plane[at + side]];
    for (const next of up) {
      if (next === undefined) continue;
      steps++;
      if (!(next.flops >= point.flops)) flopsFalls++;
      const fall = point.accuracy - next.accuracy;
      if (fall > 0) falls++;
      worst = Math.max(worst, fall);
      // Upper bound of the share of images that change between right and wrong.
      const moved = next.exits.reduce((sum, share, exit) => sum + Math.abs(share - point.exits[exit]!), 0) / 2;
      if (fall > NO_LOSS && fall > NOISE * Math.sqrt(moved / images)) beyondNoise = true;
    }
  });
  return { flopsFalls, accuracyFalls: falls / steps, worst, beyondNoise };
}
