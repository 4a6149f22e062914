import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { seal } from '../../src/json.js';
import { abandonedIn, isHeld, Lock, locked } from '../../src/store/lock.js';
import { thisProcess } from '../../src/store/processes.js';
import { type Entry, prune, Store } from '../../src/store/store.js';
import { inFolder } from '../checkpoints/helpers.js';
import { rejection } from '../data/smallCifar10.js';

const never = (): void => {
  throw new Error('nobody is to be waited for');
};
const elsewhere = { host: 'elsewhere', machine: '0'.repeat(12), pid: 1, started: '1' };

async function age(path: string, seconds: number): Promise<void> {
  const then = new Date(Date.now() - 1000 * seconds);
  await utimes(path, then, then);
}

describe('a lock between processes', () => {
  it('is held by one at a time, and leaves nothing', () =>
    inFolder(async (folder) => {
      const path = join(folder, 'deep', 'a.lock');
      let [inside, most, done] = [0, 0, 0];
      const work = async (): Promise<void> => {
        most = Math.max(most, ++inside);
        await delay(3);
        inside--;
        done++;
      };
      await Promise.all(Array.from({ length: 8 }, () => locked(path, () => {}, work)));
      expect([most, done]).to.deep.equal([1, 8]);
      expect(await readdir(join(folder, 'deep'))).to.deep.equal([]);
    }));

  it('is released where the work fails', () =>
    inFolder(async (folder) => {
      const path = join(folder, 'a.lock');
      await rejection(locked(path, never, () => Promise.reject(new Error('failed'))));
      await locked(path, never, async () => {});
    }));

  it('says whom one waits for, once', () =>
    inFolder(async (folder) => {
      const path = join(folder, 'a.lock');
      const lock = await Lock.take(path, never);
      const waiting: string[] = [];
      const second = Lock.take(path, (holder) => waiting.push(holder));
      while (waiting.length === 0) await delay(5);
      await delay(300); // it looks again, and says nothing
      await lock.release();
      await (await second).release();
      const { pid, host } = thisProcess();
      expect(waiting).to.deep.equal([`process ${pid} on ${host}`]);
    }));

  it('of a process of this machine that has ended is taken over at once', () =>
    inFolder(async (folder) => {
      const path = join(folder, 'a.lock');
      for (const dead of [
        { ...thisProcess(), pid: 2 ** 22 + 1 },
        { ...thisProcess(), started: 'before' }, // the process id is used again
      ]) {
        await writeFile(path, seal(dead));
        expect(await isHeld(path)).to.equal(false);
        await (await Lock.take(path, never)).release();
      }
      expect(await readdir(folder)).to.deep.equal([]);
    }));

  it('of another machine, or damaged, counts as long as somebody renews it', () =>
    inFolder(async (folder) => {
      const path = join(folder, 'a.lock');
      for (const text of [seal(elsewhere), '', 'not a lock']) {
        await writeFile(path, text);
        expect(await Lock.tryTake(path)).to.equal(undefined);
        await age(path, 60);
        expect(await Lock.tryTake(path)).to.equal(undefined);
        await age(path, 130);
        expect(await isHeld(path)).to.equal(false);
        await (await Lock.take(path, never)).release();
      }
    }));

  it('that was taken away is not released for the one who has it now', () =>
    inFolder(async (folder) => {
      const path = join(folder, 'a.lock');
      const lock = await Lock.take(path, never);
      await writeFile(path, seal(elsewhere));
      await lock.release();
      expect(await readFile(path, 'utf8')).to.equal(seal(elsewhere));
    }));

  it('that many find dead at once goes to one of them', () =>
    inFolder(async (folder) => {
      const path = join(folder, 'a.lock');
      for (let round = 0; round < 20; round++) {
        await writeFile(path, seal({ ...thisProcess(), pid: 2 ** 22 + 1 }));
        const taken = (await Promise.all(Array.from({ length: 6 }, () => Lock.tryTake(path)))).filter(Boolean);
        expect(taken.length).to.equal(1);
        await taken[0]!.release();
      }
    }));
});

