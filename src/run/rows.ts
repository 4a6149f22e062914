import { type Column, tabulate } from '../csv.js';
import { learns, systemName } from '../experiment/network.js';
import type { FindingCell, FindingTable } from '../report/findings.js';
import {
  areasOf,
  modelName,
  type PublishedRow,
  type RowIntervals,
  type TableRow,
  withoutAccuracy,
} from '../report/rows.js';
import { endsOf, type Interval, type IntervalEnds, mean, wilson } from '../statistics/intervals.js';
import type { Intervals } from '../thresholds/evaluate.js';
import { searchMethods } from '../thresholds/methods.js';
import type { RowTiming, TimingRecord } from '../timing/record.js';
import { membersOf } from './plan.js';
import type { ChosenAgain, Row } from './search.js';
import type { RunOutcome } from './stages.js';

/** A run, or the part of it that is known before its analysis. */
export type TableBasis = Pick<
  RunOutcome,
  'experiment' | 'rows' | 'original' | 'choosing' | 'exitCosts' | 'exitMs' | 'published' | 'timing'
>;

/** The rows of a run as the table has them, the original network last. */
export function tableRows(outcome: TableBasis): TableRow[] {
  const gated = outcome.rows.map((row) => tableRow(row, outcome, publishedRow(row, outcome)));
  const original = tableRow(originalRow(outcome), outcome, outcome.published.at(-1));
  const rows = [...gated, { ...original, model: 'Original', ...originalSpeed(outcome.timing) }];
  return outcome.experiment.unlabelled === undefined ? rows : rows.map(withoutAccuracy);
}

/** The original network as a row: only its accuracy varies with the images. */
function originalRow({ original: { accuracy, flops, count }, exitCosts }: TableBasis): Row {
  const correct = Math.round(accuracy * count);
  const exits = exitCosts.map((_, exit) => (exit === exitCosts.length - 1 ? count : 0));
  const none = { low: 0, high: 0 };
  const intervals = { accuracy: wilson(correct, count), accuracyDrop: none, flops: { low: flops, high: flops } };
  const changes = { disagreement: 0, worstClassDrop: 0 };
  return { kind: 'fixed', thresholds: [], evaluation: { accuracy, flops, exits, correct, count }, intervals, changes };
}

