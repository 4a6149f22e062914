import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { here, makePlace, type Place, runCli, tsx } from './cli.js';
import { WarmCli } from './warm.js';

const commands = [
  'run',
  'list',
  'flops',
  'data',
  'data fetch',
  'data verify',
  'model',
  'model fetch',
  'model import',
  'model info',
  'model eval',
  'train',
  'doctor',
  'cache',
  'cache list',
  'cache verify',
  'time',
  'export',
  'predict',
  'check',
  'compare',
  'submit',
  'cache prune',
  'completion',
];

describe('dgate', () => {
  const noEngine = { imports: [here('refuseEngines.mjs')] };
  let place: Place;
  let warm: WarmCli;
  before(async () => {
    place = await makePlace();
    warm = new WarmCli(noEngine);
  });
  after(async () => {
    warm.close();
    await place.remove();
  });

  it('--help lists every command and shows examples, and loads no engine', async () => {
    const { status, stdout, stderr } = await runCli(['--help'], noEngine);
    expect([status, stderr]).to.deep.equal([0, '']);
    for (const command of commands.filter((name) => !name.includes(' '))) {
      expect(stdout).to.match(new RegExp(`^  dgate ${command}\\b`, 'm'));
    }
    expect(stdout).to.match(/Examples:\n {2}dgate run resnet56/);
  });

  it('--help loads no package but yargs', async () => {
    const { status, stderr } = await runCli(['--help'], { imports: [here('refuseForHelp.mjs')] });
    expect([status, stderr]).to.deep.equal([0, '']);
    const other = await runCli(['flops', 'resnet20-cifar10'], { imports: [here('refuseForHelp.mjs')] });
    expect(other.stderr).to.contain('refused: '); // the hook would notice one
  });

  it('--version is that of the package', async () => {
    const { status, stdout } = await runCli(['--version'], noEngine);
    expect(status).to.equal(0);
    expect(stdout).to.match(/^\d+\.\d+\.\d+( \(commit [0-9a-f]{7,}\+?\))?\n$/);
  });

  for (const command of commands) {
    it(`${command} --help shows examples`, async () => {
      const { status, stdout, stderr } = await warm.run([...command.split(' '), '--help']);
      expect(stdout.split('\n').filter((line) => line.length > 80)).to.deep.equal([]);
      expect([status, stderr]).to.deep.equal([0, '']);
      const [, examples = ''] = stdout.split('Examples:\n');
      expect(examples).to.match(new RegExp(`^  dgate ${command} `));
    });
  }

  it('the hook of these tests would notice an engine', async () => {
    const engine = new URL('../../src/engines/onnxruntime/engine.ts', import.meta.url);
    const script = join(place.folder, 'needsEngine.mjs');
    await writeFile(script, `await import(${JSON.stringify(engine.href)});`);
    const { status, stderr } = await runCli(['--version'], {
      imports: [...noEngine.imports, tsx, script],
    });
    expect(status).not.to.equal(0);
    expect(stderr).to.contain('refused: onnxruntime-node');
  });
});

describe('dgate list', () => {
  it('names what there is of every kind', async () => {
    const { status, stdout, stderr } = await runCli(['list'], { imports: [here('refuseEngines.mjs')] });
    expect([status, stderr]).to.deep.equal([0, '']);
    for (const [kind, name] of Object.entries(known)) {
      expect(stdout).to.match(new RegExp(`^${kind}\\n(  .*\\n)*  ${name}  +\\S`, 'm'));
    }
  });

  it('--json is one document, by kind or of one kind', async () => {
    interface Listed {
      name: string;
      description: string;
    }
    const { stdout } = await runCli(['list', '--json']);
    const all = JSON.parse(stdout) as Record<string, Listed[]>;
    expect(Object.keys(all)).to.deep.equal(['version', ...Object.keys(known)]);
    for (const [kind, name] of Object.entries(known)) {
      expect(all[kind]!.map((item) => item.name)).to.include(name);
      for (const item of all[kind]!) expect(item.description.length).to.be.above(5);
    }
    const engines = await runCli(['list', 'engines', '--json']);
    expect(JSON.parse(engines.stdout)).to.deep.equal(all['engines']);
  });

  const known = {
    experiments: 'resnet56',
    networks: 'resnet101-cifar10',
    datasets: 'cifar10',
    checkpoints: 'akamaster-resnet56-cifar10',
    engines: 'ort-cpu',
  };
});

describe('dgate flops', () => {
  it('--json has the exact integers of ResNet-101, stage by stage', async () => {
    const { status, stdout, stderr } = await runCli(['flops', 'resnet101-cifar10', '--json'], {
      imports: [here('refuseEngines.mjs')],
    });
    expect([status, stderr]).to.deep.equal([0, '']);
    const document = JSON.parse(stdout);
    expect(Object.keys(document)).to.deep.equal(['version', 'network', 'input', 'parameters', 'flops', 'stages']);
    expect(document).to.deep.include({
      network: 'resnet101-cifar10',
      input: { channels: 3, height: 32, width: 32 },
      parameters: 42_512_970,
      flops: 5_019_967_488,
    });
    for (const stage of document.stages) {
      expect(stage).to.have.all.keys('name', 'channels', 'height', 'width', 'flops', 'cumulativeFlops');
    }
    expect(
      document.stages.map((stage: { cumulativeFlops: number }) => stage.cumulativeFlops).slice(0, 3),
    ).to.deep.equal([439_746_560, 1_110_835_200, 4_491_444_224]);
    expect(document.stages[2]).to.include({ name: 'layer3', channels: 1024, height: 8, width: 8 });
  });

  it('prints a table for people', async () => {
    const { stdout } = await runCli(['flops', 'densenet201-cifar10']);
    expect(stdout).to.match(/^densenet201-cifar10: 2,727,777,792 FLOPs, [\d,]+ parameters, input 3 x 32 x 32\n/);
    expect(stdout).to.contain('683,016,192');
  });
});
