import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { labelOf } from '../../src/batch/grid.js';
import { combinations, parseAxis } from '../../src/cli/run-grid.js';
import { InputError } from '../../src/errors.js';
import { tinyNetwork, writeTinyCheckpoint } from '../run/workplace.js';
import { makePlace, type Place, type Result, runCli } from './cli.js';

describe('several values in --set', () => {
  const values = (setting: string): readonly unknown[] => parseAxis(setting).values;

  it('stand between commas; those in brackets and quotes divide nothing', () => {
    expect(values('gates.loss=hinge,cross-entropy')).to.deep.equal(['hinge', 'cross-entropy']);
    expect(values('gates.l2=0.001,0.01')).to.deep.equal([0.001, 0.01]);
    expect(values('thresholds.margins=[0.01,0.02]')).to.deep.equal([[0.01, 0.02]]);
    expect(values('gates.pooling=["2x2","gap"],"4x4"')).to.deep.equal([['2x2', 'gap'], '4x4']);
    expect(values('title="a, b"')).to.deep.equal(['a, b']);
    expect(() => values('gates.loss=hinge,')).to.throw(InputError, 'an empty value between commas');
  });

  it('make every combination, each once', () => {
    const labels = (...set: string[]): string[] => combinations(set).map(({ varied }) => labelOf(varied));
    expect(labels('a=1,2', 'b=x', 'c=3,4')).to.deep.equal(['a=1, c=3', 'a=1, c=4', 'a=2, c=3', 'a=2, c=4']);
    expect(labels('a=1,1,2')).to.deep.equal(['a=1', 'a=2']);
    expect(() => combinations(['a=1,2', 'a=3'])).to.throw(InputError, '--set a: given twice');
  });
});

