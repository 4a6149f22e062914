import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { imageFolderDataset } from '../../../src/data/image-folder/index.js';
import { FileList } from '../../../src/data/image-folder/listing.js';
import { InputError } from '../../../src/errors.js';

const fixtures = fileURLToPath(new URL('../../fixtures/images/', import.meta.url));

describe('imageFolderDataset', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dgate-folder-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function fill(...places: string[]): Promise<void> {
    for (const place of places) {
      await mkdir(join(folder, place), { recursive: true });
      for (let i = 0; i < 10; i++) await copyFile(join(fixtures, 'colour.jpg'), join(folder, place, `${i}.jpg`));
    }
  }

  it('divides a folder of class folders by seed, with the share of every class', async () => {
    await fill('cat', 'dog', 'zebra');
    const dataset = imageFolderDataset(folder, { preprocess: 'torchvision', testShare: 0.3 });
    expect(dataset.classes).to.deep.equal(['cat', 'dog', 'zebra']);
    const [train, test] = await Promise.all([dataset.load('', 'train'), dataset.load('', 'test')]);
    expect([train.count, test.count, dataset.splits.train, dataset.splits.test]).to.deep.equal([21, 9, 21, 9]);
    expect([...test.labels].sort()).to.deep.equal([0, 0, 0, 1, 1, 1, 2, 2, 2]);
    expect((await train.batch([0])).length).to.equal(3 * 224 * 224);
    const again = await imageFolderDataset(folder, { preprocess: 'torchvision', testShare: 0.3 }).load('', 'test');
    expect(again.sha256).to.equal(test.sha256);
    const other = await imageFolderDataset(folder, { preprocess: 'torchvision', testShare: 0.3, seed: 1 }).load(
      '',
      'test',
    );
    expect(other.sha256).to.not.equal(test.sha256);
    expect((await dataset.verify('')).imagesPerClass).to.deep.equal({ train: [7, 7, 7], test: [3, 3, 3] });
  });

  it('takes train/ and val/ where they are there', async () => {
    await fill('train/a', 'train/b', 'val/a');
    const dataset = imageFolderDataset(folder, { preprocess: 'keras-caffe' });
    expect((await dataset.load('', 'train')).count).to.equal(20);
    const test = await dataset.load('', 'test');
    expect([test.count, test.height]).to.deep.equal([10, 224]);
    expect(dataset.preprocessing.order).to.equal('bgr');
  });

  it('says what is wrong', async () => {
    const open = (options: Parameters<typeof imageFolderDataset>[1]) => () => imageFolderDataset(folder, options);
    expect(() => imageFolderDataset('/nowhere', { preprocess: 'timm' })).to.throw(
      InputError,
      /no such folder; valid: a folder/,
    );
    expect(open({ preprocess: 'timm' })).to.throw(InputError, /0 folders; valid: a folder for each of at least two/);
    expect(open({ preprocess: 'tim' as 'timm' })).to.throw(
      InputError,
      /preprocessing tim: unknown; valid: torchvision, /,
    );
    await fill('train/a', 'train/b');
    expect(open({ preprocess: 'timm' })).to.throw(InputError, /training images, but no test\/, val\/ or validation\//);
    await fill('test/c');
    expect(open({ preprocess: 'timm' })).to.throw(InputError, /test: c: no such class in /);
  });
});

describe('FileList', () => {
  const files = Array.from({ length: 1000 }, (_, i) => ({ path: `é/${i}.jpg`, label: i % 7, bytes: i + 1 }));

  it('holds paths, labels and sizes, sorted or shuffled by a seed', () => {
    const sorted = FileList.of('/x', files);
    expect(sorted.path(0)).to.equal('é/0.jpg');
    const byPath = (a: { path: string }, b: { path: string }): number => (a.path < b.path ? -1 : 1);
    expect([...sorted.files()]).to.deep.equal([...files].sort(byPath));
    const shuffled = FileList.of('/x', [...files].reverse(), 0);
    expect([...shuffled.files()].sort(byPath)).to.deep.equal([...files].sort(byPath));
    expect([...shuffled.labels]).to.not.deep.equal([...sorted.labels]);
    expect(shuffled.sha256).to.equal(FileList.of('/y', files, 0).sha256);
    expect(shuffled.sha256).to.not.equal(sorted.sha256);
    expect(FileList.of('/x', [...files.slice(1), { ...files[0]!, bytes: 9 }]).sha256).to.not.equal(sorted.sha256);
  });
});
