import { run, workplaceAt } from './workplace.js';

/**
 * Run by `interrupted.test.ts` in a process of its own: a run in the folder given, which dies without warning when it
 * asks for the image given.
 */
const [folder = '', image] = process.argv.slice(2);
const workplace = workplaceAt(folder, {
  onBatch: (split, positions) => {
    if (split === 'train' && positions.includes(Number(image))) process.kill(process.pid, 'SIGKILL');
  },
});
await run(workplace);
