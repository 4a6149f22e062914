/**
 * Inverse of a symmetric positive definite matrix by Cholesky factorisation, in double precision.
 *
 * @param matrix [size, size] row-major; overwritten with its inverse, which is returned
 * @throws RangeError where the matrix is not positive definite
 */
export function invertPositiveDefinite(matrix: Float64Array, size: number): Float64Array {
  cholesky(matrix, size);
  invertLower(matrix, size);
  // inverse = L^-T L^-1; row i of it needs rows >= i of L^-1 only, so the result can overwrite row by row.
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = 0;
      for (let k = i; k < size; k++) sum += matrix[k * size + i]! * matrix[k * size + j]!;
      matrix[j * size + i] = sum; // upper half; the lower half is still needed
    }
  }
  for (let i = 0; i < size; i++) for (let j = 0; j < i; j++) matrix[i * size + j] = matrix[j * size + i]!;
  return matrix;
}

/** Replaces the lower half, diagonal included, by the Cholesky factor L. */
function cholesky(matrix: Float64Array, size: number): void {
  for (let j = 0; j < size; j++) {
    for (let i = j; i < size; i++) {
      let sum = matrix[i * size + j]!;
      for (let k = 0; k < j; k++) sum -= matrix[i * size + k]! * matrix[j * size + k]!;
      if (i === j) {
        if (!(sum > 0)) throw new RangeError(`not positive definite at row ${j}`);
        matrix[j * size + j] = Math.sqrt(sum);
      } else {
        matrix[i * size + j] = sum / matrix[j * size + j]!;
      }
    }
  }
}

/** Replaces the lower half by the inverse of the lower triangular matrix that stands there. */
function invertLower(matrix: Float64Array, size: number): void {
  for (let j = 0; j < size; j++) {
    matrix[j * size + j] = 1 / matrix[j * size + j]!;
    for (let i = j + 1; i < size; i++) {
      let sum = 0;
      for (let k = j; k < i; k++) sum += matrix[i * size + k]! * matrix[k * size + j]!;
      matrix[i * size + j] = -sum / matrix[i * size + i]!;
    }
  }
}
