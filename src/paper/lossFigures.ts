import type { TopLevelSpec } from 'vega-lite';
import type { AnalysisOf } from '../experiment/analysis.js';
import type { Figure } from '../report/findings.js';
import type { ScoredRun } from '../run/analyses.js';
import { accuracyOf, variantName } from './lossCurves.js';
import type { ComparedLosses, ComparedVariant } from './lossTypes.js';
import { counted } from './words.js';

const basis = ({ scores }: ScoredRun, { seeds }: AnalysisOf<'loss-comparison'>): string =>
  `thresholds chosen on ${counted(scores.heldOut?.count ?? 0)} held-out training images, reported on ` +
  `${counted(scores.test.count)} test images, ${seeds} seeds`;

/** Accuracy against FLOPs, as the paper's Figure 4 has it, with bands. */
export function curveFigure(
  compared: readonly ComparedVariant[],
  run: ScoredRun,
  options: AnalysisOf<'loss-comparison'>,
): Figure {
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
    caption: `Bands: 95 % intervals over the test images of the mean over the seeds; ${basis(run, options)}`,
    spec,
  };
}

/** Hinge minus cross-entropy with intervals, for each confidence. */
export function differenceFigure(
  comparisons: readonly ComparedLosses[],
  run: ScoredRun,
  options: AnalysisOf<'loss-comparison'>,
): Figure {
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
      `(bootstrap over the test images); ${basis(run, options)}`,
    spec,
  };
}
