import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { create } from 'tar';
import { fetchRecords, verifyRecords } from '../../src/data/records/fetch.js';
import { loadRecords, type RecordLayout } from '../../src/data/records/layout.js';
import { cifar100, cifar100Layout } from '../../src/data/registry.js';
import { networkByName } from '../../src/networks/catalogue.js';
import { Random } from '../../src/random.js';
import { fetchOptions, hash, rejection, remove } from './smallCifar10.js';

describe('CIFAR-100', () => {
  let folder: string;
  let layout: RecordLayout;
  let archive: string;
  /** Two images of each class to learn from, one to test: superclass, class, pixels. */
  const records = (seed: number, each: number): Uint8Array => {
    const random = new Random(seed, 'cifar100');
    const data = new Uint8Array(100 * each * 3074).map(() => random.below(256));
    for (let i = 0; i < 100 * each; i++) data.set([(i * 3) % 20, (i * 7) % 100], i * 3074);
    return data;
  };
  const [train, test] = [records(1, 2), records(2, 1)];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dgate-cifar100-'));
    const binaries = join(folder, 'cifar-100-binary');
    await mkdir(binaries);
    await writeFile(join(binaries, 'train.bin'), train);
    await writeFile(join(binaries, 'test.bin'), test);
    await writeFile(join(binaries, 'coarse_label_names.txt'), 'not needed');
    archive = join(folder, 'cifar-100-binary.tar.gz');
    await create({ file: archive, gzip: true, cwd: folder }, ['cifar-100-binary']);
    layout = {
      ...cifar100Layout,
      files: [
        { name: 'train.bin', split: 'train', images: 200, sha256: hash('sha256', train) },
        { name: 'test.bin', split: 'test', images: 100, sha256: hash('sha256', test) },
      ],
    };
  });
  after(() => remove(folder));

  it('has a hundred classes', () => {
    expect(new Set(cifar100.classes).size).to.equal(100);
    expect([cifar100.classes[0], cifar100.classes[47], cifar100.classes[99]]).to.deep.equal([
      'apple',
      'maple_tree',
      'worm',
    ]);
    expect(cifar100.splits).to.deep.equal({ train: 50_000, test: 10_000 });
  });

  it('is read from the official archive and from its folder: the second label, then the pixels', async () => {
    for (const from of [archive, folder]) {
      const root = join(folder, `root-${from === archive}`);
      const report = await fetchRecords(fetchOptions(root, from), layout);
      expect(report.outcome).to.equal('fetched');
      const images = await loadRecords(root, 'train', layout);
      expect([images.count, images.classes.length]).to.deep.equal([200, 100]);
      expect([...images.labels.subarray(0, 4)]).to.deep.equal([0, 7, 14, 21]);
      expect(await images.batch([3])).to.deep.equal(train.slice(3 * 3074 + 2, 4 * 3074));
      expect((await verifyRecords(root, layout)).imagesPerClass.test).to.deep.equal(Array(100).fill(1));
    }
  });

  it('has no npm package, and says what there is', async () => {
    const error = await rejection(fetchRecords(fetchOptions(join(folder, 'none'), 'npm'), layout));
    expect(error.message).to.equal(
      '--from npm: no package holds CIFAR-100; valid: official, or a folder that holds the data',
    );
  });

  it('names networks with an output for each class', () => {
    expect(networkByName('resnet20-cifar100').classifier.out).to.equal(100);
    expect(networkByName('densenet201-cifar100').stem).to.deep.equal(networkByName('densenet201-cifar10').stem);
  });
});
