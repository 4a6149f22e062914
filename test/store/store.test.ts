import { readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { seal, unseal } from '../../src/json.js';
import { sha256 } from '../../src/store/files.js';
import { CorruptEntryError, type Entry, type KeyInputs, Store } from '../../src/store/store.js';
import { inFolder } from '../checkpoints/helpers.js';
import { rejection } from '../data/smallCifar10.js';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const inputs = { dataset: 'cifar10', pooling: { kind: 'grid', size: 4 }, seed: 0 };

/** Runs with an empty store, and a way to look at the same entry as another process would. */
function inStore(work: (entry: Entry, again: () => Entry, store: Store) => Promise<void>): () => Promise<void> {
  return () =>
    inFolder(async (folder) => {
      const again = (): Entry => new Store(folder).entry('features', inputs);
      await work(again(), again, new Store(folder));
    });
}

describe('keys of the store', () => {
  const store = new Store('/nowhere');
  const keyOf = (stage: string, given: KeyInputs): string => store.entry(stage, given).key;

  it('differ where anything differs', () => {
    const others: KeyInputs[] = [
      inputs,
      {},
      { ...inputs, dataset: 'cifar100' },
      { ...inputs, pooling: { kind: 'grid', size: 2 } },
      { ...inputs, pooling: { kind: 'grid', size: '4' } },
      { ...inputs, pooling: { kind: 'grid', size: [4] } },
      { ...inputs, seed: 1 },
      { ...inputs, seed: null },
      { ...inputs, seed: false },
      { ...inputs, code: 1 },
      { dataset: 'cifar10', pooling: inputs.pooling },
      { dataset: 'cifar10', pooling: { kind: 'grid', size: 4, seed: 0 } },
      { ...inputs, seed: [0, 1] },
      { ...inputs, seed: [1, 0] },
    ];
    const keys = [...others.map((given) => keyOf('features', given)), keyOf('gates', inputs)];
    expect(new Set(keys).size).to.equal(keys.length);
    for (const key of keys) expect(key).to.match(/^[0-9a-f]{32}$/);
  });

  it('do not depend on the order of the inputs, nor on those left undefined', () => {
    const key = keyOf('features', inputs);
    expect(keyOf('features', { seed: 0, pooling: { size: 4, kind: 'grid' }, dataset: 'cifar10' })).to.equal(key);
    expect(keyOf('features', { ...inputs, limit: undefined })).to.equal(key);
  });

  it('name the folder of an entry', () => {
    const { key, directory } = store.entry('features', inputs);
    expect(directory).to.equal(`/nowhere/features/${key}`);
  });
});

describe('entries of the store', () => {
  it(
    'hold what was written, complete once it is said so',
    inStore(async (entry, again) => {
      expect(await again().isComplete()).to.equal(false);
      await entry.write('a', [bytes('one '), bytes('two')]);
      await entry.write('b', [bytes('three')]);
      const unfinished = again();
      expect(await unfinished.isComplete()).to.equal(false);
      expect((await unfinished.read('a')).toString()).to.equal('one two');
      await entry.finish({ objective: 0.5 });

      const found = again();
      expect(await found.isComplete()).to.equal(true);
      expect((await found.read('a')).toString()).to.equal('one two');
      expect((await found.read('b')).toString()).to.equal('three');
      expect(await found.names()).to.deep.equal(['a', 'b']);
      const manifest = (await found.manifest())!;
      expect([manifest.stage, manifest.key, manifest.notes]).to.deep.equal(['features', entry.key, { objective: 0.5 }]);
      expect(manifest.inputs).to.deep.equal(inputs);
      expect(manifest.files['a']).to.deep.equal({
        bytes: 7,
        sha256: '8ab63e29a4ba14e4e1688f9c15e5af90895421358c945b0431f85d66977bd3d2',
      });
    }),
  );

  it(
    'go on where an interrupted stage was',
    inStore(async (entry, again) => {
      await entry.write('shard0', [bytes('0')]);
      const failing = function* (): Generator<Uint8Array> {
        yield bytes('1');
        throw new Error('interrupted');
      };
      await rejection(entry.write('shard1', failing()));
      const resumed = again();
      expect(await resumed.manifest()).to.equal(undefined);
      expect(await resumed.names()).to.deep.equal(['shard0']);
      expect(await readdir(entry.directory)).to.deep.equal([`shard0-${sha256('0').slice(0, 16)}`]);
      await resumed.write('shard1', [bytes('1')]);
      await resumed.finish();
      expect(Object.keys((await again().manifest())!.files)).to.deep.equal(['shard0', 'shard1']);
      expect(await again().isComplete()).to.equal(true);
    }),
  );

  it(
    'are made by several who know nothing of each other, each file whole, whoever finishes',
    inStore(async (entry, again) => {
      const other = again();
      await Promise.all([entry.write('a', [bytes('one')]), other.write('b', [bytes('two')])]);
      // The same file twice, with other content, as where a lock was lost: one of them counts, and stays.
      await Promise.all([entry.write('c', [bytes('mine')]), other.write('c', [bytes('theirs')])]);
      await Promise.all([entry.finish(), other.finish()]);
      const found = again();
      expect(await found.names()).to.deep.equal(['a', 'b', 'c']);
      expect((await found.read('b')).toString()).to.equal('two');
      const text = (await found.read('c')).toString();
      expect(['mine', 'theirs']).to.contain(text);
      expect((await entry.read('c')).toString()).to.equal(text);
      expect(await found.strays()).to.have.length(1);
    }),
  );

  it(
    'are not finished with a file of another process that is not what its name says',
    inStore(async (entry, again) => {
      await entry.write('a', [bytes('content')]);
      await flip(await entry.path('a'));
      const error = await rejection(again().finish());
      expect(error).to.be.instanceOf(CorruptEntryError);
      await (error as CorruptEntryError).discard();
      expect(await again().names()).to.deep.equal([]);
    }),
  );

  it(
    'are gone once removed',
    inStore(async (entry, again) => {
      await entry.write('a', [bytes('one')]);
      await entry.finish();
      await entry.remove();
      expect(await entry.isComplete()).to.equal(false);
      expect(await again().manifest()).to.equal(undefined);
      await entry.remove();
      await entry.write('b', [bytes('new')]);
      expect(await again().names()).to.deep.equal(['b']);
    }),
  );

  const harms: [string, (path: string) => Promise<void>, RegExp][] = [
    ['a flipped bit', (path) => flip(path), /a-[0-9a-f]{16}: is not what was written there/],
    ['a truncated file', (path) => truncate(path, 3), /a-[0-9a-f]{16}: is not what was written there/],
    [
      'bytes at the end',
      async (path) => writeFile(path, '!', { flag: 'a' }),
      /a-[0-9a-f]{16}: is not what was written there/,
    ],
    ['a missing file', (path) => rm(path), /a-[0-9a-f]{16}: is missing/],
  ];
  for (const [harm, hurt, message] of harms) {
    it(
      `notice ${harm}`,
      inStore(async (entry, again) => {
        await entry.write('a', [bytes('content')]);
        await entry.finish();
        await hurt(await entry.path('a'));
        const damaged = again();
        expect(await damaged.isComplete()).to.equal(true);
        const error = await rejection(damaged.read('a'));
        expect(error).to.be.instanceOf(CorruptEntryError);
        expect(error.message).to.match(message);
        expect((error as CorruptEntryError).entry).to.equal(damaged);
      }),
    );
  }

  it(
    'hold only what their manifest names',
    inStore(async (entry, again) => {
      await entry.write('a', [bytes('content')]);
      await writeFile(join(entry.directory, 'stray'), 'stray');
      for (const name of ['stray', 'never']) {
        const error = await rejection(again().read(name));
        expect(error).to.be.instanceOf(CorruptEntryError);
        expect(error.message).to.match(/is missing$/);
      }
    }),
  );

  it(
    'notice a manifest that is not what was written, in whichever bit, and can then be made again',
    inStore(async (entry, again) => {
      await entry.write('a', [bytes('content')]);
      await entry.finish({ objective: 0.5 });
      const path = join(entry.directory, 'manifest.json');
      const good = await readFile(path);
      const another = seal({ ...(unseal(good.toString()) as object), key: '0'.repeat(32) });
      const bad = ['', 'null', '[]', '"text"', '{}', another, good.subarray(0, good.length / 2)].map((text) =>
        Buffer.from(text),
      );
      for (let bit = 0; bit < good.length * 8; bit++) {
        const damaged = Buffer.from(good);
        damaged[bit >> 3]! ^= 1 << (bit & 7);
        bad.push(damaged);
      }
      for (const [index, damaged] of bad.entries()) {
        await writeFile(path, damaged);
        const error = await rejection(again().isComplete());
        expect(error, `${index}`).to.be.instanceOf(CorruptEntryError);
        expect(error.message).to.match(/manifest\.json: (is not what was written there|belongs to another entry)$/);
      }
      await ((await rejection(again().read('a'))) as CorruptEntryError).discard();
      expect(await again().isComplete()).to.equal(false);
      expect((await again().read('a')).toString(), 'what is whole stays').to.equal('content');
      await again().finish();
      expect(await again().isComplete()).to.equal(true);
    }),
  );

  it(
    'are listed, those of every stage',
    inStore(async (entry, again, store) => {
      expect(await store.list()).to.deep.equal([]);
      await entry.write('a', [bytes('one')]);
      await entry.finish();
      const gates = store.entry('gates', { gate: 0 });
      await gates.write('gate', [bytes('w')]);
      await writeFile(join(store.root, 'README'), 'no entry');
      await writeFile(join(gates.directory, 'manifest.json'), 'broken');
      const listed = await store.list();
      expect(listed.map(({ stage, key }) => [stage, key])).to.deep.equal([
        ['features', again().key],
        ['gates', gates.key],
      ]);
      expect((await listed[0]!.manifest())?.inputs).to.deep.equal(inputs);
      expect(await rejection(listed[1]!.manifest())).to.be.instanceOf(CorruptEntryError);
    }),
  );
});

async function flip(path: string): Promise<void> {
  const data = await readFile(path);
  data[4]! ^= 1;
  await writeFile(path, data);
}
