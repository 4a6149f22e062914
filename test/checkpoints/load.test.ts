import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { checkpointsFor, findCheckpoint, knownCheckpoints } from '../../src/checkpoints/known.js';
import { matchTensors, readCheckpoint } from '../../src/checkpoints/load.js';
import type { Tensor, TensorMap } from '../../src/tensor.js';
import { fixtures, inFolder, refusal } from './helpers.js';

/** Tensors of one value each, by name. */
function tensors(names: Record<string, number>, shape: readonly number[] = [1]): Map<string, Tensor> {
  return new Map(Object.entries(names).map(([name, value]) => [name, { shape, data: Float32Array.of(value) }]));
}

function need(...names: string[]): { name: string; shape: number[] }[] {
  return names.map((name) => ({ name, shape: [1] }));
}

function values(map: TensorMap): Record<string, number> {
  return Object.fromEntries([...map].map(([name, { data }]) => [name, data[0]!]));
}

describe('readCheckpoint', () => {
  it('tells formats apart by content, and hashes the file', async () => {
    await inFolder(async (folder) => {
      const formats = [];
      for (const name of ['python.safetensors', 'legacy.pth', 'zip.pth']) {
        const path = join(folder, `${name}.unknown`);
        await copyFile(join(fixtures, name), path);
        const { format, sha256 } = await readCheckpoint(path);
        expect(sha256).to.match(/^[0-9a-f]{64}$/);
        formats.push(format);
      }
      expect(formats).to.deep.equal(['safetensors', 'pytorch-legacy', 'pytorch-zip']);
    });
  });

  it('is not misled by a safetensors header whose length begins like a pickle', async () => {
    await inFolder(async (folder) => {
      const header = Buffer.from('{}'.padEnd(0x80));
      const path = join(folder, 'x');
      await writeFile(path, Buffer.concat([Buffer.of(0x80, 0, 0, 0, 0, 0, 0, 0), header]));
      expect((await readCheckpoint(path)).format).to.equal('safetensors');
    });
  });

  it('refuses anything else in one line', async () => {
    await inFolder(async (folder) => {
      const path = join(folder, 'weights.pth');
      await writeFile(path, 'version https://git-lfs.github.com/spec/v1\n');
      const error = await refusal(
        () => readCheckpoint(path),
        /weights\.pth: a Git LFS pointer, not the file itself; run: git lfs pull/,
      );
      expect(error.problems).to.have.length(1);
      await writeFile(path, '');
      await refusal(() => readCheckpoint(path), /an empty file/);
      await refusal(() => readCheckpoint(join(folder, 'none')), /no such file/);
      await refusal(() => readCheckpoint(folder), /folder, not a file/);
    });
  });
});

