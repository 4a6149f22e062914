import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { readJson, writeFileAtomic } from '../../store/files.js';
import { binaryFolder, type RecordFile } from './layout.js';

const descriptionSchema = z.object({
  dataset: z.literal('cifar10'),
  /** Where the data came from. */
  source: z.string(),
  /** When it was last verified, in ISO 8601. */
  verified: z.string(),
  /** Record files as they were when they were last hashed. */
  files: z.record(z.string(), z.object({ bytes: z.number(), modifiedMs: z.number(), sha256: z.string() })),
});

/**
 * `<root>/cifar10/dataset.json`: which files were verified, and their size and time of change then. A file that still
 * has both is taken to be unchanged, so that a run need not hash 184 MB.
 */
export type Description = z.infer<typeof descriptionSchema>;

/** The description, or undefined where there is none that can be used. */
export async function readDescription(directory: string): Promise<Description | undefined> {
  const found = await readJson(pathOf(directory)).catch(() => undefined);
  return descriptionSchema.safeParse(found).data;
}

/**
 * Describes files as they are now; call it when they were just verified.
 *
 * @param files those that were verified; of the others is kept what `previous` says
 */
export async function writeDescription(
  directory: string,
  source: string,
  files: readonly RecordFile[],
  previous?: Description,
): Promise<void> {
  const entries: Description['files'] = { ...previous?.files };
  for (const { name, sha256 } of files) {
    const found = await stat(join(directory, binaryFolder, name));
    entries[name] = { bytes: found.size, modifiedMs: found.mtimeMs, sha256 };
  }
  const description: Description = { dataset: 'cifar10', source, verified: new Date().toISOString(), files: entries };
  await writeFileAtomic(pathOf(directory), `${JSON.stringify(description, null, 1)}\n`);
}

/** Whether a file is, by its size and time of change, the one that was verified. */
export function isUnchanged(
  file: RecordFile,
  now: { readonly size: number; readonly mtimeMs: number },
  description: Description | undefined,
): boolean {
  const then = description?.files[file.name];
  return then?.sha256 === file.sha256 && then.bytes === now.size && then.modifiedMs === now.mtimeMs;
}

function pathOf(directory: string): string {
  return join(directory, 'dataset.json');
}
