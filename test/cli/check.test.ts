import { execFile, execFileSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { readCheckpoint, writeSafetensors } from '../../src/checkpoints/load.js';

import { readModules } from '../../src/store/code.js';
import { real } from './cli.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const shipped = join(root, 'experiments/checkpoints/resnet101-narrow-cifar10.safetensors');

interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface Document {
  readonly state: string;
  readonly moved: readonly { readonly item: string; readonly quantity: string; readonly isRegression: boolean }[];
}

// dgate as it is built, in a folder of its own, so that its code can be changed: real CIFAR-10, a network that ships.
describe('dgate check', () => {
  let folder: string;
  let checkpoint: string;

  before(async function () {
    if (!real.hasData) this.skip();
    folder = await mkdtemp(join(tmpdir(), 'dgate-check-'));
    checkpoint = join(folder, 'network.safetensors');
    await cp(shipped, checkpoint);
    const arguments_ = [
      '-p',
      join(root, 'tsconfig.build.json'),
      '--outDir',
      join(folder, 'original/dist'),
      '--sourceMap',
      'false',
    ];
    // The compiler's status is `npm run typecheck`'s business.
    try {
      execFileSync(join(root, 'node_modules/.bin/tsc'), arguments_, { stdio: 'ignore' });
    } catch {}
    await dress(join(folder, 'original'));
    await writeFile(
      join(folder, 'mine.mjs'),
      `export default {
        name: 'mine', title: 'Two gates', network: 'resnet101-width0.25-blocks1.1.7.1-cifar10',
        checkpoint: process.env.TEST_CHECKPOINT, gates: { after: [1, 2], pooling: '2x2', solver: 'sgd', epochs: 4 },
        thresholds: { margins: [0.02], fixed: [[1, 1]] },
        presets: { smoke: { trainImages: 200, testImages: 100 } },
      };`,
    );
    const made = await check(['--update']);
    expect(made.status, made.stderr).to.equal(0);
  });
  after(() => folder && rm(folder, { recursive: true, force: true }));

  /** What a built dgate needs around it. */
  async function dress(place: string): Promise<void> {
    await cp(join(root, 'package.json'), join(place, 'package.json'));
    await symlink(join(root, 'node_modules'), join(place, 'node_modules'));
    await symlink(join(root, 'data'), join(place, 'data'));
    await writeFile(join(place, 'dist/code.json'), JSON.stringify(readModules(root))); // as `npm run build` does
    await mkdir(join(folder, 'cache'), { recursive: true });
    await symlink(real.data, join(folder, 'cache/data')).catch(() => {});
  }

  async function check(
    options: readonly string[] = [],
    { code = 'original', weights = checkpoint } = {},
  ): Promise<Outcome> {
    const baseline = options.includes('--baseline') ? [] : ['--baseline', join(folder, 'baseline')];
    const folders = [...baseline, '--cache', join(folder, 'cache')];
    const command = [
      join(folder, code, 'dist/bin/dgate.js'),
      'check',
      join(folder, 'mine.mjs'),
      ...folders,
      ...options,
    ];
    const env = { ...process.env, TEST_CHECKPOINT: weights };
    return promisify(execFile)(process.execPath, command, { env, cwd: folder }).then(
      ({ stdout, stderr }) => ({ status: 0, stdout, stderr }),
      (error: { code: number; stdout: string; stderr: string }) => ({ ...error, status: error.code }),
    );
  }

  /** dgate with one place of its code changed. */
  async function changed(name: string, file: string, from: string, to: string): Promise<string> {
    const place = join(folder, name);
    await cp(join(folder, 'original/dist'), join(place, 'dist'), { recursive: true });
    await dress(place);
    const path = join(place, 'dist/src', file);
    const text = await readFile(path, 'utf8');
    expect(text.split(from), `${file}: ${from}`).to.have.length(2);
    await writeFile(path, text.replace(from, to));
    // As if the source had been changed and built.
    const modules = { ...readModules(root) };
    const id = file.replace(/\.js$/, '');
    modules[id] = { ...modules[id]!, sha256: name };
    await writeFile(join(place, 'dist/code.json'), JSON.stringify(modules));
    return name;
  }

  /** Quantities that moved, `*` for the numbers of items. */
  async function moved(options: Parameters<typeof check>[1]): Promise<string[]> {
    const { status, stdout, stderr } = await check(['--json'], options);
    expect(status, stderr).to.equal(1);
    const [document] = JSON.parse(stdout) as Document[];
    expect(document!.state).to.equal('moved');
    return document!.moved
      .filter(({ isRegression }) => isRegression)
      .map(({ item, quantity }) => `${item}: ${quantity}`);
  }

  it('finds nothing where nothing has changed', async () => {
    const { status, stdout, stderr } = await check();
    expect(status, stderr).to.equal(0);
    expect(stdout).to.match(/^mine \[preset smoke\]: all \d+ numbers as in /);
    expect(stderr).to.include('in the cache');
  });

  it('catches a changed weight', async () => {
    const { tensors, metadata } = await readCheckpoint(checkpoint);
    const [name, tensor] = [...tensors].find(([key]) => key.endsWith('conv1.weight'))!;
    const data = tensor.data.slice();
    data[0]! += 0.1;
    const weights = join(folder, 'changed.safetensors');
    await writeSafetensors(weights, new Map([...tensors, [name, { ...tensor, data }]]), metadata);
    const found = await moved({ weights });
    expect(found).to.include.members(['weights: sha256', 'gate 1: features_rms', 'original: logits_rms']);
  });

  it('catches a changed FLOPs rule', async () => {
    const code = await changed('flops', 'networks/network.js', 'flops += 2 * layer.in', 'flops += layer.in');
    expect(await moved({ code })).to.include('network: flops_per_image');
  });

  it('catches > for >= where an image just reaches a threshold', async () => {
    const from = 'scores.confidences[gate][image] >= thresholds[gate]';
    const code = await changed('exit', 'thresholds/evaluate.js', from, from.replace('>=', '>'));
    const found = await moved({ code });
    expect(found.filter((one) => one.includes('just reaching') && one.endsWith('exit_1_images'))).to.have.length(3);
  });

  it('catches a changed split', async () => {
    const code = await changed(
      'split',
      'data/dataset.js',
      "new Random(seed, 'subset')",
      "new Random(seed + 1, 'subset')",
    );
    expect(await moved({ code })).to.include.members(['train images: sha256', 'test images: sha256']);
  });

  it('catches a gate that is trained with half the epochs', async () => {
    const code = await changed('epochs', 'gates/train.js', 'epoch < epochs;', 'epoch < epochs / 2;');
    const found = await moved({ code });
    expect(found).to.include.members(['gate 1: objective', 'gate 2: objective']);
  });

  it('says what moved, from what, to what, by how much, and why; --update accepts it; JUnit has every number', async () => {
    const other = ['--set', 'gates.epochs=2', '--junit', join(folder, 'check.xml')];
    const { status, stdout } = await check(other);
    expect(status).to.equal(1);
    expect(stdout).to.match(/│ gate 1 +│ objective +│ [\d.]+ +│ [\d.]+ +│ \+[\d.]+ \(\+[\d.]+ %\) +│ ±[\d.e-]+ +│/);
    expect(stdout).to.match(/│ definition +│ gates\.epochs +│ 4 +│ 2 +│ -2 \(-50 %\) +│ explains only/);
    const junit = await readFile(join(folder, 'check.xml'), 'utf8');
    expect(junit).to.match(/<testsuite name="dgate check mine" tests="\d+" failures="[1-9]/);
    expect(junit).to.match(/name="gate 1: objective" time="0"><failure message="from [\d.]+ to [\d.]+, allowed/);
    expect((await check([...other, '--update'])).status).to.equal(0);
    expect((await check(other)).status).to.equal(0);
  });

  it('refuses what is no baseline, and what has none', async () => {
    const none = await check(['--baseline', join(folder, 'nowhere')]);
    expect(none.status).to.equal(2);
    expect(none.stderr).to.match(/nowhere\/mine\.csv: no such file; valid: dgate check \.\.\. --update makes it/);
    await mkdir(join(folder, 'broken'));
    await writeFile(join(folder, 'broken/mine.csv'), 'item,quantity,value,tolerance\nnetwork,flops,1,much\n');
    const broken = await check(['--baseline', join(folder, 'broken')]);
    expect(broken.status).to.equal(2);
    expect(broken.stderr).to.match(/mine\.csv: line 2; valid: item, quantity, value, tolerance/);
  });
});
