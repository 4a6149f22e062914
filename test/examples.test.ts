import { spawnSync } from 'node:child_process';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import sharp from 'sharp';
import { makePlace, type Place, runCli } from './cli/cli.js';
import { UserGraph } from './onnx/user-graphs.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const example = (path: string): string => join(root, 'examples', path);
const classes = ['blue', 'green', 'red'];

/** Three convolutions, `width` channels in the first; weights are generated. `names` are those of the first maps. */
async function writeNetwork(
  path: string,
  width: number,
  { side = 64, outputs = classes.length, names = [] as readonly string[] } = {},
): Promise<void> {
  const graph = new UserGraph(`w${width}`);
  const a = graph.relu(graph.conv(graph.input(['batch', 3, side, side]), 3, width, { stride: 2 }), names[0]);
  const b = graph.relu(graph.conv(a, width, 2 * width, { stride: 2 }), names[1]);
  const c = graph.relu(graph.conv(b, 2 * width, 3 * width, { stride: 2 }));
  await writeFile(path, graph.classify(c, 3 * width, outputs).builder.encode());
}

describe('the examples', () => {
  let place: Place;
  let folder: string;
  before(async () => {
    place = await makePlace();
    ({ folder } = place);
    for (const name of ['photos', ...classes.map((one) => `images/${one}`)]) {
      await mkdir(join(folder, name), { recursive: true });
    }
    for (let i = 0; i < 90; i++) {
      const background = { r: 0, g: 0, b: 0, [['b', 'g', 'r'][i % 3]!]: 120 + i };
      const image = sharp({ create: { width: 64, height: 64, channels: 3, background } }).png();
      await image.clone().toFile(join(folder, `images/${classes[i % 3]}/${i}.png`));
      await image.toFile(join(folder, `photos/${i}.png`));
    }
    await writeNetwork(join(folder, 'small.onnx'), 4);
    await writeNetwork(join(folder, 'large.onnx'), 8);
  });
  after(() => place.remove());

  const dgate = async (...args: string[]): Promise<string> => {
    const { status, stdout, stderr } = await runCli([...args, '--cache', place.cache], { cwd: folder });
    expect(status, stderr).to.equal(0);
    return stdout;
  };

  it('a network of PyTorch is exported, inspected, gated, exported and asked', async function () {
    await copyFile(example('own-network/mine.ts'), join(folder, 'mine.ts'));
    const python = ['python3', '/usr/bin/python3'].find(
      (one) => spawnSync(one, ['-c', 'import torch, torch.onnx']).status === 0,
    );
    const args = [example('own-network/export.py'), join(folder, 'model.onnx'), '--small'];
    const exported = python !== undefined && spawnSync(python, args).status === 0;
    if (!exported) await writeNetwork(join(folder, 'model.onnx'), 8);
    expect(await dgate('model', 'inspect', 'model.onnx')).to.match(/FLOPs/);
    const results = ['--results', place.results];
    expect(await dgate('run', './mine.ts', '--preset', 'smoke', ...results)).to.match(/Gates on my network/);
    const out = ['--margin', '0.01', '--out', 'gated.onnx'];
    await dgate('export', './mine.ts', '--preset', 'smoke', ...out, ...results);
    const said = JSON.parse(await dgate('predict', '--model', 'gated.onnx', 'photos/0.png', '--json'));
    expect(classes).to.include(said.predictions[0].class);
    if (!exported) {
      this.test!.title += ' (export.py left out: no PyTorch here)';
    }
  });

  it('the page exports from PyTorch with the options of the example: to one file, of any number of images', async () => {
    const optionsIn = (text: string): Set<string> => {
      const [, call = ''] = /^ *torch\.onnx\.export\((.*?dynamo=True.*?)\)$/ms.exec(text) ?? [];
      return new Set([...call.matchAll(/\b(\w+=\w+|dynamic_shapes)\b/g)].map(([option]) => option));
    };
    const page = await readFile(fileURLToPath(new URL('../docs/own-network.md', import.meta.url)), 'utf8');
    const ofExample = optionsIn(await readFile(example('own-network/export.py'), 'utf8'));
    expect(ofExample).to.deep.equal(new Set(['dynamo=True', 'dynamic_shapes', 'external_data=False']));
    expect(optionsIn(page)).to.deep.equal(ofExample);
  });

  it('ResNet-56 from a file is gated', async () => {
    const text = await readFile(example('own-network/resnet56.ts'), 'utf8');
    const names = [...text.matchAll(/'(\/layer[^']+)'/g)].map(([, name]) => name!);
    await copyFile(example('own-network/resnet56.ts'), join(folder, 'resnet56.ts'));
    await writeNetwork(join(folder, 'resnet56.onnx'), 8, { side: 32, outputs: 10, names });
    const args = ['run', './resnet56.ts', '--train-images', '200', '--test-images', '100', '--results', place.results];
    const { status, stdout, stderr } = await runCli([...args, '--cache', place.cache], {
      cwd: folder,
      generated: true,
    });
    expect(status, stderr).to.equal(0);
    expect(stdout).to.match(/ResNet-56 from an ONNX file/);
  });

  it('three EfficientNets are one after the other, two of them in the smallest form', async () => {
    await copyFile(example('own-network/efficientnet-lite.ts'), join(folder, 'efficientnet-lite.ts'));
    await writeNetwork(join(folder, 'efficientnet-lite0.onnx'), 4, { side: 224 });
    await writeNetwork(join(folder, 'efficientnet-lite2.onnx'), 8, { side: 260 });
    const args = ['run', './efficientnet-lite.ts', '--preset', 'smoke', '--results', place.results];
    expect(await dgate(...args)).to.match(/EfficientNet-Lite0, then 2/);
  });

  it('two ONNX files are one after the other, and one file', async () => {
    await copyFile(example('cascade/two-files.ts'), join(folder, 'cascade.ts'));
    expect(await dgate('run', './cascade.ts', '--results', place.results)).to.match(/small\.onnx, then large\.onnx/);
    await dgate('export', './cascade.ts', '--margin', '0.005', '--out', 'cascade.onnx', '--results', place.results);
    const said = JSON.parse(await dgate('predict', '--model', 'cascade.onnx', 'photos/1.png', '--json'));
    expect(said.exits).to.equal(2);
  });

  it('a promise is made without labels', async () => {
    await copyFile(example('no-labels/two-files.ts'), join(folder, 'no-labels.ts'));
    const run = JSON.parse(await dgate('run', './no-labels.ts', '--results', place.results, '--json'));
    expect(run.rows[1].guarantee.of).to.equal('agreement');
    expect(run.rows[1].accuracy).to.equal(null);
    expect(await dgate('run', './no-labels.ts', '--results', place.results, '--dry-run')).to.match(/cached/);
    await dgate('export', './no-labels.ts', '--out', 'agreeing.onnx', '--row', '2', '--results', place.results);
  });

  it('a program chooses thresholds through the library', () => {
    const run = spawnSync(process.execPath, ['--import', 'tsx', 'examples/library/thresholds.ts'], {
      cwd: root,
      encoding: 'utf8',
    });
    expect(run.status, run.stderr).to.equal(0);
    expect(run.stdout.match(/^margin .* saved$/gm)).to.have.length(3);
  });

  it('what is submitted to Slurm is shown', async () => {
    const text = await readFile(example('slurm/submit.sh'), 'utf8');
    const [, command] = /^npx dgate (.*?) \\\n/m.exec(text)!;
    const said = await dgate(...command!.split(' '), '--dry-run', '--results', place.results);
    expect(said).to.match(/#SBATCH/);
  });

  it('CI calls a command that there is', async () => {
    const text = await readFile(example('ci/github-actions.yml'), 'utf8');
    for (const [, command] of text.matchAll(/npx dgate (\w+)/g)) await dgate(command!, '--help');
  });
});
