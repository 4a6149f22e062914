import type { ImageSource } from '../data/dataset.js';
import type { FindingTable } from '../report/findings.js';
import { wilson } from '../statistics/intervals.js';
import type { Interval } from '../statistics/samples.js';
import { exitOf, type Scores } from '../thresholds/evaluate.js';
import type { Grouping } from './groups.js';

/** Exits and answers of the images of one class. */
export interface ClassCounts {
  readonly label: number;
  readonly images: number;
  /** Per gate, images that it classifies right with at least the distance, at whichever exit they leave (Figure 7). */
  readonly able: readonly number[];
  /**
   * Per exit, the original classifier last: images that leave there right, with the distance as the threshold of all
   * gates.
   */
  readonly taken: readonly number[];
  /** Images that leave wrong, at any exit. */
  readonly wrong: number;
  /** The exit where most of them leave right, from 0; the earliest of equal ones; one past the last if none does. */
  readonly exit: number;
  /** Share of the images that leave right before the last gate. */
  readonly earlyShare: number;
}

/** Number of early exits: all gates except the last one; a single gate is early. */
export const earlyExits = (gates: number): number => Math.max(1, gates - 1);

/** Counts of all classes, in the order of the labels. @param distance threshold of every gate */
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

/** Classes by the exit of most of their images; those with the same exit by descending early share. */
export function byExit(counts: readonly ClassCounts[]): ClassCounts[] {
  return [...counts].sort((a, b) => a.exit - b.exit || b.earlyShare - a.earlyShare || a.label - b.label);
}

/** 95 % interval of the share that leaves right early; [0, 1] without images. */
function earlyShareInterval({ earlyShare, images }: ClassCounts): Interval {
  return wilson(Math.round(earlyShare * images), images);
}

/** Most classes whose names fit in a figure or on the console. */
export const MOST_NAMED = 40;

/** Classes shown at each end of the order. */
const MOST_EXTREME = 10;

type Named = Pick<ImageSource, 'classes' | 'classIds'>;

/** Name of an exit; `none` past the last one. */
export const exitName = (exit: number, gates: number): string =>
  exit < gates ? `gate ${exit + 1}` : exit === gates ? 'original' : 'none';

/** All classes of the dataset; those without images come last and have no shares. */
export function classTable(sorted: readonly ClassCounts[], test: Named, grouping?: Grouping): FindingTable {
  const gates = sorted[0]?.able.length ?? 0;
  const numbers = Array.from({ length: gates }, (_, gate) => gate + 1);
  return {
    name: 'classes',
    title: 'Images of each class by gate; classes sorted by the exit that takes most of them',
    columns: [
      ...namesOf(test),
      ...(grouping ? ['category'] : []),
      'images',
      ...numbers.map((gate) => `gate${gate}_right_with_distance_images`),
      ...numbers.map((gate) => `leave_right_at_gate${gate}_images`),
      'leave_right_at_original_images',
      'leave_wrong_images',
      'main_exit',
      'leave_right_early_fraction',
      'wilson95_low_fraction',
      'wilson95_high_fraction',
    ],
    rows: sorted.map((row) => {
      const { low, high } = earlyShareInterval(row);
      return [
        ...nameCells(row, test),
        ...(grouping ? [grouping.names[grouping.of[row.label]!]!] : []),
        row.images,
        ...row.able,
        ...row.taken,
        row.wrong,
        ...(row.images === 0 ? [null, null, null, null] : [exitName(row.exit, gates), row.earlyShare, low, high]),
      ];
    }),
    consoleRows: sorted.length <= MOST_NAMED ? sorted.length : 0,
  };
}

/** The classes with the largest and the smallest share of images that leave right at an early gate. */
export function extremesTable(present: readonly ClassCounts[], test: Named): FindingTable {
  const gates = present[0]?.able.length ?? 0;
  const byShare = byEarlyShare(present);
  const most = Math.min(MOST_EXTREME, Math.floor(byShare.length / 2));
  const rows = (leaves: string, chosen: readonly ClassCounts[]): FindingTable['rows'] =>
    chosen.map((row, i) => {
      const { low, high } = earlyShareInterval(row);
      const share = [row.earlyShare, low, high];
      return [leaves, i + 1, ...nameCells(row, test), row.images, ...share, exitName(row.exit, gates)];
    });
  return {
    name: 'first-and-last',
    title: 'The classes that leave first and last',
    columns: [
      'leaves',
      'rank',
      ...namesOf(test),
      'images',
      'leave_right_early_fraction',
      'wilson95_low_fraction',
      'wilson95_high_fraction',
      'main_exit',
    ],
    rows: [...rows('first', byShare.slice(0, most)), ...rows('last', byShare.slice(byShare.length - most).reverse())],
    consoleRows: present.length <= MOST_NAMED ? 0 : 2 * most,
  };
}

/**
 * Classes by descending early share. Among equal ones, those with more images that leave right come later: images that
 * leave wrong do not count as late.
 */
export function byEarlyShare(classes: readonly ClassCounts[]): ClassCounts[] {
  const right = ({ images, wrong }: ClassCounts): number => images - wrong;
  return [...classes].sort((a, b) => b.earlyShare - a.earlyShare || right(a) - right(b) || a.label - b.label);
}

const namesOf = ({ classIds }: Named): string[] => ['class', ...(classIds ? ['wnid'] : []), 'label'];

const nameCells = ({ label }: ClassCounts, { classes, classIds }: Named): (string | number)[] => [
  classes[label]!,
  ...(classIds ? [classIds[label]!] : []),
  label,
];

export function groupTable(counts: readonly ClassCounts[], { names, of }: Grouping): FindingTable {
  const exits = counts[0]?.taken.length ?? 0;
  return {
    name: 'categories',
    title: 'Images of each superordinate category that leave right, by exit',
    columns: [
      'category',
      'images',
      ...Array.from({ length: exits }, (_, i) =>
        i === exits - 1 ? 'leave_right_at_original_fraction' : `leave_right_at_gate${i + 1}_fraction`,
      ),
    ],
    rows: names.map((name, group) => {
      const members = counts.filter(({ label }) => of[label] === group);
      const images = members.reduce((sum, member) => sum + member.images, 0);
      const share = (exit: number): number => members.reduce((sum, { taken }) => sum + taken[exit]!, 0) / images;
      return [name, images, ...Array.from({ length: exits }, (_, exit) => (images === 0 ? null : share(exit)))];
    }),
    consoleRows: names.length,
  };
}
