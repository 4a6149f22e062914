/** A dense float32 tensor in row-major order. */
export interface Tensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Tensors by name, in the order of the file or `state_dict()` they come from. */
export type TensorMap = ReadonlyMap<string, Tensor>;

/** Number of elements of a shape; 1 for a scalar (`[]`). */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Some rows of a matrix [count, width]. */
export function rowsOf(matrix: Float32Array, rows: Int32Array, width: number): Float32Array {
  const result = new Float32Array(rows.length * width);
  for (const [i, row] of rows.entries()) result.set(matrix.subarray(row * width, (row + 1) * width), i * width);
  return result;
}
