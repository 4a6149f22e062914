import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { namesOf } from '../../src/cli/run-experiments.js';
import { experimentNames } from '../../src/experiment/load.js';
import { seal } from '../../src/json.js';
import type { RunDocument } from '../../src/run/record.js';
import { filesBelow } from '../run/workplace.js';
import { finished, here, makePlace, type Place, real, runCli, startCli, writeTinyExperiment } from './cli.js';

// The whole command line on generated images, so that it runs everywhere: see generatedDatasets.ts.
describe('dgate run on generated images', () => {
  let place: Place;
  let definition: string;
  const generated = { generated: true };

  before(async () => {
    place = await makePlace();
    definition = await writeTinyExperiment(place.folder, 'presets: { smoke: { trainImages: 100, testImages: 50 } }');
  });
  after(() => place.remove());

  it('--json prints one document on stdout, in the shape that people script against', async () => {
    const command = ['run', definition, '--preset', 'smoke', '--seed', '3', '--json', ...place.options];
    const { status, stdout, stderr } = await runCli(command, generated);
    expect(status, stderr).to.equal(0);
    const document = JSON.parse(stdout) as RunDocument;
    expect(Object.keys(document)).to.deep.equal([
      'version',
      'experiment',
      'preset',
      'engine',
      'seeds',
      'splits',
      'rows',
    ]);
    expect(document).to.deep.include({ experiment: 'mine', preset: 'smoke', engine: 'ort-cpu', seeds: [3] });
    expect(document.splits).to.include({ train: 100, test: 50 });
    expect(document.rows).to.have.length(3);
    for (const row of document.rows) {
      expect(row).to.include.keys('model thresholds accuracy flops flopsReduction speedMs speedUp exits'.split(' '));
      expect(row.accuracy).to.be.within(0, 1);
      expect(row.exits).to.have.length(3);
    }
    expect(document.rows.at(-1)!.model).to.equal('Original');
    expect(stderr).to.match(/features of 100 training images: not in the cache; extracting on ort-cpu/);
  });

  it('prints the table and says where it is written, the second time without an engine', async () => {
    const command = ['run', definition, '--preset', 'smoke', '--seed', '3', ...place.options];
    const { status, stdout, stderr } = await runCli(command, { ...generated, imports: [here('refuseEngines.mjs')] });
    expect(status, stderr).to.equal(0);
    expect(stdout).to.match(/^Two gates \[mine, preset smoke\]\n┌/);
    expect(stdout).to.match(/│ Original +│ +│ +[\d.]+% │/);
    expect(stdout).to.match(/\nValidation {2}cross-fit, 2 folds of the test images/);
    const [, folder] =
      /\nwritten to (\S+): report\.html, table\.csv, table\.txt, gates\.csv, record\.json\n$/.exec(stderr) ?? [];
    expect(await filesBelow(folder!)).to.deep.equal([
      'gates.csv',
      'record.json',
      'report.html',
      'table.csv',
      'table.txt',
    ]);
    expect(await readFile(join(folder!, 'table.txt'), 'utf8')).to.equal(stdout);
  });

  it('says on the console and in the page how far it is from what is on record', async () => {
    const command = ['run', definition, '--preset', 'smoke', '--seed', '3', ...place.options];
    const [, folder] = /written to (\S+):/.exec((await runCli(command, generated)).stderr) ?? [];
    const table = await readFile(join(folder!, 'table.csv'), 'utf8');
    const reference = join(folder!, '../../reference/mine/smoke-0000abcd');
    await mkdir(reference, { recursive: true });
    const said = async (text: string): Promise<[string, string]> => {
      await writeFile(join(reference, 'table.csv'), text);
      const { stderr } = await runCli(command, generated);
      const page = await readFile(join(folder!, 'report.html'), 'utf8');
      return [
        /\nbeside (.*)\n/.exec(stderr)?.[1] ?? stderr,
        /<dt>On record<\/dt><dd>beside (.*?)<\/dd>/.exec(page)?.[1] ?? page,
      ];
    };
    const same = 'reference/mine/smoke-0000abcd: every row is the same';
    expect(await said(table)).to.deep.equal([same, same]);
    const rows = table.trimEnd().split('\n');
    const last = rows.pop()!.split(','); // the original's, in which no cell has a comma
    const changed = (column: string, add: number): string => {
      const at = rows[0]!.split(',').indexOf(column);
      return [...rows, last.with(at, String(Number(last[at]) + add)).join(',')].join('\n');
    };
    // A time that `dgate time` has put on record is no difference.
    expect(await said(changed('speed_ms', 1.5))).to.deep.equal([same, same]);
    const far = /: 1 rows differ, accuracy by 1\.00 points at most; dgate compare shows them$/;
    for (const text of await said(changed('accuracy_fraction', 0.01))) expect(text).to.match(far);
    await rm(reference, { recursive: true });
  });

  it('removes what an earlier run left in its folder, but no file of others', async () => {
    const command = ['run', definition, '--preset', 'smoke', '--seed', '3', ...place.options];
    const { stderr } = await runCli(command, generated);
    const [, folder] = /written to (\S+):/.exec(stderr) ?? [];
    const path = join(folder!, 'record.json');
    const { seal: _, ...record } = JSON.parse(await readFile(path, 'utf8')) as {
      seal: string;
      files: string[];
      command: string;
    };
    expect(record.files).to.deep.equal(['report.html', 'table.csv', 'table.txt', 'gates.csv', 'record.json']);
    expect(record.command).to.equal(`dgate run ${definition} --preset smoke --seed 3`);
    await writeFile(path, seal({ ...record, files: [...record.files, 'old.svg'] }));
    for (const name of ['old.svg', 'timing.csv']) await writeFile(join(folder!, name), 'x');
    await runCli(command, generated);
    expect(await filesBelow(folder!))
      .to.include('timing.csv')
      .and.not.to.include('old.svg');
  });

  it('of several experiments, one that fails stops no other; the end says which and why, exit status 1', async () => {
    const broken = join(place.folder, 'broken.ts');
    const text = await readFile(definition, 'utf8');
    await writeFile(
      broken,
      text.replace("name: 'mine'", "name: 'broken'").replace('tiny.safetensors', 'gone.safetensors'),
    );
    const command = ['run', broken, definition, '--preset', 'smoke', '--seed', '3', ...place.options];
    const { status, stdout, stderr } = await runCli(command, generated);
    expect(status, stderr).to.equal(1);
    expect(stderr).to.match(/dgate: broken: checkpoint .*gone\.safetensors: no such file/);
    const [, summary] = stdout.split('Summary: ');
    expect(summary).to.match(/^1 of 2 experiments done/);
    expect(summary).to.match(/│ broken +│ failed .*\n│ mine +│ done .* mine\/smoke-[0-9a-f]{8} +│/);
    expect(summary).to.match(/\nFailed\nbroken: checkpoint .*gone\.safetensors/);
    expect(await filesBelow(place.results)).not.to.include('README.md');

    const json = await runCli([...command, '--json'], generated);
    const documents = JSON.parse(json.stdout) as (RunDocument & { error?: string })[];
    expect(json.status).to.equal(1);
    expect(documents.map(({ experiment }) => experiment)).to.deep.equal(['broken', 'mine']);
    expect(documents[0]!.error).to.contain('gone.safetensors');
    expect(documents[1]!.rows).to.have.length(3);
  });

  it('needs the engine for what is not in the cache', async () => {
    const command = ['run', definition, '--preset', 'smoke', '--train-images', '60', ...place.options];
    const { status, stderr } = await runCli(command, { ...generated, imports: [here('refuseEngines.mjs')] });
    expect(status).to.equal(1);
    expect(stderr).to.contain('refused: onnxruntime-node');
  });

  it('takes options over --set and --set over the preset', async () => {
    const settings = ['--set', 'trainImages=60', '--set', 'testImages=40', '--set', 'gates.epochs=1'];
    const noisy = join(place.folder, 'noisy.ts');
    await writeFile(noisy, `console.log('a definition that speaks'); ${await readFile(definition, 'utf8')}`);
    const options = ['--set', 'seeds=[5,6]', '--seed', '4', '--train-images', '70', '--json'];
    const command = ['run', noisy, '--preset', 'smoke', ...settings, ...options, ...place.options];
    const { stdout, stderr } = await runCli(command, generated);
    const document = JSON.parse(stdout) as RunDocument;
    expect(document.splits, stderr).to.include({ train: 70, test: 40 });
    expect(document.seeds).to.deep.equal([4]);
    expect(stderr).to.contain('a definition that speaks');
  });

  it('takes each experiment once, and others beside all of them', async () => {
    const names = await namesOf(['./mine.ts', 'all', 'table1', './mine.ts']);
    expect(names).to.include('table1').and.to.have.length(new Set(names).size);
    expect([names[0], names.length]).to.deep.equal(['./mine.ts', 1 + (await experimentNames()).length]);
  });

  it('lists and verifies the cache that it made', async () => {
    const list = await runCli(['cache', 'list', '--json', ...place.options]);
    const entries = JSON.parse(list.stdout) as { stage: string; complete: boolean; bytes: number; inputs: object }[];
    expect(new Set(entries.map((entry) => entry.stage))).to.deep.equal(
      new Set(['duplicates', 'features', 'gates', 'scores', 'thumbnails']),
    );
    for (const entry of entries.filter(({ complete }) => complete)) expect(entry.bytes).to.be.above(0);
    const sound = await runCli(['cache', 'verify', ...place.options]);
    expect([sound.status, sound.stdout]).to.deep.equal([0, sound.stdout.replace(/\d+ damaged/, '0 damaged')]);

    const [name = ''] = (await filesBelow(place.cache)).filter((file) => /\/scores\/.*\.safetensors$/.test(file));
    const scores = join(place.cache, name);
    const data = await readFile(scores);
    data[data.length - 1]! ^= 0x80;
    await writeFile(scores, data);
    const damaged = await runCli(['cache', 'verify', ...place.options]);
    expect(damaged.status).to.equal(1);
    expect(damaged.stdout).to.contain(`${scores}: is not what was written there`).and.contain('1 damaged');
  });

  it('stops at SIGINT before the next shard, leaves no temporary file, and goes on when it is run again', async () => {
    const own = await makePlace();
    const command = ['run', definition, '--train-images', '1900', '--test-images', '50', ...own.options];
    // A shard of 1,024 images in batches of 64, five at a time each a fifth of a second late, then 14 more batches.
    const running = startCli(command, { generated: true, env: { TEST_BATCH_MS: '200' } });
    const done = finished(running);
    const shards = async () =>
      (await filesBelow(own.cache)).filter((name) => /shard-\d+-[0-9a-f]{16}\.safetensors$/.test(name));
    while ((await shards()).length === 0 && running.process.exitCode === null) await delay(10);
    running.process.kill('SIGINT');
    const { status, stdout, stderr } = await done;
    expect([status, stdout], stderr).to.deep.equal([130, '']);
    expect(stderr).to.match(/\ndgate: interrupted; run the same command again to resume\n$/);
    expect(await shards()).to.have.length(1);
    expect((await filesBelow(own.folder)).filter((name) => /\.(tmp|lock)$/.test(name))).to.deep.equal([]);
    expect(await filesBelow(own.results)).to.deep.equal([]);

    const again = await runCli(command, generated);
    await own.remove();
    expect(again.status, again.stderr).to.equal(0);
    expect(again.stderr).to.match(
      /training images: interrupted before, going on at image 1,024; extracting on ort-cpu/,
    );
  });
});

