import { copyFileSync, linkSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isWantedHeader } from './wheel.js';

/** Links a file; symbolically on another disk, or without the right to hard-link. */
export function linkFile(from: string, to: string): void {
  rmSync(to, { force: true });
  try {
    linkSync(from, to);
  } catch {
    symlinkSync(from, to);
  }
}

/** Copies the few headers that the addon includes from an installed TensorFlow. */
export function copyHeaders(tensorflow: string, to: string, folder = 'include'): void {
  for (const entry of readdirSync(join(tensorflow, folder), { withFileTypes: true })) {
    const name = `${folder}/${entry.name}`;
    if (entry.isDirectory()) {
      copyHeaders(tensorflow, to, name);
    } else if (isWantedHeader(`tensorflow/${name}`)) {
      const target = join(to, name);
      mkdirSync(dirname(target), { recursive: true });
      copyFileSync(join(tensorflow, name), target);
    }
  }
}
