import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import sharp from 'sharp';
import { imageFolderDataset, unlabelledImages } from '../../../src/data/image-folder/index.js';
import { names, wnids } from '../../../src/data/imagenet/layout.js';

const picture = fileURLToPath(new URL('../../fixtures/images/small.jpg', import.meta.url));

describe('folders of images as people have them', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dgate-layout-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function put(...paths: string[]): Promise<void> {
    for (const path of paths) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      if (path.endsWith('/')) await mkdir(join(folder, path));
      else await copyFile(picture, join(folder, path));
    }
  }

  /** Number of images by class, and what is said. */
  async function found(outputs?: number) {
    const dataset = imageFolderDataset(folder, { preprocess: 'torchvision', ...(outputs && { outputs }) });
    const { imagesPerClass } = await dataset.verify('');
    const counts = await Promise.all(
      (['train', 'test'] as const).map(async (split) => (await dataset.load('', split)).count),
    );
    expect([dataset.splits.train, dataset.splits.test]).to.deep.equal(counts);
    return {
      classes: dataset.classes,
      ...imagesPerClass,
      notes: (dataset.notes ?? []).map((note) => note.replaceAll(folder, '')),
    };
  }

  it('images in folders below a class count, as torchvision counts them', async () => {
    await put(
      'train/a/1.jpg',
      'train/a/x/2.jpg',
      'train/a/x/y/3.jpg',
      'train/b/1.jpg',
      'test/a/1.jpg',
      'test/b/deep/1.jpg',
    );
    expect(await found()).to.deep.equal({ classes: ['a', 'b'], train: [3, 1], test: [1, 1], notes: [] });
  });

  for (const [train, test] of [
    ['train', 'valid'],
    ['TRAIN', 'VAL'],
    ['training_set/training_set', 'test_set/test_set'],
    ['Training', 'Validation'],
    ['data/train', 'data/test'],
    ['seg_train/seg_train', 'seg_test/seg_test'],
    ['train2017', 'val2017'],
    ['asl_alphabet_train', 'asl_alphabet_test'],
  ]) {
    it(`${train} and ${test}`, async () => {
      await put(...['a/1.jpg', 'a/2.jpg', 'b/1.jpg'].flatMap((path) => [`${train}/${path}`, `${test}/${path}`]));
      expect(await found()).to.deep.equal({ classes: ['a', 'b'], train: [2, 1], test: [2, 1], notes: [] });
    });
  }

  it('a test split without labels is left out and said; val is reported on', async () => {
    await put('train/a/1.jpg', 'train/b/1.jpg', 'val/a/1.jpg', 'val/b/1.jpg', 'test/1.jpg', 'test/2.jpg');
    const { test, notes } = await found();
    expect(test).to.deep.equal([1, 1]);
    expect(notes).to.deep.equal(['/test: 2 images, left out; reported on: /val']);
    await rm(join(folder, 'val'), { recursive: true });
    expect(() => imageFolderDataset(folder, { preprocess: 'timm' })).to.throw(
      /test: images without labels; valid: a folder/,
    );
  });

  it('images of a labelled split that is not reported on, and of other folders, are counted', async () => {
    await put(
      ...['train', 'test', 'val'].flatMap((split) => [`${split}/a/1.jpg`, `${split}/b/1.jpg`]),
      'extra/x/1.jpg',
    );
    expect((await found()).notes).to.deep.equal([
      '/extra: 1 images, left out; reported on: /test',
      '/val: 2 images, left out; reported on: /test',
    ]);
  });

  it('a class may be called train; splits without train are refused', async () => {
    await put('bus/1.jpg', 'train/1.jpg', 'train/2.jpg');
    expect((await found()).classes).to.deep.equal(['bus', 'train']);
    await rm(join(folder, 'bus'), { recursive: true });
    await put('test/1.jpg');
    const open = () => imageFolderDataset(folder, { preprocess: 'timm' });
    expect(open).to.throw(/train: 0 folders; valid: a folder for each of at least two classes$/);
    await rm(join(folder, 'train'), { recursive: true });
    await put('train_station/hall/1.jpg', 'train_station/platform/1.jpg', 'zoo/1.jpg');
    await rm(join(folder, 'test'), { recursive: true });
    expect(open).to.throw(/train_station: training images, but no test\/, val\/ or validation\/ beside them$/);
    for (const name of ['train_station', 'zoo']) await rm(join(folder, name), { recursive: true });
    await put('val/a/1.jpg', 'test/1.jpg');
    expect(open).to.throw(/has test\/, val\/ but no train\/ beside it$/);
  });

  it("tiny-imagenet's val_annotations.txt", async () => {
    await put(
      'train/n1/images/1.jpg',
      'train/n2/images/1.jpg',
      'test/images/9.jpg',
      'val/images/v0.jpg',
      'val/images/v1.jpg',
    );
    await put('val/images/v2.jpg');
    await writeFile(join(folder, 'val/val_annotations.txt'), 'v0.jpg\tn2\t0\t0\nv1.jpg\tn1\t0\t0\nv2.jpg\tn2\t0\t0\n');
    const { train, test, notes } = await found();
    expect([train, test]).to.deep.equal([
      [1, 1],
      [1, 2],
    ]);
    expect(notes).to.deep.equal(['/test: 1 images, left out; reported on: /val']);
    await writeFile(join(folder, 'val/val_annotations.txt'), 'v0.jpg\tn3\n');
    expect(() => imageFolderDataset(folder, { preprocess: 'timm' })).to.throw(
      /val_annotations\.txt:1: v0\.jpg.*n3; valid/,
    );
    await writeFile(join(folder, 'val/val_annotations.txt'), 'v0.jpg\tn2\nv0.jpg\tn1\nv1.jpg\tn1\nv1.jpg\tn4\n');
    expect(() => imageFolderDataset(folder, { preprocess: 'timm' })).to.throw(
      /txt:2: .*; valid: one class for images\/v0\.jpg, which has another above\n.*txt:4: .*n4; valid/,
    );
    await writeFile(join(folder, 'val/val_annotations.txt'), 'v0.jpg\tn2\nv1.jpg\tn1\ngone.jpg\tn1\n');
    expect((await found()).notes.slice(1)).to.deep.equal([
      '/val: 1 images without a class, left out',
      '/val: 1 images of val_annotations.txt are not there',
    ]);
  });

  it("imagenette's folders are ImageNet's classes for a network of 1000", async () => {
    const some = [wnids[0]!, wnids[217]!, wnids[571]!];
    await put(...some.flatMap((wnid) => [`train/${wnid}/1.jpg`, `val/${wnid}/1.jpg`]));
    const { classes, test, notes } = await found(1000);
    expect(classes).to.equal(names);
    expect(test.flatMap((count, label) => (count > 0 ? [label] : []))).to.deep.equal([0, 217, 571]);
    expect(notes).to.deep.equal([": 3 of ImageNet's 1000 classes, by their ids"]);
    expect((await found(3)).classes).to.deep.equal(some);
  });

  it('folders that are all numbers come in the order of numbers, and that is said', async () => {
    await put('0/1.jpg', '1/1.jpg', '2/1.jpg', '10/1.jpg');
    const { classes, notes } = await found();
    expect(classes).to.deep.equal(['0', '1', '2', '10']);
    expect(notes).to.deep.equal([': classes in the order of their numbers: 0, 1, 2 ... 10']);
    await put('a/1.jpg');
    expect((await found()).classes).to.deep.equal(['0', '1', '10', '2', 'a']);
  });

  it('what is no part of it is named: __MACOSX, empty folders, other formats, images outside classes', async () => {
    await put('a/1.jpg', 'a/2.jpg', 'b/1.jpg', 'empty/', '__MACOSX/a/1.jpg', 'loose.jpg');
    await put('b/@eaDir/1.jpg/thumb.jpg', 'a/.hidden.jpg');
    for (const name of ['a/3.avif', 'b/deep/4.HEIC', 'b/none', 'Thumbs.db', 'a/notes.txt']) {
      await put(name);
    }
    const { classes, train, test, notes } = await found();
    expect(classes).to.deep.equal(['a', 'b', 'empty']);
    expect(train.map((count, label) => count + test[label]!)).to.deep.equal([2, 1, 0]);
    expect(notes).to.deep.equal([
      ': 1 class folders without images: empty',
      ': 1 images without a class, left out',
      ': __MACOSX, left out',
      ': 3 other files (.avif, .heic, no extension), left out; valid: JPEG, PNG, WebP, TIFF, GIF, BMP, PPM or PGM',
    ]);
  });

  it('a link to nothing is one image left out; a link to a folder above ends', async () => {
    await put('a/1.jpg', 'a/2.jpg', 'b/1.jpg', 'b/2.jpg');
    await symlink('/nowhere', join(folder, 'a/gone.jpg'));
    const dataset = imageFolderDataset(folder, { preprocess: 'torchvision', testShare: 0.5 });
    const sources = await Promise.all([dataset.load('', 'train'), dataset.load('', 'test')]);
    for (const source of sources) await source.batch(Array.from({ length: source.count }, (_, i) => i));
    const lost = sources.flatMap(({ unreadable }) => [...unreadable!.values()]);
    expect(lost).to.deep.equal([`${join(folder, 'a/gone.jpg')}: empty, or a link to nothing`]);
  });

  it('links to a folder above are not followed: no image comes twice, or in another class', async () => {
    await put('a/1.jpg', 'a/2.jpg', 'b/1.jpg');
    await symlink('..', join(folder, 'a/up'));
    for (const name of ['x', 'y', 'z']) await symlink('.', join(folder, 'b', name));
    const { train, test } = await found();
    expect(train.map((count, label) => count + test[label]!)).to.deep.equal([2, 1]);
    await put(`a/${'x/'.repeat(12)}9.jpg`);
    expect((await found()).train.length).to.equal(2);
    await put(`a/${'x/'.repeat(30)}9.jpg`);
    expect(() => imageFolderDataset(folder, { preprocess: 'timm' })).to.throw(/nested more than 20 deep; valid: move/);
  });

  it('images without labels are a source of their own', async () => {
    await put('1.jpg', 'deep/2.jpg');
    const source = unlabelledImages(folder, { mean: [0, 0, 0], std: [1, 1, 1], resize: 32, crop: 32 });
    expect([source.count, source.classes, [...source.labels]]).to.deep.equal([2, [], [-1, -1]]);
    expect((await source.batch([0, 1])).length).to.equal(2 * 3 * 32 * 32);
    await rm(join(folder, '1.jpg'));
    await rm(join(folder, 'deep'), { recursive: true });
    expect(() => unlabelledImages(folder, { mean: [0], std: [1] })).to.throw(/no images; valid: JPEG/);
  });

  it('16-bit grey pictures: the upper 8 bits', async () => {
    const values = Uint16Array.from({ length: 1024 }, (_, i) => i * 64);
    const grey = { raw: { width: 32, height: 32, channels: 1 as const } };
    for (const name of ['a', 'b']) {
      await mkdir(join(folder, name));
      await sharp(values, grey)
        .toColourspace('grey16')
        .png()
        .toFile(join(folder, name, '1.png'));
    }
    const source = unlabelledImages(folder, { mean: [0, 0, 0], std: [1, 1, 1], resize: 32, crop: 32 });
    expect([...(await source.batch([0])).subarray(0, 1024)]).to.deep.equal([...values].map((value) => value >> 8));
  });
});
