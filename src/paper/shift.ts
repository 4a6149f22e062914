import type { TopLevelSpec } from 'vega-lite';
import { z } from 'zod';
import { type CorruptionName, corrupted, corruptionNames, severities } from '../data/corruptions.js';
import { type ImageSource, selectImages, stratifiedSubset } from '../data/dataset.js';
import { choice, list, whole } from '../experiment/rules.js';
import { counted, points } from '../json.js';
import type { Figure, FindingTable } from '../report/findings.js';
import { originalAccuracy, type Row, reportOn, withoutLabels } from '../run/search.js';
import type { ScoredRun } from '../run/stages.js';
import type { Scores } from '../thresholds/evaluate.js';
import { certify } from '../thresholds/guarantee.js';
import { defineAnalysis, ends, exitColumns, percentEnds, tableOf } from './analysis.js';

const names = choice(corruptionNames);
const corruptionList = `a list of corruptions: ${corruptionNames.join(', ')}`;
const severityList = 'a list of severities, 1 to 5: [1, 3, 5]';
const options = z.strictObject({
  kind: z.literal('shift'),
  /** Kinds of corruption. Default: all eight. */
  corruptions: list(names, corruptionList)
    .min(1, { error: corruptionList })
    .default([...corruptionNames]),
  /** Strengths of each, as Hendrycks and Dietterich number them. Default: all five. */
  severities: list(whole(1, 5), severityList)
    .min(1, { error: severityList })
    .default([...severities]),
  /** Test images that are corrupted, a stratified choice; all by default. */
  images: whole(10).optional(),
  /** Repeats the guarantee with thresholds chosen on this many corrupted images; the others report. Default 200. */
  anew: list(whole(10), 'a list of numbers of images: [200]').default([200]),
});
type Options = z.output<typeof options>;

/** Images of one kind, and their scores. */
interface Kind {
  readonly corruption: CorruptionName | 'none';
  /** 0 for clean images. */
  readonly severity: number;
  readonly scores: Scores;
  /** Positions of the images among the test images. */
  readonly positions: Int32Array;
}

/** What thresholds do on images of one kind. */
interface Shifted extends Pick<Row, 'evaluation' | 'intervals'> {
  readonly thresholds: string;
  readonly kind: Kind;
  readonly original: number;
  /** Whether a row's guarantee held; null for rows without one. */
  readonly promise: 'kept' | 'broken' | 'undecided' | null;
}

/**
 * The rows of an experiment on corrupted images, with thresholds chosen on clean ones. A guarantee covers new images of the same
 * distribution only; this shows what is lost on others.
 */
export const shift = defineAnalysis({
  options,
  problems({ kind }, { thresholds: { margins, guarantee, fixed } }) {
    if (margins.length > 0 || guarantee !== undefined || fixed.length > 0) return [];
    return [{ path: ['kind'], message: 'with margins, a guarantee or fixed thresholds', input: kind }];
  },
  async compute(run, asked) {
    const found = (await kindsOf(run, asked)).flatMap((kind) => [
      ...run.rows.map((row) => asChosen(run, row, kind)),
      ...asked.anew.flatMap((number) => chosenAnew(run, kind, number)),
    ]);
    return { tables: [tableOn(found, run)], figures: [figureOf(found, run)] };
  },
});

/** The test images as they are, then each corruption at each severity. */
async function kindsOf(run: ScoredRun, asked: Options): Promise<Kind[]> {
  const gates = await run.train();
  const { labels, classes, count } = run.testImages;
  const { seed } = run.experiment;
  const all = Int32Array.from({ length: count }, (_, i) => i);
  const positions =
    (asked.images ?? count) < count ? stratifiedSubset(labels, classes.length, asked.images!, seed) : all;
  const kinds: Kind[] = [{ corruption: 'none', severity: 0, scores: run.scores.test, positions: all }];
  for (const corruption of asked.corruptions) {
    for (const severity of asked.severities) {
      const change = (images: ImageSource): ImageSource =>
        corrupted(positions === all ? images : selectImages(images, positions), corruption, severity, seed);
      const scores = await run.scoreChanged(change, gates, `${corruption} ${severity}`);
      kinds.push({ corruption, severity, scores, positions });
    }
  }
  return kinds;
}

/** A row's thresholds; each part reports the same images as before, now of this kind. */
function asChosen({ plan, parts }: ScoredRun, row: Row, kind: Kind): Shifted {
  const at = new Map([...kind.positions].map((position, i) => [position, i]));
  const shifted = parts.map(({ evaluation: { images } }) => {
    return images.filter((image) => at.has(image)).map((image) => at.get(image)!);
  });
  return shiftedRow(row, nameOf(row), kind, shifted, row.thresholds, plan.costs);
}

/** The row with a guarantee, its thresholds chosen on some images of this kind; none if no images are left to report. */
function chosenAnew({ rows, plan, experiment }: ScoredRun, kind: Kind, number: number): Shifted[] {
  const row = rows.find(({ guarantee }) => guarantee?.of === 'accuracy');
  const { scores } = kind;
  if (row === undefined || number >= scores.count) return [];
  const classes = 1 + scores.labels.reduce((most, label) => Math.max(most, label), 0);
  const choosing = new Set(stratifiedSubset(scores.labels, classes, number, experiment.seed));
  const images = Int32Array.from({ length: scores.count }, (_, i) => i).filter((i) => !choosing.has(i));
  const { thresholds } = certify(scores, plan.costs, [...choosing], row.guarantee!, experiment.seed);
  const name = `${nameOf(row)}, anew on ${counted(number)} images`;
  return [shiftedRow(row, name, kind, [images], [thresholds], plan.costs)];
}

