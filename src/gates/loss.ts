/** The operations of losses; engines implement them on tensors or on nodes of a graph. */
export interface LossAlgebra<T> {
  scalar(value: number): T;
  multiply(a: T, b: T): T;
  subtract(a: T, b: T): T;
  negate(a: T): T;
  exp(a: T): T;
  relu(a: T): T;
  /** 1 where the number is above 0, otherwise 0; the input is at least 0. */
  step(a: T): T;
  /** Along the classes. */
  logSoftmax(a: T): T;
  /** Of all numbers. */
  sum(a: T): T;
}

/** A loss of linear gates, written once for all engines. */
export interface GateLoss {
  readonly name: string;
  /**
   * Loss and its (sub-)gradient with respect to the distances.
   *
   * @param distances [batch, classes]
   * @param target 1 at each image's class, otherwise 0, [batch, classes]
   * @returns the loss, summed over the batch, []; the gradient, [batch, classes]
   */
  write<T>(algebra: LossAlgebra<T>, distances: T, target: T): { readonly loss: T; readonly gradient: T };
}

/** Cross-entropy: the sum over images of -log softmax(d)[label]. */
const crossEntropy = {
  name: 'cross-entropy',
  write: (algebra, distances, target) => {
    const logProbabilities = algebra.logSoftmax(distances);
    return {
      loss: algebra.negate(algebra.sum(algebra.multiply(target, logProbabilities))),
      gradient: algebra.subtract(algebra.exp(logProbabilities), target),
    };
  },
} as const satisfies GateLoss;

/**
 * One-vs-all hinge (paper, equations 1 and 2): the sum over images and classes of max(0, 1 - y d) with y = 1 for the
 * image's class and -1 for the others. The sub-gradient is -y where y d < 1, otherwise 0 (the paper prints the
 * condition as y_hat < 1; its text includes the sign of y).
 */
const hinge = {
  name: 'hinge',
  write: (algebra, distances, target) => {
    const signs = algebra.subtract(algebra.multiply(target, algebra.scalar(2)), algebra.scalar(1));
    const violation = algebra.relu(algebra.subtract(algebra.scalar(1), algebra.multiply(signs, distances)));
    // The step of the violation is 1 where the margin is violated, otherwise 0.
    return { loss: algebra.sum(violation), gradient: algebra.negate(algebra.multiply(signs, algebra.step(violation))) };
  },
} as const satisfies GateLoss;

/** All losses. */
export const losses = [hinge, crossEntropy] as const satisfies readonly GateLoss[];
export type Loss = (typeof losses)[number]['name'];
export const lossNames = losses.map(({ name }) => name);

/** What gates learn: the classes of the images, or what the frozen network says of them. */
export const gateTargets = ['labels', 'network'] as const;
export type GateTarget = (typeof gateTargets)[number];

/** The softmax of rows of logits, [count, classes]. */
export function softmaxOf(logits: Float32Array, classes: number): Float32Array {
  const result = new Float32Array(logits.length);
  for (let start = 0; start < logits.length; start += classes) {
    const row = logits.subarray(start, start + classes);
    const largest = row.reduce((a, b) => Math.max(a, b));
    const sum = row.reduce((total, value) => total + Math.exp(value - largest), 0);
    for (let c = 0; c < classes; c++) result[start + c] = Math.exp(row[c]! - largest) / sum;
  }
  return result;
}

/** The loss of this name. @throws Error for an unknown name; the schema checks names from outside */
export function lossNamed(loss: Loss): GateLoss {
  const found = losses.find(({ name }) => name === loss);
  if (found === undefined) throw new Error(`loss ${loss}: unknown; valid: ${lossNames.join(', ')}`);
  return found;
}

/** `optimum`: until the objective is shown to be within a gap of the lowest; `sgd`: stochastic steps, as in the paper. */
export const solvers = ['optimum', 'sgd'] as const;
export type Solver = (typeof solvers)[number];

/** The passes that an experiment does not say. */
export function withPasses<T extends { loss: Loss; solver: Solver; epochs?: number | undefined }>(
  gates: T,
): T & { readonly epochs: number } {
  return { ...gates, epochs: gates.epochs ?? (gates.loss === 'hinge' && gates.solver === 'optimum' ? 1000 : 20) };
}
