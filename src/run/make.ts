import type { Progress } from '../progress.js';
import { describeHolder, pause } from '../store/lock.js';
import type { Entry } from '../store/store.js';

/** A result that may have to be made. */
export interface Wanted {
  readonly entry: Entry;
  /** What it is called: `gate 1 (stage 1)`. */
  readonly label: string;
  /** Makes it and finishes the entry. */
  readonly make: () => Promise<void>;
}

/**
 * Makes what is not in the cache, each thing once however many processes want it: what another process is making is
 * left to it while there is something else to do, then waited for, and taken over where that process dies.
 *
 * @throws CorruptEntryError; InputError where the cache cannot be written
 */
export async function makeAll(progress: Progress, wanted: readonly Wanted[]): Promise<void> {
  let open: readonly Wanted[] = wanted;
  for (let round = 0; open.length > 0; round++) {
    const left: Wanted[] = [];
    for (const item of open) {
      if (await item.entry.isComplete()) {
        progress.note(`${item.label}: in the cache (${item.entry.key})`);
        continue;
      }
      const lock = await item.entry.tryLock();
      if (lock === undefined) {
        left.push(item);
        continue;
      }
      try {
        if (await item.entry.isComplete()) progress.note(`${item.label}: in the cache (${item.entry.key})`);
        else await item.make();
      } finally {
        await lock.release();
      }
    }
    if (left.length > 0 && left.length < open.length) round = 0;
    else if (left.length > 0) {
      if (round === 0) {
        const holder = await describeHolder(left[0]!.entry.lockPath());
        progress.note(`${left.map(({ label }) => label).join(', ')}: waiting for ${holder}, which makes it`);
      }
      await pause(round);
    }
    open = left;
  }
}
