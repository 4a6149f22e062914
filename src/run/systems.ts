import type { TopLevelSpec } from 'vega-lite';
import { systemName } from '../experiment/network.js';
import type { Experiment } from '../experiment/schema.js';
import { parametersUpTo } from '../networks/network.js';
import { classCount, gateFeatureCounts } from '../networks/onnx.js';
import type { Figure, FindingTable } from '../report/findings.js';
import { modelName } from '../report/rows.js';
import { mean } from '../statistics/intervals.js';
import {
  countOutcomes,
  type Intervals,
  outcomeIntervals,
  type Scores,
  type Thresholds,
} from '../thresholds/evaluate.js';
import type { RowTiming, TimingRecord } from '../timing/record.js';
import { extract, extractionOf } from './extract.js';
import { openImages } from './images.js';
import { costsOfExits, membersOf, openSource, type Plan, plan, sameClasses } from './plan.js';
import { latencies, originalSpeed } from './rows.js';
import { computeScores } from './score.js';
import type { Row } from './search.js';
import { type NetworkSource, networksOf } from './source.js';
import type { RunOutcome, ScoredParts, SplitScores, Stages } from './stages.js';

/** A network alone, cut off at a gate or with gates, or a cascade; measured on the reported images. */
export interface System {
  readonly name: string;
  /** `static`: all images take the same path. */
  readonly kind: 'static' | 'dynamic';
  readonly accuracy: number;
  /** Average FLOPs per image. */
  readonly flops: number;
  readonly intervals: Intervals;
  /** Of all its networks and gates, 4 bytes for each parameter; undefined for an ONNX file that is cut off. */
  readonly weightsBytes?: number | undefined;
  /** Average milliseconds of an image, from the measured times of the exits; undefined if they are unknown. */
  readonly ms?: number | undefined;
  /** Those of a row of the table. */
  readonly thresholds?: Row['thresholds'];
  /** Of any other system: one for all images, or one for each part. */
  readonly runs?: readonly SystemRun[];
}

type MeasuredSystem = System & { readonly speedMs?: number } & Pick<RowTiming, 'fileBytes' | 'peakBytes'>;

/** What a timing runs beside the rows, by the name of its line: some exits, or another network with an empty row. */
export type SystemRun = readonly [name: string, of: ChosenSystem | Experiment];

/** A table that compares systems. */
interface SystemTable extends FindingTable {
  readonly systems: readonly System[];
  /** The systems' accuracy is agreement with the answers of one of them. */
  readonly isAgreement?: boolean;
}

const isOfSystems = (table: FindingTable): table is SystemTable => 'systems' in table;

/** What a timing of a run has to time beside the rows. */
export const runsBeside = ({ findings: { tables } }: RunOutcome): SystemRun[] =>
  tables.filter(isOfSystems).flatMap(({ systems }) => systems.flatMap(({ runs = [] }) => runs));

/** Some exits, ascending, with thresholds for all but the last, which takes all remaining images. */
export interface ChosenSystem {
  readonly exits: readonly number[];
  readonly thresholds: Thresholds;
}

/** Bytes of the weights that some exits need; undefined for scores and for an ONNX file that is cut off. */
export function weightBytesOf({ members, exits, ...plan }: Plan, used: readonly number[]): number | undefined {
  const networks = new Set(used.map((exit) => exits[exit]!.network));
  const sizes = [...networks].map((network) => {
    const own = used.map((exit) => exits[exit]!).filter((exit) => exit.network === network);
    const { network: of, flops } = members?.[network] ?? plan;
    const { place: end } = own.at(-1)!;
    if (flops.parameters === 0 || (end !== undefined && 'format' in of)) return undefined;
    const places = own.flatMap(({ place }) => place ?? []);
    const classes = classCount(of);
    const gates = gateFeatureCounts(of, places).map((features, i) => {
      return (features + 1 + (own[i]!.previous ? classes : 0)) * classes;
    });
    const alone = end === undefined || 'format' in of ? flops.parameters : parametersUpTo(of, end.stage);
    return 4 * [alone, ...gates].reduce((sum, each) => sum + each, 0);
  });
  return sizes.some((size) => size === undefined) ? undefined : sizes.reduce<number>((sum, size) => sum + size!, 0);
}

