import type { AnalysisOf } from '../experiment/analysis.js';
import type { Findings, FindingTable } from '../report/findings.js';
import type { ScoredRun } from '../run/analyses.js';
import { lossClaims } from './lossClaims.js';
import { accuracyOf } from './lossCurves.js';
import { curveFigure, differenceFigure } from './lossFigures.js';
import type { ComparedLosses, ComparedVariant, Regularisation } from './lossTypes.js';

/** What Figure 4's measurements amount to. */
export async function lossReport(
  run: ScoredRun,
  options: AnalysisOf<'loss-comparison'>,
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
    figures: [curveFigure(compared, run, options), differenceFigure(comparisons, run, options)],
    sheets: [],
    claims: await lossClaims(run, comparisons),
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
      'least_of_seeds_fraction',
      'most_of_seeds_fraction',
      'better',
    ],
    rows: comparisons.flatMap(({ hinge, other, differences }) =>
      differences.map(({ reduction, difference, interval, least, most, winner }) => {
        return [hinge, other, reduction, difference, interval.low, interval.high, least, most, winner];
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
    title: 'Thresholds chosen on the validation images for each budget, and what they do on the test images',
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
          // A closed gate is Infinity, which JSON does not have.
          ...thresholds.map((t) => (Number.isFinite(t) ? t : 'Infinity')),
          accuracy,
          right.reduce((sum, value) => sum + value, 0) / right.length,
          (1 - reduction) * total,
        ]),
      ),
    ),
  };
}
