import { setTimeout } from 'node:timers/promises';
import { filesBelow, run, workplaceAt } from './workplace.js';

/**
 * Run by `interrupted.test.ts` in a process of its own: a run in the folder given, which dies without warning when it
 * asks for the image given and as many shards as given are written (images are asked for ahead).
 */
const [folder = '', image, shards] = process.argv.slice(2);
const workplace = workplaceAt(folder, {
  onBatch: async (split, positions) => {
    if (split !== 'train' || !positions.includes(Number(image))) return;
    while ((await recordedShards()) < Number(shards)) await setTimeout(10);
    process.kill(process.pid, 'SIGKILL');
  },
});
await run(workplace);

/** Whole shards: one that is being written has a temporary name. */
async function recordedShards(): Promise<number> {
  return (await filesBelow(folder)).filter((name) => /shard-\d+-[0-9a-f]{16}\.safetensors$/.test(name)).length;
}
