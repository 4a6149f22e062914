import { csvOf } from '../csv.js';

/** Results of an epoch. */
export interface CurvePoint {
  /** Epochs done, from 1. */
  readonly epoch: number;
  /** Steps since the beginning of the training. */
  readonly step: number;
  /** Rate of the epoch's last step. */
  readonly learningRate: number;
  /** Mean over the epoch's augmented images, during training. */
  readonly trainLoss: number;
  readonly trainAccuracy: number;
  /** On the held-out images, at the epoch's end. */
  readonly validationAccuracy: number;
  /** Seconds of training and validation so far, without interruptions. */
  readonly seconds: number;
}

const columns: readonly (readonly [string, keyof CurvePoint])[] = [
  ['epoch', 'epoch'],
  ['step', 'step'],
  ['learning_rate', 'learningRate'],
  ['train_loss', 'trainLoss'],
  ['train_accuracy', 'trainAccuracy'],
  ['validation_accuracy', 'validationAccuracy'],
  ['seconds', 'seconds'],
];

/** The curve as CSV: a line for each epoch, fractions, not percent. */
export function curveCsv(points: readonly CurvePoint[]): string {
  return csvOf([
    columns.map(([name]) => name),
    ...points.map((point) => columns.map(([, key]) => (key === 'seconds' ? point[key].toFixed(1) : point[key]))),
  ]);
}
