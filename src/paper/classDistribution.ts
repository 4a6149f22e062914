import type { TopLevelSpec } from 'vega-lite';
import { z } from 'zod';
import type { Column } from '../csv.js';
import type { ImageSource } from '../data/dataset.js';
import { choice, real, whole } from '../experiment/rules.js';
import { counted, listed, percent } from '../json.js';
import type { Figure, FindingCell, FindingTable, ImageSheet } from '../report/findings.js';
import type { ScoredRun } from '../run/stages.js';
import { wilson } from '../statistics/intervals.js';
import { exitOf, type Scores } from '../thresholds/evaluate.js';
import {
  axis,
  defineAnalysis,
  ends,
  type Grouping,
  groupClasses,
  groups,
  isRightAt,
  ofClasses,
  sheetRow,
  tableOf,
} from './analysis.js';

const options = z.strictObject({
  kind: z.literal('class-distribution'),
  /** What is drawn: numbers of images (Figure 7), classes that leave early (6) or late (8). Default `counts`. */
  show: choice(['counts', 'early', 'late']).default('counts'),
  /** Least confidence at which a gate takes an image. Default 1. */
  distance: real(-1e6, 1e6).default(1),
  /** Classes on the sheet, at most. Default 3. */
  classes: whole(1, 1000).default(3),
  /** Images in a row of the sheet. Default 6. */
  images: whole(1, 100).default(6),
  /** Where given, the share of each group is reported too. */
  groups: groups.optional(),
});
type Options = z.output<typeof options>;

/** Figures 6, 7 and 8: the classes that leave at each gate. */
export const classDistribution = defineAnalysis({
  options,
  async compute(run, options) {
    const test = run.testImages;
    const grouping = options.groups && groupClasses(test.classes, options.groups);
    const counts = countByClass(run.scores.test, test.classes.length, options.distance);
    const present = byExit(counts.filter(({ images }) => images > 0));
    const sorted = [...present, ...counts.filter(({ images }) => images === 0)];
    const tables = [classTable(sorted, test, grouping), extremesTable(present, test)];
    if (grouping !== undefined) tables.push(groupTable(counts, grouping));
    const { show } = options;
    if (show === 'counts') return { tables, figures: [countsFigure(present, run, options)] };
    const sheet = await sheetOf(present, run, options, show);
    return { tables, sheets: sheet === undefined ? [] : [sheet] };
  },
});

/** Exits and answers of the images of one class. */
export type ClassCounts = ReturnType<typeof countByClass>[number];

const sumOf = (numbers: readonly number[]): number => numbers.reduce((sum, number) => sum + number, 0);
const zeros = (count: number): number[] => new Array<number>(count).fill(0);

/** Number of early exits: all gates except the last one; a single gate is early. */
const earlyExits = (gates: number): number => Math.max(1, gates - 1);

/** Counts of all classes, in the order of the labels. @param distance threshold of all gates */
export function countByClass(scores: Scores, classes: number, distance: number) {
  const gates = scores.classes.length;
  const thresholds = scores.classes.map(() => distance);
  const counts = Array.from({ length: classes }, () => ({ images: 0, able: zeros(gates), taken: zeros(gates + 1) }));
  for (let image = 0; image < scores.count; image++) {
    const own = counts[scores.labels[image]!]!;
    own.images++;
    for (let gate = 0; gate < gates; gate++) {
      if (isRightAt(scores, gate, image) && scores.confidences[gate]![image]! >= distance) own.able[gate]!++;
    }
    const exit = exitOf(scores, thresholds, image);
    if (isRightAt(scores, exit, image)) own.taken[exit]!++;
  }
  return counts.map(({ images, able, taken }, label) => {
    const right = sumOf(taken);
    return {
      label,
      images,
      /** Per gate, images that it classifies right with at least the distance, at whichever exit they leave (Figure 7). */
      able,
      /** Per exit, the original classifier last: images that leave there right, with the distance as all gates' threshold. */
      taken,
      /** Images that leave wrong, at any exit. */
      wrong: images - right,
      /** The exit where most leave right, from 0; the earliest of equal ones; one past the last if none does. */
      exit: right === 0 ? taken.length : taken.indexOf(Math.max(...taken)),
      /** Share of the images that leave right before the last gate. */
      earlyShare: images === 0 ? 0 : sumOf(taken.slice(0, earlyExits(gates))) / images,
    };
  });
}

