import type { Loss } from './loss.js';

/** `optimum`: until the objective is shown to be within a gap of the lowest; `sgd`: stochastic steps, as in the paper. */
export const solvers = ['optimum', 'sgd'] as const;
export type Solver = (typeof solvers)[number];

/** What an experiment does not say. */
export function withDefaults<T extends { loss: Loss; solver?: Solver | undefined; epochs?: number | undefined }>(
  gates: T,
): T & { readonly solver: Solver; readonly epochs: number } {
  const { loss, solver = 'optimum' } = gates;
  return { ...gates, solver, epochs: gates.epochs ?? (loss === 'hinge' && solver === 'optimum' ? 1000 : 20) };
}