function shiftedRow(
  { guarantee }: Row,
  thresholds: string,
  kind: Kind,
  reported: readonly Int32Array[],
  chosen: Row['thresholds'],
  costs: ScoredRun['plan']['costs'],
): Shifted {
  const reportedAs = (scores: Scores) => {
    const parts = reported.map((images) => ({ selection: { scores, images }, evaluation: { scores, images } }));
    return reportOn(parts, chosen, costs);
  };
  const original = originalAccuracy(kind.scores, Int32Array.from(reported.flatMap((images) => [...images])));
  const asked = guarantee?.of === 'agreement' ? withoutLabels(kind.scores) : kind.scores;
  const { low, high } = reportedAs(asked).intervals.accuracyDrop;
  const outcome = (drop: number) => (low > drop ? 'broken' : high <= drop ? 'kept' : 'undecided');
  const promise = guarantee === undefined ? null : outcome(guarantee.drop);
  return { ...reportedAs(kind.scores), thresholds, kind, original, promise };
}

/** A choice of thresholds in words. */
function nameOf({ kind, margin, search, budget, latencyMs, disagreement, guarantee, thresholds }: Row): string {
  if (kind === 'guarantee')
    return `promised ${guarantee!.drop}${guarantee!.of === 'accuracy' ? '' : ' of the answers'}`;
  if (kind === 'fixed') return thresholds[0]!.join(', ');
  return [kind, margin ?? budget ?? latencyMs ?? disagreement, ...(kind === 'margin' ? [search] : [])].join(' ');
}

function tableOn(found: readonly Shifted[], run: ScoredRun): FindingTable {
  const name = nameOf(drawnRow(run));
  const first = found.filter(({ thresholds }) => thresholds === name);
  const title = 'On corrupted images, thresholds chosen on clean ones: nothing is promised here';
  const rows = [...new Set([...first, ...found])];
  return tableOf({ name: 'shift', title, consoleRows: first.length }, rows, [
    'thresholds',
    ['corruption', ({ kind }) => kind.corruption],
    ['severity', ({ kind }) => kind.severity],
    ['images', ({ evaluation }) => evaluation.count],
    ['original_accuracy_fraction', ({ original }) => original],
    ['accuracy_fraction', ({ evaluation }) => evaluation.accuracy],
    ['accuracy_drop_fraction', ({ original, evaluation }) => original - evaluation.accuracy],
    ...ends('accuracy_drop', ({ intervals }: Shifted) => intervals.accuracyDrop),
    ['flops_per_image', ({ evaluation }) => evaluation.flops],
    ['flops_reduction_fraction', ({ evaluation }) => 1 - evaluation.flops / run.original.flops],
    'promise',
    ...exitColumns(found[0]!.evaluation.exits.length),
  ]);
}

/** The row that is drawn and printed first: the one with a guarantee, or the first. */
const drawnRow = ({ rows }: ScoredRun): Row => rows.find(({ kind }) => kind === 'guarantee') ?? rows[0]!;

/** Points lost and FLOPs saved by severity, for the drawn row and the same with new thresholds. */
function figureOf(found: readonly Shifted[], run: ScoredRun): Figure {
  const { original, source, experiment } = run;
  const row = drawnRow(run);
  const drawn = found.filter(({ thresholds }) => thresholds.startsWith(nameOf(row)));
  const kinds = [...new Set(drawn.map(({ kind }) => kind.corruption))].filter((name) => name !== 'none');
  const values = drawn.flatMap(({ thresholds, kind, original: before, evaluation, intervals }) => {
    const lost = 100 * (before - evaluation.accuracy);
    const saved = 100 * (1 - evaluation.flops / original.flops);
    const value = { chosen: thresholds, severity: kind.severity, lost, ...percentEnds(intervals.accuracyDrop), saved };
    // The line of each corruption begins at the clean images.
    return (kind.corruption === 'none' ? kinds : [kind.corruption]).map((corruption) => ({ corruption, ...value }));
  });
  const axis = { values: [0, 1, 2, 3, 4, 5], format: 'd' };
  const x = { field: 'severity', type: 'quantitative' as const, title: 'severity', axis };
  const color = { field: 'chosen', type: 'nominal', title: 'thresholds', legend: { orient: 'bottom' } } as const;
  const strokeDash = { field: 'chosen', type: 'nominal' } as const;
  const panel = (field: 'lost' | 'saved', title: string) => {
    const y = { field, type: 'quantitative', title } as const;
    const curve = { mark: { type: 'line', point: true }, encoding: { x, y, color, strokeDash } } as const;
    const low = { ...y, field: 'low' };
    const band = {
      mark: { type: 'area', opacity: 0.15 },
      encoding: { x, y: low, y2: { field: 'high' }, color },
    } as const;
    const promised = { mark: { type: 'rule' }, encoding: { y: { datum: 100 * (row.guarantee?.drop ?? 0) } } } as const;
    return {
      facet: { column: { field: 'corruption', type: 'nominal', sort: kinds, title: null } },
      spec: { width: 90, height: 130, layer: field === 'lost' ? [band, promised, curve] : [curve] },
    } as const;
  };
  const spec: TopLevelSpec = {
    data: { values },
    vconcat: [panel('lost', 'points lost'), panel('saved', 'FLOPs saved (%)')],
  };
  const promise =
    row.guarantee === undefined ? '' : ` (line: ${points(row.guarantee.drop, 1)}, promised for clean images only)`;
  return {
    name: 'shift',
    title: `Thresholds of clean images on corrupted ones: ${source.network.name}`,
    caption:
      `Accuracy below the original's on the same images${promise} and FLOPs saved; severity 0: clean. Bands: 95 % intervals over ` +
      `${counted(original.count)} test images, seed ${experiment.seed}. Nothing is promised on corrupted images`,
    spec,
  };
}
