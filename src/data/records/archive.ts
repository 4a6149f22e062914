import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { list } from 'tar';
import { InputError, messageOf, Problems } from '../../errors.js';
import { asFileProblem } from '../../store/files.js';

/**
 * Extracts known files from a tar archive, gzipped or not. Entries are recognised by their base name and written under names
 * of ours: the archive's paths, links and modes are ignored.
 *
 * @param wanted the files to extract with the largest size of each; others are skipped
 * @param into the folder to write to
 * @returns the names found
 * @throws InputError if the archive is damaged, or an entry appears twice or is too large
 */
export async function extractFiles(
  archive: string,
  wanted: ReadonlyMap<string, number>,
  into: string,
): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  const problems = new Problems();
  const taken: Promise<void>[] = [];
  const writing: Promise<void>[] = [];
  let broken = false;
  const write = async (name: string, data: Uint8Array): Promise<void> => {
    if (broken) return;
    const written = writeFile(join(into, name), data);
    writing.push(written);
    await written;
  };
  try {
    await list({
      file: archive,
      strict: true,
      maxDecompressionRatio: 20, // noise and PNGs hardly compress
      onReadEntry(entry) {
        const name = basename(entry.path);
        const most = wanted.get(name);
        if (most === undefined || (entry.type !== 'File' && entry.type !== 'OldFile')) return entry.resume();
        if (found.has(name)) problems.add(`${archive}: ${name} is in it twice`);
        else if (entry.size > most) problems.add(`${archive}: ${name} has ${entry.size} bytes; at most ${most}`);
        if (problems.count > 0) return entry.resume();
        found.add(name);
        const whole = entry.concat().then((data) => write(name, data));
        // Awaited below; until then a failure must not count as an unhandled rejection.
        whole.catch(() => {});
        taken.push(whole);
      },
    });
  } catch (error) {
    // The entry at which the archive is cut off never ends: wait only for files that are being written.
    broken = true;
    await Promise.allSettled(writing);
    throw new InputError(`${archive}: not a whole tar archive: ${messageOf(error)}`, { cause: error });
  }
  const failed = (await Promise.allSettled(taken)).find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) throw asFileProblem(failed.reason, into);
  problems.throwIfAny();
  return found;
}
