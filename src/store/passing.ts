import { rmSync } from 'node:fs';

/** Files of this process that must not outlive it. */
const passing = new Set<string>();

/** Has a file or folder removed when the process ends; what is returned takes that back. */
export function removeOnExit(path: string): () => void {
  passing.add(path);
  return () => passing.delete(path);
}

/** Removes what an exit in the middle of work would leave behind; for `process.on('exit')`. */
export function removeTemporaryFiles(): void {
  for (const path of passing) {
    try {
      rmSync(path, { recursive: true, force: true });
    } catch {
      // The process is ending: there is nobody to tell, and the next run sweeps.
    }
  }
}
