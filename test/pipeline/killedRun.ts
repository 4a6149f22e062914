import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
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

/** Shards that a manifest names: a file that none names yet does not count after a kill. */
async function recordedShards(): Promise<number> {
  const manifests = (await filesBelow(folder)).filter((name) => name.endsWith('entry.json'));
  const texts = await Promise.all(manifests.map((name) => readFile(join(folder, name), 'utf8')));
  return new Set(texts.flatMap((text) => text.match(/shard-\d+/g) ?? [])).size;
}
