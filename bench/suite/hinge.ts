import type { Benchmark } from '../runner/types.js';
import { compareGates } from './linear-gates.js';

export const benchmark: Benchmark = {
  name: 'hinge',
  title: 'hinge gates on features of the real ResNet-56: seconds, and the objective that is reached',
  peers: ['sklearn'],
  run: (bench) =>
    compareGates(bench, { loss: 'hinge', name: 'LinearSVC', precision: 'float64', iterations: 1000, guess: 8 }),
};
