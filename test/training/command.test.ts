import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { readSafetensors } from '../../src/checkpoints/load.js';
import { networkByName } from '../../src/networks/catalogue.js';
import { networkTensors } from '../../src/networks/network.js';
import { smallest, startDgate, startTraining } from './child.js';

const cpu = '--engine tfjs-cpu';

describe('dgate train', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dgate-training-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('writes a checkpoint that says where it comes from, and that an experiment takes', async () => {
    const args = `${smallest} --out made.safetensors ${cpu} --epochs 1 --batch-size 6 --train-images 30 --seed 2 --json`;
    const run = startTraining(folder, args);
    expect(await run.ended, run.stderr).to.equal(0);
    const document = JSON.parse(run.stdout) as Record<string, unknown>;
    expect(document).to.include({
      network: smallest,
      epochs: 1,
      validationImages: 4,
      testImages: 20,
      engine: 'tfjs-cpu',
    });

    const { tensors, metadata } = await readSafetensors(join(folder, 'made.safetensors'));
    const expected = networkTensors(networkByName(smallest));
    expect([...tensors].map(([name, { shape }]) => [name, shape])).to.deep.equal(
      expected.map(({ name, shape }) => [name, shape]),
    );
    expect(metadata).to.include({
      network: smallest,
      seed: '2',
      epochs: '1',
      train_images: '30',
      test_engine: 'ort-cpu',
    });
    expect(JSON.parse(metadata['preprocessing']!)).to.deep.equal({ mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] });
    expect(JSON.parse(metadata['recipe']!)).to.include({ preset: 'laptop', epochs: 1, batchSize: 6, nesterov: true });
    expect(JSON.parse(metadata['held_out']!)).to.have.length(4);
    expect(metadata['data_sha256']).to.match(/^[0-9a-f]{64}$/);
    expect(Number(metadata['test_accuracy'])).to.equal(document['testAccuracy']);
    expect(Number(metadata['validation_accuracy'])).to.equal(document['validationAccuracy']);
    const csv = await readFile(join(folder, 'made.csv'), 'utf8');
    expect(csv).to.match(
      /^epoch,step,learning_rate,train_loss,train_accuracy,validation_accuracy,seconds\n1,5,[\d.e-]+,[\d.]+,[\d.]+,[\d.]+,[\d.]+\n$/,
    );

    const mine =
      `export default { name: 'mine', title: 'Mine', network: '${smallest}', gates: { after: [1, 2], epochs: 2 }, ` +
      "thresholds: { fixed: [[0, 0]], validation: { kind: 'held-out' } } };";
    await writeFile(join(folder, 'mine.ts'), mine);
    const [evaluated, experiment, again] = [
      startDgate(folder, `model eval --network ${smallest} --checkpoint made.safetensors --json`),
      startDgate(folder, 'run ./mine.ts --checkpoint made.safetensors --json'),
      startTraining(folder, `${smallest} --out made.safetensors --resume`),
    ];
    expect(await evaluated.ended, evaluated.stderr).to.equal(0);
    expect((JSON.parse(evaluated.stdout) as { accuracy: number }).accuracy).to.equal(document['testAccuracy']);
    expect(await experiment.ended, experiment.stderr).to.equal(0);
    expect(experiment.stderr).not.to.contain('preprocessing');
    expect(await again.ended, again.stderr).to.equal(0);
    expect(again.stderr).to.equal('made.safetensors: this training is finished\n');
  });

  const refusals: readonly (readonly [string, RegExp])[] = [
    ['resnet21-cifar10', /^network resnet21-cifar10: unknown; valid: .*resnet20-cifar10/],
    [
      `${smallest} --engine tfjs-wasm`,
      /^engine tfjs-wasm: cannot train: .*Conv2DBackpropFilter.*; valid: auto, tfjs-node, /,
    ],
    [`${smallest} --resume`, /^--resume: no \S+\.state\.safetensors; valid: the --out of an interrupted training$/],
    [`${smallest} --out there.safetensors`, /^there\.safetensors already exists; choose another --out$/],
    [`${smallest} --out begun.safetensors`, /^begun\.state\.safetensors: an interrupted training; valid: --resume/],
    [`${smallest} --out begun.safetensors --resume`, /^begun\.state\.safetensors: an empty file; valid: /],
    [
      `${smallest} ${cpu} --out batch.safetensors --batch-size 64`,
      /^--batch-size 64; valid: 2 to 36, the images to learn from$/,
    ],
    [
      `${smallest} ${cpu} --out images.safetensors --train-images 38`,
      /^--train-images 38; valid: 2 to 36: 4 of 40 are held out$/,
    ],
    [
      'resnet18-imagenet',
      /^network resnet18-imagenet: unknown; valid: resnet18-cifar10 and others; see: dgate list networks$/,
    ],
  ];
  it('refuses bad input in one line, and writes nothing', async () => {
    const given = await mkdtemp(join(folder, 'given-'));
    await writeFile(join(given, 'there.safetensors'), '');
    await writeFile(join(given, 'begun.state.safetensors'), '');
    const waiting = [...refusals];
    const next = async (): Promise<void> => {
      for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) {
        const [args, expected] = item;
        const run = startTraining(given, args);
        expect([await run.ended, run.stdout], run.stderr).to.deep.equal([2, '']);
        const lines = run.stderr.split('\n').filter((line) => line.startsWith('dgate: '));
        expect(lines, run.stderr).to.have.length(1);
        expect(lines[0]!.replace('dgate: ', '')).to.match(expected);
      }
    };
    await Promise.all([next(), next()]);
    const files = (await readdir(given)).filter((name) => name !== 'cache');
    expect(files.sort()).to.deep.equal(['begun.state.safetensors', 'there.safetensors']);
  });
});
