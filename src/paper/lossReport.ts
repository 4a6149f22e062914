import type { TopLevelSpec } from 'vega-lite';
import { counted } from '../json.js';
import type { Figure, Findings, FindingTable } from '../report/findings.js';
import type { ScoredRun } from '../run/analyses.js';
import { mean } from '../statistics/samples.js';
import { axis, ends, tableOf } from './analysis.js';
import {
  accuracyOf,
  type ComparedLosses,
  type ComparedVariant,
  type Difference,
  type Regularisation,
  variantName,
} from './lossCurves.js';

/** Tables and figures of Figure 4. */
export function lossReport(
  run: ScoredRun,
  seeds: number,
  regularisation: readonly Regularisation[],
  compared: readonly ComparedVariant[],
  comparisons: readonly ComparedLosses[],
): Findings {
  return {
    tables: [
      differenceTable(comparisons),
      curveTable(compared, run.original.flops),
      regularisationTable(regularisation),
      thresholdTable(compared, run.original.flops),
    ],
    figures: [curveFigure(compared, run, seeds), differenceFigure(comparisons, run, seeds)],
    sheets: [],
  };
}

function differenceTable(comparisons: readonly ComparedLosses[]): FindingTable {
  const title = 'Accuracy with hinge minus accuracy with cross-entropy, at equal FLOPs on the same test images';
  const rows = comparisons.flatMap(({ differences, ...pair }) => differences.map((found) => ({ ...pair, ...found })));
  const consoleRows = rows.filter(({ hinge }) => hinge === 'max').length;
  return tableOf({ name: 'differences', title, consoleRows }, rows, [
    ['hinge_confidence', ({ hinge }) => hinge],
    ['cross_entropy_confidence', ({ other }) => other],
    ['flops_reduction_fraction', ({ reduction }) => reduction],
    ['difference_fraction', ({ difference }) => difference],
    ...ends('simultaneous95', ({ interval }: Difference) => interval),
    ['growth_fraction', ({ growth }) => growth.value],
    ...ends('growth', ({ growth }: Difference) => growth.interval),
    ['least_of_seeds_fraction', ({ least }) => least],
    ['most_of_seeds_fraction', ({ most }) => most],
    ['better', ({ winner }) => winner],
  ]);
}

function curveTable(compared: readonly ComparedVariant[], total: number): FindingTable {
  const rows = compared.flatMap(({ variant, l2, curve }) =>
    curve.map((point) => ({ ...variant, l2, reduction: point.reduction, ...accuracyOf(point) })),
  );
  return tableOf({ name: 'curves', title: 'Accuracy against FLOPs' }, rows, [
    ['loss', ({ loss }) => loss],
    ['confidence', ({ confidence }) => confidence],
    ['l2', ({ l2 }) => l2],
    ['flops_reduction_fraction', ({ reduction }) => reduction],
    ['flops_per_image', ({ reduction }) => (1 - reduction) * total],
    ['accuracy_fraction', ({ accuracy }) => accuracy],
    ...ends('interval95', ({ interval }: (typeof rows)[number]) => interval),
    ['least_of_seeds_fraction', ({ least }) => least],
    ['most_of_seeds_fraction', ({ most }) => most],
  ]);
}

function regularisationTable(rows: readonly Regularisation[]): FindingTable {
  return tableOf({ name: 'regularisation', title: 'Choice of lambda on the validation images, first seed' }, rows, [
    ['loss', ({ loss }) => loss],
    ['confidence', ({ confidence }) => confidence],
    ['l2', ({ l2 }) => l2],
    ['validation_accuracy_fraction', ({ accuracy }) => accuracy],
    ['chosen', ({ chosen }) => (chosen ? 'yes' : 'no')],
  ]);
}

function thresholdTable(compared: readonly ComparedVariant[], total: number): FindingTable {
  const title = 'Thresholds chosen on the validation images for each budget, evaluated on the test images';
  const rows = compared.flatMap(({ variant, l2, seeds, tested }) =>
    tested.flatMap((choices, i) => choices.map((choice) => ({ ...variant, l2, seed: seeds[i]!, choice }))),
  );
  // JSON has no Infinity, the threshold of a closed gate.
  const finite = (threshold: number): number | string => (Number.isFinite(threshold) ? threshold : 'Infinity');
  return tableOf({ name: 'thresholds', title }, rows, [
    ['loss', ({ loss }) => loss],
    ['confidence', ({ confidence }) => confidence],
    ['l2', ({ l2 }) => l2],
    ['seed', ({ seed }) => seed],
    ['budget_flops_reduction_fraction', ({ choice }) => choice.budget],
    ['t1', ({ choice }) => finite(choice.thresholds[0]!)],
    ['t2', ({ choice }) => finite(choice.thresholds[1]!)],
    ['validation_accuracy_fraction', ({ choice }) => choice.accuracy],
    ['accuracy_fraction', ({ choice }) => mean(choice.right)],
    ['flops_per_image', ({ choice }) => (1 - choice.reduction) * total],
  ]);
}

