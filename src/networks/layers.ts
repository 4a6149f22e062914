import type { BatchNorm, Conv, Relu } from './network.js';

export const relu: Relu = { op: 'relu' };

/** A square convolution with the padding that keeps the size at stride 1. */
export function conv(name: string, input: number, output: number, kernel: number, stride = 1): Conv {
  return { op: 'conv', name, in: input, out: output, kernel, stride, padding: (kernel - 1) / 2 };
}

export function batchNorm(name: string, channels: number): BatchNorm {
  return { op: 'batchNorm', name, channels };
}
