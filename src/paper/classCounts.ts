import type { Verdict } from '../report/findings.js';
import { wilson } from '../statistics/binomial.js';
import type { Interval } from '../statistics/interval.js';
import { exitOf, type Scores } from '../thresholds/evaluate.js';

/** What becomes of the images of one class. */
export interface ClassCounts {
  readonly label: number;
  readonly images: number;
  /** Per gate, images that it classifies right with at least the distance, whether or not they would reach it (Figure 7). */
  readonly able: readonly number[];
  /** Per exit, the original classifier last: images that leave there right, with the distance as every gate's threshold. */
  readonly taken: readonly number[];
  /** Images that leave wrong, at any exit. */
  readonly wrong: number;
  /** The exit where most of them leave right, from 0; the earliest of equals; one past the last where none does. */
  readonly exit: number;
  /** Share of the images that leave right before the last gate. */
  readonly earlyShare: number;
}

/** Exits that count as early: every gate but the last one; a single gate is early. */
export const earlyExits = (gates: number): number => Math.max(1, gates - 1);

/** Counts of every class, in the order of the labels. @param distance threshold of every gate */
export function countByClass(scores: Scores, classes: number, distance: number): ClassCounts[] {
  const gates = scores.classes.length;
  const thresholds = new Array<number>(gates).fill(distance);
  const rows = (columns: number): number[][] =>
    Array.from({ length: classes }, () => new Array<number>(columns).fill(0));
  const [images, able, taken] = [new Array<number>(classes).fill(0), rows(gates), rows(gates + 1)];
  for (let image = 0; image < scores.count; image++) {
    const label = scores.labels[image]!;
    images[label]!++;
    for (let gate = 0; gate < gates; gate++) {
      const right = scores.classes[gate]![image] === label;
      if (right && scores.confidences[gate]![image]! >= distance) able[label]![gate]!++;
    }
    const exit = exitOf(scores, thresholds, image);
    if ((scores.classes[exit] ?? scores.original)[image] === label) taken[label]![exit]!++;
  }
  return images.map((count, label): ClassCounts => {
    const left = taken[label]!;
    const right = left.reduce((sum, number) => sum + number, 0);
    const early = left.slice(0, earlyExits(gates)).reduce((sum, number) => sum + number, 0);
    return {
      label,
      images: count,
      able: able[label]!,
      taken: left,
      wrong: count - right,
      exit: right === 0 ? left.length : left.indexOf(Math.max(...left)),
      earlyShare: count === 0 ? 0 : early / count,
    };
  });
}

/** Classes by the exit that takes most of their images; among those of one exit, the ones that leave earlier first. */
export function byExit(counts: readonly ClassCounts[]): ClassCounts[] {
  return [...counts].sort((a, b) => a.exit - b.exit || b.earlyShare - a.earlyShare || a.label - b.label);
}

/** 95 % interval of the share that leaves right early; from 0 to 1 where the class has no images. */
export function earlyShareInterval({ earlyShare, images }: ClassCounts): Interval {
  return wilson(Math.round(earlyShare * images), images);
}

/** A class of which gate 1 takes less than this share is one that it cannot classify. */
export const CANNOT = 0.1;

/** Share of classes whose interval excludes a value by chance alone, on one side: that many are no finding. */
const BY_CHANCE = 0.025;

/** Classes of which more than half leave early beyond doubt; holds where they are more than chance would give. */
export function earlyVerdict(sorted: readonly ClassCounts[]): {
  readonly verdict: Verdict;
  readonly mostly: ClassCounts[];
} {
  const mostly = sorted.filter((row) => earlyShareInterval(row).low > 0.5);
  if (mostly.length > BY_CHANCE * sorted.length) return { verdict: 'holds', mostly };
  return {
    verdict: sorted.every((row) => earlyShareInterval(row).high <= 0.5) ? 'does not hold' : 'undecided',
    mostly,
  };
}

/**
 * Classes that gate 1 cannot classify beyond doubt, and that the last gate classifies better; holds where they are more
 * than chance would give.
 */
export function lateVerdict(sorted: readonly ClassCounts[]): {
  readonly verdict: Verdict;
  readonly cannot: ClassCounts[];
} {
  const first = ({ able, images }: ClassCounts) => wilson(able[0]!, images);
  const cannot = sorted.filter((row) => {
    return first(row).high < CANNOT && wilson(row.able.at(-1)!, row.images).low > first(row).high;
  });
  if (cannot.length > BY_CHANCE * sorted.length) return { verdict: 'holds', cannot };
  return { verdict: sorted.every((row) => first(row).low >= CANNOT) ? 'does not hold' : 'undecided', cannot };
}
