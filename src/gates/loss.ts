import type { GateLoss } from './definitions.js';
import { crossEntropy } from './losses/cross-entropy.js';
import { hinge } from './losses/hinge.js';

/** All losses: each is a file in `losses/` and an entry here. */
export const losses = [hinge, crossEntropy] as const satisfies readonly GateLoss[];
export type Loss = (typeof losses)[number]['name'];
export const lossNames = losses.map(({ name }) => name);

/** The loss of this name. @throws Error for an unknown name; the schema checks names from outside */
export function lossNamed(loss: Loss): GateLoss {
  const found = losses.find(({ name }) => name === loss);
  if (found === undefined) throw new Error(`loss ${loss}: unknown; valid: ${lossNames.join(', ')}`);
  return found;
}