describe('pruning', () => {
  const day = 24 * 3600;
  const bytes = (count: number): Uint8Array => new Uint8Array(count);

  async function made(store: Store, name: string, size: number, daysAgo: number): Promise<Entry> {
    const entry = store.entry('features', { name });
    await entry.write('a', [bytes(size)]);
    await entry.finish();
    await age(join(entry.directory, 'manifest.json'), daysAgo * day);
    return entry;
  }

  const keys = (entries: readonly { readonly key: string }[]): string[] => entries.map(({ key }) => key);

  it('removes by age, the longest unused first by a budget, and only says so where it is dry', () =>
    inFolder(async (cache) => {
      const store = new Store(join(cache, 'results'));
      const [old, middle, young] = [
        await made(store, 'old', 1000, 40),
        await made(store, 'middle', 1000, 20),
        await made(store, 'young', 1000, 1),
      ];
      const dry = await prune(cache, store, { olderThanMs: 30 * day * 1000 }, true);
      expect(keys(dry.removed)).to.deep.equal([old.key]);
      expect(await store.list()).to.have.length(3);
      const aged = await prune(cache, store, { olderThanMs: 30 * day * 1000 }, false);
      expect(keys(aged.removed)).to.deep.equal([old.key]);
      expect(keys(await store.list())).to.have.members([middle.key, young.key]);
      const { bytes: each } = await young.usage();
      const budget = await prune(cache, store, { keepBytes: each + 10 }, false);
      expect(keys(budget.removed)).to.deep.equal([middle.key]);
      expect(budget.kept).to.deep.equal({ entries: 1, bytes: each, inUse: 0 });
      expect((await prune(cache, store, { keepBytes: 0 }, false)).removed).to.have.length(1);
      expect(await store.list()).to.deep.equal([]);
    }));

  it('never removes what a living process works on, or has used since it began', () =>
    inFolder(async (cache) => {
      const store = new Store(join(cache, 'results'));
      const locked = await made(store, 'locked', 1000, 40);
      const lock = await locked.tryLock('b');
      const used = await made(store, 'used', 1000, 40);
      await made(store, 'unused', 1000, 40);
      expect((await prune(cache, store, { keepBytes: 0 }, true)).removed).to.have.length(2);
      await store.entry('features', { name: 'used' }).isComplete(); // this process is a run now
      const pruned = await prune(cache, store, { keepBytes: 0 }, false);
      expect(pruned.removed).to.have.length(1);
      expect(pruned.kept.inUse).to.equal(2);
      expect(keys(await store.list())).to.have.members([locked.key, used.key]);
      await lock!.release();
    }));

  it('removes what killed processes left, and doubles, but no work of living ones', () =>
    inFolder(async (cache) => {
      const store = new Store(join(cache, 'results'));
      const entry = await made(store, 'one', 1000, 1);
      const { machine, pid } = thisProcess();
      const left = [
        join(entry.directory, `a.${machine}-${2 ** 22 + 1}-01234567.tmp`),
        join(entry.directory, `a-${'0'.repeat(16)}`),
        join(entry.directory, 'b.lock'),
        join(cache, 'data', `x.${machine}-${2 ** 22 + 1}-01234567.tmp`),
      ];
      await mkdir(join(cache, 'data'));
      for (const path of left) await writeFile(path, seal({ ...thisProcess(), pid: 2 ** 22 + 1 }));
      const busy = join(cache, 'data', `x.${machine}-${pid}-01234567.tmp`);
      await writeFile(busy, '');
      const pruned = await prune(cache, store, { olderThanMs: 30 * day * 1000 }, false);
      expect(pruned.temporary.map(({ path }) => path)).to.have.members(left);
      expect(await readdir(join(cache, 'data'))).to.deep.equal([busy.slice(join(cache, 'data').length + 1)]);
      expect((await readdir(entry.directory)).sort()).to.have.length(2);
      expect((await entry.read('a')).length).to.equal(1000);
    }));
});

describe('temporary files of another machine', () => {
  it('are abandoned once they have not changed for a day', () =>
    inFolder(async (folder) => {
      const aged = async (name: string, hours: number): Promise<string> => {
        const path = join(folder, `${name}.0123456789ab-1-01234567.tmp`);
        await writeFile(path, '');
        const then = new Date(Date.now() - hours * 3_600_000);
        await utimes(path, then, then);
        return path;
      };
      await aged('young', 23);
      const old = await aged('old', 25);
      expect(await abandonedIn(folder)).to.deep.equal([old]);
    }));
});
