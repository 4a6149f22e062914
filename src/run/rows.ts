import { systemName } from '../experiment/cascade.js';
import type { FindingTable } from '../report/findings.js';
import { modelName, type PublishedRow, type RowIntervals, type TableRow } from '../report/rows.js';
import { endsOf, type IntervalEnds } from '../statistics/interval.js';
import { searches, searchMethods } from '../thresholds/methods.js';
import { type Intervals, outcomeIntervals } from '../thresholds/outcomes.js';
import type { RunOutcome } from './outcome.js';
import type { ChosenAgain, Row } from './search.js';
import { originalSpeed, speedOf } from './speeds.js';

/** What a table is made of: a run, or what is known of it before its analysis. */
export type TableBasis = Pick<RunOutcome, 'experiment' | 'rows' | 'original' | 'exitCosts' | 'published' | 'timing'>;

/** The rows of a run as the table has them, the original network last. */
export function tableRows(outcome: TableBasis): TableRow[] {
  const { original, exitCosts, experiment } = outcome;
  const last: TableRow = {
    model: 'Original',
    margin: null,
    search: null,
    guarantee: null,
    thresholds: [],
    accuracy: original.accuracy,
    accuracyDrop: 0,
    flops: original.flops,
    flopsReduction: 0,
    ...originalSpeed(outcome.timing),
    exits: exitCosts.map((_, exit) => (exit === exitCosts.length - 1 ? 1 : 0)),
    intervals: originalIntervals(outcome),
    seeds: [experiment.seed],
    spread: null,
    disagreement: 0,
    worstClassDrop: 0,
    ...publishedFor(outcome.published.at(-1)),
  };
  const gated = outcome.rows.map((row): TableRow => {
    const printed = publishedRow(row, outcome);
    return { ...tableRow(row, outcome), ...publishedFor(printed) };
  });
  return [...gated, last];
}

/**
 * What the paper printed for a row: margins stand in the order of the published rows, the original's last; the paper's
 * row belongs to the first search of a margin (the paper's, where it is there). A row of fixed thresholds belongs to the
 * published row with the same ones.
 */
function publishedRow(row: Row, { experiment, published }: TableBasis): PublishedRow | undefined {
  const printed = published.slice(0, -1);
  if (row.kind === 'fixed') {
    return printed.find(({ model }) => thresholdsOf(model).join() === row.thresholds[0]?.join());
  }
  const { margins, search } = experiment.thresholds;
  const first = searchMethods.find((method) => search.includes(method));
  return row.kind === 'margin' && row.search === first ? printed[margins.indexOf(row.margin!)] : undefined;
}

/** `dg(1.0, 0.6,1.5)` as numbers. */
function thresholdsOf(model: string): number[] {
  return (/\((.*)\)/.exec(model)?.[1] ?? '').split(',').map(Number);
}

const publishedFor = (row: PublishedRow | undefined) => (row === undefined ? {} : { published: row });

function tableRow(row: Row, { experiment, original, timing }: TableBasis): TableRow {
  const { accuracy, flops, exits, count } = row.evaluation;
  const thresholds = row.thresholds.map((part) => part.map((t) => (Number.isFinite(t) ? t : null)));
  return {
    model: modelName(row.thresholds, systemName(experiment.network)),
    margin: row.margin ?? null,
    search: row.search ?? null,
    ...(row.budget !== undefined && { budget: row.budget }),
    guarantee: row.guarantee === undefined ? null : guaranteeOf(row.guarantee),
    thresholds,
    accuracy,
    accuracyDrop: original.accuracy - accuracy,
    flops,
    flopsReduction: 1 - flops / original.flops,
    ...speedOf(timing, thresholds),
    exits: exits.map((number) => number / count),
    intervals: intervalsOf(row.intervals, original.flops),
    ...(row.chosenAgain !== undefined && { chosenAgain: chosenAgainOf(row.chosenAgain, original.flops) }),
    seeds: [experiment.seed],
    spread: null,
    ...row.changes,
  };
}

function guaranteeOf({ drop, confidence, parts }: NonNullable<Row['guarantee']>): TableRow['guarantee'] {
  const shown = parts.map(({ open, pValue, testedOn }) => ({ open, pValue, testedOn }));
  return { drop, confidence, parts: shown };
}

function intervalsOf({ accuracy, accuracyDrop, flops }: Intervals, originalFlops: number): RowIntervals {
  return {
    accuracy: endsOf(accuracy),
    accuracyDrop: endsOf(accuracyDrop),
    flops: endsOf(flops),
    flopsReduction: [1 - flops.high / originalFlops, 1 - flops.low / originalFlops],
  };
}

function chosenAgainOf(
  { accuracyDrop, flops }: ChosenAgain,
  originalFlops: number,
): NonNullable<TableRow['chosenAgain']> {
  return {
    accuracyDrop: endsOf(accuracyDrop),
    flopsReduction: [1 - flops.high / originalFlops, 1 - flops.low / originalFlops],
  };
}