/** Classes by the exit of most of their images; those with the same exit by descending early share. */
export function byExit(counts: readonly ClassCounts[]): ClassCounts[] {
  return [...counts].sort((a, b) => a.exit - b.exit || b.earlyShare - a.earlyShare || a.label - b.label);
}

/** Classes by descending early share; of equal ones, those with fewer images that leave right come first. */
function byEarlyShare(classes: readonly ClassCounts[]): ClassCounts[] {
  const right = ({ images, wrong }: ClassCounts): number => images - wrong;
  return [...classes].sort((a, b) => b.earlyShare - a.earlyShare || right(a) - right(b) || a.label - b.label);
}

/** Most classes whose names fit in a figure or on the console. */
const MOST_NAMED = 40;
/** Classes shown at each end of the order. */
const MOST_EXTREME = 10;

type Named = Pick<ImageSource, 'classes' | 'classIds'>;
type ClassColumn = Column<ClassCounts, FindingCell>;

const exitName = (exit: number, gates: number): string =>
  exit < gates ? `gate ${exit + 1}` : exit === gates ? 'original' : 'none';

function nameColumns({ classes, classIds }: Named): ClassColumn[] {
  const wnid: ClassColumn = ['wnid', ({ label }) => classIds![label]!];
  return [['class', ({ label }) => classes[label]!], ...(classIds ? [wnid] : []), ['label', ({ label }) => label]];
}

const shares: ClassColumn[] = [
  ['leave_right_early_fraction', ({ earlyShare }) => earlyShare],
  ...ends('wilson95', ({ earlyShare, images }: ClassCounts) => wilson(Math.round(earlyShare * images), images)),
];
/** Shares of early images with their 95 % interval; empty for a class without images. */
const shareColumns = shares.map(([name, of]): ClassColumn => [name, (row) => (row.images === 0 ? null : of(row))]);

const mainExit = ({ images, exit, able }: ClassCounts) => (images === 0 ? null : exitName(exit, able.length));

function classTable(sorted: readonly ClassCounts[], test: Named, grouping?: Grouping): FindingTable {
  const title = 'Images of each class by gate; classes sorted by the exit that takes most of them';
  const consoleRows = sorted.length <= MOST_NAMED ? sorted.length : 0;
  const gates = sorted[0]?.able ?? [];
  const category: ClassColumn = ['category', ({ label }) => grouping!.names[grouping!.of[label]!]!];
  return tableOf({ name: 'classes', title, consoleRows }, sorted, [
    ...nameColumns(test),
    ...(grouping ? [category] : []),
    'images',
    ...gates.map((_, i): ClassColumn => [`gate${i + 1}_right_with_distance_images`, ({ able }) => able[i]!]),
    ...gates.map((_, i): ClassColumn => [`leave_right_at_gate${i + 1}_images`, ({ taken }) => taken[i]!]),
    ['leave_right_at_original_images', ({ taken }) => taken.at(-1)!],
    ['leave_wrong_images', ({ wrong }) => wrong],
    ['main_exit', mainExit],
    ...shareColumns,
  ]);
}

/** The classes with the largest and the smallest share of images that leave right at an early gate. */
export function extremesTable(present: readonly ClassCounts[], test: Named): FindingTable {
  const byShare = byEarlyShare(present);
  const most = Math.min(MOST_EXTREME, Math.floor(byShare.length / 2));
  const ends = { first: byShare.slice(0, most), last: byShare.slice(byShare.length - most).reverse() };
  const rows = Object.entries(ends).flatMap(([leaves, chosen]) => {
    return chosen.map((row, i) => ({ leaves, rank: i + 1, ...row }));
  });
  const consoleRows = present.length <= MOST_NAMED ? 0 : 2 * most;
  return tableOf({ name: 'first-and-last', title: 'The classes that leave first and last', consoleRows }, rows, [
    'leaves',
    'rank',
    ...nameColumns(test),
    'images',
    ...shareColumns,
    ['main_exit', mainExit],
  ]);
}

