import { Random } from '../random.js';
import { normalQuantile } from '../statistics/normal.js';
import { type ExitCosts, exitOf, type Scores, type Thresholds } from './evaluate.js';
import { gainOf, makeGrid, savingOf } from './grid.js';
import { achievableLevels, quantileLevels } from './levels.js';
import { dropPValue } from './risk.js';

/** A guarantee for new images: the accuracy drop is at most `drop` (share), with this confidence. */
export interface Guarantee {
  /** 0.005 is half a point. */
  readonly drop: number;
  /** 0.95: at most one choice in twenty breaks the guarantee. */
  readonly confidence: number;
}

/** Thresholds for which a guarantee was certified, and the evidence. */
export interface Certified {
  readonly thresholds: Thresholds;
  /** Whether any gate is open; if not, only the original network could be certified. */
  readonly open: boolean;
  /** p-value of the hypothesis that the guarantee is broken, on the testing images. */
  readonly pValue: number;
  /** Numbers of images that proposed and that tested the thresholds. */
  readonly proposedOn: number;
  readonly testedOn: number;
  /** Choices tested, in order, up to the first that failed. */
  readonly tested: number;
}

/** Share of the images that propose thresholds; the others test them. */
const PROPOSING_SHARE = 0.3;
/** Combinations of thresholds among which the path is selected. */
const PROPOSED_COMBINATIONS = 200_000;
/** Most choices on the path from all gates closed to all open. */
const PATH_LENGTH = 100;

/**
 * Thresholds with a bounded risk, by Learn then Test (Angelopoulos et al. 2021, arXiv 2110.01052), with the path learnt
 * first as in Pareto Testing (Laufer-Goldshtein et al. 2022, arXiv 2210.07913).
 *
 * The guarantee: with probability of at least `confidence` over the draw of `images`, the gated network's expected
 * accuracy on new images of the same distribution is at most `drop` below the original network's. It does not cover
 * images of another distribution, and the drop measured on finitely many new images varies around the expected one.
 *
 * The method: a part of the images proposes a path of thresholds, from the safest (all gates closed) to those that save
 * most. The others test the choices in that order, each at level 1 - confidence, until one fails; the result is the
 * last that passed. A path that is fixed in advance needs no further correction for multiple tests (fixed sequence
 * testing: a wrong result needs the first choice that breaks the guarantee to pass, which has probability 1 -
 * confidence at most).
 *
 * @param images positions of the selection images, disjoint from the evaluation images
 * @param seed decides which images propose
 */
export function certify(
  scores: Scores,
  costs: ExitCosts,
  images: ArrayLike<number>,
  promised: Guarantee,
  seed: number,
): Certified {
  const shuffled = new Random(seed, 'guarantee').shuffle(Int32Array.from(images));
  const proposing = shuffled.slice(0, Math.round(PROPOSING_SHARE * shuffled.length));
  const testing = shuffled.slice(proposing.length);
  let certified: Certified = {
    thresholds: costs.slice(1).map(() => Number.POSITIVE_INFINITY),
    open: false,
    pValue: 0, // with all gates closed no accuracy is lost
    proposedOn: proposing.length,
    testedOn: testing.length,
    tested: 0,
  };
  for (const thresholds of proposePath(scores, costs, proposing, promised, testing.length)) {
    const { lost, gained } = changes(scores, thresholds, testing);
    const pValue = dropPValue(lost, gained, testing.length, promised.drop, 1 - promised.confidence);
    const tested = certified.tested + 1;
    if (!(pValue <= 1 - promised.confidence)) return { ...certified, tested };
    certified = { ...certified, thresholds, open: true, pValue, tested };
  }
  return certified;
}

/** Numbers of images that only the original classifier gets right, and that only these thresholds get right. */
export function changes(scores: Scores, thresholds: Thresholds, images: ArrayLike<number>) {
  let [lost, gained] = [0, 0];
  for (let i = 0; i < images.length; i++) {
    const exit = exitOf(scores, thresholds, images[i]!);
    if (exit === thresholds.length) continue;
    const gain = gainOf(scores, exit, images[i]!);
    if (gain < 0) lost++;
    else if (gain > 0) gained++;
  }
  return { lost, gained };
}

/**
 * The path to test: choices in the order of the upper limit of the drop expected on the testing images, each saving
 * more FLOPs than the one before. Any path is valid; a good path saves more before it fails.
 */
function proposePath(
  scores: Scores,
  costs: ExitCosts,
  images: Int32Array,
  { drop, confidence }: Guarantee,
  testing: number,
): Thresholds[] {
  const gates = costs.length - 1;
  const each = Math.max(2, Math.floor(PROPOSED_COMBINATIONS ** (1 / gates)));
  const levels = scores.confidences.slice(0, gates).map((confidences) => {
    return quantileLevels(achievableLevels(confidences, images), each);
  });
  const grid = makeGrid(scores, images, levels);
  const gained = grid.sum((gate, i) => gainOf(scores, gate, images[i]!));
  const changed = grid.sum((gate, i) => Math.abs(gainOf(scores, gate, images[i]!)));
  const saved = grid.sum((gate) => savingOf(costs, gate));
  // Of all choices with about the same limit, the one that saves most; a limit above twice the drop would not pass.
  const z = normalQuantile(confidence);
  const best = new Int32Array(PATH_LENGTH).fill(-1);
  for (let i = 0; i < grid.combinations; i++) {
    // The best of many has gains by luck: half of them count. One change is added to those observed: few images may show
    // none by chance.
    const broken = (changed[i]! - gained[i]!) / 2;
    const fixed = (changed[i]! + gained[i]!) / 2;
    const limit = (broken - fixed / 2) / images.length + z * Math.sqrt((changed[i]! + 1) / images.length / testing);
    const step = Math.max(0, Math.ceil((limit / (2 * drop)) * PATH_LENGTH) - 1);
    if (!(step < PATH_LENGTH && saved[i]! > 0)) continue;
    if (best[step]! < 0 || saved[i]! > saved[best[step]!]!) best[step] = i;
  }
  let most = 0;
  return [...best].flatMap((i) => {
    if (i < 0 || !(saved[i]! > most)) return [];
    most = saved[i]!;
    return [grid.thresholds(i)];
  });
}
