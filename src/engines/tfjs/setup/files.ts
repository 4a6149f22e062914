import {
  copyFileSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { codeOf, fail } from './fail.js';
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

/** Keeps a second set-up out of a folder. @returns what gives it free */
export function lock(folder: string): () => void {
  const file = join(folder, '.setup-tfjs-node.lock');
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' });
      return () => rmSync(file, { force: true });
    } catch (error) {
      const code = codeOf(error);
      if (code === 'EACCES' || code === 'EROFS') fail(`${folder} is not writable; run as the owner of node_modules`);
      if (code !== 'EEXIST') throw error;
    }
    const owner = Number(readFileSync(file, 'utf8'));
    if (isRunning(owner)) fail(`another set-up (process ${owner}) is at work; wait for it, or remove ${file}`);
    rmSync(file, { force: true }); // left by one that was killed
  }
  return fail(`could not lock ${folder}; remove ${file}`);
}

function isRunning(process_: number): boolean {
  try {
    process.kill(process_, 0);
    return true;
  } catch (error) {
    return codeOf(error) !== 'ESRCH';
  }
}