/** A system without thresholds. @param answers class of each reported image */
export function staticSystem(name: string, answers: Int32Array, flops: number, scores: Scores): System {
  // All images leave at the only exit.
  const one: Scores = { ...scores, classes: [answers], confidences: [new Float32Array(answers.length)] };
  const counts = countOutcomes(one, [Number.NEGATIVE_INFINITY]);
  const right = answers.reduce((sum, answer, i) => sum + Number(answer === scores.labels[i]), 0);
  const intervals = outcomeIntervals(counts, [flops, flops]);
  return { name, kind: 'static', accuracy: right / answers.length, flops, intervals };
}

/**
 * Each exit alone: the network cut off at each gate that needs no other, or each network of a cascade; the original last.
 *
 * @param reference answers that drops are counted from
 */
export function exitSystems({ plan }: Stages, scores: Scores, reference: Int32Array = scores.original): System[] {
  return [...scores.classes, scores.original].flatMap((answers, exit) => {
    if (plan.exits[exit]!.previous) return [];
    const [flops] = costsOfExits(plan, [exit]);
    const alone = staticSystem(exitName(plan, exit), answers, flops!, { ...scores, original: reference });
    const runs = [systemRun(plan, { exits: [exit], thresholds: [] })];
    return { ...alone, weightsBytes: weightBytesOf(plan, [exit]), runs };
  });
}

/** Some exits as a timing runs them; a single one has the name of the system that it is. */
export function systemRun(plan: Plan, of: ChosenSystem): SystemRun {
  const { exits, thresholds } = of;
  if (exits.length === 1) return [exitName(plan, exits[0]!), of];
  return [`${exits.map((exit) => exit + 1).join(' > ')} at ${thresholds.join(', ')}`, of];
}

function exitName({ members, exits }: Plan, position: number): string {
  const { network, place } = exits[position]!;
  const gate = position - exits.findIndex((exit) => exit.network === network) + 1;
  if (members === undefined) return position === exits.length - 1 ? 'Original' : `cut at gate ${gate}`;
  return `${position + 1}: ${members[network]!.network.name}${place === undefined ? '' : ` cut at gate ${gate}`}`;
}

/** Each exit's temperatures, and the expected calibration error without and with them; written to `calibration.csv`. */
export function calibrationTable(plan: Plan, fits: ScoredParts['fits'] = []): FindingTable[] {
  const rows = fits.flatMap((parts, exit) =>
    parts.flatMap(({ fitted: { temperature }, errors }, part) =>
      errors === undefined ? [] : [[exitName(plan, exit), part + 1, temperature, ...errors]],
    ),
  );
  const columns = ['exit', 'part', 'temperature', 'error_before_fraction', 'error_after_fraction'];
  const title = 'Temperatures, fitted where thresholds are chosen; expected calibration error (15 bins) where reported';
  return rows.length === 0 ? [] : [{ name: 'calibration', title, columns, rows, consoleRows: rows.length }];
}

/** The networks of `baselines`, each run on the reported images. */
async function comparedNetworks(
  { context, experiment, plan: planned, engine, source: ownSource }: Stages,
  scores: Scores,
): Promise<System[]> {
  const networks = experiment.baselines ?? [];
  const as: Experiment = {
    ...experiment,
    network: { kind: 'cascade', networks: [...networks], confidence: 'max' },
    // They choose nothing, so they need no held-out images.
    thresholds: { ...experiment.thresholds, validation: { kind: 'cross-fit', folds: 2 } },
  };
  const systems: System[] = [];
  for (const member of membersOf(as)) {
    const own = await plan(member);
    sameClasses([own.network, planned.network], 'baselines');
    const source = await openSource(context, member, own);
    // The experiment's own networks are among its exits already.
    const label = ({ network, checkpoint }: NetworkSource): string => `${network.name} ${checkpoint.sha256}`;
    if (networksOf(ownSource).some((one) => label(one) === label(source))) continue;
    const { test } = await openImages(context, as, source);
    const set = await extract(context, extractionOf(context, source, test, [], engine, 'test'));
    const { original } = await computeScores([set], [], 'max', scores.labels);
    const alone = staticSystem(own.network.name, original, own.flops.flops, scores);
    const { guarantee: _g, budgets: _b, latencyMs: _l, ...plain } = as.thresholds;
    const of = { ...member, thresholds: { ...plain, margins: [], fixed: [[]] } };
    const name = `${own.network.name} ${source.checkpoint.sha256.slice(0, 8)}`;
    systems.push({ ...alone, weightsBytes: weightBytesOf(own, [0]), runs: [[name, of]] });
  }
  return systems;
}

