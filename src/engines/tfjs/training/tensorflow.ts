import type * as tfjs from '@tensorflow/tfjs';

/** TensorFlow.js, whichever package it came from. */
export type TensorFlow = typeof tfjs;
export type { GradSaveFunc, Tensor, Tensor1D, Tensor2D, Tensor4D } from '@tensorflow/tfjs';

/** TensorFlow.js with a backend that is ready; `backend.ts` gives one. */
export interface LoadedTensorFlow {
  readonly tf: TensorFlow;
  readonly id: string;
  readonly device: string;
  readonly versions: Readonly<Record<string, string>>;
  /** Whether the backend is tfjs-node's, whose raw TensorFlow kernels can be called. */
  readonly isNode: boolean;
}
