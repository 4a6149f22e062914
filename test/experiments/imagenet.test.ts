import { existsSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { parse } from 'csv-parse/sync';
import sharp from 'sharp';
import { names, wnids } from '../../src/data/imagenet/layout.js';
import { imagenet } from '../../src/data/registry.js';
import { loadDefinition } from '../../src/experiment/load.js';
import { resolveExperiment } from '../../src/experiment/resolve.js';
import { paperAnalyses, paperExperiments } from '../../src/paper/index.js';
import { silent } from '../../src/progress.js';
import { runDocument } from '../../src/run/record.js';
import { writeRun } from '../../src/run/report.js';
import { runExperiment } from '../../src/run/run.js';
import type { AnalysisContext, RunOutcome } from '../../src/run/stages.js';
import { Store } from '../../src/store/store.js';
import { writeTinyCheckpoint } from '../run/workplace.js';
import { checkFindings } from './findings.js';

const sample = fileURLToPath(new URL('../../../shared/imagenet-sample/', import.meta.url));
/** A light network; with `resnet101-imagenet` everything is as in the paper but the weights and the images (a minute). */
const network = process.env['DGATE_IMAGENET_NETWORK'] ?? 'resnet18-width0.25-imagenet';

type Record_ = Readonly<Record<string, string>>;

/**
 * The experiments of ImageNet, preset paper, end to end: 100 real photographs of 100 classes as training images, cuts of
 * them in a flat val/ with Caffe's labels as validation images, generated weights.
 */
describe('the experiments on a small ImageNet, preset paper', () => {
  let folder: string;
  let context: AnalysisContext;
  let checkpoint: string;

  before(async function () {
    if (!existsSync(sample)) this.skip();
    folder = await mkdtemp(join(tmpdir(), 'dgate-imagenet-'));
    const [dataRoot, tree] = [join(folder, 'data'), join(folder, 'ILSVRC2012')];
    checkpoint = join(folder, 'generated.safetensors');
    const download = (): Promise<void> => Promise.reject(new Error('nothing to download'));
    await makeTree(tree);
    await imagenet.fetch({ root: dataRoot, from: tree, progress: silent, download });
    await writeTinyCheckpoint(checkpoint, { network });
    const store = new Store(join(folder, 'results'));
    const [modelsRoot, resultsRoot] = [join(folder, 'models'), join(folder, 'tables')];
    context = { store, dataRoot, modelsRoot, resultsRoot, analyses: paperAnalyses, progress: silent, download };
  });
  after(() => folder && rm(folder, { recursive: true, force: true }));

  async function makeTree(tree: string): Promise<void> {
    const files = readdirSync(sample).filter((name) => name.endsWith('.JPEG'));
    expect(files).to.have.length(100);
    await mkdir(join(tree, 'val'), { recursive: true });
    const labels = await Promise.all(
      files.map(async (name, i) => {
        const wnid = name.slice(0, 9);
        await mkdir(join(tree, 'train', wnid), { recursive: true });
        await symlink(join(sample, name), join(tree, 'train', wnid, `${wnid}_${i}.JPEG`));
        const cut = `ILSVRC2012_val_${String(i + 1).padStart(8, '0')}.JPEG`;
        const { width, height } = await sharp(join(sample, name)).metadata();
        const [left, top] = [Math.floor(width * 0.02), Math.floor(height * 0.04)];
        await sharp(join(sample, name))
          .extract({ left, top, width: width - 2 * left, height: height - 2 * top })
          .jpeg({ quality: 80 })
          .toFile(join(tree, 'val', cut));
        return `${cut} ${wnids.indexOf(wnid)}`;
      }),
    );
    await writeFile(join(tree, 'val.txt'), `${labels.join('\n')}\n`);
  }

  /** A run to its files, as `dgate run NAME --preset paper --checkpoint FILE` makes them. */
  async function run(
    name: string,
  ): Promise<{ outcome: RunOutcome; files: string; rows: (file: string) => Promise<Record_[]> }> {
    const { exported, where } = await loadDefinition(name);
    const overrides = [
      { path: 'network', value: network },
      { path: 'checkpoint', value: checkpoint },
    ];
    const outcome = await runExperiment(
      context,
      resolveExperiment(exported, where, 'paper', overrides, paperExperiments),
    );
    const files = await writeRun(outcome, 'paper', context.resultsRoot);
    const record = JSON.parse(await readFile(join(files, 'record.json'), 'utf8')) as { files: string[] };
    expect((await readdir(files)).sort()).to.deep.equal([...record.files].sort());
    checkFindings(outcome);
    const rows = async (file: string) => parse(await readFile(join(files, file)), { columns: true }) as Record_[];
    return { outcome, files, rows };
  }

  it('imagenet: the published rows beside measured ones, at their accuracies and at their distance from the original', async () => {
    const { outcome, rows } = await run('imagenet');
    expect(outcome.splits).to.include({ train: 100, test: 100 });
    const comparison = await rows('comparison.csv');
    const printed = comparison.filter((row) => row['published'] === 'published');
    expect(printed.map(({ method, accuracy_fraction: accuracy }) => `${method} ${accuracy}`)).to.deep.equal([
      'ACT 0.753',
      'SACT 0.758',
      'BlockDrop 0.768',
      'd-gate 0.768',
      'Original 0.764',
    ]);
    const here = comparison.filter((row) => row['published'] === 'measured here');
    expect(here.map(({ at }) => at)).to.deep.equal([
      '75.3 %, as ACT',
      '75.8 %, as SACT',
      '76.4 %, as Original',
      '76.8 %, as BlockDrop and d-gate',
      '1.1 points less, as ACT',
      '0.6 points less, as SACT',
      "the original's accuracy",
      '0.4 points more, as BlockDrop and d-gate',
      'all images to the last exit',
    ]);
    for (const row of here) {
      expect(row['network']).to.equal(network);
      if (row['method'] === 'none reaches it') expect(row['flops_per_image']).to.equal('');
      else expect(Number(row['flops_per_image'])).to.be.within(1, outcome.original.flops);
    }
    for (const { verdict, why } of runDocument(outcome, 'laptop').claims!) {
      expect(verdict).to.equal('cannot be checked here');
      expect(why).to.match(/^the test images are of 100 of the 1,000 classes/);
    }
  });

  it('figure7: a row for each of the 1000 classes with wnid and name, a plot for each gate', async () => {
    const { files, rows } = await run('figure7');
    const classes = await rows('classes.csv');
    expect(classes).to.have.length(1000);
    expect(new Set(classes.map((row) => row['wnid'])).size).to.equal(1000);
    for (const row of classes) {
      expect([row['class'], row['wnid']]).to.deep.equal([names[Number(row['label'])], wnids[Number(row['label'])]]);
    }
    const [present, absent] = [classes.slice(0, 100), classes.slice(100)];
    const [right, leave] = [[1, 2, 3].map((gate) => `gate${gate}_right_with_distance_images`), /^leave_.*_images$/];
    for (const row of present) {
      expect(row['images']).to.equal('1');
      const left = Object.entries(row).filter(([column]) => leave.test(column));
      expect(left.reduce((sum, [, images]) => sum + Number(images), 0)).to.equal(1);
    }
    for (const row of absent) {
      expect([row['images'], row['main_exit'], row['wilson95_high_fraction']]).to.deep.equal(['0', '', '']);
      expect(right.map((column) => row[column])).to.deep.equal(['0', '0', '0']);
    }
    const ofGates = right.map((column) => classes.reduce((sum, row) => sum + Number(row[column]), 0));
    expect(Math.max(...ofGates)).to.be.greaterThan(0);
    const svg = await readFile(join(files, 'classes.svg'), 'utf8');
    for (const gate of ['gate 1', 'gate 2', 'gate 3']) expect(svg).to.contain(gate);
  });

  it('figure6 and figure8: the classes that leave first and last, with images', async () => {
    for (const [name, leaves, title] of [
      ['figure6', 'first', /leave early/],
      ['figure8', 'last', /need the last gate/],
    ] as const) {
      const { outcome, files, rows } = await run(name);
      const ends = await rows('first-and-last.csv');
      expect(ends.map((row) => `${row['leaves']} ${row['rank']}`)).to.deep.equal([
        ...Array.from({ length: 10 }, (_, i) => `first ${i + 1}`),
        ...Array.from({ length: 10 }, (_, i) => `last ${i + 1}`),
      ]);
      const share = ({ leave_right_early_fraction: early }: Record_): number => Number(early);
      expect(share(ends[0]!)).to.be.greaterThan(share(ends[10]!));
      const [sheet] = outcome.findings.sheets;
      expect(sheet!.title).to.match(title);
      expect(sheet!.caption).to.contain('100 test images of 100 of the 1,000 classes');
      const shown = sheet!.rows.map(({ label }) => label.replace(/ \(\d+ % early\)$/, ''));
      const listed = ends.filter((row) => row['leaves'] === leaves).map((row) => row['class']);
      if (name === 'figure6') expect(shown).to.deep.equal(listed.slice(0, 3));
      const { width, height } = await sharp(join(files, 'examples.png')).metadata();
      expect(Math.min(width, height)).to.be.greaterThan(128);
    }
  });
});
