import { join } from 'node:path';
import { z } from 'zod';
import { exists, writeFileAtomic } from '../../store/files.js';
import { readRegular } from '../../store/input.js';
import { seal, unseal } from '../../store/text.js';

const descriptionSchema = z.object({
  dataset: z.string(),
  /** Where the data came from. */
  source: z.string(),
  /** When it was fetched and verified, in ISO 8601. */
  verified: z.string(),
});

/** `<root>/<name>/dataset.json`: where the data came from, for people. Nothing relies on it. */
export async function writeDescription(directory: string, dataset: string, source: string): Promise<void> {
  const description = { dataset, source, verified: new Date().toISOString() };
  await writeFileAtomic(pathOf(directory), seal(description));
}

/** What is wrong with the description, a line; undefined where it is as it was written or not there. */
export async function problemOfDescription(directory: string): Promise<string | undefined> {
  const path = pathOf(directory);
  const text = (await readRegular(path).catch(() => undefined))?.toString('utf8');
  if (text === undefined || descriptionSchema.safeParse(unseal(text)).success) return undefined;
  return `${path}: is not what was written there; it only says where the data came from and can be deleted`;
}

export async function isDescribed(directory: string): Promise<boolean> {
  return exists(pathOf(directory));
}

function pathOf(directory: string): string {
  return join(directory, 'dataset.json');
}