/** All systems of a run in one table and one figure; empty without `baselines`. */
export async function comparedSystems(stages: Stages, { test }: SplitScores, rows: readonly Row[]) {
  const { experiment } = stages;
  if (experiment.baselines === undefined) return { tables: [], figures: [] };
  const weightsBytes = weightBytesOf(stages.plan, [...stages.plan.exits.keys()]);
  const { exitMs } = stages;
  const dynamic = rows.map(({ thresholds, evaluation, intervals, ...row }): System => {
    const { accuracy, flops, exits, count } = evaluation;
    const target =
      row.kind === 'margin' ? `, margin ${row.margin} ${row.search}` : row.kind === 'guarantee' ? ', promised' : '';
    const name = `${modelName(thresholds, systemName(experiment.network))}${target}`;
    const ms = exitMs && exits.reduce((sum, leaving, exit) => sum + leaving * exitMs[exit]!, 0) / count;
    return { name, kind: 'dynamic', accuracy, flops, intervals, weightsBytes, ms, thresholds };
  });
  const systems = [...dynamic, ...exitSystems(stages, test), ...(await comparedNetworks(stages, test))];
  const title = 'Every system, the cheapest first, networks alone included';
  return systemFindings({ name: 'systems', title, systems });
}

/** A run with the results of a timing, in its tables of systems too. */
export function withTiming(outcome: RunOutcome, timing: TimingRecord): RunOutcome {
  const { findings } = outcome;
  const made = findings.tables.map((table) => (isOfSystems(table) ? systemFindings(table, timing) : undefined));
  const tables = findings.tables.map((table, i) => made[i]?.tables[0] ?? table);
  const figures = [...findings.figures, ...made.flatMap((one) => one?.figures.slice(1) ?? [])];
  return { ...outcome, timing, findings: { ...findings, tables, figures } };
}

/** A system with what a timing has found for one image at a time: of several runs the mean time, and the sizes of the largest. */
function measured(timing: TimingRecord | undefined, system: System): MeasuredSystem {
  const { thresholds, runs = [] } = system;
  const timed = latencies(timing);
  const ofRow = timed.find((row) => JSON.stringify(row.thresholds) === JSON.stringify(thresholds));
  const found = thresholds ? [ofRow] : runs.map(([name]) => timed.find(({ model }) => model === name));
  const rows = found.filter((row) => row !== undefined);
  if (rows.length === 0 || rows.length < found.length) return system;
  const speedMs = originalSpeed(timing).speedMs! * (1 - mean(rows.map(({ speedUp }) => speedUp)));
  const { fileBytes = 0, peakBytes = 0 } = rows.reduce((a, b) => ((b.peakBytes ?? 0) > (a.peakBytes ?? 0) ? b : a));
  return { ...system, speedMs, fileBytes, peakBytes };
}

