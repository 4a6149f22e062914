import type { TensorFlow as LoadedTensorFlow } from '../backend.js';

export type { GradSaveFunc, Tensor, Tensor1D, Tensor2D, Tensor4D } from '@tensorflow/tfjs';
export type { LoadedTensorFlow };

/** TensorFlow.js, whichever package it came from. */
export type TensorFlow = LoadedTensorFlow['tf'];
