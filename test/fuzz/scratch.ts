import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folders: string[] = [];
process.once('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A folder for readers that take paths; it goes when the process does. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'dgate-fuzz-'));
  folders.push(folder);
  return folder;
}
