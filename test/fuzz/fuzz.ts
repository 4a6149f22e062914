import fc from 'fast-check';
import { InputError, messageOf } from '../../src/errors.js';
import { collectAll, processorMs } from '../processorTime.js';

/** A reader of files from elsewhere, and files that are almost as they should be. */
export interface Reader {
  readonly name: string;
  /** Inputs in a complete run. */
  readonly inputs: number;
  /** What it is given; made once. */
  readonly input: () => Promise<fc.Arbitrary<unknown>> | fc.Arbitrary<unknown>;
  /** Reads it, and looks at what came of it where that is cheap. */
  readonly read: (input: never) => unknown;
  /** Whether the reader may throw this, as its comment says; an `InputError` it always may. */
  readonly refuses?: (error: unknown) => boolean;
  readonly close?: () => Promise<void>;
  /** Inputs of up to a megabyte that ask for more: what others left is freed first, the suite reads few. */
  readonly isAmplified?: boolean;
  /** What else is to be said of a run; asked before `close`. */
  readonly notes?: () => string;
}

export interface Outcome {
  readonly reader: string;
  readonly inputs: number;
  readonly accepted: number;
  readonly refused: number;
  /** Of the refusals, in time of the processor. */
  readonly slowestMs: number;
  readonly seconds: number;
  readonly notes?: string;
  /** Why it stopped, with the input that shows it. */
  readonly failure?: string;
}

export interface FuzzOptions {
  readonly seed: number;
  readonly inputs: number;
  /** Number of the only input to be read, of those that the seed makes. */
  readonly only?: number;
  /** Called with the number of each input before it is read. */
  readonly before?: (index: number) => void;
}

/** Longest time of the processor for a refusal in ms: a busy machine stretches all others. */
const LIMIT_MS = 1000;
/** What is read may take more if it is large: 200,000 nodes of a network in 5 MB take 10 s. */
const MS_PER_BYTE = 0.002;

/** Gives a reader its inputs one by one. Anything but a result or a refusal within its time is a failure. */
export async function fuzz(reader: Reader, { seed, inputs, only, before }: FuzzOptions): Promise<Outcome> {
  const start = performance.now();
  let [index, accepted, refused, slowestMs] = [only ?? 0, 0, 0, 0];
  const attempt = async (input: unknown): Promise<{ readonly ms: number; readonly taken: boolean }> => {
    let taken = true;
    const ms = await processorMs(async () => {
      try {
        await reader.read(input as never);
      } catch (error) {
        if (!isRefusal(error) && reader.refuses?.(error) !== true) throw error;
        taken = false;
      }
    });
    return { ms, taken };
  };
  const property = fc.asyncProperty(await reader.input(), async (input) => {
    if (reader.isAmplified === true) collectAll();
    before?.(index++);
    let { ms, taken } = await attempt(input);
    if (taken) accepted++;
    else refused++;
    const limitMs = LIMIT_MS + (taken ? MS_PER_BYTE * bytesIn(input) : 0);
    // Collecting others' garbage takes its time now and then: it is collected before.
    for (let again = 0; again < 3 && ms > limitMs; again++) {
      collectAll();
      ms = Math.min(ms, (await attempt(input)).ms);
    }
    if (!taken) slowestMs = Math.max(slowestMs, ms);
    if (ms > limitMs) throw new Error(`took ${ms.toFixed(0)} ms`);
  });
  const path = only === undefined ? {} : { path: String(only) };
  const result = await fc.check(property, {
    seed,
    numRuns: only === undefined ? inputs : 1,
    ...path,
    interruptAfterTimeLimit: 3_600_000,
  });
  const notes = reader.notes === undefined ? {} : { notes: reader.notes() };
  await reader.close?.();
  const seconds = (performance.now() - start) / 1000;
  const outcome = { reader: reader.name, inputs: result.numRuns, accepted, refused, slowestMs, seconds, ...notes };
  if (!result.failed && !result.interrupted) return outcome;
  return { ...outcome, failure: describe(result, seed) };
}

function bytesIn(input: unknown): number {
  if (typeof input === 'string' || input instanceof Uint8Array) return input.length;
  if (Array.isArray(input)) return input.reduce((sum: number, each: unknown) => sum + bytesIn(each), 0);
  return input instanceof Map ? bytesIn([...input.values()]) : 0;
}

/** Bad input is said in lines of readable length, without control characters. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof InputError)) return false;
  for (const problem of error.problems) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    if (problem === '' || problem.length > 2000 || /[\u0000-\u001f\u007f-\u009f]/.test(problem)) {
      throw new Error(`not a line: ${JSON.stringify(problem.slice(0, 3000))}`);
    }
  }
  return error.problems.length > 0;
}

function describe(result: fc.RunDetails<[unknown]>, seed: number): string {
  const error = result.errorInstance;
  const stack = error instanceof Error ? (error.stack ?? error.message) : messageOf(error);
  const input = result.counterexample?.[0];
  const shown = input instanceof Uint8Array ? `base64 ${Buffer.from(input).toString('base64')}` : fc.stringify(input);
  return `${stack}\n  seed ${seed}, input ${result.numRuns - 1} (${result.numShrinks} times made smaller): ${shown.slice(0, 20_000)}`;
}