/** The original's accuracy varies with the images too; all else is fixed. */
function originalIntervals({ original }: TableBasis): RowIntervals {
  const right = Math.round(original.accuracy * original.count);
  // One exit: images that both get wrong, and that both get right.
  const counts = Int32Array.of(original.count - right, 0, 0, right);
  const { accuracy } = outcomeIntervals(counts, [original.flops]);
  const none: IntervalEnds = [0, 0];
  return {
    accuracy: endsOf(accuracy),
    accuracyDrop: none,
    flops: [original.flops, original.flops],
    flopsReduction: none,
  };
}

/**
 * How far the searches of an experiment are apart: FLOPs and accuracy of each, on the images that chose and on those
 * that are reported. Empty unless the experiment asks for several.
 */
export function searchTables({ rows, original }: Pick<TableBasis, 'rows' | 'original'>): FindingTable[] {
  const methods = searchMethods.filter((method) => rows.some(({ search }) => search === method));
  if (methods.length < 2) return [];
  const margins = [...new Set(rows.flatMap(({ margin }) => margin ?? []))];
  const reduction = (flops: number): number => 1 - flops / original.flops;
  return [
    {
      name: 'searches',
      title: 'Searches beside each other: FLOPs saved on validation and on test, points lost on test',
      columns: [
        'margin_fraction',
        ...methods.map((method) => `saved_validation_${method}_fraction`),
        ...methods.map((method) => `saved_${method}_fraction`),
        ...methods.map((method) => `drop_${method}_fraction`),
        'flops_ratio',
      ],
      rows: margins.map((margin) => {
        const found = methods.map((method) => rows.find((row) => row.search === method && row.margin === margin)!);
        const evaluations = found.map(({ evaluation }) => evaluation);
        return [
          margin,
          ...found.map(({ validation }) => reduction(validation!.flops)),
          ...evaluations.map(({ flops }) => reduction(flops)),
          ...evaluations.map(({ accuracy }) => original.accuracy - accuracy),
          evaluations.at(-1)!.flops / evaluations[0]!.flops,
        ];
      }),
      consoleRows: margins.length,
    },
  ];
}

/** What the training of each gate reached; written to `gates.csv`. */
export function gateTable({ experiment, gates }: Pick<RunOutcome, 'experiment' | 'gates'>): FindingTable[] {
  const { loss, l2, solver, gap } = experiment.gates;
  if (gates.length === 0) return []; // a cascade trains none
  return [
    {
      name: 'gates',
      title: 'Gates: objectives, and bounds of their distance to the lowest (relative duality gaps)',
      columns: [
        'gate',
        'stage',
        'features',
        'loss',
        'lambda',
        'solver',
        'objective',
        'gap',
        'worst_class_gap',
        'asked_gap',
      ],
      rows: gates.map(({ stage, features, objective, gap: reached, worstGap }, i) => {
        return [
          i + 1,
          stage,
          features,
          loss,
          l2,
          solver,
          objective,
          reached ?? null,
          worstGap ?? null,
          solver === 'sgd' ? null : gap,
        ];
      }),
    },
  ];
}

/** What a reader must know of the table's thresholds and intervals; a line without a name goes on with the one before. */
export function thresholdFacts({ rows, experiment }: TableBasis): [name: string, value: string][] {
  if (rows.length === 0) return [];
  const { margins, search, validation, resamples } = experiment.thresholds;
  const chosen = validation.kind === 'cross-fit' ? "each fold's thresholds" : 'thresholds';
  const facts = [
    ...(margins.length === 0
      ? []
      : [`searched for the fewest FLOPs at each margin: ${search.map((method) => searches[method].words).join('; ')}`]),
    ...rows.flatMap(({ guarantee }) => (guarantee === undefined ? [] : guaranteeFacts(guarantee, chosen))),
    `± half of the 95 % interval over the reported images (score intervals, paired), ${chosen} as they are`,
    ...(resamples === undefined
      ? []
      : [`chosen_again in table.csv: both samples drawn anew ${resamples} times, thresholds searched again each time`]),
  ];
  return facts.map((fact, i) => [i === 0 ? 'Thresholds' : '', fact]);
}

function guaranteeFacts({ drop, confidence, parts }: NonNullable<Row['guarantee']>, chosen: string): string[] {
  const [points, percent] = [+(100 * drop).toFixed(4), +(100 * confidence).toFixed(2)];
  const closed = parts.flatMap(({ open }, i) => (open ? [] : [i + 1]));
  const tested = parts.map(({ testedOn }) => testedOn.toLocaleString('en')).join(' and ');
  return [
    `<= ${points} points: with ${percent} % confidence, ${chosen} lose at most that on new images of the same kind, on ` +
      `average (Learn then Test on ${tested} images)`,
    ...(closed.length === 0
      ? []
      : [
          `nothing could be promised${parts.length > 1 ? ` in fold ${closed.join(', ')}` : ''}: all gates are closed there`,
        ]),
  ];
}
