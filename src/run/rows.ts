import { systemName } from '../experiment/network.js';
import type { FindingTable } from '../report/findings.js';
import {
  areasOf,
  modelName,
  type PublishedRow,
  type RowIntervals,
  type TableRow,
  withoutAccuracy,
} from '../report/rows.js';
import { Z95 } from '../statistics/intervals.js';
import { endsOf, type IntervalEnds, mean } from '../statistics/samples.js';
import { searches } from '../thresholds/methods.js';
import { searchMethods } from '../thresholds/names.js';
import { type Intervals, outcomeIntervals } from '../thresholds/outcomes.js';
import type { RowTiming, TimingRecord } from '../timing/record.js';
import { membersOf } from './plan.js';
import type { ChosenAgain, Row } from './search.js';
import type { RunOutcome } from './stages.js';

/** What a table is made of: a run, or what is known of it before its analysis. */
export type TableBasis = Pick<
  RunOutcome,
  'experiment' | 'rows' | 'original' | 'choosing' | 'exitCosts' | 'exitMs' | 'published' | 'timing'
>;

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
  const rows = [...gated, last];
  return experiment.unlabelled === undefined ? rows : rows.map(withoutAccuracy);
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
    ...(row.chosenAgain !== undefined && { chosenAgain: chosenAgainOf(row.chosenAgain, original.flops) }),
    seeds: [experiment.seed],
    spread: null,
    ...row.changes,
  };
}

