import { mkdtemp, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { silent } from '../../src/progress.js';
import { verifyAll } from '../../src/run/context.js';
import { Store } from '../../src/store/store.js';
import { filesBelow, writeTinyCheckpoint } from '../run/workplace.js';
import { startChild, whole } from './faults.js';
import type { Told } from './work.js';

/** Four in `npm run test:faults`. */
const PROCESSES = whole ? 4 : 2;

describe(`${PROCESSES} processes on one cache`, function () {
  this.timeout(900_000);
  let folder: string;
  const size = { train: whole ? 6000 : 2100, test: 300 };

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dgate-together-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  async function place(name: string): Promise<Told> {
    const told = { folder: join(folder, name), ...size };
    await writeTinyCheckpoint(join(told.folder, 'tiny.safetensors'));
    return told;
  }

  /** How often something was said, over all processes. */
  const said = (texts: readonly string[], pattern: RegExp): number =>
    texts.reduce((sum, text) => sum + [...text.matchAll(new RegExp(pattern, 'g'))].length, 0);

  async function expectSound(told: Told): Promise<void> {
    const found = await verifyAll(told.folder, new Store(join(told.folder, 'results')), silent);
    expect(found.damaged).to.deep.equal([]);
    const left = (await filesBelow(told.folder)).filter((name) => /\.(lock|tmp)$/.test(name));
    // This process looks at the cache, too, and may have a lease of its own.
    expect(left.filter((name) => !name.includes('.running/'))).to.deep.equal([]);
  }

  it('with the same experiment share the shards, make each gate once, and give the same table', async () => {
    const alone = await startChild(await place('alone')).ended;
    expect(alone.status, alone.stderr).to.equal(0);
    const told = await place('same');
    const ended = await Promise.all(Array.from({ length: PROCESSES }, () => startChild(told).ended));
    const texts = ended.map(({ stderr }) => stderr);
    for (const { status, stdout, stderr } of ended) {
      expect(status, stderr).to.equal(0);
      expect(stdout).to.equal(alone.stdout);
    }
    for (const gate of [1, 2]) expect(said(texts, new RegExp(`gate ${gate} .*not in the cache; training`))).to.equal(1);
    expect(said(texts, /scores of test images: not in the cache/)).to.equal(1);
    const store = new Store(join(told.folder, 'results'));
    for (const entry of await store.list()) expect(await entry.strays(), 'work done twice').to.deep.equal([]);
    await expectSound(told);
  });

  it('with different experiments make what they share once', async () => {
    const told = await place('different');
    const epochs = [1, 2, 3, 4].slice(0, PROCESSES);
    const ended = await Promise.all(
      epochs.map((value) => startChild({ ...told, overrides: [{ path: 'gates.epochs', value }] }).ended),
    );
    for (const { status, stderr } of ended) expect(status, stderr).to.equal(0);
    expect(new Set(ended.map(({ stdout }) => stdout)).size).to.be.above(1);
    const entries = await new Store(join(told.folder, 'results')).list();
    const count = (stage: string): number => entries.filter((entry) => entry.stage === stage).length;
    expect([count('features'), count('gates'), count('scores')]).to.deep.equal([2, 2 * PROCESSES, PROCESSES]);
    for (const entry of entries) expect(await entry.strays(), 'work done twice').to.deep.equal([]);
    await expectSound(told);
  });

  it('go on where one of them dies with a lock in its hands', async () => {
    const told = await place('dying');
    const victim = startChild(told);
    const locks = async () => (await filesBelow(told.folder)).filter((name) => /shard-.*\.lock$/.test(name));
    while ((await locks()).length === 0 && victim.process.exitCode === null) await delay(2);
    const others = Array.from({ length: PROCESSES - 1 }, () => startChild(told));
    victim.process.kill('SIGKILL');
    expect((await victim.ended).signal).to.equal('SIGKILL');
    // Who waited for silence would now wait for an hour, longer than this test may take.
    const inAnHour = new Date(Date.now() + 3_600_000);
    for (const name of await locks()) await utimes(join(told.folder, name), inAnHour, inAnHour).catch(() => {});
    const ended = await Promise.all(others.map((child) => child.ended));
    for (const { status, stdout, stderr } of ended) {
      expect(status, stderr).to.equal(0);
      expect(stdout).to.equal(ended[0]!.stdout);
    }
    await expectSound(told);
  });
});
