import type { ImageSource } from '../data/dataset.js';
import type { FindingTable } from '../report/findings.js';
import { type ClassCounts, earlyShareInterval } from './classCounts.js';
import type { Grouping } from './groups.js';

/** More classes than this have no room for their names in a figure, nor on the console. */
export const MOST_NAMED = 40;

/** Classes at each end of the order in which they leave. */
const MOST_EXTREME = 10;

type Named = Pick<ImageSource, 'classes' | 'classIds'>;

/** What an exit is called; `none` past the last one. */
export const exitName = (exit: number, gates: number): string =>
  exit < gates ? `gate ${exit + 1}` : exit === gates ? 'original' : 'none';

/** Every class of the dataset, those without images last and without shares. */
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

/** The classes that leave first and last, by the share of their images that leaves right at an early gate. */
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
 * Classes by the share of their images that leaves early, the largest first. Of equals those come later of which more
 * images leave right late: what leaves wrong does not leave last.
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
