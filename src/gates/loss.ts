import type { GateLoss } from './definitions.js';
import { crossEntropy } from './losses/cross-entropy.js';
import { hinge } from './losses/hinge.js';

/** Every loss: one file in `losses/` and its place here. */
export const losses = [hinge, crossEntropy] as const satisfies readonly GateLoss[];
export type Loss = (typeof losses)[number]['name'];
export const lossNames = losses.map(({ name }) => name);

/** The loss of this name. @throws Error where there is none: what comes from outside is checked by its schema */
export function lossNamed(loss: Loss): GateLoss {
  const found = losses.find(({ name }) => name === loss);
  if (found === undefined) throw new Error(`loss ${loss}: unknown; valid: ${lossNames.join(', ')}`);
  return found;
}
