import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import sharp from 'sharp';
import { generatedScores } from '../../bench/generated-scores.js';
import { parseCsv } from '../../src/csv.js';
import { resolveExperiment } from '../../src/experiment/resolve.js';
import { paperExperiments } from '../../src/paper/index.js';
import { Random } from '../../src/random.js';
import { renderRun, writeRun } from '../../src/run/report.js';
import { tableRows } from '../../src/run/rows.js';
import { runExperiment } from '../../src/run/run.js';
import { partsOf, searchAndEvaluate } from '../../src/run/search.js';
import type { Scores } from '../../src/thresholds/evaluate.js';
import { makeWorkplace, tinyNetwork, type Workplace, writeTinyCheckpoint } from './workplace.js';

const agreement = {
  disagreements: [0.02, 0.1],
  guarantee: { disagreement: 0.2, confidence: 0.9 },
};

describe('images without labels', () => {
  let place: Workplace;
  let images: string;

  before(async () => {
    place = await makeWorkplace({ train: 300, test: 40 });
    images = join(place.folder, 'photos');
    await mkdir(join(images, 'below'), { recursive: true });
    // The generated test images as files, and one that is none.
    const source = await place.context.datasets![0]!.load(place.context.dataRoot, 'test');
    for (let i = 0; i < 40; i++) {
      const pixels = await source.batch([i]);
      const raw = Buffer.from(Array.from({ length: 3072 }, (_, at) => pixels[(at % 3) * 1024 + Math.floor(at / 3)]!));
      const to = join(images, ...(i % 2 === 0 ? [] : ['below']), `${i}.png`);
      await sharp(raw, { raw: { width: 32, height: 32, channels: 3 } })
        .png()
        .toFile(to);
    }
    await writeFile(join(images, 'below', 'photo.heic'), '');
  });

  after(() => place.remove());

  const resolve = (change: Record<string, unknown>) =>
    resolveExperiment(
      {
        name: 'mine',
        title: 'Images without labels',
        network: tinyNetwork,
        checkpoint: place.checkpoint,
        unlabelled: images,
        gates: { after: [1, 2], pooling: '4x4', epochs: 2 },
        thresholds: agreement,
        ...change,
      },
      'mine',
      'laptop',
      [],
      paperExperiments,
    );

  it('choose thresholds by agreement: a table with FLOPs and agreement, and no accuracy anywhere', async () => {
    const notes: string[] = [];
    const progress = { ...place.context.progress, note: (line: string) => void notes.push(line) };
    const outcome = await runExperiment({ ...place.context, progress }, resolve({}));
    expect(notes.filter((line) => line.startsWith(images))).to.deep.equal([
      `${images}: 1 other files (.heic), left out; valid: JPEG, PNG, WebP, TIFF, GIF, BMP, PPM or PGM`,
    ]);
    const folder = await writeRun(outcome, 'laptop', place.context.resultsRoot);
    const rows = parseCsv(await readFile(join(folder, 'table.csv'), 'utf8'), 'table.csv');
    expect(rows).to.have.length(4);
    expect(Object.keys(rows[0]!).filter((column) => /accuracy|class/.test(column))).to.deep.equal([]);
    for (const row of rows) {
      expect(Number(row['agreement_fraction'])).to.be.closeTo(1 - Number(row['disagreement_fraction']), 1e-12);
      expect(Number(row['disagreement_low_fraction'])).to.be.at.most(Number(row['disagreement_fraction']));
      expect(Number(row['disagreement_high_fraction'])).to.be.at.least(Number(row['disagreement_fraction']));
      expect(row['flops_per_image']).not.to.equal('');
    }
    const text = renderRun(outcome, 'laptop');
    expect(text).to.match(/Model.*Margin.*Agreement/);
    expect(text).to.match(/40 images of .*photos, without labels/);
    for (const row of tableRows(outcome)) {
      expect(row).to.deep.include({ accuracy: null, accuracyDrop: null, worstClassDrop: null });
      expect(row.intervals).to.deep.include({ accuracy: null, accuracyDrop: null });
    }
    expect(await readFile(join(folder, 'report.html'), 'utf8')).not.to.match(/ACC\.|class="explorer"/);
  });

  it('give what the same images with labels give where agreement is asked for', async () => {
    const rowsOf = async (change: Record<string, unknown>) => {
      const { rows } = await runExperiment(place.context, resolve(change));
      return rows.map(({ evaluation: { flops }, changes }) => [flops, changes.disagreement]);
    };
    const fixed = { fixed: [[-0.5, -0.5]], ...agreement };
    const [, , , ofFiles] = await rowsOf({ thresholds: fixed });
    const [, , , ofDataset] = await rowsOf({ thresholds: fixed, unlabelled: undefined });
    expect(ofFiles).to.deep.equal(ofDataset);
  });

  it('serve a cascade, which needs no dataset at all, and budgets', async () => {
    const networks = [tinyNetwork, 'resnet20-width0.5-cifar10'].map((network, i) => ({
      network,
      checkpoint: join(place.folder, `cascade${i}.safetensors`),
    }));
    for (const { network, checkpoint } of networks) await writeTinyCheckpoint(checkpoint, { network });
    const reads = {
      ...place.context,
      datasets: [{ ...place.context.datasets![0]!, load: () => Promise.reject(new Error('read')) }],
    };
    const outcome = await runExperiment(
      reads,
      resolve({
        network: { kind: 'cascade', networks },
        checkpoint: undefined,
        gates: undefined,
        testImages: 30,
        thresholds: { ...agreement, budgets: [0.9] },
      }),
    );
    expect(outcome.splits.test).to.equal(30);
    expect(outcome.rows.map(({ kind }) => kind)).to.deep.equal(['budget', 'disagreement', 'disagreement', 'guarantee']);
  });

  const refusals: [name: string, change: Record<string, unknown>, message: RegExp][] = [
    [
      'margins of accuracy',
      { thresholds: { margins: [0.01] } },
      /thresholds\.margins: \[0\.01\]; valid: left out: accuracy needs/,
    ],
    [
      'a promise of accuracy',
      { thresholds: { guarantee: { drop: 0.01 } } },
      /guarantee\.drop: 0\.01; valid: disagreement: accuracy/,
    ],
    [
      'held-out images',
      { thresholds: { ...agreement, validation: { kind: 'held-out' } } },
      /thresholds\.validation: .*choose thresholds for each/,
    ],
    ['analyses', { analysis: { kind: 'accuracy-flops' } }, /analysis: .*; valid: left out: accuracy needs labels/],
    ['baselines', { baselines: [] }, /baselines: .*left out/],
    ["the paper's rows", { published: 'table1' }, /published: .*left out/],
    ['an empty text', { unlabelled: '' }, /unlabelled: ""; valid: the path of a folder of images/],
  ];
  for (const [name, change, message] of refusals) {
    it(`refuse ${name} in a line`, () => {
      expect(() => resolve(change)).to.throw(message);
    });
  }

  it('are refused in a line where there are none, or the network takes others', async () => {
    const failure = async (change: Record<string, unknown>) => {
      return runExperiment(place.context, resolve(change)).then(
        () => 'done',
        ({ message }: Error) => message,
      );
    };
    expect(await failure({ unlabelled: join(place.folder, 'nowhere') })).to.match(
      /nowhere: no such folder; valid: a folder/,
    );
    expect(await failure({ unlabelled: join(place.folder, 'models') })).to.match(/no (such folder|images)/);
  });
});