function guaranteeOf({ drop, confidence, of, method, parts }: NonNullable<Row['guarantee']>): TableRow['guarantee'] {
  const shown = parts.map(({ open, pValue, testedOn }) => {
    return { open, pValue: Number.isNaN(pValue) ? null : pValue, testedOn };
  });
  const more = { ...(of === 'agreement' && { of }), ...(method !== 'exact' && { method }) };
  return { drop, confidence, ...more, parts: shown };
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

/** The area under accuracy against FLOPs of each kind of searched rows; written to `areas.csv`. */
export function areaTable(basis: TableBasis): FindingTable[] {
  const areas = areasOf(tableRows(basis));
  const what = basis.experiment.unlabelled === undefined ? 'accuracy' : 'agreement';
  if (areas.length === 0) return [];
  return [
    {
      name: 'areas',
      title: `Area under ${what} against FLOPs: the mean between a share of the FLOPs and all of them`,
      columns: ['rows', 'from_flops_fraction', 'area_fraction'],
      rows: areas.map(({ rows, from, area }) => [rows, from, area]),
      consoleRows: areas.length,
    },
  ];
}

/** What the training of each gate reached; written to `gates.csv`. */
export function gateTable({ experiment, gates }: Pick<RunOutcome, 'experiment' | 'gates'>): FindingTable[] {
  if (gates.length === 0) return []; // a cascade without gates trains none
  const members = membersOf(experiment);
  return [
    {
      name: 'gates',
      title: 'Gates: objectives, and bounds of their distance to the lowest (relative duality gaps)',
      columns: [
        ...(members.length > 1 ? ['network'] : []),
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
      rows: gates.map(({ network = 0, stage, features, objective, gap: reached, worstGap }, i) => {
        const { loss, l2, solver, gap } = members[network]!.gates;
        return [
          ...(members.length > 1 ? [network + 1] : []),
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
export function thresholdFacts({
  rows,
  experiment,
  original,
  choosing,
  exitMs,
}: TableBasis): [name: string, value: string][] {
  const { margins, latencyMs, search, validation, resamples } = experiment.thresholds;
  const chosen = validation.kind === 'cross-fit' ? "each fold's thresholds" : 'thresholds';
  const asked = [
    ...(margins.length === 0
      ? []
      : [`searched for the fewest FLOPs at each margin: ${search.map((method) => searches[method].words).join('; ')}`]),
    ...(latencyMs === undefined
      ? []
      : [
          `<= ms: by the times of the exits that dgate time measured: ${exitMs?.map((ms) => ms.toPrecision(3)).join(', ')}`,
        ]),
    ...rows.flatMap(({ guarantee }) => (guarantee === undefined ? [] : guaranteeFacts(guarantee, chosen))),
    `± half of the 95 % interval over the reported images (score intervals, paired), ${chosen} as they are`,
    ...(resamples === undefined
      ? []
      : [`chosen_again in table.csv: both samples drawn anew ${resamples} times, thresholds searched again each time`]),
  ];
  const facts = rows.length === 0 ? [] : asked;
  if (choosing !== undefined) facts.push(...unlikeFacts(choosing, original));
  return facts.map((fact, i) => [i === 0 ? 'Thresholds' : '', fact]);
}

/**
 * Margins and promises are about images like those that chose. A line where the two samples are not alike by what is known of
 * both without gates: the original's accuracy (two-sided test of two shares at 5 %).
 */
function unlikeFacts(
  choosing: { accuracy: number; count: number },
  reported: { accuracy: number; count: number },
): string[] {
  const [a, b] = [choosing, reported];
  const pooled = (a.accuracy * a.count + b.accuracy * b.count) / (a.count + b.count);
  const z = (a.accuracy - b.accuracy) / Math.sqrt(pooled * (1 - pooled) * (1 / a.count + 1 / b.count));
  if (!(Math.abs(z) > Z95)) return [];
  const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;
  return [
    `the original is right on ${percent(a.accuracy)} of the choosing images and ${percent(b.accuracy)} of the reported ones ` +
      `(z = ${z.toFixed(1)}): they are not alike, and more may be lost than a margin or a promise says`,
  ];
}

function guaranteeFacts(
  { drop, confidence, of, method, parts }: NonNullable<Row['guarantee']>,
  chosen: string,
): string[] {
  const percent = (share: number): string => `${+(100 * share).toFixed(2)} %`;
  const what = of === 'agreement' ? `answer at most ${percent(drop)} of new images` : 'lose at most that on new images';
  const other = of === 'agreement' ? ' otherwise than the original' : '';
  const limit = of === 'agreement' ? `<= ${percent(drop)} disagreement` : `<= ${+(100 * drop).toFixed(4)} points`;
  const tested = parts.map(({ testedOn }) => testedOn.toLocaleString('en')).join(' and ');
  const means = {
    exact: 'Learn then Test',
    betting: 'Learn then Test by betting',
    conformal: 'conformal risk control',
  };
  const promise =
    method === 'conformal'
      ? `on average over the draws of the choosing images, ${chosen} ${what}${other}, without a confidence for this draw`
      : `with ${percent(confidence)} confidence, ${chosen} ${what} of the same kind${other}, on average`;
  // Each fold's promise may fail; both hold with what is left (Bonferroni).
  const together = `all ${parts.length} folds together with ${percent(Math.max(0, 1 - parts.length * (1 - confidence)))} confidence`;
  const closed = parts.flatMap(({ open }, i) => (open ? [] : [i + 1]));
  const where = parts.length > 1 ? ` for fold ${closed.join(', ')}` : '';
  return [
    `${limit}: ${promise} (${means[method ?? 'exact']} on ${tested} images)`,
    ...(parts.length > 1 && method !== 'conformal' ? [together] : []),
    ...(closed.length === 0 ? [] : [`no thresholds could be certified${where}; all gates stay closed there`]),
  ];
}

/** The columns of a table row that a timing fills; null where it was not timed. */
export type Speed = Pick<TableRow, 'speedMs' | 'speedUp' | 'efficiency'>;

const none: Speed = { speedMs: null, speedUp: null, efficiency: null };

/** The rows of the latency measurement, which is the paper's: one image at a time. */
function latencies(timing: TimingRecord | undefined): readonly RowTiming[] {
  return timing?.batches.find(({ batch }) => batch === 1)?.rows ?? [];
}

/**
 * Speed of the row with these thresholds: exactly these, so that times of other gates are never shown. The milliseconds
 * are at the original's time of the whole column, so that they can be compared with it and with each other: the pace of
 * a machine changes from row to row, and only t/t0 is of the same pairs.
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

/** Where the speeds of a table come from, in a line; undefined where it has none. */
export function speedSource(timing: TimingRecord | undefined): string | undefined {
  if (timing === undefined || latencies(timing).length === 0) return undefined;
  const { engine, date, machine } = timing;
  const versions = Object.entries(engine.versions).map(([name, version]) => `${name} ${version}`);
  return (
    `one image at a time, ${engine.id} (${versions.join(', ')}), ${engine.device}, ${machine.cores} cores, ` +
    `${date.slice(0, 16).replace('T', ' ')} UTC; speed-ups against the original in the same pairs, Speed at the mean t0 of all rows (each row's own: timing.txt)`
  );
}
