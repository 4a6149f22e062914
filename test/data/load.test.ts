import { cp, mkdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { fetchRecords, verifyRecords } from '../../src/data/records/fetch.js';
import { loadRecords } from '../../src/data/records/layout.js';
import { InputError } from '../../src/errors.js';
import { fetchOptions, hash, makeSmallCifar10, rejection, remove, type SmallCifar10 } from './smallCifar10.js';

describe('loadRecords and verifyRecords', () => {
  let small: SmallCifar10;
  let root: string;
  let folder: string;

  before(async () => {
    small = await makeSmallCifar10();
  });
  beforeEach(async () => {
    root = join(small.folder, 'root');
    folder = join(root, 'cifar10', 'cifar-10-batches-bin');
    await fetchRecords(fetchOptions(root, small.binaries), small.layout);
  });
  afterEach(() => remove(root));
  after(() => remove(small.folder));

  async function change(name: string, at: number): Promise<void> {
    const data = await readFile(join(folder, name));
    data[at]! ^= 1;
    await writeFile(join(folder, name), data);
  }

  it('reads the batches in order, planes as they lie', async () => {
    const train = await loadRecords(root, 'train', small.layout);
    expect(train).to.include({ count: 100, channels: 3, height: 32, width: 32 });
    const third = small.records.get('data_batch_3.bin')!;
    const record = third.subarray(7 * 3073, 8 * 3073);
    expect(train.labels[47]).to.equal(record[0]);
    expect(Buffer.from(await train.batch([47])).equals(record.subarray(1))).to.equal(true);
    const test = await loadRecords(root, 'test', small.layout);
    expect(test.count).to.equal(20);
    expect(test.classes[test.labels[3]!]).to.equal('frog'); // (3 x 7 + 5) % 10
  });

  it('has a content id per split that does not depend on the source', async () => {
    const before = await loadRecords(root, 'train', small.layout);
    expect(before.sha256).to.match(/^[0-9a-f]{64}$/);
    expect(before.sha256).not.to.equal((await loadRecords(root, 'test', small.layout)).sha256);
    await remove(root);
    await fetchRecords(fetchOptions(root, small.npmTarball), small.layout);
    expect((await loadRecords(root, 'train', small.layout)).sha256).to.equal(before.sha256);
  });

  it('says what to run where there is no data', async () => {
    const nowhere = join(small.folder, 'nowhere');
    for (const attempt of [loadRecords(nowhere, 'test', small.layout), verifyRecords(nowhere, small.layout)]) {
      const error = await rejection(attempt);
      expect(error).to.be.instanceOf(InputError);
      expect(error.message).to.equal(`${nowhere}: no CIFAR-10 here; run: dgate data fetch cifar10`);
    }
  });

  it('refuses changed pixels and missing files, all at once', async () => {
    await change('data_batch_1.bin', 5000);
    await rm(join(folder, 'data_batch_2.bin'));
    await writeFile(join(folder, 'data_batch_5.bin'), 'short');
    const error = await rejection(loadRecords(root, 'train', small.layout));
    expect(error).to.be.instanceOf(InputError);
    expect((error as InputError).problems.map((line) => line.replace(`${folder}/`, '').slice(0, 25))).to.deep.equal([
      'data_batch_1.bin: sha256 ',
      'data_batch_2.bin: missing',
      'data_batch_5.bin: 5 bytes',
      'to fetch it again: dgate ',
    ]);
    expect((await loadRecords(root, 'test', small.layout)).count).to.equal(20);
  });

  it('notices a bit that flipped on the disk, where size and time stay the same', async () => {
    const path = join(folder, 'test_batch.bin');
    const { atime, mtime } = await stat(path);
    await change('test_batch.bin', 4000);
    await utimes(path, atime, mtime);
    for (const reading of [loadRecords(root, 'test', small.layout), verifyRecords(root, small.layout)]) {
      expect((await rejection(reading)).message).to.contain('test_batch.bin: sha256');
    }
  });

  it('works without a description, as where somebody unpacked the archive by hand', async () => {
    await remove(join(root, 'cifar10'));
    await mkdir(join(root, 'cifar10'));
    await cp(small.binaries, folder, { recursive: true });
    expect((await loadRecords(root, 'test', small.layout)).count).to.equal(20);
  });

  it('verifies size, hash, classes and class counts, all problems at once', async () => {
    await change('data_batch_1.bin', 5000);
    await rm(join(folder, 'data_batch_2.bin'));
    await writeFile(join(folder, 'batches.meta.txt'), 'cats\ndogs\n');
    const error = await rejection(verifyRecords(root, small.layout));
    expect((error as InputError).problems.map((line) => line.replace(`${folder}/`, '').slice(0, 25))).to.deep.equal([
      'data_batch_1.bin: sha256 ',
      'data_batch_2.bin: missing',
      'batches.meta.txt: not the',
      'to fetch it again: dgate ',
    ]);
  });

  it('verifies the class counts where the hashes are right', async () => {
    await change('test_batch.bin', 0);
    const data = await readFile(join(folder, 'test_batch.bin'));
    const sha256 = hash('sha256', data);
    const layout = {
      ...small.layout,
      files: small.layout.files.map((file) => (file.name === 'test_batch.bin' ? { ...file, sha256 } : file)),
    };
    const error = await rejection(verifyRecords(root, layout));
    expect((error as InputError).problems.slice(0, 2).map((line) => line.replace(folder, ''))).to.deep.equal([
      ': test: 3 images of deer; valid: 2',
      ': test: 1 images of dog; valid: 2',
    ]);
  });
});
