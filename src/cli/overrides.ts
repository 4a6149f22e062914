import { InputError } from '../errors.js';
import type { RunOptions } from './options.js';

/** The options of a run that stand for a part of its definition; some commands take one seed only. */
type Overriding = Pick<RunOptions, 'checkpoint' | 'engine' | 'seed' | 'trainImages' | 'testImages'> &
  Partial<Pick<RunOptions, 'seeds'>>;

/** Options that override a part of the definition, applied after `--set`. */
export function optionOverrides(options: Overriding): { path: string; value: unknown }[] {
  const { checkpoint, engine, seed, trainImages, testImages } = options;
  if (seed !== undefined && options.seeds !== undefined) throw new InputError('--seed and --seeds: give one of them');
  const seeds = options.seeds === undefined ? undefined : seedsFrom(options.seeds);
  return Object.entries({ checkpoint, engine, seed, seeds, trainImages, testImages })
    .filter(([, value]) => value !== undefined)
    .map(([path, value]) => ({ path, value }));
}

/** `0..4` or `0,2,5` as a list. @throws InputError */
export function seedsFrom(text: string): number[] {
  const [, from, to] = /^(\d+)\.\.(\d+)$/.exec(text) ?? [];
  const count = Number(to) - Number(from) + 1;
  if (from !== undefined && count >= 1 && count <= 1000) {
    return Array.from({ length: count }, (_, i) => Number(from) + i);
  }
  if (/^\d+(,\d+)*$/.test(text)) return [...new Set(text.split(',').map(Number))];
  throw new InputError(`--seeds ${text}; valid: a range such as 0..4 (at most 1,000), or a list such as 0,2,5`);
}
