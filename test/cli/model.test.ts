import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { readCheckpoint, writeSafetensors } from '../../src/checkpoints/load.js';

import { networkByName } from '../../src/networks/catalogue.js';
import { networkTensors } from '../../src/networks/network.js';
import { Random } from '../../src/random.js';
import { elementCount, type Tensor } from '../../src/tensor.js';
import { tinyNetwork, writeTinyCheckpoint } from '../run/workplace.js';
import { makePlace, type Place, runCli } from './cli.js';

describe('dgate model import', () => {
  let place: Place;
  const at = (name: string): string => join(place.folder, name);

  before(async () => {
    place = await makePlace();
    await writeTinyCheckpoint(at('tiny.safetensors'));
  });
  after(() => place.remove());

  const importTiny = (out: string, ...options: string[]) =>
    runCli(['model', 'import', at('tiny.safetensors'), '--network', tinyNetwork, '--out', at(out), ...options]);

  it('keeps tensors and preprocessing, and records where they come from', async () => {
    const { status, stderr } = await importTiny('copy.safetensors');
    expect(status, stderr).to.equal(0);
    const [before, after] = [
      await readCheckpoint(at('tiny.safetensors')),
      await readCheckpoint(at('copy.safetensors')),
    ];
    expect([...after.tensors.keys()]).to.have.members([...before.tensors.keys()]);
    for (const [name, { data }] of before.tensors) expect(after.tensors.get(name)!.data).to.deep.equal(data);
    expect(after.metadata).to.include({ network: tinyNetwork, source_sha256: before.sha256 });
    expect(JSON.parse(after.metadata['preprocessing']!)).to.deep.equal(JSON.parse(before.metadata['preprocessing']!));
  });

  it('--half stores half precision, --mean, --std and --held-out are recorded', async () => {
    await writeFile(at('held.json'), '[1, 5, 9]');
    const options = ['--half', '--mean', '0.1,0.2,0.3', '--std', '1,2,3', '--held-out', at('held.json')];
    const { status, stderr } = await importTiny('half.safetensors', ...options);
    expect(status, stderr).to.equal(0);
    const [before, after] = [
      await readCheckpoint(at('tiny.safetensors')),
      await readCheckpoint(at('half.safetensors')),
    ];
    for (const [name, { data }] of before.tensors) {
      const half = after.tensors.get(name)!.data;
      data.forEach((value, i) => {
        if (Math.abs(half[i]! - value) > 2 ** -11 * Math.abs(value) + 2 ** -25)
          expect.fail(`${name}: ${value} ${half[i]}`);
      });
    }
    expect((await stat(at('half.safetensors'))).size).to.be.below((await stat(at('tiny.safetensors'))).size * 0.75);
    expect(JSON.parse(after.metadata['preprocessing']!)).to.deep.equal({ mean: [0.1, 0.2, 0.3], std: [1, 2, 3] });
    expect(after.metadata['held_out']).to.equal('[1,5,9]');
  });

  it('--resize, --crop and --interpolation are recorded on top of what is known, for ImageNet', async () => {
    const name = 'resnet18-width0.05-imagenet';
    const random = new Random(1);
    const tensors = networkTensors(networkByName(name)).map(({ name, shape }): [string, Tensor] => [
      name,
      { shape, data: Float32Array.from({ length: elementCount(shape) }, () => random.uniform()) },
    ]);
    const known = { mean: [0.1, 0.2, 0.3], std: [1, 2, 3], resize: 256, crop: 224, order: 'bgr' };
    await writeSafetensors(at('known.safetensors'), new Map(tensors), { preprocessing: JSON.stringify(known) });
    await writeSafetensors(at('unknown.safetensors'), new Map(tensors));
    const recorded = async (from: string, ...options: string[]): Promise<unknown> => {
      const command = ['model', 'import', at(from), '--network', name, '--out', at('sized.safetensors'), ...options];
      const { status, stderr } = await runCli(command);
      if (status !== 0) return stderr.trim();
      return JSON.parse((await readCheckpoint(at('sized.safetensors'))).metadata['preprocessing']!);
    };
    const sizes = ['--resize', '232', '--interpolation', 'bicubic'];
    expect(await recorded('known.safetensors', ...sizes)).to.deep.equal({
      ...known,
      resize: 232,
      interpolation: 'bicubic',
    });
    // Nothing known: ImageNet's own mean and standard deviation.
    const own = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], resize: 232, crop: 224 };
    expect(await recorded('unknown.safetensors', ...sizes)).to.deep.equal({ ...own, interpolation: 'bicubic' });
    const both = ['--mean', '0,0,0', '--std', '1,1,1'];
    expect(await recorded('unknown.safetensors', ...both, '--resize', '224')).to.deep.equal({
      mean: [0, 0, 0],
      std: [1, 1, 1],
      resize: 224,
    });
    for (const [options, problem] of [
      [['--crop', '288', '--resize', '320'], /--crop 288: resnet18-width0\.05-imagenet takes 224 x 224; valid: 224$/],
      [['--resize', '200'], /resize 200, crop 224; valid: whole numbers from 1 to 4096, crop at most resize$/],
      [['--resize', '232.5'], /--resize 232\.5; valid: a whole number of pixels/],
      [['--crop', 'abc'], /--crop: not a number that it takes; valid: digits/],
      [['--interpolation', 'nearest'], /interpolation: "nearest"; valid: "bilinear", "bicubic"/],
      [['--std', '1,1,1'], /--std alone; valid: --mean and --std together$/],
      [['--mean', '0,0', '--std', '1,1'], /--mean 0,0 --std 1,1; valid: three numbers each$/],
    ] as const) {
      expect(await recorded('known.safetensors', ...options), options.join(' ')).to.match(problem);
    }
  });

  it('--resize is refused for CIFAR-10, whose images are used as they are', async () => {
    for (const option of [
      ['--resize', '40'],
      ['--crop', '32'],
      ['--interpolation', 'bicubic'],
    ]) {
      const { status, stderr } = await importTiny('sized.safetensors', ...option);
      expect(status).to.equal(2);
      expect(stderr).to.contain(`${option.join(' ')}: images of cifar10 are used as they are; valid: for networks of`);
    }
  });

  it('--int8 stores integers of 8 bits and their scales, which are read as the weights that they stand for', async () => {
    const { status, stderr } = await importTiny('int8.safetensors', '--int8');
    expect(status, stderr).to.equal(0);
    const [before, after] = [
      await readCheckpoint(at('tiny.safetensors')),
      await readCheckpoint(at('int8.safetensors')),
    ];
    expect([...after.tensors.keys()]).to.have.members([...before.tensors.keys()]);
    for (const [name, { shape, data }] of before.tensors) {
      const stored = after.tensors.get(name)!;
      expect(stored.shape).to.deep.equal(shape);
      const largest = Math.max(...data.map(Math.abs));
      const limit = (value: number) => (shape.length > 1 ? largest / 253 : 2 ** -11 * Math.abs(value) + 2 ** -25);
      data.forEach((value, i) => {
        if (Math.abs(stored.data[i]! - value) > limit(value)) expect.fail(`${name}: ${value} ${stored.data[i]}`);
      });
    }
    expect((await stat(at('int8.safetensors'))).size).to.be.below((await stat(at('tiny.safetensors'))).size * 0.6);
  });

  it('refuses --half together with --int8', async () => {
    const { status, stderr } = await importTiny('both.safetensors', '--half', '--int8');
    expect(status).to.equal(2);
    expect(stderr).to.equal('dgate: --half --int8; valid: one of them\n');
  });

  it('refuses a list of held-out images that is none', async () => {
    for (const text of ['[3, 2]', '{}', 'none', '[]']) {
      await writeFile(at('held.json'), text);
      const { status, stderr } = await importTiny('bad.safetensors', '--held-out', at('held.json'));
      expect(status).to.equal(2);
      expect(stderr).to.match(/^dgate: .*held\.json: held_out is not a list of image positions in ascending order\n$/);
    }
  });
});