const basis = ({ scores }: ScoredRun, seeds: number): string =>
  `thresholds chosen on ${counted(scores.heldOut?.count ?? 0)} held-out training images, reported on ` +
  `${counted(scores.test.count)} test images, ${seeds} seeds`;

/** Accuracy against FLOPs as in Figure 4, with bands. */
function curveFigure(compared: readonly ComparedVariant[], run: ScoredRun, seeds: number): Figure {
  const values = compared.flatMap(({ variant, curve }) =>
    curve.map((point) => {
      const { accuracy, interval } = accuracyOf(point);
      return {
        gates: variantName(variant),
        loss: variant.loss,
        flops_percent: 100 * (1 - point.reduction),
        accuracy_percent: 100 * accuracy,
        low: 100 * interval.low,
        high: 100 * interval.high,
      };
    }),
  );
  const sort = compared.map(({ variant }) => variantName(variant));
  const color = { field: 'gates', type: 'nominal', sort, title: 'loss, confidence' } as const;
  const x = axis('flops_percent', 'FLOPs (% of original)');
  const [y, low] = [axis('accuracy_percent', 'Accuracy (%)'), axis('low', 'Accuracy (%)')];
  const sortLoss = ['hinge', 'cross-entropy'];
  const strokeDash = { field: 'loss', type: 'nominal', sort: sortLoss, title: 'loss' } as const;
  const spec: TopLevelSpec = {
    data: { values },
    layer: [
      { mark: { type: 'area', opacity: 0.12 }, encoding: { x, y: low, y2: { field: 'high' }, color } },
      { mark: { type: 'line', point: true, tooltip: true }, encoding: { x, y, color, strokeDash } },
    ],
  };
  return {
    name: 'curves',
    title: 'Accuracy against FLOPs: hinge and cross-entropy (Figure 4)',
    caption: `Bands: 95 % intervals over the test images of the mean over the seeds; ${basis(run, seeds)}`,
    spec,
  };
}

/** Hinge minus cross-entropy with intervals, for each confidence. */
function differenceFigure(comparisons: readonly ComparedLosses[], run: ScoredRun, seeds: number): Figure {
  const ofPaper = comparisons.filter(({ hinge }) => hinge === 'max');
  const values = ofPaper.flatMap(({ other, differences }) =>
    differences.map(({ reduction, difference, interval }) => ({
      confidence: other,
      reduction_percent: 100 * reduction,
      difference_points: 100 * difference,
      low: 100 * interval.low,
      high: 100 * interval.high,
    })),
  );
  const title = 'FLOPs saved (% of original)';
  const x = { field: 'reduction_percent', type: 'ordinal', title, axis: { labelAngle: 0 } } as const;
  const confidence = { field: 'confidence', type: 'nominal', sort: ofPaper.map(({ other }) => other) } as const;
  const shared = { x, xOffset: confidence, color: { ...confidence, title: 'cross-entropy confidence' } };
  const low = { field: 'low', type: 'quantitative', title: 'hinge - cross-entropy (points)' } as const;
  const y = { field: 'difference_points', type: 'quantitative' } as const;
  const spec: TopLevelSpec = {
    data: { values },
    layer: [
      { mark: { type: 'rule', strokeDash: [4, 4] }, encoding: { y: { datum: 0 } } },
      { mark: { type: 'rule', strokeWidth: 2 }, encoding: { ...shared, y: low, y2: { field: 'high' } } },
      { mark: { type: 'point', filled: true, size: 50, tooltip: true }, encoding: { ...shared, y } },
    ],
  };
  return {
    name: 'differences',
    title: 'Hinge (largest distance) minus cross-entropy, at equal FLOPs',
    caption:
      `Paired by image; intervals hold for all shares of a confidence at once with 95 % confidence ` +
      `(bootstrap over the test images and the choice of thresholds); ${basis(run, seeds)}`,
    spec,
  };
}