/**
 * The paper's row for a row: margins are in the order of the published rows, with the first search of each; fixed thresholds
 * belong to the published row with the same ones.
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

function tableRow(row: Row, { experiment, original, timing }: TableBasis, published?: PublishedRow): TableRow {
  const { accuracy, flops, exits, count } = row.evaluation;
  const thresholds = row.thresholds.map((part) => part.map((t) => (Number.isFinite(t) ? t : null)));
  return {
    model: modelName(row.thresholds, systemName(experiment.network)),
    margin: row.margin ?? null,
    search: row.search ?? null,
    ...(row.budget !== undefined && { budget: row.budget }),
    ...(row.latencyMs !== undefined && { latencyMs: row.latencyMs }),
    ...(row.disagreement !== undefined && { allowedDisagreement: row.disagreement }),
    guarantee: row.guarantee === undefined ? null : guaranteeOf(row.guarantee),
    thresholds,
    accuracy,
    accuracyDrop: original.accuracy - accuracy,
    flops,
    flopsReduction: 1 - flops / original.flops,
    ...speedOf(timing, thresholds),
    exits: exits.map((number) => number / count),
    intervals: intervalsOf(row.intervals, original.flops),
    ...(row.chosenAgain && { chosenAgain: chosenAgainOf(row.chosenAgain, original.flops)! }),
    seeds: [experiment.seed],
    spread: null,
    ...row.changes,
    ...(published && { published }),
  };
}

function guaranteeOf({ drop, confidence, of, method, parts }: NonNullable<Row['guarantee']>): TableRow['guarantee'] {
  const shown = parts.map(({ open, pValue, testedOn }) => {
    return { open, pValue: Number.isNaN(pValue) ? null : pValue, testedOn };
  });
  const more = { ...(of === 'agreement' && { of }), ...(method !== 'exact' && { method }) };
  return { drop, confidence, ...more, parts: shown };
}

const reductionEnds = ({ low, high }: Interval, originalFlops: number): IntervalEnds => [
  1 - high / originalFlops,
  1 - low / originalFlops,
];

function intervalsOf({ accuracy, accuracyDrop, flops }: Intervals, originalFlops: number): RowIntervals {
  return {
    accuracy: endsOf(accuracy),
    accuracyDrop: endsOf(accuracyDrop),
    flops: endsOf(flops),
    flopsReduction: reductionEnds(flops, originalFlops),
  };
}

function chosenAgainOf({ accuracyDrop, flops }: ChosenAgain, originalFlops: number): TableRow['chosenAgain'] {
  return { accuracyDrop: endsOf(accuracyDrop), flopsReduction: reductionEnds(flops, originalFlops) };
}

/** FLOPs and accuracy of each search on choosing and reported images; empty unless the experiment asks for several. */
export function searchTables({ rows, original }: Pick<TableBasis, 'rows' | 'original'>): FindingTable[] {
  const methods = searchMethods.filter((method) => rows.some(({ search }) => search === method));
  if (methods.length < 2) return [];
  const margins = [...new Set(rows.flatMap(({ margin }) => margin ?? []))];
  const byAsked = new Map(rows.map((row) => [`${row.search} ${row.margin}`, row]));
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
        const found = methods.map((method) => byAsked.get(`${method} ${margin}`)!);
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

/** The area under accuracy against FLOPs of each kind of searched rows: `areas.csv`. */
export function areaTable(basis: TableBasis): FindingTable[] {
  const areas = areasOf(tableRows(basis));
  const what = basis.experiment.unlabelled === undefined ? 'accuracy' : 'agreement';
  if (areas.length === 0) return [];
  const title = `Area under ${what} against FLOPs: the mean between a share of the FLOPs and all of them`;
  const table = tabulate(areas, [
    ['rows', ({ rows }) => rows],
    ['from_flops_fraction', ({ from }) => from],
    ['area_fraction', ({ area }): FindingCell => area],
  ]);
  return [{ name: 'areas', title, consoleRows: areas.length, ...table }];
}

/** What the training of each gate reached, with each lambda where it was chosen from a list: `gates.csv`. */
export function gateTable({ experiment, gates }: Pick<RunOutcome, 'experiment' | 'gates'>): FindingTable[] {
  if (!learns(experiment.network)) return [];
  const members = membersOf(experiment);
  const rows = gates.flatMap((gate, i) => {
    const given = { number: i + 1, asked: members[gate.network ?? 0]!.gates, chosen: gate.l2 };
    return (gate.tried ?? [{ ...gate, accuracy: null }]).map((one) => ({ ...gate, ...one, ...given }));
  });
  const isChoice = gates.some(({ tried }) => tried !== undefined);
  type GateColumn = Column<(typeof rows)[number], FindingCell>;
  const network: GateColumn = ['network', (gate) => (gate.network ?? 0) + 1];
  const choice: GateColumn[] = [
    ['choosing_accuracy_fraction', ({ accuracy }) => accuracy],
    ['chosen', ({ l2, chosen }) => (l2 === chosen ? 'yes' : 'no')],
  ];
  const columns: GateColumn[] = [
    ...(members.length > 1 ? [network] : []),
    ['gate', ({ number }) => number],
    ['stage', ({ stage }) => stage],
    ['features', ({ features }) => features],
    ['loss', ({ asked }) => asked.loss],
    ['lambda', ({ l2 }) => l2],
    ['solver', ({ asked }) => asked.solver],
    ['objective', ({ objective }) => objective],
    ['gap', ({ gap }) => gap ?? null],
    ['worst_class_gap', ({ worstGap }) => worstGap ?? null],
    ['asked_gap', ({ asked }) => (asked.solver === 'sgd' ? null : asked.gap)],
    ...(isChoice ? choice : []),
  ];
  const title = 'Gates: objectives, and bounds of their distance to the lowest (relative duality gaps)';
  return [{ name: 'gates', title, ...(isChoice && { consoleRows: rows.length }), ...tabulate(rows, columns) }];
}

/** The columns of a table row that a timing fills; null without one. */
type Speed = Pick<TableRow, 'speedMs' | 'speedUp' | 'efficiency'>;

const none: Speed = { speedMs: null, speedUp: null, efficiency: null };

/** The rows of the measurement of one image at a time, the paper's. */
export function latencies(timing: TimingRecord | undefined): readonly RowTiming[] {
  return timing?.batches.find(({ batch }) => batch === 1)?.rows ?? [];
}

/**
 * Speed of the row with exactly these thresholds. A machine's pace changes from row to row and only t/t0 is paired, so the
 * milliseconds are t/t0 times the original's mean over all rows: comparable within the column.
 */
export function speedOf(timing: TimingRecord | undefined, thresholds: TableRow['thresholds']): Speed {
  const wanted = JSON.stringify(thresholds);
  const row = latencies(timing).find((candidate) => JSON.stringify(candidate.thresholds) === wanted);
  if (row === undefined) return none;
  const speedMs = originalSpeed(timing).speedMs! * (1 - row.speedUp);
  return { speedMs, speedUp: row.speedUp, efficiency: row.efficiency };
}

/** Speed of the original network: the mean over its pairs with all rows. */
export function originalSpeed(timing: TimingRecord | undefined): Speed {
  const rows = latencies(timing);
  return rows.length === 0 ? none : { ...none, speedMs: mean(rows.map(({ originalMs }) => originalMs.mean)) };
}

/** A line about the source of a table's speeds; undefined without speeds. */
export function speedSource(timing: TimingRecord | undefined): string | undefined {
  if (timing === undefined || latencies(timing).length === 0) return undefined;
  const { engine, date, machine } = timing;
  const versions = Object.entries(engine.versions).map(([name, version]) => `${name} ${version}`);
  return (
    `one image at a time, ${engine.id} (${versions.join(', ')}), ${engine.device}, ${machine.cores} cores, ` +
    `${date.slice(0, 16).replace('T', ' ')} UTC; speed-ups against the original in the same pairs, Speed at the mean t0 of all rows (each row's own: timing.txt)`
  );
}
