import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { canonicalJson } from '../../store/files.js';
import { readSealed, writeSealed } from '../../store/sealed.js';
import type { RowTiming } from '../../timing/record.js';
import type { ResumableRows, TimedRow } from './outcome.js';

const FOLDER = 'timing-partial';

/** What of a kept row is looked at before it is taken. */
const rowSchema = z.looseObject({
  key: z.unknown(),
  timing: z.looseObject({ thresholds: z.array(z.array(z.number().nullable())), date: z.string() }),
  pairs: z.array(z.looseObject({ originalMs: z.number(), gatedMs: z.number(), turn: z.number() })).min(1),
});

/**
 * The rows of a timing that has not ended, each in a file of its own, in `timing-partial/` of the run's folder. A row
 * is taken from there only where everything that the times depend on is the same.
 *
 * @param key everything that the times of all rows depend on and the run's folder does not stand for
 */
export function resumableRows(
  folder: string,
  key: unknown,
  note: (line: string) => void,
): ResumableRows & { clear(): Promise<void> } {
  const wanted = canonicalJson(key);
  const fileOf = (batch: number, index: number): string => join(folder, FOLDER, `batch${batch}-row${index + 1}.json`);
  return {
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
    clear: () => rm(join(folder, FOLDER), { recursive: true, force: true }),
  };
}

async function readSaved(path: string): Promise<{ key: unknown; row: TimedRow } | { why: string } | undefined> {
  const stored = await readSealed(path);
  if (stored === undefined || 'why' in stored) return stored;
  if (!rowSchema.safeParse(stored.found).success) return { why: `${path}: damaged` };
  const { key, timing, pairs } = stored.found as { key: unknown; timing: RowTiming; pairs: TimedRow['pairs'] };
  return { key, row: { timing, pairs } };
}
