import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { canonicalJson, readSealed, writeSealed } from '../../store/files.js';
import type { RowTiming } from '../../timing/record.js';
import type { ResumableRows, TimedRow, TimingOutcome } from './outcome.js';

const FOLDER = 'timing-partial';

/** What of a kept row is looked at before it is taken. */
const rowSchema = z.looseObject({
  key: z.unknown(),
  timing: z.looseObject({ thresholds: z.array(z.array(z.number().nullable())), date: z.string() }),
  pairs: z.array(z.looseObject({ originalMs: z.number(), gatedMs: z.number(), turn: z.number() })).min(1),
});

/** What of a finished repeat is looked at before it is taken. */
const repeatSchema = z.looseObject({
  key: z.unknown(),
  batches: z.array(z.number()),
  record: z.looseObject({ batches: z.array(z.looseObject({ rows: z.array(z.looseObject({})) })) }),
  pairs: z.array(z.looseObject({ originalMs: z.number(), gatedMs: z.number(), row: z.number() })).min(1),
});

/** One repeat of a timing, kept until all are there. */
interface ResumableRepeat extends ResumableRows {
  /** The whole repeat, where it has ended with these batch sizes. */
  finished(batches: readonly number[]): Promise<TimingOutcome | undefined>;
  finish(outcome: TimingOutcome): Promise<void>;
}

/** Removes what a finished timing no longer needs. */
export const clearPartial = (folder: string): Promise<void> =>
  rm(join(folder, FOLDER), { recursive: true, force: true });

/**
 * A repeat of a timing: each row in a file of its own, then the whole repeat, in `timing-partial/` of the run's folder.
 * A row or repeat is taken from there only where everything that the times depend on is the same.
 *
 * @param key everything that the times of all rows depend on and the run's folder does not stand for
 * @param repeat from 1
 */
export function resumableRows(folder: string, key: unknown, note: (line: string) => void, repeat = 1): ResumableRepeat {
  const wanted = canonicalJson(key);
  const named = (name: string): string => join(folder, FOLDER, `repeat${repeat}${name}.json`);
  const fileOf = (batch: number, index: number): string => named(`-batch${batch}-row${index + 1}`);
  return {
    async finished(batches) {
      const stored = await readSealed(named(''));
      if (stored === undefined || 'why' in stored || !repeatSchema.safeParse(stored.found).success) return undefined;
      const { found } = stored as { found: TimingOutcome & { key: unknown; batches: readonly number[] } };
      return canonicalJson(found.key) === wanted && String(found.batches) === String(batches) ? found : undefined;
    },
    finish: ({ record, pairs }) =>
      writeSealed(named(''), { key, batches: record.batches.map(({ batch }) => batch), record, pairs }),
    async find(batch, index, thresholds): Promise<TimedRow | undefined> {
      const path = fileOf(batch, index);
      const found = await readSaved(path);
      if (found === undefined) return undefined;
      if ('why' in found) {
        note(`${found.why}; timed again`);
        return undefined;
      }
      if (canonicalJson(found.key) !== wanted) {
        note(`${path}: measured with other options, versions or on another machine; timed again`);
        return undefined;
      }
      if (JSON.stringify(found.row.timing.thresholds) !== JSON.stringify(thresholds)) return undefined;
      note(`batch ${batch}, ${found.row.timing.model}: timed before the interruption, ${found.row.timing.date}`);
      return found.row;
    },
    keep: (batch, index, row) => writeSealed(fileOf(batch, index), { key, ...row }),
  };
}

async function readSaved(path: string): Promise<{ key: unknown; row: TimedRow } | { why: string } | undefined> {
  const stored = await readSealed(path);
  if (stored === undefined || 'why' in stored) return stored;
  if (!rowSchema.safeParse(stored.found).success) return { why: `${path}: damaged` };
  const { key, timing, pairs } = stored.found as { key: unknown; timing: RowTiming; pairs: TimedRow['pairs'] };
  return { key, row: { timing, pairs } };
}