describe('labels', () => {
  const { scores, costs } = generatedScores(600, 2);
  const random = new Random(5, 'labels');
  const shuffled: Scores = { ...scores, labels: random.shuffle(Int32Array.from(scores.labels, () => random.below(2))) };
  const experiment = (thresholds: Record<string, unknown>) =>
    resolveExperiment(
      { name: 'x', title: 'x', network: tinyNetwork, gates: { after: [1, 2] }, thresholds },
      'x',
      'laptop',
    );
  const chosen = (of: Scores, thresholds: Record<string, unknown>) => {
    const asked = experiment(thresholds);
    return searchAndEvaluate(asked, partsOf(asked, of, undefined, 2), costs).map(
      ({ thresholds, changes, evaluation, validation }) => ({
        thresholds,
        disagreement: changes.disagreement,
        flops: evaluation.flops,
        exits: evaluation.exits,
        chosenAt: validation?.flops,
      }),
    );
  };

  it('change nothing where agreement alone is asked for, folds included', () => {
    expect(chosen(shuffled, agreement)).to.deep.equal(chosen(scores, agreement));
    for (const method of ['betting', 'conformal']) {
      const asked = { guarantee: { ...agreement.guarantee, method } };
      expect(chosen(shuffled, asked)).to.deep.equal(chosen(scores, asked));
    }
  });

  it('change thresholds where accuracy is asked for', () => {
    const asked = { margins: [0.01] };
    expect(chosen(shuffled, asked)).not.to.deep.equal(chosen(scores, asked));
  });
});