describe('dgate on the real CIFAR-10 and real checkpoints (needs CIFAR-10 in the cache and ../shared/checkpoints)', () => {
  let place: Place;
  before(async function () {
    if (!real.hasData || !real.hasCheckpoints) this.skip();
    place = await makePlace(real.data);
  });
  after(() => place?.remove());

  it('model eval: ResNet-20 is right on most of the first 500 test images', async () => {
    const checkpoint = real.checkpoint('resnet20-12fca82f.th');
    const command = ['model', 'eval', '--network', 'resnet20-cifar10', '--checkpoint', checkpoint, '--limit', '500'];
    const { status, stdout, stderr } = await runCli([...command, '--json', ...place.options]);
    expect(status, stderr).to.equal(0);
    const document = JSON.parse(stdout) as { accuracy: number; images: number; seconds: number };
    expect(document).to.include({ network: 'resnet20-cifar10', engine: 'ort-cpu', images: 500 });
    expect(document.accuracy).to.be.within(0.88, 0.95); // 91.73 % of all 10,000
    expect(document.seconds).to.be.above(0);
  });

  it('run resnet56 --preset smoke: from the checkpoint to the table', async () => {
    const checkpoint = real.checkpoint('resnet56-4bfd9763.th');
    const command = ['run', 'resnet56', '--preset', 'smoke', '--checkpoint', checkpoint, '--json', ...place.options];
    const { status, stdout, stderr } = await runCli(command);
    expect(status, stderr).to.equal(0);
    const { rows, splits } = JSON.parse(stdout) as RunDocument;
    expect(splits.validation).to.match(/^cross-fit/);
    const original = rows.at(-1)!;
    expect(original.accuracy).to.be.within(0.9, 0.97); // 93.39 % of all 10,000
    expect(original.flops).to.equal(250_971_392);
    const margins = rows.filter((row) => row.margin !== null);
    expect([...new Set(margins.map((row) => row.margin))]).to.deep.equal([0.001, 0.005, 0.01, 0.02]);
    for (const row of margins) {
      expect(row.accuracyDrop).to.be.below(row.margin! + 0.05); // chosen on 250 images, reported on the other 250
      expect(row.flopsReduction).to.be.within(-0.001, 0.7);
    }
    expect(
      rows.some((row) => row.flopsReduction > 0.01),
      'something leaves early',
    ).to.equal(true);
    const warm = await runCli(command);
    expect(JSON.parse(warm.stdout)).to.deep.equal(JSON.parse(stdout));
    expect(warm.stderr).not.to.contain('not in the cache');
  });
});
