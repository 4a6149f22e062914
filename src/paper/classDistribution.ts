import type { TopLevelSpec } from 'vega-lite';
import { z } from 'zod';
import { choice, real, whole } from '../experiment/rules.js';
import type { Figure, Findings, ImageSheet } from '../report/findings.js';
import type { ScoredRun } from '../run/analyses.js';
import { exitOf } from '../thresholds/evaluate.js';
import { defineAnalysis, groups } from './analysis.js';
import {
  byEarlyShare,
  byExit,
  type ClassCounts,
  classTable,
  countByClass,
  earlyExits,
  exitName,
  extremesTable,
  groupTable,
  MOST_NAMED,
} from './classCounts.js';
import { groupClasses } from './groups.js';
import { drawn, sheetRow } from './sheets.js';
import { counted, listed, percent } from './words.js';

const options = z.strictObject({
  kind: z.literal('class-distribution'),
  /** What is drawn: numbers of images (Figure 7), classes that leave early (6) or late (8). Default `counts`. */
  show: choice(['counts', 'early', 'late']).default('counts'),
  /** Least confidence with which an image counts as taken, at every gate. Default 1. */
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
export const classDistribution = defineAnalysis({ options, compute: findingsOf });

async function findingsOf(run: ScoredRun, options: Options): Promise<Findings> {
  const test = run.testImages;
  const grouping = options.groups && groupClasses(test.classes, options.groups);
  const counts = countByClass(run.scores.test, test.classes.length, options.distance);
  const present = byExit(counts.filter(({ images }) => images > 0));
  const absent = counts.filter(({ images }) => images === 0);
  const { show } = options;
  const sheet = show === 'counts' ? undefined : await sheetOf(present, run, options, show);
  return {
    tables: [
      classTable([...present, ...absent], test, grouping),
      extremesTable(present, test),
      ...(grouping ? [groupTable(counts, grouping)] : []),
    ],
    figures: show === 'counts' ? [countsFigure(present, run, options)] : [],
    sheets: sheet === undefined ? [] : [sheet],
  };
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
  const most = Math.max(1, ...values.map(({ images }) => images));
  const spec: TopLevelSpec = {
    data: { values },
    mark: named ? { type: 'bar', tooltip: true } : { type: 'area', interpolate: 'step', tooltip: true },
    height: 110,
    encoding: {
      row: { field: 'gate', type: 'nominal', title: null },
      x: named
        ? { field: 'class', type: 'nominal', sort: null, title: 'class, by the exit that takes most of its images' }
        : {
            field: 'rank',
            type: 'quantitative',
            title: 'class, in the order of classes.csv',
            scale: { domain: [1, present.length], nice: false },
          },
      // Images are counted: no ticks between whole numbers.
      y: {
        field: 'images',
        type: 'quantitative',
        title: 'images',
        axis: { tickCount: Math.min(5, most), format: 'd' },
      },
      color: { field: 'gate', type: 'nominal', legend: null },
    },
  };
  return {
    name: 'classes',
    title: 'Images that each gate classifies right with certainty, by class (Figure 7)',
    caption:
      `Images classified right with a distance of at least ${distance}, at whichever exit they leave; ` +
      `${counted(count)} test images${ofClasses(present, classes)}, seed ${experiment.seed}`,
    spec,
  };
}

/** The number of classes of the images, if some classes have none. */
function ofClasses(present: readonly ClassCounts[], classes: readonly string[]): string {
  if (present.length === classes.length) return '';
  return ` of ${counted(present.length)} of the ${counted(classes.length)} classes`;
}

/**
 * Images of the classes that leave earliest, or latest, that are classified right there.
 *
 * @returns undefined if no class has such an image
 */
async function sheetOf(
  present: readonly ClassCounts[],
  { testImages: test, scores, experiment }: ScoredRun,
  { distance, classes, images: perRow }: Options,
  show: 'early' | 'late',
): Promise<ImageSheet | undefined> {
  const gates = scores.test.classes.length;
  const thresholds = new Array<number>(gates).fill(distance);
  const exits = [...test.labels.keys()].map((image) => exitOf(scores.test, thresholds, image));
  const right = (image: number): boolean =>
    (scores.test.classes[exits[image]!] ?? scores.test.original)[image] === test.labels[image];
  const ofClass = new Map<number, number[]>();
  for (const [image, label] of test.labels.entries()) {
    if (exits[image]! < earlyExits(gates) !== (show === 'early') || !right(image)) continue;
    ofClass.set(label, [...(ofClass.get(label) ?? []), image]);
  }
  const chosen = chosenClasses(present, show).filter(({ label }) => ofClass.has(label));
  const rows = [];
  for (const { label, earlyShare } of chosen.slice(0, classes)) {
    const name = test.classes[label]!;
    rows.push(
      await sheetRow(test, {
        label: `${name} (${percent(earlyShare, 0)} early)`,
        images: drawn(ofClass.get(label)!, perRow, experiment.seed, `${name} ${show}`),
        caption: (image) => exitName(exits[image]!, gates),
        tone: 'plain',
      }),
    );
  }
  if (rows.length === 0) return undefined;
  const early = Array.from({ length: earlyExits(gates) }, (_, i) => String(i + 1));
  return {
    name: 'examples',
    title: show === 'early' ? 'Classes that leave early (Figure 6)' : 'Classes that need the last gate (Figure 8)',
    caption:
      `Images classified right that ${show === 'early' ? 'leave' : 'do not leave'} at gate ${listed(early)}, all thresholds ${distance}; ` +
      `a random choice (seed ${experiment.seed}) of ${counted(test.count)} test images${ofClasses(present, test.classes)}; ` +
      'captions: the exit of each image',
    rows,
  };
}

/** Classes in the order of the sheet: earliest or latest first. */
function chosenClasses(present: readonly ClassCounts[], show: 'early' | 'late'): readonly ClassCounts[] {
  return show === 'early' ? byEarlyShare(present) : byEarlyShare(present).reverse();
}
