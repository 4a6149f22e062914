import { type PresetName, presetNames } from '../experiment/definition.js';

/** Kinds of options, as yargs takes them. */
export const text = (describe: string) => ({ type: 'string', requiresArg: true, describe }) as const;
export const number = (describe: string) => ({ type: 'number', requiresArg: true, describe }) as const;
export const flag = (describe: string) => ({ type: 'boolean', default: false, describe }) as const;
export const list = (describe: string) => {
  return { type: 'string', array: true, nargs: 1, default: [] as string[], describe } as const;
};

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
