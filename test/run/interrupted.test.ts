import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { rejection } from '../data/smallCifar10.js';
import { filesBelow, makeWorkplace, run, type Workplace, workplaceAt } from './workplace.js';

const shardFiles = async (folder: string) =>
  (await filesBelow(folder)).filter((name) => /shard-.*\.safetensors$/.test(name));

describe('an interrupted extraction', () => {
  let undisturbed: Workplace;
  let csv: string;
  const made: Workplace[] = [];

  before(async () => {
    undisturbed = await makeWorkplace();
    made.push(undisturbed);
    csv = (await run(undisturbed)).csv;
  });
  after(() => Promise.all(made.map((workplace) => workplace.remove())));

  async function fresh(...generated: Parameters<typeof makeWorkplace>): Promise<Workplace> {
    const workplace = await makeWorkplace(...generated);
    made.push(workplace);
    return workplace;
  }

  /** The next run asks only for what is missing, and makes the same files as the undisturbed one. */
  async function expectResumed(folder: string, from: number): Promise<void> {
    const asked: number[] = [];
    const again = workplaceAt(folder, {
      onBatch: (split, positions) => {
        if (split === 'train') asked.push(...positions);
      },
    });
    const resumed = await run(again);
    expect(again.notes.join('\n')).to.contain(`interrupted before, going on at image ${from.toLocaleString('en')}`);
    expect(again.warnings).to.deep.equal([]);
    expect(asked).to.deep.equal(Array.from({ length: 2200 - from }, (_, i) => from + i));
    expect(resumed.csv).to.equal(csv);
    const names = await shardFiles(undisturbed.folder);
    expect(names).to.have.length(4); // three of the training images, one of the test images
    expect(await shardFiles(folder)).to.deep.equal(names);
    for (const name of names) {
      const [a, b] = await Promise.all([undisturbed.folder, folder].map((at) => readFile(join(at, name))));
      expect(a!.equals(b!), name).to.equal(true);
    }
  }

  it('goes on where an error stopped it, and makes the same shards', async () => {
    const { folder, context } = await fresh({
      onBatch: (split, positions) => {
        if (split === 'train' && positions.includes(1500)) throw new Error('no more images');
      },
    });
    const error = await rejection(run({ ...workplaceAt(folder), context }));
    expect(error.message).to.equal('no more images');
    expect(await shardFiles(folder)).to.have.length(1);
    expect(await filesBelow(join(folder, 'tables'))).to.deep.equal([]);
    await expectResumed(folder, 1024);
  });

  it('goes on where a kill stopped it, and makes the same shards', async () => {
    const { folder } = await fresh();
    const script = fileURLToPath(new URL('killedRun.ts', import.meta.url));
    const child = spawn(process.execPath, ['--import', 'tsx', script, folder, '2120', '2'], { stdio: 'inherit' });
    expect(await once(child, 'exit')).to.deep.equal([null, 'SIGKILL']);
    expect(await shardFiles(folder)).to.have.length(2);
    await expectResumed(folder, 2048);
  });

  it('says that a manifest cannot be read, and uses again the features that are whole', async () => {
    const small = { train: 200, test: 100 };
    const { folder } = await fresh(small);
    await run(workplaceAt(folder, small));
    const manifests = (await filesBelow(folder)).filter((name) => name.endsWith('manifest.json'));
    expect(manifests).to.have.length(7);
    for (const name of manifests) await writeFile(join(folder, name), '{"key":');
    const again = workplaceAt(folder, small);
    await run(again);
    for (const name of manifests) {
      const said = `${join(folder, name)}: is not what was written there; removed, it is made again`;
      expect(again.warnings).to.contain(said);
    }
    expect(again.warnings).to.have.length(7);
    expect(again.notes.filter((note) => note.includes('extracting'))).to.deep.equal([]);
    expect(again.notes.filter((note) => note.includes('; training on'))).to.have.length(2);
  });
});
