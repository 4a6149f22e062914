import { Random } from '../random.js';
import { normalQuantile } from '../statistics/intervals.js';
import { type ExitCosts, exitOf, type Scores, type Thresholds } from './evaluate.js';
import { isLess } from './frontier.js';
import { achievableLevels, gainOf, gridLevels, levelsWithin, makeGrid, savingOf } from './grid.js';
import { bettingPValue, dropPValue } from './risk.js';

/** A guarantee for new images: the accuracy drop is at most `drop` (share), with this confidence. */
export interface Guarantee {
  /** 0.005 is half a point. */
  readonly drop: number;
  /** 0.95: at most one choice in twenty breaks the guarantee. */
  readonly confidence: number;
  /** How the choices are tested; `exact` by default. */
  readonly method?: GuaranteeMethod;
}

/**
 * `exact`: the p-value of `dropPValue`. `betting`: that of a bet against the hypothesis, which saves more where few images
 * test. `conformal`: conformal risk control, which promises the drop on average over the draws of the choosing images, without
 * a confidence.
 */
export const guaranteeMethods = ['exact', 'betting', 'conformal'] as const;
export type GuaranteeMethod = (typeof guaranteeMethods)[number];

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
  const { system: _, ...certified } = certifyAmong([{ scores, costs }], images, promised, seed);
  return certified;
}

/** Exits with their costs. `original` in the scores is the same for all systems that are chosen among: the reference. */
export interface Choosable {
  readonly scores: Scores;
  readonly costs: ExitCosts;
}

/**
 * The same where several systems are to choose from: one path over all of them is proposed and tested, so that the
 * guarantee covers the choice among them.
 *
 * @param systems the first one is the reference where nothing can be certified: all its gates closed
 * @returns the certified thresholds, and the position of their system
 */
export function certifyAmong(
  systems: readonly Choosable[],
  images: ArrayLike<number>,
  promised: Guarantee,
  seed: number,
): Certified & { readonly system: number } {
  return certifyPath(systems, proposePath(systems, images, promised, seed), promised);
}

/** Choices to be tested in this order, and the images that did not propose them. */
interface Path {
  readonly steps: readonly Proposed[];
  readonly proposedOn: number;
  readonly testing: Int32Array;
}

/** Tests the choices of a path, by any method. */
export function certifyPath(
  systems: readonly Choosable[],
  { steps, proposedOn, testing }: Path,
  promised: Guarantee,
): Certified & { readonly system: number } {
  let certified: Certified & { readonly system: number } = {
    system: 0,
    thresholds: systems[0]!.costs.slice(1).map(() => Number.POSITIVE_INFINITY),
    open: false,
    pValue: 0, // with all gates closed no accuracy is lost
    proposedOn,
    testedOn: testing.length,
    tested: 0,
  };
  if (promised.method === 'conformal') return { ...certified, ...controlled(systems, steps, testing, promised.drop) };
  for (const { system, thresholds } of steps) {
    const pValue = pValueOf(systems[system]!.scores, thresholds, testing, promised);
    const tested = certified.tested + 1;
    if (!(pValue <= 1 - promised.confidence)) return { ...certified, tested };
    certified = { ...certified, system, thresholds, open: true, pValue, tested };
  }
  return certified;
}

/** 1 where only the gated network is right, -1 where only the original is, otherwise 0. */
function gainAt(scores: Scores, thresholds: Thresholds, image: number): number {
  const exit = exitOf(scores, thresholds, image);
  return exit === thresholds.length ? 0 : gainOf(scores, exit, image);
}

function pValueOf(scores: Scores, thresholds: Thresholds, images: Int32Array, promised: Guarantee): number {
  const level = 1 - promised.confidence;
  if (promised.method === 'betting') {
    const losses = Int8Array.from(images, (image) => -gainAt(scores, thresholds, image));
    return bettingPValue(losses, promised.drop, level);
  }
  const { lost, gained } = changes(scores, thresholds, images);
  return dropPValue(lost, gained, images.length, promised.drop, level);
}

/**
 * Conformal risk control (Angelopoulos et al. 2022, arXiv 2208.02814, equation 4): the last step of the path at which the
 * share of images lost at it or at a step before, with one image more that is lost, is at most `drop`. Counting losses
 * before makes the loss grow along the path, which the method needs; images gained count for nothing.
 */
function controlled(
  systems: readonly Choosable[],
  path: readonly Proposed[],
  images: Int32Array,
  drop: number,
): Partial<Certified & Proposed> {
  const isLost = new Uint8Array(images.length);
  let passed: Partial<Certified & Proposed> = {};
  for (const [step, { system, thresholds }] of path.entries()) {
    images.forEach((image, i) => {
      if (gainAt(systems[system]!.scores, thresholds, image) < 0) isLost[i] = 1;
    });
    const lost = isLost.reduce((sum, one) => sum + one, 0);
    if (!((lost + 1) / (images.length + 1) <= drop)) return { ...passed, tested: step + 1 };
    passed = { system, thresholds, open: true, pValue: Number.NaN, tested: step + 1 };
  }
  return passed;
}

