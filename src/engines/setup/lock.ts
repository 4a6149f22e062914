import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { removeOnExit } from '../../store/cleanup.js';
import { thisProcess } from '../../store/processes.js';
import { codeOf, fail } from './fail.js';

/** Keeps a second set-up out of a folder. @returns what gives it free. @throws InputError where one is at work */
export function lock(folder: string): () => void {
  const file = join(folder, '.dgate-setup.lock');
  const own = String(thisProcess().pid);
  const keep = removeOnExit(file, own);
  const unlock = (): void => {
    rmSync(file, { force: true });
    keep();
  };
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      writeFileSync(file, own, { flag: 'wx' });
      return unlock;
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
