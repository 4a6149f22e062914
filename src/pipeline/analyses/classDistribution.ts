import type { TopLevelSpec } from 'vega-lite';
import type { ImageSource } from '../../data/dataset.js';
import type { AnalysisOf } from '../../experiment/analysis.js';
import type { Claim, Figure, Findings, FindingTable, ImageSheet } from '../../report/findings.js';
import { exitOf } from '../../thresholds/evaluate.js';
import { printedClaim, settle } from './claims.js';
import { byExit, CANNOT, type ClassCounts, classCounts, earlyExits, earlyVerdict, lateVerdict } from './classCounts.js';
import { type Grouping, groupClasses } from './groups.js';
import { drawn, sheetRow } from './sheets.js';
import { chiSquared, chiSquaredTail, wilson } from './statistics.js';
import type { Study } from './study.js';
import { counted, listed, percent } from './words.js';

/** Figures 6, 7 and 8: which classes each gate takes. */
export async function classDistribution(study: Study, options: AnalysisOf<'class-distribution'>): Promise<Findings> {
  const test = study.testImages;
  const grouping = options.groups && groupClasses(test.classes, options.groups);
  const counts = classCounts(study.scores.test, test.classes.length, options.distance);
  const sorted = byExit(counts.filter(({ images }) => images > 0));
  const { show } = options;
  return {
    tables: [classTable(sorted, test, grouping), ...(grouping ? [groupTable(counts, grouping)] : [])],
    figures: show === 'counts' ? [countsFigure(sorted, study, options)] : [],
    sheets: show === 'counts' ? [] : [await sheetOf(sorted, study, options, show)],
    claims: [await claimOf(sorted, study, options, grouping)],
  };
}

const exitName = (exit: number, gates: number): string => (exit === gates ? 'original' : `gate ${exit + 1}`);

function classTable(
  sorted: readonly ClassCounts[],
  { classes, classIds }: Pick<ImageSource, 'classes' | 'classIds'>,
  grouping?: Grouping,
): FindingTable {
  const gates = sorted[0]?.able.length ?? 0;
  const numbers = Array.from({ length: gates }, (_, gate) => gate + 1);
  return {
    name: 'classes',
    title: 'Images of each class by gate; classes sorted by the exit that takes most of them',
    columns: [
      'class',
      ...(classIds ? ['wnid'] : []),
      'label',
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
      const { low, high } = wilson(Math.round(row.earlyShare * row.images), row.images);
      return [
        classes[row.label]!,
        ...(classIds ? [classIds[row.label]!] : []),
        row.label,
        ...(grouping ? [grouping.names[grouping.of[row.label]!]!] : []),
        row.images,
        ...row.able,
        ...row.taken,
        row.wrong,
        exitName(row.exit, gates),
        row.earlyShare,
        low,
        high,
      ];
    }),
    consoleRows: Math.min(sorted.length, 20),
  };
}

