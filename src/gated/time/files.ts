import { join } from 'node:path';
import { z } from 'zod';
import { csvOf } from '../../csv.js';
import { engineNamed } from '../../engines/registry.js';
import { renderTiming, timingCsv } from '../../report/timing.js';
import { codeOf } from '../../store/code.js';
import { readSealed, writeFileAtomic, writeSealed } from '../../store/files.js';
import { isSameMachine, type MachineDescription } from '../../timing/machine.js';
import { RECORD_VERSION, type TimingRecord } from '../../timing/record.js';
import type { RawPair, TimingOutcome } from './outcome.js';

const FILE = 'timing.json';

/** What a timed evaluation leaves in the folder of its run. */
export const timingFiles = ['timing.txt', 'timing.csv', 'timing-pairs.csv', FILE];

/** Writes the table, a line for each row, a line for each measured pair, and the record, which is what is read again. */
export async function writeTiming({ record, pairs }: TimingOutcome, folder: string): Promise<void> {
  await writeFileAtomic(join(folder, 'timing-pairs.csv'), pairLines(pairs));
  await writeFileAtomic(join(folder, 'timing.csv'), timingCsv(record));
  await writeFileAtomic(join(folder, 'timing.txt'), `${renderTiming(record)}\n`);
  await writeSealed(join(folder, FILE), record);
}

/** Lines of the raw times, some thousands at a time. */
function* pairLines(pairs: readonly RawPair[]): Generator<string> {
  const ways = pairs[0]?.exits.length ?? 0;
  const exits = Array.from({ length: ways }, (_, exit) => `exit${exit + 1}_images`);
  yield csvOf([
    ['repeat', 'batch_images', 'row', 'pair', 'image', 'turn', 'first', 'original_ms', 'gated_ms', ...exits],
  ]);
  for (let start = 0; start < pairs.length; start += 4096) {
    yield csvOf(
      pairs
        .slice(start, start + 4096)
        .map((pair) => [
          pair.repeat,
          pair.batch,
          pair.row,
          pair.index,
          pair.image,
          pair.turn,
          pair.first,
          pair.originalMs.toFixed(6),
          pair.gatedMs.toFixed(6),
          ...pair.exits,
        ]),
    );
  }
}

const mean = z.looseObject({ mean: z.number() });

/** What of a record is read again. */
const recordSchema = z.looseObject({
  date: z.string(),
  engine: z.looseObject({ id: z.string(), device: z.string(), versions: z.record(z.string(), z.string()) }),
  machine: z.looseObject({ processor: z.string(), cores: z.number(), gpus: z.array(z.string()) }),
  batches: z.array(
    z.looseObject({ batch: z.number(), rows: z.array(z.looseObject({ originalMs: mean, gatedMs: mean })) }),
  ),
});

/** The last timing of a run, or why there is none that its table may show. */
export type FoundTiming = { readonly record: TimingRecord } | { readonly why: string } | undefined;

/**
 * The last timing in a run's folder. The folder's name stands for everything that decides the result, the engine
 * included; the machine it does not name, so that is compared.
 *
 * @returns undefined where nothing was ever timed
 */
export async function findTiming(folder: string, machine: MachineDescription, code: string): Promise<FoundTiming> {
  const path = join(folder, FILE);
  const stored = await readSealed(path);
  if (stored === undefined || 'why' in stored) return stored;
  const { found } = stored;
  if ((found as Partial<TimingRecord> | null)?.version !== RECORD_VERSION) {
    return { why: `${path}: written by another version of dgate` };
  }
  if (!recordSchema.safeParse(found).success) return { why: `${path}: damaged` };
  const record = found as TimingRecord;
  if (record.code !== code) return { why: `${path}: measured with other code; dgate time measures again` };
  if (!isSameMachine(record.machine, machine)) {
    return { why: `${path}: measured on another machine (${record.machine.processor}, ${record.machine.cores} cores)` };
  }
  return { record };
}

/** Identity of all code between images and times. @param engine id of the engine that runs the networks */
export function timedCode(engine: string): string {
  return codeOf('gated/time/time', 'gated/open', 'run/run', engineNamed(engine).module);
}
