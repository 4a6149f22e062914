import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import sharp from 'sharp';
import { parseCsv } from '../../src/csv.js';
import { writeTinyCheckpoint } from '../run/workplace.js';
import { makePlace, type Place, runCli } from './cli.js';

// The whole command on generated images and networks with generated weights, which are right in one image of ten.
describe('dgate frontier', () => {
  let place: Place;
  let definition: string;
  before(async () => {
    place = await makePlace();
    const file = (name: string) => join(place.folder, `${name}.safetensors`);
    const [cheap, dear] = ['resnet20-width0.25-cifar10', 'resnet20-width0.5-cifar10'] as const;
    for (const network of [cheap, dear]) await writeTinyCheckpoint(file(network), { network });
    const member = (network: string, more = {}) => ({ network, checkpoint: file(network), ...more });
    const networks = [member(cheap, { gates: { after: [1], epochs: 1 } }), member(dear)];
    const cascade = { kind: 'cascade', networks };
    const experiment = {
      name: 'mine',
      title: 'Mine',
      network: cascade,
      thresholds: {},
      trainImages: 50,
      testImages: 120,
    };
    definition = join(place.folder, 'mine.mjs');
    await writeFile(definition, `export default ${JSON.stringify(experiment)};\n`);
  });
  after(() => place.remove());

  it('prints and writes the systems, each network alone and cut, and exports the one with the promise, which predicts', async () => {
    const out = join(place.folder, 'best.onnx');
    const args = ['frontier', definition, '--margin', '0.4', '--out', out, ...place.options];
    const { status, stdout, stderr } = await runCli(args, { generated: true });
    expect(status, stderr).to.equal(0);
    expect(stdout)
      .to.match(/The cheapest system for each accuracy.*\n/)
      .and.to.match(/│ +1: resnet20-width0\.25-cifar10 cut at gate 1 │/)
      .and.to.match(
        /\n1 \(0\.80\) > 3: an image leaves at exit 1 if its confidence is at least 0\.80, otherwise at exit 3\. margin 0\.01: /,
      )
      .and.to.match(/Chosen on {3}60 images outside fold 1 of 2;/);
    const [, folder] = /written to (\S+):/.exec(stderr) ?? [];
    const rows = parseCsv(await readFile(join(folder!, 'frontier.csv'), 'utf8'), 'frontier.csv');
    expect(rows.map(({ kind }) => kind).filter((kind) => kind === 'static')).to.have.length(3);
    const bytes = (name: string) => Number(rows.find(({ system }) => system!.startsWith(name))!['weights_bytes']);
    expect([bytes('2: '), bytes('3: ') / bytes('2: ')].every((value) => value > 2)).to.equal(true);
    // Two fifths of the images may be lost, all of them are: the cheapest answers everything.
    expect(rows.find(({ system }) => system!.startsWith('at most 0.4'))!['system']).to.equal('at most 0.4 at 0.95: 1');
    expect(stdout)
      .to.match(/best\.onnx: .*MB/)
      .and.to.match(/Thresholds {2}none: one exit/);
    const image = join(place.folder, 'image.png');
    await sharp({ create: { width: 32, height: 32, channels: 3, background: 'red' } })
      .png()
      .toFile(image);
    const predicted = await runCli(['predict', '--model', out, image, '--json']);
    expect(predicted.status, predicted.stderr).to.equal(0);
    const { exits, predictions } = JSON.parse(predicted.stdout) as { exits: number; predictions: { exit: number }[] };
    expect([exits, predictions[0]!.exit]).to.deep.equal([1, 1]);
  });

  it('--agreement counts agreement with the reference, and writes the reference where nothing can be promised', async () => {
    const out = join(place.folder, 'agreeing.onnx');
    const args = [
      'frontier',
      definition,
      '--agreement',
      '--margin',
      '0.0001',
      '--out',
      out,
      '--json',
      ...place.options,
    ];
    const { status, stdout, stderr } = await runCli(args, { generated: true });
    expect(status, stderr).to.equal(0);
    expect(JSON.parse(stdout)).to.have.property('experiment', 'mine');
    const [, folder] = /written to (\S+):/.exec(stderr) ?? [];
    const rows = parseCsv(await readFile(join(folder!, 'frontier.csv'), 'utf8'), 'frontier.csv');
    expect(rows.find(({ system }) => system!.startsWith('3: '))!['agreement_fraction']).to.equal('1');
    expect(rows.find(({ system }) => system!.startsWith('margin 0:'))!['agreement_fraction']).to.match(/^(0\.9|1$)/);
    expect(stderr).to.match(/nothing cheaper can be promised: the reference alone is written/);
    const wrong = await runCli(['frontier', definition, '--set', 'analysis.reference=4', ...place.options], {
      generated: true,
    });
    expect([wrong.status, wrong.stderr.trim().split('\n').length]).to.deep.equal([2, 1]);
    expect(wrong.stderr).to.match(/analysis\.reference: 4; valid: an exit, 1 to 3/);
  });

  it('exports the thresholds of the second half where the first can promise nothing, and says with what confidence', async () => {
    const out = join(place.folder, 'second.onnx');
    const asked = ['--agreement', '--margin', '0.2', '--seed', '6', '--out', out];
    const { status, stdout, stderr } = await runCli(['frontier', definition, ...asked, ...place.options], {
      generated: true,
    });
    expect(status, stderr).to.equal(0);
    expect(stderr).to.match(/only thresholds for fold 2 can be promised: .* with 90 % confidence/);
    // The table's system of the second half, which the row shows after the bar.
    const [, threshold] = /│ at most 0\.2 at 0\.95: .*\| 1 \((-?[\d.]+)\) > 3/.exec(stdout) ?? [];
    expect(stdout).to.match(new RegExp(`Thresholds {2}${threshold?.replace('.', '\\.')}\\d\\d\n`), stdout);
    expect(stdout).to.match(/Chosen on {3}60 images outside fold 2 of 2;/);
    const about = await readFile(out, 'latin1');
    expect(about)
      .to.match(/fold 2 of 2 of the test images/)
      .and.to.match(/"disagreement": ?0\.2,\s*"confidence": ?0\.9\b/);
  });
});
