import type { ConfidenceKind } from '../gates/confidence.js';
import type { AccuracyPoint, CurveComparison, Tested, Variant } from './lossCurves.js';

/** One lambda that validation could choose. */
export interface Regularisation extends Variant {
  readonly l2: number;
  /** On the validation images, mean over the compared shares of FLOPs. */
  readonly accuracy: number;
  readonly chosen: boolean;
}

/** A variant with the gates that validation chose. */
export interface ComparedVariant {
  readonly variant: Variant;
  readonly l2: number;
  readonly seeds: readonly number[];
  /** Per seed, its choices of thresholds on the test images. */
  readonly tested: readonly (readonly Tested[])[];
  readonly curve: readonly AccuracyPoint[];
}

/** Hinge with one confidence against cross-entropy with another. */
export interface ComparedLosses extends CurveComparison {
  readonly hinge: ConfidenceKind;
  readonly other: ConfidenceKind;
}
