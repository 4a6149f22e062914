import type { Benchmark } from '../runner/types.js';
import { compareGates } from './linear-gates.js';

export const benchmark: Benchmark = {
  name: 'cross-entropy',
  title: 'cross-entropy gates on features of the real ResNet-56: seconds, and the objective that is reached',
  peers: ['sklearn'],
  run: (bench) =>
    compareGates(bench, {
      loss: 'cross-entropy',
      name: 'LogisticRegression',
      precision: 'float32',
      iterations: 100,
      guess: 16,
    }),
};
