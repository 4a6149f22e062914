import type fc from 'fast-check';
import { amplified } from '../amplify.js';
import type { Reader } from '../fuzz.js';
import { bombs } from './bombs.js';
import { definitionsThatAskForMuch } from './experiments.js';
import { pickleProgram, sharedZip, tensorHeader } from './programs.js';

/** Files of each reader that are made large without knowing their format, and those of a format. */
const INPUTS = { any: 100, own: 400 };

/** Files made for a format, to ask for more than they hold, by the reader that takes them. */
const own: Readonly<Record<string, () => fc.Arbitrary<unknown> | Promise<fc.Arbitrary<unknown>>>> = {
  safetensors: tensorHeader,
  'PyTorch, legacy': () => pickleProgram('legacy'),
  'PyTorch, pickle in a zip': () => pickleProgram('zip'),
  'PyTorch, zip': sharedZip,
  definitions: definitionsThatAskForMuch,
  ...bombs,
};

/** What is given values, not files. */
const ofValues = ['definitions', 'anything as a definition'];

/** The same readers again. */
export function amplifiedReaders(usual: readonly Reader[]): Reader[] {
  const missing = Object.keys(own).filter((name) => !usual.some((reader) => reader.name === name));
  if (missing.length > 0) throw new Error(`no reader ${missing.join()}`);
  return usual.flatMap((reader) => {
    const any = async (): Promise<fc.Arbitrary<unknown>> => amplified(await reader.input());
    const made = own[reader.name];
    const again = { ...reader, isAmplified: true };
    return [
      ...(ofValues.includes(reader.name)
        ? []
        : [{ ...again, name: `${reader.name}, made large`, inputs: INPUTS.any, input: any }]),
      ...(made === undefined ? [] : [{ ...again, name: `${reader.name}, amplified`, inputs: INPUTS.own, input: made }]),
    ];
  });
}
