import { type PresetName, presetNames } from '../experiment/definition.js';
import { decimalNumber, wholeNumber } from '../numbers.js';

/** Kinds of options, as yargs takes them. */
export const text = (describe: string) => ({ type: 'string', requiresArg: true, describe }) as const;
/** A whole number in plain digits; everything else (`0x10`, `1e3`) is NaN, which whoever takes it refuses. */
export const number = (describe: string) => numeric(describe, wholeNumber);
/** A decimal number; everything else is NaN. */
export const decimal = (describe: string) => numeric(describe, decimalNumber);
export const flag = (describe: string) => ({ type: 'boolean', default: false, describe }) as const;
export const list = (describe: string) => {
  return { type: 'string', array: true, nargs: 1, default: [] as string[], describe } as const;
};

/** Read as text, which yargs would make a number of in its own way; shown as a number in the help. */
function numeric(describe: string, parse: (text: string) => number | undefined) {
  const coerce = (given: unknown): number => {
    if (typeof given === 'string') return parse(given) ?? Number.NaN;
    return given as number; // a default; or a list where it was given twice, which is refused afterwards
  };
  return { string: true, number: true, requiresArg: true, describe, coerce } as const;
}

/** Options of every command that resolves a definition. @param preset where none is named */
export const definitionOptions = (preset: PresetName = 'laptop') =>
  ({
    preset: { choices: presetNames, default: preset, describe: 'size of the run' },
    checkpoint: text('weights: a file, or a known id'),
    engine: text('what executes the network (dgate list engines)'),
    set: list('override anything in the definition: path=value'),
    json: flag('one JSON document on stdout, nothing else'),
  }) as const;

/** Options of those that choose seed and images, too. */
export const runOptions = {
  ...definitionOptions(),
  seed: number('seed of image choice, folds and training'),
  'train-images': number('training images for the gates'),
  'test-images': number('test images'),
} as const;
