import { crossEntropy } from './losses/cross-entropy.js';
import { hinge } from './losses/hinge.js';

/** The operations that losses are written with; engines give them a meaning: tensors, or nodes of a graph. */
export interface LossAlgebra<T> {
  scalar(value: number): T;
  multiply(a: T, b: T): T;
  subtract(a: T, b: T): T;
  negate(a: T): T;
  exp(a: T): T;
  relu(a: T): T;
  /** 1 where the number is above 0, else 0; of numbers that are not below 0. */
  step(a: T): T;
  /** Along the classes. */
  logSoftmax(a: T): T;
  /** Of all numbers. */
  sum(a: T): T;
}

/** A loss of linear gates, written once for all engines. */
export interface GateLoss {
  readonly name: string;
  /** Has a gradient everywhere, so that methods for smooth functions reach its optimum. */
  readonly isSmooth: boolean;
  /**
   * Loss and its (sub-)gradient with respect to the distances.
   *
   * @param distances [batch, classes]
   * @param target 1 at each image's class, else 0, [batch, classes]
   * @returns the loss, summed over the batch, []; the gradient, [batch, classes]
   */
  write<T>(algebra: LossAlgebra<T>, distances: T, target: T): { readonly loss: T; readonly gradient: T };
}

/** Every loss: one file in `losses/` and its place here. */
export const losses = [hinge, crossEntropy] as const satisfies readonly GateLoss[];
export type Loss = (typeof losses)[number]['name'];
export const lossNames = losses.map(({ name }) => name);

/** The loss of this name. @throws Error where there is none: what comes from outside is checked by its schema */
export function lossNamed(loss: Loss): GateLoss {
  const found = losses.find(({ name }) => name === loss);
  if (found === undefined) throw new Error(`loss ${loss}: unknown; valid: ${lossNames.join(', ')}`);
  return found;
}