/** Numbers of images that only the original classifier gets right, and that only these thresholds get right. */
export function changes(scores: Scores, thresholds: Thresholds, images: ArrayLike<number>) {
  let [lost, gained] = [0, 0];
  for (let i = 0; i < images.length; i++) {
    const gain = gainAt(scores, thresholds, images[i]!);
    if (gain < 0) lost++;
    else if (gain > 0) gained++;
  }
  return { lost, gained };
}

/**
 * The path to test: choices in the order of the upper limit of the drop expected on the testing images, each saving
 * more FLOPs than the one before. Any path is valid; a good path saves more before it fails. The method of the test has no
 * part in it.
 *
 * @param seed decides which of the images propose
 */
export function proposePath(
  systems: readonly Choosable[],
  images: ArrayLike<number>,
  promised: Guarantee,
  seed: number,
): Path {
  const { proposing, testing } = proposingImages(images, seed);
  const most = Math.min(...systems.map(({ costs }) => costs.at(-1)!));
  const best = new Array<Step | undefined>(PATH_LENGTH).fill(undefined);
  for (const [system, choosable] of systems.entries()) {
    if (choosable.costs.length === 1) continue; // the reference alone: nothing to open
    for (const [at, step] of stepsOf(choosable, proposing, promised, testing.length).entries()) {
      if (step !== undefined && isLess(step.flops, best[at]?.flops ?? most)) best[at] = { ...step, system };
    }
  }
  let least = most;
  const steps = best.flatMap((step): Proposed[] => {
    if (step === undefined || step.flops >= least) return [];
    least = step.flops;
    return [{ system: step.system!, thresholds: step.thresholds }];
  });
  return { steps, proposedOn: proposing.length, testing };
}

/** The images that propose, drawn by the seed, and those that test. */
export function proposingImages(images: ArrayLike<number>, seed: number) {
  const shuffled = new Random(seed, 'guarantee').shuffle(Int32Array.from(images));
  const proposing = shuffled.slice(0, Math.round(PROPOSING_SHARE * shuffled.length));
  return { proposing, testing: shuffled.slice(proposing.length) };
}

/** A step of the path: the position of its system, and its thresholds. */
interface Proposed {
  readonly system: number;
  readonly thresholds: Thresholds;
}

interface Step {
  readonly thresholds: Thresholds;
  /** Average FLOPs per image. */
  readonly flops: number;
  readonly system?: number;
}

/** Of all choices of one system with about the same limit, the one that saves most; a limit above twice the drop would not pass. */
function stepsOf(
  { scores, costs }: Choosable,
  images: Int32Array,
  { drop, confidence }: Guarantee,
  testing: number,
): (Step | undefined)[] {
  const gates = costs.length - 1;
  const all = scores.confidences.slice(0, gates).map((confidences) => achievableLevels(confidences, images));
  const grid = makeGrid(scores, images, gridLevels(all, levelsWithin(PROPOSED_COMBINATIONS, gates)));
  const gained = grid.sum((gate, i) => gainOf(scores, gate, images[i]!));
  const changed = grid.sum((gate, i) => Math.abs(gainOf(scores, gate, images[i]!)));
  const saved = grid.sum((gate) => savingOf(costs, gate));
  const z = normalQuantile(confidence);
  // By the number of changed answers: one change is added to those observed, since few images may show none by chance.
  const above = Float64Array.from({ length: images.length + 1 }, (_, number) => {
    return z * Math.sqrt((number + 1) / images.length / testing);
  });
  const best = new Int32Array(PATH_LENGTH).fill(-1);
  for (let i = 0; i < grid.combinations; i++) {
    if (!(saved[i]! > 0)) continue;
    // The best of many has gains by luck: half of them count.
    const broken = (changed[i]! - gained[i]!) / 2;
    const fixed = (changed[i]! + gained[i]!) / 2;
    const limit = (broken - fixed / 2) / images.length + above[changed[i]!]!;
    const step = Math.max(0, Math.ceil((limit / (2 * drop)) * PATH_LENGTH) - 1);
    if (step < PATH_LENGTH && (best[step]! < 0 || saved[i]! > saved[best[step]!]!)) best[step] = i;
  }
  return Array.from(best, (i) =>
    i < 0 ? undefined : { thresholds: grid.thresholds(i), flops: costs.at(-1)! - saved[i]! / images.length },
  );
}
