import type { Loss } from './loss.js';

/** `optimum`: until the objective is shown to be within a gap of the lowest; `sgd`: stochastic steps, as in the paper. */
export const solvers = ['optimum', 'sgd'] as const;
export type Solver = (typeof solvers)[number];

/** The passes that an experiment does not say. */
export function withPasses<T extends { loss: Loss; solver: Solver; epochs?: number | undefined }>(
  gates: T,
): T & { readonly epochs: number } {
  return { ...gates, epochs: gates.epochs ?? (gates.loss === 'hinge' && gates.solver === 'optimum' ? 1000 : 20) };
}
