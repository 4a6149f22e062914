import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { parseSafetensors, readCheckpoint } from '../../src/checkpoints/load.js';

import type { ImageSet } from '../../src/data/dataset.js';
import { networkByName } from '../../src/networks/catalogue.js';
import { networkFlops, networkTensors } from '../../src/networks/network.js';

import { makePlace, type Place, runCli } from '../cli/cli.js';
import { generatedDataset } from '../run/generatedDataset.js';

const scripts = fileURLToPath(new URL('../../experiments/checkpoints/', import.meta.url));

/** The first Python that has these modules; undefined is said, and the tests skip themselves. */
function pythonWith(modules: string): string | undefined {
  const candidates = [process.env['DGATE_PYTHON'] ?? 'python3', '/usr/bin/python3'];
  const has = (python: string): boolean => spawnSync(python, ['-c', `import ${modules}`]).status === 0;
  const found = candidates.find(has);
  if (found === undefined) {
    process.stdout.write(
      `    skipped: no Python has ${modules} (${candidates.join(', ')}; DGATE_PYTHON names another)\n`,
    );
  }
  return found;
}

/** Generated images in CIFAR-10's binary form. */
async function writeBatches(folder: string): Promise<void> {
  const dataset = generatedDataset();
  for (const split of ['train', 'test'] as const) {
    const { images, labels } = (await dataset.load('', split)) as ImageSet;
    const files = split === 'train' ? [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`) : ['test_batch.bin'];
    const each = labels.length / files.length;
    for (const [file, name] of files.entries()) {
      const rows = Array.from({ length: each }, (_, i) => {
        const at = file * each + i;
        return [Uint8Array.of(labels[at]!), images.subarray(at * 3072, (at + 1) * 3072)];
      });
      await writeFile(join(folder, name), Buffer.concat(rows.flat()));
    }
  }
}

describe('the scripts that make the networks that ship', () => {
  let place: Place;
  let data: string;
  before(async () => {
    place = await makePlace();
    data = await mkdtemp(join(tmpdir(), 'dgate-batches-'));
    await writeBatches(data);
  });
  after(async () => {
    await place.remove();
    await rm(data, { recursive: true, force: true });
  });

  const call = (python: string, script: string, ...args: string[]): { status: number | null; text: string } => {
    const { status, stdout, stderr } = spawnSync(python, [join(scripts, script), ...args], { encoding: 'utf8' });
    return { status, text: stdout + stderr };
  };

  it('a file goes in pieces and comes together; a missing or damaged piece is named (needs python3)', async function () {
    const python = pythonWith('json');
    if (python === undefined) this.skip();
    const at = (name: string): string => join(place.folder, name);
    const content = Buffer.from(Array.from({ length: 1000 }, (_, i) => i % 251));
    await writeFile(at('whole'), content);
    expect(call(python, 'pieces.py', 'split', at('whole'), '--bytes', '300', '--out', at('parts')).status).to.equal(0);
    const list = at('parts/whole.pieces.json');
    expect((JSON.parse(await readFile(list, 'utf8')) as { pieces: unknown[] }).pieces).to.have.length(4);
    const join_ = (): { status: number | null; text: string } =>
      call(python, 'pieces.py', 'join', list, '--out', at('again'));
    expect(join_().status).to.equal(0);
    expect(await readFile(at('again'))).to.deep.equal(content);
    await copyFile(at('parts/whole.0'), at('parts/whole.2'));
    expect(join_())
      .to.deep.include({ status: 1 })
      .and.property('text')
      .match(/whole\.2: sha256 .*copy this piece again/);
    await rm(at('parts/whole.1'));
    expect(join_().text).to.match(/whole\.1: missing; put all 4 pieces beside /);
  });

  it('a network that came together prints its entry of known.json, with nothing but Python (needs python3)', async function () {
    const python = pythonWith('json');
    if (python === undefined) this.skip();
    const at = (name: string): string => join(place.folder, name);
    const header = JSON.stringify({ __metadata__: { network: 'resnet101-cifar10', test_accuracy: '94.71' } });
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    await writeFile(at('resnet101-cifar10.safetensors'), Buffer.concat([length, Buffer.from(header)]));
    call(python, 'pieces.py', 'split', at('resnet101-cifar10.safetensors'), '--bytes', '40', '--out', at('few'));
    const list = at('few/resnet101-cifar10.safetensors.pieces.json');
    // -S: without the packages that are installed
    const args = ['-S', join(scripts, 'pieces.py'), 'join', list, '--out', at('resnet101-cifar10.safetensors')];
    const printed = JSON.parse(execFileSync(python, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
    expect(printed).to.deep.include({
      id: 'dgate-resnet101-cifar10',
      network: 'resnet101-cifar10',
      shipped: 'resnet101-cifar10.safetensors',
      sizeBytes: 8 + header.length,
      reportedAccuracy: 0.9471,
    });
  });

  it('images are packed without loss (needs numpy and Pillow)', async function () {
    const python = pythonWith('numpy, PIL.Image; PIL.Image.init(); PIL.Image.SAVE["WEBP"]');
    if (python === undefined) this.skip();
    const at = (name: string): string => join(place.folder, name);
    const packed = call(python, 'pieces.py', 'pack', data, '--out', at('images.zip'));
    expect(packed.status, packed.text).to.equal(0);
    expect(call(python, 'pieces.py', 'unpack', at('images.zip'), '--out', at('unpacked')).status).to.equal(0);
    for (const name of ['data_batch_1.bin', 'data_batch_5.bin', 'test_batch.bin']) {
      expect((await readFile(at(`unpacked/${name}`))).equals(await readFile(join(data, name))), name).to.equal(true);
    }
  });

  it('every network has the names, shapes and FLOPs of dgate’s (needs torch)', function () {
    const python = pythonWith('torch');
    if (python === undefined) this.skip();
    const code =
      'import json, networks as n; print(json.dumps([[n.dgate_name(k), n.flops(net := n.build(k)), ' +
      '{a: list(v.shape) for a, v in net.state_dict().items() if v.ndim}] for k in n.NETWORKS]))';
    const output = execFileSync(python, ['-c', code], { cwd: scripts, encoding: 'utf8', maxBuffer: 1e8 });
    const networks = JSON.parse(output) as [string, number, Record<string, number[]>][];
    expect(networks).to.have.length(11);
    for (const [name, flops, tensors] of networks) {
      const network = networkByName(name);
      expect(networkFlops(network).flops, name).to.equal(flops);
      const expected = Object.fromEntries(networkTensors(network).map(({ name, shape }) => [name, [...shape]]));
      expect(tensors, name).to.deep.equal(expected);
    }
  });

  for (const [how, modules, kernels] of [
    ['', 'torch', []],
    [', with its GPU kernels interpreted', 'torch, triton', ['kernels']],
  ] as const) {
    it(`the lean step of a DenseNet computes what the plain one does${how} (needs ${modules})`, function () {
      const python = pythonWith(modules);
      if (python === undefined) this.skip();
      const script = fileURLToPath(new URL('lean_densenet.py', import.meta.url));
      const env = { ...process.env, TRITON_INTERPRET: '1' };
      const output = execFileSync(python, [script, scripts, ...kernels], { encoding: 'utf8', env });
      const apart = JSON.parse(output) as { logits: number; gradients: number; statistics: number };
      expect(apart.logits).to.be.below(1e-5);
      expect(apart.gradients).to.be.below(1e-4);
      expect(apart.statistics).to.be.below(1e-5);
    });
  }

  it('trains, stops, goes on, and leaves a file that dgate reads as the script does (needs torch)', async function () {
    const python = pythonWith('torch');
    if (python === undefined) this.skip();
    const out = join(place.folder, 'trained');
    const args = ['resnet8', '--data', data, '--out', out, '--epochs', '4', '--batch', '90', '--precision', 'fp32'];
    args.push('--judge-every', '4', '--lr', '0.1', '--threads', '1');

    // Stopped after the first epoch it still writes the network as it is.
    const first = spawn(python, [join(scripts, 'train.py'), ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    first.stdout.setEncoding('utf8').on('data', (text: string) => {
      const before = said.includes('epoch 1/4');
      said += text;
      if (!before && said.includes('epoch 1/4')) first.kill('SIGTERM'); // once: while it ends, Python takes no signals
    });
    expect(await new Promise((resolve) => first.once('close', resolve)), said).to.equal(0);
    const record = async (): Promise<Record<string, string>> =>
      JSON.parse(await readFile(join(out, 'resnet8.json'), 'utf8')) as Record<string, string>;
    expect(Number((await record())['epochs'])).to.be.within(1, 3);
    expect(call(python, 'train.py', ...args))
      .to.deep.include({ status: 1 })
      .and.property('text')
      .contain('valid: --resume');
    const other = call(python, 'train.py', ...args, '--lr', '0.3', '--resume');
    expect(other.text).to.match(/--resume: lr differ from the state's/);

    const resumed = call(python, 'train.py', ...args, '--resume');
    expect(resumed.status, resumed.text).to.equal(0);
    const facts = await record();
    expect(facts).to.include({ network: 'resnet20-blocks1.1.1-cifar10', epochs: '4', split_seed: '2027' });
    const curve = (await readFile(join(out, 'resnet8.csv'), 'utf8')).trim().split(/\r?\n/);
    expect(curve).to.have.length(5);
    expect(Number(curve[4]!.split(',')[1]), 'learning rate at the end').to.equal(0);

    // Batch norms' statistics are those that judged best on the held-out images, of three kinds.
    const tried = Object.entries(facts['statistics_tried'] as unknown as Record<string, string>).map(
      ([kind, right]) => [kind, Number(right)] as const,
    );
    expect(tried.map(([kind]) => kind)).to.have.members(['as they were', 'whole images', 'augmented images']);
    expect(tried[0]).to.deep.equal([facts['statistics'], Math.max(...tried.map(([, right]) => right))]);

    const joined = join(place.folder, 'resnet8-cifar10.safetensors');
    const list = join(out, 'pieces/resnet8-cifar10.safetensors.pieces.json');
    const entry = call(python, 'pieces.py', 'join', list, '--out', joined).text;
    expect(entry).to.contain(`"sha256": "${facts['sha256']}"`).and.contain('"id": "dgate-resnet8-cifar10"');
    expect((await readCheckpoint(joined)).sha256).to.equal(facts['sha256']);

    const network = ['--network', facts['network']!];
    const evaluated = await runCli(['model', 'eval', ...network, '--checkpoint', joined, '--json', ...place.options], {
      generated: true,
    });
    expect(evaluated.status, evaluated.stderr).to.equal(0);
    const { accuracy } = JSON.parse(evaluated.stdout) as { accuracy: number };
    expect((100 * accuracy).toFixed(2)).to.equal(facts['test_accuracy']);
    expect(accuracy, 'better than chance').to.be.above(0.3);

    // The statistics alone anew: the weights stay, and the file that has the best ones keeps them.
    const renewing = ['resnet8', '--data', data, '--out', join(place.folder, 'renewed'), '--renew', joined];
    const renewed = call(python, 'train.py', ...renewing, '--batch', '90', '--threads', '1');
    expect(renewed.status, renewed.text).to.equal(0);
    const weights = (file: string): string =>
      `[(k, v.tolist()) for k, v in sorted(int8.read(${JSON.stringify(file)})[0].items()) if v.dtype == 'int8']`;
    const again = join(place.folder, 'renewed/resnet8-cifar10.safetensors');
    const same = `import int8; print(${weights(joined)} == ${weights(again)})`;
    expect(execFileSync(python, ['-c', same], { cwd: scripts, encoding: 'utf8' }).trim()).to.equal('True');
    const short = join(place.folder, 'short.safetensors');
    await writeFile(short, (await readFile(joined)).subarray(0, 5000));
    for (const [file, network, said] of [
      [short, 'resnet8', 'short.safetensors: cannot be read'],
      [join(place.folder, 'none'), 'resnet8', 'none: cannot be read'],
      [joined, 'resnet20', 'valid: a file of resnet20-cifar10'],
    ] as const) {
      const refused = call(
        python,
        'train.py',
        network,
        '--data',
        data,
        '--out',
        out,
        '--renew',
        file,
        '--batch',
        '90',
        '--resume',
      );
      expect(refused.status).to.equal(1);
      expect(refused.text.trim().split('\n')).to.have.length(1);
      expect(refused.text).to.contain(said);
    }
    const seed = call(python, 'train.py', ...renewing, '--split-seed', '1');
    expect(seed).to.deep.include({ status: 1 }).and.property('text').contain('other images are held out');

    // `dgate model import --int8` makes the same of the float file as the script does.
    const [float, ours] = [join(out, 'resnet8-cifar10-f32.safetensors'), join(place.folder, 'ours.safetensors')];
    const imported = await runCli(['model', 'import', float, ...network, '--int8', '--out', ours]);
    expect(imported.status, imported.stderr).to.equal(0);
    const theirs = join(place.folder, 'theirs.safetensors');
    const code = 'import sys, int8; a, m = int8.read(sys.argv[1]); int8.write(sys.argv[2], int8.stored(a), m)';
    execFileSync(python, ['-c', code, float, theirs], { cwd: scripts });
    const [a, b] = [parseSafetensors(await readFile(ours), ours), parseSafetensors(await readFile(theirs), theirs)];
    expect([...b.tensors.keys()]).to.have.members([...a.tensors.keys()]);
    for (const [name, tensor] of a.tensors) expect(b.tensors.get(name), name).to.deep.equal(tensor);
  });
});
