import type { TensorFlowBackend } from '../backend.js';

export type { GradSaveFunc, Tensor, Tensor1D, Tensor2D, Tensor4D } from '@tensorflow/tfjs';
export type { TensorFlowBackend };

/** TensorFlow.js, whichever package it came from. */
export type TensorFlow = TensorFlowBackend['tf'];
