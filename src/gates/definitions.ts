/** The part of an ONNX graph writer that gates need; values are identified by their names. */
export interface GateGraph {
  fresh(stem: string): string;
  /** A constant vector of 64-bit integers. */
  ints(name: string, values: readonly number[]): string;
  node(op: string, inputs: readonly string[], attributes?: Readonly<Record<string, number>>): string;
  nodes(
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, number>>,
    outputs: readonly string[],
  ): void;
  /** The largest number of each row, [rows, columns] to [rows]. */
  rowMaxima(input: string): string;
}

/**
 * The number that a gate compares with its threshold; larger is more confident. Search, evaluation, figures and graphs
 * use this definition.
 */
export interface Confidence {
  readonly name: string;
  /** A description for help and figures. */
  readonly label: string;
  /** @param row distances of one image, [classes]; @param winner position of the largest, the first of equal ones */
  of(row: Float32Array, winner: number): number;
  /** Writes the same function into a graph: distances [n, classes] to confidences [n]. */
  write(graph: GateGraph, distances: string): string;
  /** The confidence is the largest distance, so that a graph needs no additional nodes for it. */
  readonly isLargestDistance?: true;
}

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
  /** Whether the loss is differentiable everywhere, so that methods for smooth functions reach its optimum. */
  readonly isSmooth: boolean;
  /**
   * Loss and its (sub-)gradient with respect to the distances.
   *
   * @param distances [batch, classes]
   * @param target 1 at each image's class, otherwise 0, [batch, classes]
   * @returns the loss, summed over the batch, []; the gradient, [batch, classes]
   */
  write<T>(algebra: LossAlgebra<T>, distances: T, target: T): { readonly loss: T; readonly gradient: T };
}
