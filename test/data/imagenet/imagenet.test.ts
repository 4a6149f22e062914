import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { type Dataset, type ImageSource, type PublishedSplit, selectImages } from '../../../src/data/dataset.js';
import { names, wnids } from '../../../src/data/imagenet/layout.js';

import { imagenet } from '../../../src/data/registry.js';
import type { InputError } from '../../../src/errors.js';
import { silent } from '../../../src/progress.js';

const fixtures = fileURLToPath(new URL('../../fixtures/', import.meta.url));
const image = (name: string): string => join(fixtures, 'images', name);

describe('imagenet', () => {
  let folder: string;
  let tree: string;
  let root: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dgate-imagenet-'));
    [tree, root] = [join(folder, 'ILSVRC2012'), join(folder, 'data')];
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function put(path: string, from = 'colour.jpg'): Promise<void> {
    await mkdir(join(tree, path, '..'), { recursive: true });
    await copyFile(image(from), join(tree, path));
  }
  async function fill(): Promise<void> {
    for (const wnid of ['n01440764', 'n02100735']) {
      for (const i of [1, 2, 3]) await put(`train/${wnid}/${wnid}_${i}.JPEG`);
    }
  }
  const register = () =>
    imagenet.fetch({ root, from: tree, progress: silent, download: () => Promise.reject(new Error('none')) });
  const load = (split: PublishedSplit): Promise<ImageSource> => imagenet.load(root, split);
  const problemsOf = async (work: Promise<unknown>): Promise<readonly string[]> => {
    const error = await work.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    // By name: what is imported later may be another instance of the module under the test runner's loader.
    expect((error as Error | undefined)?.name).to.equal('InputError');
    return (error as InputError).problems;
  };

  it('knows the 1000 classes in the order of their wnids', () => {
    expect(wnids).to.have.length(1000);
    expect([...wnids].sort()).to.deep.equal(wnids);
    expect(names).to.have.length(1000);
    // torchvision's ResNet50_Weights.IMAGENET1K_V1.meta["categories"]
    expect([0, 212, 999].map((i) => `${wnids[i]} ${names[i]}`)).to.deep.equal([
      'n01440764 tench',
      'n02100735 English setter',
      'n15075141 toilet tissue',
    ]);
    expect((imagenet as Dataset).classIds).to.equal(wnids);
  });

  it('gives images of class folders the position of their wnid among all 1000', async () => {
    await fill();
    await put('val/n02100735/a.JPEG');
    const report = await register();
    expect(report.outcome).to.equal('registered');
    expect(report.imagesPerClass.train[212]).to.equal(3);
    expect(report.notes?.join('\n')).to.match(/no image of 998 classes: n01443537/);
    expect(report.notes?.join('\n')).to.match(/6 images; ILSVRC2012 has 1,281,167/);
    const test = await load('test');
    expect([...test.labels]).to.deep.equal([212]);
    expect((await test.batch([0])).length).to.equal(3 * 224 * 224);
    const train = await load('train');
    expect([...train.labels].sort((a, b) => a - b)).to.deep.equal([0, 0, 0, 212, 212, 212]);
    expect((await load('train')).sha256).to.equal(train.sha256);
    const large = await imagenet.load(root, 'train', { mean: [0, 0, 0], std: [1, 1, 1], resize: 232, crop: 200 });
    expect([large.height, large.sha256 === train.sha256]).to.deep.equal([200, false]);
  });

  const flat = async () => {
    await fill();
    for (const i of [1, 2, 3]) await put(`val/ILSVRC2012_val_0000000${i}.JPEG`);
  };

  it('reads the labels of a flat val/ from the devkit, whose ids are not in the order of the wnids', async () => {
    await flat();
    const devkit = join(tree, 'ILSVRC2012_devkit_t12/data');
    await mkdir(devkit, { recursive: true });
    await copyFile(join(fixtures, 'imagenet/meta.mat'), join(devkit, 'meta.mat'));
    await writeFile(join(devkit, 'ILSVRC2012_validation_ground_truth.txt'), '3\n1\n2\n');
    await register();
    expect([...(await load('test')).labels]).to.deep.equal([0, wnids.indexOf('n02119789'), 212]);
    await writeFile(join(devkit, 'ILSVRC2012_validation_ground_truth.txt'), '3\n1\n1001\n');
    expect((await problemsOf(register()))[0]).to.match(/ground_truth.txt:3: 1001; valid: ids of meta.mat/);
    await writeFile(join(devkit, 'meta.mat'), 'text');
    expect((await problemsOf(register()))[0]).to.match(/meta.mat: not a MATLAB 5 file; valid: meta.mat of the/);
  });

  it("reads them from Kaggle's and Caffe's files, and says where two of them disagree", async () => {
    await flat();
    expect((await problemsOf(register()))[0]).to.match(
      /images without labels; valid: val\/<wnid>.*LOC_val_solution.csv/,
    );
    const kaggle = ['n01440764', 'n02119789', 'n02100735'].map(
      (wnid, i) => `ILSVRC2012_val_0000000${i + 1},${wnid} 1 2 3 4`,
    );
    await writeFile(join(tree, 'LOC_val_solution.csv'), `ImageId,PredictionString\n${kaggle.join('\n')}\n`);
    await register();
    expect([...(await load('test')).labels]).to.deep.equal([0, wnids.indexOf('n02119789'), 212]);
    const caffe = [0, wnids.indexOf('n02119789'), 7].map((label, i) => `ILSVRC2012_val_0000000${i + 1}.JPEG ${label}`);
    await writeFile(join(tree, 'val.txt'), `${caffe.join('\n')}\n`);
    expect((await problemsOf(imagenet.verify(root))).join('\n')).to.contain(
      `ILSVRC2012_val_00000003.JPEG: of class n02100735, but of ${wnids[7]} by ${join(tree, 'val.txt')}`,
    );
    await rm(join(tree, 'LOC_val_solution.csv'));
    await register();
    expect([...(await load('test')).labels].at(-1)).to.equal(7);
  });

  it('verifies: counts, and names what is missing, broken or in the wrong folder', async () => {
    await fill();
    await put('val/n01440764/fine.JPEG');
    await put('val/n01440764/half.JPEG', 'truncated.jpg');
    await put('train/n02100735/n01440764_9.JPEG');
    await symlink('/nowhere/at/all', join(tree, 'train/n02100735/gone.JPEG'));
    await register();
    const said = (await problemsOf(imagenet.verify(root))).join('\n');
    expect(said).to.match(/half\.JPEG: (VipsJpeg: premature end of JPEG image|damaged or truncated)$/m);
    expect(said).to.match(/gone.JPEG: ENOENT/);
    expect(said).to.match(/n01440764_9.JPEG: of class n01440764 by its name, of n02100735 by its folder/);
    expect(said).to.match(/no image of 999 classes/);
    expect(said).to.match(/val: 2 images; ILSVRC2012 has 50,000/);
  });

  it('leaves out what cannot be decoded, by name, and refuses files that changed', async () => {
    await fill();
    await put('val/n01440764/a.JPEG');
    await put('val/n01440764/b.JPEG', 'truncated.jpg');
    await register();
    const test = await load('test');
    const chosen = selectImages(test, Int32Array.of(1, 0));
    const pixels = await chosen.batch([0, 1]);
    expect([...test.unreadable!.keys()]).to.deep.equal([1]);
    expect([...chosen.unreadable!.keys()]).to.deep.equal([0]);
    expect(chosen.unreadable!.get(0)).to.match(
      /b\.JPEG: (VipsJpeg: premature end of JPEG image|damaged or truncated)$/,
    );
    expect(pixels.subarray(0, 3 * 224 * 224).every((value) => value === 0)).to.equal(true);
    await writeFile(join(tree, 'val/n01440764/a.JPEG'), 'other');
    expect((await problemsOf(test.batch([0])))[0]).to.match(/a\.JPEG: 5 bytes, 2844 when its folder was listed/);
  });

  it('lists anew where files came or went', async () => {
    await fill();
    await put('val/n01440764/a.JPEG');
    await register();
    const before = await load('test');
    await put('val/n01440764/b.JPEG', 'portrait.jpg');
    const after = await load('test');
    expect([before.count, after.count]).to.deep.equal([1, 2]);
    expect(after.sha256).to.not.equal(before.sha256);
    await rm(tree, { recursive: true });
    expect((await problemsOf(load('test')))[0]).to.match(/gone, ImageNet was there; run: dgate data fetch imagenet/);
  });

  it('says in one line what it cannot take', async () => {
    expect((await problemsOf(load('test')))[0]).to.match(
      /no ImageNet here; run: dgate data fetch imagenet --from FOLDER/,
    );
    expect((await problemsOf(register()))[0]).to.match(
      /no such folder; valid: the folder that holds train\/ and val\//,
    );
    await mkdir(tree);
    expect((await problemsOf(register()))[0]).to.match(/neither train\/ nor val\/ here/);
    await put('train/cats/a.JPEG');
    expect((await problemsOf(register()))[0]).to.match(/cats: none of the 1000 classes; valid: folders named by wnid/);
    const official = imagenet.fetch({ root, from: 'official', progress: silent, download: () => Promise.resolve() });
    expect((await problemsOf(official))[0]).to.match(/image-net.org gives it to registered users only/);
  });
});
