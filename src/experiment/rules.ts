import { z } from 'zod';

// What a value in a definition may be. Messages say what would be valid; `resolve.ts` puts path and value before them.

export const text = (valid: string, pattern: RegExp) => z.string({ error: valid }).regex(pattern, { error: valid });

export const whole = (least: number, most = 1e9) => {
  const error = `a whole number from ${least} to ${most}`;
  return z.number({ error }).int({ error }).min(least, { error }).max(most, { error });
};

export const real = (least: number, most: number, valid = `a number from ${least} to ${most}`) =>
  z.number({ error: valid }).min(least, { error: valid }).max(most, { error: valid });

export const choice = <const T extends readonly string[]>(values: T) => z.enum(values, { error: values.join(', ') });

export const list = <T extends z.ZodType>(item: T, valid: string) => z.array(item, { error: valid });

/** A type whose lists and objects may be constants. */
export type DeepReadonly<T> = T extends readonly (infer Item)[]
  ? readonly DeepReadonly<Item>[]
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T;

/** Sizes of a run. `paper`: the paper's networks and data; `laptop`: minutes on two cores; `smoke`: seconds, for CI. */
export const presetNames = ['paper', 'laptop', 'quick', 'smoke'] as const;
export type PresetName = (typeof presetNames)[number];