function groupTable(counts: readonly ClassCounts[], { names, of }: Grouping): FindingTable {
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

/** More classes than this have no room for their names. */
const MOST_NAMED = 40;

function countsFigure(
  sorted: readonly ClassCounts[],
  { testImages, experiment }: Study,
  { distance }: AnalysisOf<'class-distribution'>,
): Figure {
  const { classes, count } = testImages;
  const named = sorted.length <= MOST_NAMED;
  const values = sorted.flatMap(({ label, able }, rank) =>
    able.map((number, gate) => ({ class: classes[label]!, rank: rank + 1, gate: `gate ${gate + 1}`, images: number })),
  );
  const spec: TopLevelSpec = {
    data: { values },
    mark: named ? { type: 'bar', tooltip: true } : { type: 'area', interpolate: 'step', tooltip: true },
    height: 110,
    encoding: {
      row: { field: 'gate', type: 'nominal', title: null },
      x: named
        ? { field: 'class', type: 'nominal', sort: null, title: 'class, by the exit that takes most of its images' }
        : { field: 'rank', type: 'quantitative', title: 'class, in the order of classes.csv' },
      y: { field: 'images', type: 'quantitative', title: 'images' },
      color: { field: 'gate', type: 'nominal', legend: null },
    },
  };
  return {
    name: 'classes',
    title: 'Images that each gate classifies right with certainty, by class (Figure 7)',
    caption:
      `Images classified right with a distance of at least ${distance}, whether or not they would have left before; ` +
      `${counted(count)} test images, seed ${experiment.seed}`,
    spec,
  };
}

/** Classes to show: the ones that leave earliest, or latest first. */
function chosenClasses(sorted: readonly ClassCounts[], show: 'early' | 'late', most: number): readonly ClassCounts[] {
  const byEarly = [...sorted].sort((a, b) => b.earlyShare - a.earlyShare);
  return (show === 'early' ? byEarly : byEarly.reverse()).slice(0, most);
}

async function sheetOf(
  sorted: readonly ClassCounts[],
  { testImages: test, scores, experiment }: Study,
  { distance, classes, images: perRow }: AnalysisOf<'class-distribution'>,
  show: 'early' | 'late',
): Promise<ImageSheet> {
  const gates = scores.test.classes.length;
  const thresholds = new Array<number>(gates).fill(distance);
  const exits = [...test.labels.keys()].map((image) => exitOf(scores.test, thresholds, image));
  const right = (image: number): boolean =>
    (scores.test.classes[exits[image]!] ?? scores.test.original)[image] === test.labels[image];
  const rows = [];
  for (const { label, earlyShare } of chosenClasses(sorted, show, classes)) {
    const name = test.classes[label]!;
    const candidates = [...test.labels.keys()].filter((image) => {
      return test.labels[image] === label && exits[image]! < earlyExits(gates) === (show === 'early') && right(image);
    });
    rows.push(
      await sheetRow(test, {
        label: `${name} (${percent(earlyShare, 0)} early)`,
        images: drawn(candidates, perRow, experiment.seed, `${name} ${show}`),
        caption: (image) => exitName(exits[image]!, gates),
        tone: 'plain',
      }),
    );
  }
  const early = Array.from({ length: earlyExits(gates) }, (_, i) => String(i + 1));
  return {
    name: 'examples',
    title: show === 'early' ? 'Classes that leave early (Figure 6)' : 'Classes that need the last gate (Figure 8)',
    caption:
      `Images classified right that ${show === 'early' ? 'leave' : 'do not leave'} at gate ${listed(early)}, all thresholds ${distance}; ` +
      `a random choice (seed ${experiment.seed}) of ${counted(test.count)} test images; under each image where it leaves`,
    rows: rows.filter((row) => row.images.length > 0),
  };
}

async function claimOf(
  sorted: readonly ClassCounts[],
  study: Study,
  { show, distance, classes }: AnalysisOf<'class-distribution'>,
  grouping: Grouping | undefined,
): Promise<Claim> {
  const { classes: names } = study.testImages;
  const nameOf = ({ label }: ClassCounts): string => names[label]!;
  const gates = study.scores.test.classes.length;
  if (show === 'early') {
    const found = earlyVerdict(sorted);
    const [first, last] = [chosenClasses(sorted, 'early', 1)[0]!, chosenClasses(sorted, 'late', 1)[0]!];
    const table = sorted.map(({ earlyShare, images }) => [earlyShare * images, (1 - earlyShare) * images]);
    const { statistic, freedom } = chiSquared(table);
    const chance = chiSquaredTail(statistic, freedom);
    return settle(await printedClaim('figure6-early'), study.experiment, {
      measured:
        `more than half of the images leave early in ${found.mostly.length} of ${sorted.length} classes; from ` +
        `${percent(first.earlyShare)} (${nameOf(first)}) to ${percent(last.earlyShare)} (${nameOf(last)}); ` +
        `classes differ with ${chance < 1e-6 ? 'p < 1e-6' : `p = ${chance.toPrecision(2)}`}`,
      verdict: found.verdict,
      why: found.verdict === 'holds' ? undefined : `early gates reach a distance of ${distance} on too few images`,
      trace: { file: 'classes.csv', row: `${nameOf(first)}, ${nameOf(last)}` },
    });
  }
  if (show === 'counts') {
    const found = lateVerdict(sorted);
    const shares = sorted.map(({ able, images }) => able[0]! / images);
    const least = sorted[shares.indexOf(Math.min(...shares))]!;
    return settle(await printedClaim('figure7-late'), study.experiment, {
      measured:
        `gate 1 takes less than ${percent(CANNOT, 0)} of the images of ${found.cannot.length} of ${sorted.length} classes` +
        `${found.cannot.length > 0 && found.cannot.length <= 5 ? ` (${listed(found.cannot.map(nameOf))})` : ''}; least: ` +
        `${nameOf(least)}, ${percent(least.able[0]! / least.images)} at gate 1 and ${percent(least.able.at(-1)! / least.images)} at gate ${gates}`,
      verdict: found.verdict,
      why: found.verdict === 'holds' ? undefined : 'ten coarse classes: each has images that are told apart early',
      trace: { file: 'classes.csv', row: nameOf(least) },
    });
  }
  const late = chosenClasses(sorted, 'late', classes);
  const shares = grouping?.names.map((name, group) => {
    const members = (rows: readonly ClassCounts[]) => rows.filter(({ label }) => grouping.of[label] === group).length;
    return `${name}: ${members(late)} of these ${late.length}, ${members(sorted)} of all ${sorted.length} classes`;
  });
  return settle(await printedClaim('figure8-fine-grained'), study.experiment, {
    measured: [`latest to leave: ${listed(late.map(nameOf))}`, ...(shares ?? [])].join('; '),
    verdict: 'cannot be checked here',
    why: `how fine a class is the data do not say; the classes are on the sheet`,
    trace: { file: 'classes.csv', row: late.map(nameOf).join(', ') },
  });
}
