import { readFileSync, rmSync } from 'node:fs';
import { tellSupervisor } from './supervised.js';

/** What is told of one: a file or folder that must not outlive its process, that it is no more, or what to say at the end. */
export type CleanupNotice =
  | { readonly made: number; readonly path: string; readonly text?: string | undefined }
  | { readonly gone: number }
  | { readonly message: string | null };

/** What an interrupted process leaves and what there is to say: known to itself and to its supervisor. */
export class PendingCleanup {
  readonly #paths = new Map<number, Extract<CleanupNotice, { path: string }>>();
  #message: string | null = null;

  receive(told: CleanupNotice): void {
    if ('made' in told) this.#paths.set(told.made, told);
    else if ('gone' in told) this.#paths.delete(told.gone);
    else this.#message = told.message;
  }

  /** What there is to say where the process is interrupted. */
  get message(): string {
    return this.#message ?? 'interrupted; run the same command again and it goes on where it stopped';
  }

  remove(): void {
    for (const { path, text } of this.#paths.values()) {
      try {
        if (text === undefined || readFileSync(path, 'utf8') === text) rmSync(path, { recursive: true, force: true });
      } catch {
        // The process is ending: there is nobody to tell, and the next run sweeps.
      }
    }
  }
}

const current = new PendingCleanup();
let last = 0;

function tell(told: CleanupNotice): void {
  current.receive(told);
  tellSupervisor(told);
}

/**
 * Has a file or folder removed when the process ends, however it does; what is returned takes that back. To be called before
 * the file is made, so that there is no moment in which nobody knows of it.
 *
 * @param text its content, where another process may put its current file in the same place: that one stays
 */
export function removeOnExit(path: string, text?: string): () => void {
  const id = ++last;
  tell({ made: id, path, text });
  return () => tell({ gone: id });
}

/** Says something else than the general word where the process is interrupted; null takes that back. */
export function sayWhenInterrupted(message: string | null): void {
  tell({ message });
}

/** What is to be said where this process is interrupted. */
export function interruptionMessage(): string {
  return current.message;
}

/** Removes what an exit in the middle of work would leave behind; for `process.on('exit')`. */
export function removeTemporaryFiles(): void {
  current.remove();
}
