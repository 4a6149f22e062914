import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { parse } from 'csv-parse/sync';
import { parseBatches } from '../../src/cli/commands/time.js';
import { InputError } from '../../src/errors.js';
import type { RunDocument } from '../../src/run/record.js';
import type { TimingRecord } from '../../src/timing/record.js';
import { filesBelow } from '../run/workplace.js';
import { makePlace, type Place, runCli, writeTinyExperiment } from './cli.js';

// The whole command on generated images and the real engine; what the times are is never asked.
describe('dgate time on generated images', () => {
  let place: Place;
  let definition: string;
  let record: TimingRecord;
  const generated = { generated: true };

  before(async () => {
    place = await makePlace();
    definition = await writeTinyExperiment(place.folder, 'trainImages: 200, testImages: 60');
  });
  after(() => place.remove());

  it('prints the timed evaluation of every row and writes it beside the table', async () => {
    const command = [
      'time',
      definition,
      '--images',
      '48',
      '--batch',
      '1,8',
      '--verify',
      '--repeats',
      '2',
      ...place.options,
    ];
    const { status, stdout, stderr } = await runCli(command, generated);
    expect(status, stderr).to.equal(0);
    expect(stdout).to.match(/^Timed evaluation of mine, preset laptop: resnet20-width0\.25-cifar10\n┌/);
    expect(stdout).to.match(
      /\nRepeats {5}2 processes; the intervals contain their variation .*\nBatch 1 {5}48 pairs a row and process, after \d+ warm-up runs; /,
    );
    expect(stdout).to.contain('all but 0 of 96 timed images');
    expect(stdout).to.contain('Verified    class and exit as in the cached evaluation: all but 0 of 120, 2 rows');
    expect(stderr).to.match(/60 of 60 images have the same class and exit/);
    const [, folder] =
      /\nwritten to (\S+): timing\.txt, timing\.csv, timing-pairs\.csv, timing\.json, /.exec(stderr) ?? [];
    expect(await filesBelow(folder!)).to.include.members([
      'table.csv',
      'timing-pairs.csv',
      'timing.csv',
      'timing.json',
    ]);
    expect(await readFile(join(folder!, 'timing.txt'), 'utf8')).to.equal(stdout);
    record = JSON.parse(await readFile(join(folder!, 'timing.json'), 'utf8')) as TimingRecord;
    const pairs = parse(await readFile(join(folder!, 'timing-pairs.csv'), 'utf8'), { columns: true }) as object[];
    const timed = record.batches.flatMap(({ rows }) => rows.map((row) => row.pairs));
    expect(timed.slice(0, 2)).to.deep.equal([96, 96]);
    expect(record.repeats).to.equal(2);
    const ofRepeat = (repeat: string): number =>
      (pairs as Record<string, string>[]).filter((pair) => pair['repeat'] === repeat).length;
    expect([ofRepeat('1'), ofRepeat('2')]).to.deep.equal([pairs.length / 2, pairs.length / 2]);
    expect(stderr).to.match(/\ntiming mine, repeat 1 of 2: done in .*\ntiming mine, repeat 2 of 2: done in /s);
    expect(pairs).to.have.length(timed.reduce((x, y) => x + y));
    for (const pair of pairs as Record<string, string>[]) {
      expect(Number(pair['original_ms'])).to.be.above(0);
      expect(Number(pair['gated_ms'])).to.be.above(0);
    }
  });

  it('records engine, machine and versions', () => {
    expect(record.engine).to.include({ id: 'ort-cpu' });
    expect(record.engine.versions).to.have.property('onnxruntime-node');
    expect(record.machine).to.include({ node: process.versions.node });
    expect(record.batches.map(({ batch }) => batch)).to.deep.equal([1, 8]);
    for (const { rows } of record.batches) {
      for (const row of rows) expect(row.exits.reduce((a, b) => a + b)).to.equal(row.images);
    }
  });

  it('fills the Speed columns of dgate run, which say where they come from', async () => {
    const { stdout, stderr, status } = await runCli(['run', definition, '--json', ...place.options], generated);
    expect(status, stderr).to.equal(0);
    expect(stderr).to.match(/\nspeed: one image at a time, ort-cpu \(onnxruntime-node [\d.]+\), .* UTC;/);
    const { rows } = JSON.parse(stdout) as RunDocument;
    const measured = record.batches[0]!.rows;
    const t0 = rows.at(-1)!.speedMs!;
    for (const row of rows.slice(0, -1)) expect(1 - row.speedMs! / t0).to.be.closeTo(row.speedUp!, 1e-9);
    expect(rows[0]).to.include({ speedUp: measured[0]!.speedUp, efficiency: measured[0]!.efficiency });
    const [table = ''] = (await filesBelow(place.results)).filter((name) => name.endsWith('table.csv'));
    const [line] = parse(await readFile(join(place.results, table), 'utf8'), { columns: true }) as Record<
      string,
      string
    >[];
    expect(Number(line!['speed_up_fraction'])).to.equal(measured[0]!.speedUp);
    expect(line).to.have.property('efficiency_fraction');
    expect(await filesBelow(join(place.results, dirname(table)))).to.include('timing.json');
  });

  it('--json prints one document on stdout, nothing else', async () => {
    const command = [
      'time',
      definition,
      '--images',
      '16',
      '--batch',
      '8',
      '--repeats',
      '1',
      '--json',
      ...place.options,
    ];
    const { status, stdout, stderr } = await runCli(command, generated);
    expect(status, stderr).to.equal(0);
    const document = JSON.parse(stdout) as TimingRecord;
    expect([document.experiment, document.rules, document.batches.length]).to.deep.equal(['mine', 'default', 1]);
    expect(document.verified).to.equal(null);
  });

  it('refuses what it cannot do in one line', async () => {
    const refused = async (...options: string[]): Promise<string> => {
      const { status, stdout, stderr } = await runCli(['time', 'table1', ...options, ...place.options]);
      expect([status, stdout]).to.deep.equal([2, '']);
      return stderr;
    };
    expect(await refused('--batch', '1,x')).to.equal(
      'dgate: --batch 1,x; valid: whole numbers from 1, none twice, for example 1,32\n',
    );
    expect(await refused('--rules', 'fair')).to.equal(
      'dgate: rules: "fair"; valid: "default", "mlperf" (dgate --help)\n',
    );
    expect(await refused('--images', '9', '--rules', 'mlperf')).to.equal(
      'dgate: --images with --rules mlperf: these rules set the number of images; valid: one of the two\n',
    );
    for (const repeats of ['0', '101']) {
      expect(await refused('--repeats', repeats)).to.equal(
        `dgate: --repeats ${repeats}; valid: a whole number from 1 to 100\n`,
      );
    }
    expect(await refused('--images', '0')).to.equal('dgate: --images 0; valid: a whole number, at least 1\n');
  });

  it('reads batch sizes', () => {
    expect(parseBatches('1, 32')).to.deep.equal([1, 32]);
    for (const text of ['0', '8,8', '1.5', '', '-1', '1e3'])
      expect(() => parseBatches(text), text).to.throw(InputError);
  });

  it('refuses more images than there are, and batches that no fold fills', async () => {
    const many = await runCli(['time', definition, '--images', '61', ...place.options], generated);
    expect([many.status, many.stderr.trim().split('\n').at(-1)]).to.deep.equal([
      2,
      'dgate: --images 61; valid: 1 to 60, the test images',
    ]);
    const large = await runCli(['time', definition, '--batch', '31', ...place.options], generated);
    expect([large.status, large.stderr.trim().split('\n').at(-1)]).to.deep.equal([
      2,
      'dgate: --batch 31: 60 test images in 2 folds do not fill a batch; valid: fewer',
    ]);
  });
});