describe('dgate run of a grid', () => {
  let place: Place;
  let definition: string;

  before(async () => {
    place = await makePlace();
    const [good, bad] = ['good', 'bad'].map((name) => join(place.folder, `${name}.safetensors`));
    await writeTinyCheckpoint(good!);
    await writeTinyCheckpoint(bad!, { network: 'resnet20-width0.5-cifar10' });
    definition = join(place.folder, 'mine.mjs');
    await writeFile(
      definition,
      `export default { name: 'mine', title: 'Two gates', network: '${tinyNetwork}', checkpoint: '${good}', ` +
        "gates: { after: [1, 2], pooling: '2x2', epochs: 1 }, thresholds: { margins: [0.05] }, " +
        'trainImages: 100, testImages: 50 };',
    );
  });
  after(() => place.remove());

  const run = (...set: string[]): Promise<Result> =>
    runCli(['run', definition, ...set, ...place.options], { generated: true });
  const loss = ['--set', 'gates.loss=hinge,cross-entropy'];

  it('runs each combination once, extracts what they share once, and merges them into one table', async () => {
    const { status, stdout, stderr } = await run(...loss, '--seeds', '0..1');
    expect(status, stderr).to.equal(0);
    expect(stderr.split('extracting on').length - 1).to.equal(4); // training and test images of two seeds
    expect(stdout).to.match(/^Two gates \[mine, preset laptop\]: 2 of 2 combinations\n/);
    expect(stdout).to.match(/Means over seeds 0, 1/);
    const grid = (await readdir(join(place.results, 'mine'))).find((name) => name.startsWith('laptop-grid-'));
    const lines = (await readFile(join(place.results, 'mine', grid!, 'grid.csv'), 'utf8')).trim().split('\n');
    expect(lines.map((line) => line.split(',')[0])).to.deep.equal([
      'gates.loss',
      'hinge',
      'hinge',
      'cross-entropy',
      'cross-entropy',
    ]);
    expect(lines[0]).to.include('accuracy_seeds_deviation_fraction');
  });

  it('says with --dry-run what is cached, what is not and why, and computes nothing', async () => {
    const planned = async (...more: string[]) => {
      const { stdout, stderr, status } = await run('--dry-run', '--json', ...more);
      expect(status, stderr).to.equal(0);
      return (
        JSON.parse(stdout) as { stages: { stage: string; cached: boolean; why: string; seconds: number | null }[] }[]
      )[0]!.stages;
    };
    expect((await planned('--set', 'gates.loss=hinge')).map(({ cached }) => cached)).to.deep.equal(Array(5).fill(true));
    const stages = await planned('--set', 'gates.l2=0.03');
    expect(stages.map(({ stage, cached }) => [stage, cached])).to.deep.equal([
      ['features of 100 training images', true],
      ['features of 50 test images', true],
      ['gate 1 (stage 1)', false],
      ['gate 2 (stage 2)', false],
      ['scores of test images', false],
    ]);
    expect(stages[2]!.why).to.match(/^gates\.l2 changed from \S+ to 0\.03$/);
    expect(stages[2]!.seconds).to.be.greaterThan(0);
    expect(stages[4]!.why).to.equal('other gates');
    const again = await run('--dry-run', '--json', '--set', 'gates.l2=0.03');
    expect(JSON.parse(again.stdout)[0].stages).to.deep.equal(stages);
    const text = await run('--dry-run', ...loss);
    expect(text.stdout).to.match(/^mine: gates\.loss=hinge\n[\s\S]*everything is cached\n/);
  });

  it('lists the runs it made, and runs one again: identical, and nothing is written', async () => {
    const listed = JSON.parse((await runCli(['runs', '--json', ...place.options])).stdout) as {
      run: string;
      given: string;
    }[];
    const single = listed.filter(({ run: name }) => /^mine\/laptop-[0-9a-f]{8}$/.test(name));
    expect(single).to.have.length(4);
    const before = await readdir(join(place.results, 'mine'));
    const again = await runCli(['rerun', single[0]!.run, ...place.options], { generated: true });
    expect(again.status, again.stderr).to.equal(0);
    expect(again.stdout).to.match(/^identical: \d+ rows\n$/);
    expect(await readdir(join(place.results, 'mine'))).to.deep.equal(before);
  });

  it('runs nothing again that is finished; what is not whole, it does', async () => {
    const again = await run(...loss, '--seeds', '0..1');
    expect(again.stderr.match(/finished before, not run again/g)).to.have.length(4);
    const folder = join(place.results, 'mine');
    const [first] = (await readdir(folder)).filter((name) => /^laptop-[0-9a-f]{8}$/.test(name));
    await rm(join(folder, first!, 'table.csv'));
    const mended = await run(...loss, '--seeds', '0..1');
    expect(mended.stderr.match(/finished before, not run again/g)).to.have.length(3);
    expect(mended.stdout).to.equal(again.stdout);
  });

  it('goes on after a combination that fails, and says at the end which, why, and where its log is', async () => {
    const [good, bad] = ['good', 'bad'].map((name) => join(place.folder, `${name}.safetensors`));
    const { status, stdout } = await run('--set', `checkpoint=${bad},${good}`);
    expect(status).to.equal(1);
    expect(stdout).to.include('1 of 2 combinations');
    const [, log] = /\nfailed: checkpoint=\S+bad\.safetensors: .*bad\.safetensors.*; log: (\S+)\n/.exec(stdout) ?? [];
    expect(await readFile(log!, 'utf8')).to.match(/^dgate run .*checkpoint=\S+bad\.safetensors[\s\S]*InputError/);
  });

  it('checks every combination before the first one runs', async () => {
    await mkdir(join(place.folder, 'empty'));
    const options = ['--cache', join(place.folder, 'empty'), '--results', join(place.folder, 'empty')];
    const command = ['run', definition, '--set', 'gates.loss=hinge,hing', ...options];
    const { status, stderr } = await runCli(command, { generated: true });
    expect(status).to.equal(2);
    expect(stderr).to.match(/gates\.loss: "hing"; valid: hinge, cross-entropy/);
    expect(await readdir(join(place.folder, 'empty'))).to.deep.equal([]);
  });
});