describe('matchTensors', () => {
  it("gives tensors in the network's order and ignores num_batches_tracked", () => {
    const found = tensors({ b: 2, a: 1, 'bn.num_batches_tracked': 9 });
    const matched = matchTensors(need('a', 'b', 'bn2.num_batches_tracked'), found, 'x');
    expect([...matched.keys()]).to.deep.equal(['a', 'b']);
  });

  it("reads torchvision's, timm's and chenyaofo's names for kuangliu's, and the reverse", () => {
    const kuangliu = ['conv1.weight', 'layer2.0.shortcut.0.weight', 'layer2.0.shortcut.1.bias', 'linear.weight'];
    const torchvision = ['conv1.weight', 'layer2.0.downsample.0.weight', 'layer2.0.downsample.1.bias', 'fc.weight'];
    const numbered = (names: string[]) => tensors(Object.fromEntries(names.map((name, i) => [name, i])));
    const to = matchTensors(need(...kuangliu), numbered(torchvision), 'x');
    expect(Object.values(values(to))).to.deep.equal([0, 1, 2, 3]);
    const back = matchTensors(need(...torchvision), numbered(kuangliu), 'x');
    expect(Object.values(values(back))).to.deep.equal([0, 1, 2, 3]);
  });

  it("reads the old names of torchvision's DenseNet", () => {
    const found = tensors({ 'features.denseblock1.denselayer2.norm.1.weight': 5, 'classifier.bias': 6 });
    const matched = matchTensors(need('features.denseblock1.denselayer2.norm1.weight', 'linear.bias'), found, 'x');
    expect(Object.values(values(matched))).to.deep.equal([5, 6]);
  });

  it('prefers exact names and reports a second tensor that would mean the same', async () => {
    const found = tensors({ 'fc.weight': 1, 'linear.weight': 2 });
    const error = await refusal(
      () => matchTensors(need('linear.weight'), found, 'x'),
      /fc\.weight is not in the network/,
    );
    expect(error.message).not.to.match(/linear\.weight/);
  });

  it('gives no tensor twice', async () => {
    const network = need('fc.weight', 'linear.weight');
    await refusal(() => matchTensors(network, tensors({ 'fc.weight': 1 }), 'x'), /linear\.weight is missing/);
  });

  it('lists every problem at once', async () => {
    const found = tensors({ a: 1, stranger: 2, nan: Number.NaN });
    found.set('wide', { shape: [2, 3], data: new Float32Array(6) });
    const error = await refusal(
      () => matchTensors(need('a', 'lost', 'wide', 'nan'), found, 'w.pth for net-cifar10'),
      /./,
    );
    expect(error.problems).to.deep.equal([
      'w.pth for net-cifar10: 1 of 4 tensors fit',
      '  lost is missing',
      '  stranger is not in the network',
      '  wide has shape [2, 3]; the network needs [1]',
      '  nan holds values that are not finite',
    ]);
  });

  it('refuses infinite weights', async () => {
    await refusal(
      () => matchTensors(need('a'), tensors({ a: Number.NEGATIVE_INFINITY }), 'x'),
      /a holds values that are not/,
    );
  });

  it('refuses negative variances: their roots are NaN', async () => {
    const found = tensors({ 'bn.running_mean': -1, 'bn.running_var': -1 });
    const error = await refusal(() => matchTensors(need(...found.keys()), found, 'x'), /^x: 1 of 2 tensors fit/);
    expect(error.problems[1]).to.equal('  bn.running_var holds negative variances');
  });

  it('counts beyond twenty of a kind, and says when no name is known', async () => {
    const names = Array.from({ length: 50 }, (_, i) => `t${i}`);
    const error = await refusal(
      () => matchTensors(need(...names), tensors({ q: 1 }), 'x'),
      /none of its names belongs to this network; see: dgate model info FILE/,
    );
    expect(error.problems).to.have.length(1 + 20 + 1 + 1);
    expect(error.problems[21]).to.equal('  and 30 more are missing');
  });
});

describe('known checkpoints', () => {
  it('are well-formed, each id once', () => {
    const ids = knownCheckpoints.map(({ id }) => id);
    expect(new Set(ids).size).to.equal(ids.length);
    for (const known of knownCheckpoints) {
      expect(known.network, known.id).to.match(new RegExp(`^[a-z0-9]+(-[a-z0-9.]+)*-${known.dataset}$`));
      expect(known.urls.length > 0, `${known.id}: either fetched or shipped`).to.equal(known.shipped === undefined);
      for (const url of known.urls) expect(new URL(url).protocol).to.equal('https:');
      expect(known.sha256 ?? '00000000', known.id).to.match(/^([0-9a-f]{8}|[0-9a-f]{64})$/);
      expect(known.reportedAccuracy).to.be.within(0.7, 1);
      if (known.hashChecked) expect(known.sha256).to.have.length(64);
    }
  });

  it('of akamaster agree with the digits in their file names', () => {
    for (const { urls, sha256, id } of knownCheckpoints) {
      const digits = /-([0-9a-f]{8})\.\w+$/.exec(urls[0] ?? '')?.[1];
      if (digits !== undefined) expect(sha256?.startsWith(digits), id).to.equal(true);
    }
  });

  it('are found by id and by network', async () => {
    expect(findCheckpoint('akamaster-resnet20-cifar10').sizeBytes).to.equal(1_099_231);
    expect(checkpointsFor('resnet101-imagenet')).to.have.length(3);
    await refusal(
      () => findCheckpoint('resnet21'),
      /checkpoint resnet21: unknown; valid: a file, or .*akamaster-resnet20/,
    );
  });
});
