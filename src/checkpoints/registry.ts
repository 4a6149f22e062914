import { InputError } from '../errors.js';
import { knownCheckpoints } from './known.js';
import type { KnownCheckpoint } from './known-checkpoint.js';

export type { KnownCheckpoint } from './known-checkpoint.js';
export { knownCheckpoints };

/** A known checkpoint by its id. @throws InputError naming the valid ones */
export function findCheckpoint(id: string): KnownCheckpoint {
  const found = knownCheckpoints.find((checkpoint) => checkpoint.id === id);
  if (found !== undefined) return found;
  throw new InputError(`checkpoint ${id}: unknown; valid: a file, or ${knownCheckpoints.map((c) => c.id).join(', ')}`);
}

/** The known checkpoints that fit a network, the preferred one first. */
export function checkpointsFor(network: string): readonly KnownCheckpoint[] {
  return knownCheckpoints.filter((checkpoint) => checkpoint.network === network);
}

/** The checkpoint of a network that ships with the project: what is taken where none is named. */
export function shippedFor(network: string): KnownCheckpoint | undefined {
  return checkpointsFor(network).find(({ shipped }) => shipped !== undefined);
}