/** Systems as a table, the cheapest first, each with the cheapest and the fastest one that dominate it, and as a figure. */
export function systemFindings(
  of: Pick<SystemTable, 'name' | 'title' | 'systems' | 'isAgreement' | 'legend'>,
  timing?: TimingRecord,
) {
  const { name, systems, isAgreement = false, legend } = of;
  const untimed = ' (times, memory and file sizes: dgate time on this experiment)';
  const title = of.title.replace(untimed, '');
  const stem = isAgreement ? 'agreement' : 'accuracy';
  const sorted = systems.map((system) => measured(timing, system));
  sorted.sort((a, b) => a.flops - b.flops || b.accuracy - a.accuracy);
  const timed = sorted.filter(({ speedMs }) => speedMs !== undefined);
  const byTime = timed.toSorted((a, b) => a.speedMs! - b.speedMs!);
  const dominating = (system: MeasuredSystem, among: MeasuredSystem[], cost: (of: MeasuredSystem) => number) => {
    const isAsGood = (other: System) => other.accuracy >= system.accuracy && cost(other) <= cost(system);
    const isBetter = (other: System) => other.accuracy > system.accuracy || cost(other) < cost(system);
    return among.find((other) => isAsGood(other) && isBetter(other))?.name ?? null;
  };
  const table: SystemTable = {
    ...{ name, systems, isAgreement },
    ...(legend !== undefined && { legend }),
    title: `${title}${timed.length === sorted.length ? '' : untimed}`,
    columns: [
      ...['system', 'kind', `${stem}_fraction`, `${stem}_low_fraction`, `${stem}_high_fraction`],
      ...['low', 'high'].map((end) => `${stem}_drop_${end}_fraction`),
      ...['flops_per_image', 'speed_ms', 'by_exit_times_ms', 'weights_bytes', 'file_bytes', 'peak_memory_bytes'],
      ...['dominated_by', 'dominated_by_time'],
    ],
    rows: sorted.map((system) => {
      const { accuracy, accuracyDrop } = system.intervals;
      const ends = [accuracy.low, accuracy.high, accuracyDrop.low, accuracyDrop.high];
      const by = dominating(system, sorted, (of) => of.flops);
      const inTime = system.speedMs === undefined ? null : dominating(system, byTime, (of) => of.speedMs!);
      const { flops, speedMs, ms, weightsBytes, fileBytes, peakBytes } = system;
      const costs = [flops, speedMs, ms, weightsBytes, fileBytes, peakBytes].map((cost) => cost ?? null);
      return [system.name, system.kind, system.accuracy, ...ends, ...costs, by, inTime];
    }),
    consoleRows: sorted.length,
  };
  const measure = isAgreement ? 'Agreement (%)' : 'Accuracy (%)';
  const figures = [pictureOf(name, title, sorted, measure, false)];
  if (timed.length > 1) figures.push(pictureOf(`${name}-time`, `${title}, by time`, timed, measure, true));
  return { tables: [table], figures };
}

function pictureOf(
  name: string,
  title: string,
  systems: readonly MeasuredSystem[],
  measured: string,
  isTimed: boolean,
): Figure {
  const values = systems.map(({ name, kind, accuracy, flops, speedMs, intervals }) => {
    const [low, high] = [100 * intervals.accuracy.low, 100 * intervals.accuracy.high];
    return { name, kind, accuracy: 100 * accuracy, low, high, cost: isTimed ? speedMs! : flops / 1e9 };
  });
  const unit = isTimed ? 'Time of an image (ms)' : 'FLOPs per image (G)';
  const x = { field: 'cost', type: 'quantitative', title: unit } as const;
  const y = { field: 'accuracy', type: 'quantitative', title: measured, scale: { zero: false } } as const;
  const [color, shape] = [{ field: 'kind', type: 'nominal' } as const, { field: 'kind', type: 'nominal' } as const];
  const spec: TopLevelSpec = {
    data: { values },
    layer: [
      {
        mark: { type: 'rule', opacity: 0.5 },
        encoding: { x, y: { ...y, field: 'low' }, y2: { field: 'high' }, color },
      },
      { mark: { type: 'point', filled: true, size: 60 }, encoding: { x, y, color, shape } },
      {
        transform: [{ filter: "datum.kind == 'static'" }],
        mark: { type: 'text', align: 'left', dx: 7, fontSize: 9 },
        encoding: { x, y, text: { field: 'name' } },
      },
    ],
  };
  return { name, title, caption: 'Bars: 95 % intervals over the reported test images', spec };
}
