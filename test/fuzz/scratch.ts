import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A folder for readers that take paths; it goes when the process does. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'dgate-fuzz-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