function groupTable(counts: readonly ClassCounts[], { names, of }: Grouping): FindingTable {
  const rows = names.map((category, group) => {
    const members = counts.filter(({ label }) => of[label] === group);
    return { category, images: sumOf(members.map(({ images }) => images)), members };
  });
  const shares = counts[0]!.taken.map((_, exit, all): Column<(typeof rows)[number], FindingCell> => {
    const of = ({ images, members }: (typeof rows)[number]) => sumOf(members.map(({ taken }) => taken[exit]!)) / images;
    const name = exit === all.length - 1 ? 'original' : `gate${exit + 1}`;
    return [`leave_right_at_${name}_fraction`, (row) => (row.images === 0 ? null : of(row))];
  });
  const title = 'Images of each superordinate category that leave right, by exit';
  return tableOf({ name: 'categories', title, consoleRows: names.length }, rows, ['category', 'images', ...shares]);
}

function countsFigure(
  present: readonly ClassCounts[],
  { testImages, experiment }: ScoredRun,
  { distance }: Options,
): Figure {
  const { classes, count } = testImages;
  const named = present.length <= MOST_NAMED;
  const values = present.flatMap(({ label, able }, rank) =>
    able.map((number, gate) => ({ class: classes[label]!, rank: rank + 1, gate: `gate ${gate + 1}`, images: number })),
  );
  const tickCount = Math.min(5, Math.max(1, ...values.map(({ images }) => images)));
  const spec: TopLevelSpec = {
    data: { values },
    mark: named ? { type: 'bar', tooltip: true } : { type: 'area', interpolate: 'step', tooltip: true },
    height: 110,
    encoding: {
      row: { field: 'gate', type: 'nominal', title: null },
      x: named
        ? { field: 'class', type: 'nominal', sort: null, title: 'class, by the exit that takes most of its images' }
        : {
            ...axis('rank', 'class, in the order of classes.csv'),
            scale: { domain: [1, present.length], nice: false },
          },
      // Images are counted: no ticks between whole numbers.
      y: { field: 'images', type: 'quantitative', title: 'images', axis: { tickCount, format: 'd' } },
      color: { field: 'gate', type: 'nominal', legend: null },
    },
  };
  return {
    name: 'classes',
    title: 'Images that each gate classifies right with certainty, by class (Figure 7)',
    caption:
      `Images classified right with a distance of at least ${distance}, at whichever exit they leave; ` +
      `${counted(count)} test images${someOf(present, classes)}, seed ${experiment.seed}`,
    spec,
  };
}

/** The number of classes of the images, if some classes have none. */
const someOf = ({ length }: readonly ClassCounts[], classes: readonly string[]): string =>
  length === classes.length ? '' : ` of ${ofClasses(length, classes.length)}`;

/** Images that leave right, of the classes that leave earliest or latest; undefined if there are none. */
async function sheetOf(
  present: readonly ClassCounts[],
  run: ScoredRun,
  { distance, classes, images: perRow }: Options,
  show: 'early' | 'late',
): Promise<ImageSheet | undefined> {
  const { testImages: test, scores, experiment } = run;
  const gates = scores.test.classes.length;
  const thresholds = scores.test.classes.map(() => distance);
  const exits = [...test.labels.keys()].map((image) => exitOf(scores.test, thresholds, image));
  const isShown = (exit: number): boolean => exit < earlyExits(gates) === (show === 'early');
  const ordered = show === 'early' ? byEarlyShare(present) : byEarlyShare(present).reverse();
  const chosen = ordered.filter(({ taken }) => taken.some((images, exit) => images > 0 && isShown(exit)));
  const rows = [];
  for (const { label, earlyShare } of chosen.slice(0, classes)) {
    const name = test.classes[label]!;
    const candidates = [...test.labels.keys()].filter((image) => {
      return test.labels[image] === label && isShown(exits[image]!) && isRightAt(scores.test, exits[image]!, image);
    });
    const caption = (image: number): string => exitName(exits[image]!, gates);
    const about = { label: `${name} (${percent(earlyShare, 0)} early)`, tone: 'plain', caption } as const;
    rows.push(await sheetRow(run, candidates, perRow, `${name} ${show}`, about));
  }
  if (rows.length === 0) return undefined;
  const early = Array.from({ length: earlyExits(gates) }, (_, i) => String(i + 1));
  return {
    name: 'examples',
    title: show === 'early' ? 'Classes that leave early (Figure 6)' : 'Classes that need the last gate (Figure 8)',
    caption:
      `Images classified right that ${show === 'early' ? 'leave' : 'do not leave'} at gate ${listed(early)}, all thresholds ${distance}; ` +
      `a random choice (seed ${experiment.seed}) of ${counted(test.count)} test images${someOf(present, test.classes)}; ` +
      'captions: the exit of each image',
    rows,
  };
}
