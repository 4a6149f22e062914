import type { TopLevelSpec } from 'vega-lite';
import type { Figure, Findings, FindingTable } from '../report/findings.js';
import type { ScoredRun } from '../run/analyses.js';
import { mean } from '../statistics/samples.js';
import {
  accuracyOf,
  type ComparedLosses,
  type ComparedVariant,
  type Regularisation,
  variantName,
} from './lossCurves.js';
import { counted } from './words.js';

/** Tables and figures of Figure 4. */
export async function lossReport(
  run: ScoredRun,
  seeds: number,
  regularisation: readonly Regularisation[],
  compared: readonly ComparedVariant[],
  comparisons: readonly ComparedLosses[],
): Promise<Findings> {
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
  return {
    name: 'differences',
    title: 'Accuracy with hinge minus accuracy with cross-entropy, at equal FLOPs on the same test images',
    columns: [
      'hinge_confidence',
      'cross_entropy_confidence',
      'flops_reduction_fraction',
      'difference_fraction',
      'simultaneous95_low_fraction',
      'simultaneous95_high_fraction',
      'growth_fraction',
      'growth_low_fraction',
      'growth_high_fraction',
      'least_of_seeds_fraction',
      'most_of_seeds_fraction',
      'better',
    ],
    rows: comparisons.flatMap(({ hinge, other, differences }) =>
      differences.map(({ reduction, difference, interval, growth, least, most, winner }) => {
        const found = [
          difference,
          interval.low,
          interval.high,
          growth.value,
          growth.interval.low,
          growth.interval.high,
        ];
        return [hinge, other, reduction, ...found, least, most, winner];
      }),
    ),
    consoleRows: comparisons
      .filter(({ hinge }) => hinge === 'max')
      .reduce((sum, { differences }) => sum + differences.length, 0),
  };
}

function curveTable(compared: readonly ComparedVariant[], total: number): FindingTable {
  return {
    name: 'curves',
    title: 'Accuracy against FLOPs',
    columns: [
      'loss',
      'confidence',
      'l2',
      'flops_reduction_fraction',
      'flops_per_image',
      'accuracy_fraction',
      'interval95_low_fraction',
      'interval95_high_fraction',
      'least_of_seeds_fraction',
      'most_of_seeds_fraction',
    ],
    rows: compared.flatMap(({ variant, l2, curve }) =>
      curve.map((point) => {
        const { accuracy, interval, least, most } = accuracyOf(point);
        const { reduction } = point;
        const flops = (1 - reduction) * total;
        return [
          variant.loss,
          variant.confidence,
          l2,
          reduction,
          flops,
          accuracy,
          interval.low,
          interval.high,
          least,
          most,
        ];
      }),
    ),
  };
}

function regularisationTable(rows: readonly Regularisation[]): FindingTable {
  return {
    name: 'regularisation',
    title: 'Choice of lambda on the validation images, first seed',
    columns: ['loss', 'confidence', 'l2', 'validation_accuracy_fraction', 'chosen'],
    rows: rows.map(({ loss, confidence, l2, accuracy, chosen }) => [
      loss,
      confidence,
      l2,
      accuracy,
      chosen ? 'yes' : 'no',
    ]),
  };
}

function thresholdTable(compared: readonly ComparedVariant[], total: number): FindingTable {
  return {
    name: 'thresholds',
    title: 'Thresholds chosen on the validation images for each budget, evaluated on the test images',
    columns: [
      'loss',
      'confidence',
      'l2',
      'seed',
      'budget_flops_reduction_fraction',
      't1',
      't2',
      'validation_accuracy_fraction',
      'accuracy_fraction',
      'flops_per_image',
    ],
    rows: compared.flatMap(({ variant, l2, seeds, tested }) =>
      tested.flatMap((choices, i) =>
        choices.map(({ budget, thresholds, accuracy, right, reduction }) => [
          variant.loss,
          variant.confidence,
          l2,
          seeds[i]!,
          budget,
          // JSON has no Infinity, the threshold of a closed gate.
          ...thresholds.map((t) => (Number.isFinite(t) ? t : 'Infinity')),
          accuracy,
          mean(right),
          (1 - reduction) * total,
        ]),
      ),
    ),
  };
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
  const color = {
    field: 'gates',
    type: 'nominal' as const,
    sort: compared.map(({ variant }) => variantName(variant)),
    title: 'loss, confidence',
  };
  const x = {
    field: 'flops_percent',
    type: 'quantitative' as const,
    title: 'FLOPs (% of original)',
    scale: { zero: false },
  };
  const spec: TopLevelSpec = {
    data: { values },
    layer: [
      {
        mark: { type: 'area', opacity: 0.12 },
        encoding: {
          x,
          y: { field: 'low', type: 'quantitative', scale: { zero: false }, title: 'Accuracy (%)' },
          y2: { field: 'high' },
          color,
        },
      },
      {
        mark: { type: 'line', point: true, tooltip: true },
        encoding: {
          x,
          y: { field: 'accuracy_percent', type: 'quantitative', scale: { zero: false }, title: 'Accuracy (%)' },
          color,
          strokeDash: { field: 'loss', type: 'nominal', sort: ['hinge', 'cross-entropy'], title: 'loss' },
        },
      },
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
  const x = {
    field: 'reduction_percent',
    type: 'ordinal' as const,
    title: 'FLOPs saved (% of original)',
    axis: { labelAngle: 0 },
  };
  const shared = {
    x,
    xOffset: { field: 'confidence', type: 'nominal' as const, sort: ofPaper.map(({ other }) => other) },
    color: {
      field: 'confidence',
      type: 'nominal' as const,
      sort: ofPaper.map(({ other }) => other),
      title: 'cross-entropy confidence',
    },
  };
  const spec: TopLevelSpec = {
    data: { values },
    layer: [
      { mark: { type: 'rule', strokeDash: [4, 4] }, encoding: { y: { datum: 0 } } },
      {
        mark: { type: 'rule', strokeWidth: 2 },
        encoding: {
          ...shared,
          y: { field: 'low', type: 'quantitative', title: 'hinge - cross-entropy (points)' },
          y2: { field: 'high' },
        },
      },
      {
        mark: { type: 'point', filled: true, size: 50, tooltip: true },
        encoding: { ...shared, y: { field: 'difference_points', type: 'quantitative' } },
      },
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
