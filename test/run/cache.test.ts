import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { parseSafetensors, writeSafetensors } from '../../src/checkpoints/load.js';
import { optionOverrides } from '../../src/cli/options.js';
import type { Override } from '../../src/experiment/resolve.js';
import { unseal } from '../../src/json.js';
import { networkByName } from '../../src/networks/catalogue.js';
import { LazyEngine } from '../../src/run/context.js';
import { extract, extractionOf } from '../../src/run/extract.js';
import type { FeatureSet } from '../../src/run/features.js';
import { openImages } from '../../src/run/images.js';
import { openNetwork } from '../../src/run/source.js';
import { openStages } from '../../src/run/stages.js';
import { trainingData } from '../../src/run/train.js';
import type { Manifest } from '../../src/store/store.js';
import { refusal } from '../checkpoints/helpers.js';
import { generatedTensors } from '../parity.js';
import {
  type Finished,
  filesBelow,
  makeWorkplace,
  run,
  tinyExperiment,
  tinyNetwork,
  type Workplace,
  workplaceAt,
  writeTinyCheckpoint,
} from './workplace.js';

const small = { train: 200, test: 100 };
const set = (path: string, value: unknown): Override => ({ path, value });
/** What the command line makes of its options. */
const overrides = (weights: { key: string; ignore: string }): Override[] =>
  optionOverrides({ checkpoint: undefined, engine: undefined, ...weights });

describe('the cache of a run', () => {
  let first: Workplace;
  let cold: Finished;
  let coldEngine: boolean;

  before(async () => {
    first = await makeWorkplace(small);
    cold = await run(first);
    coldEngine = cold.outcome.engine.loaded;
  });
  after(() => first.remove());

  /** A later command on folders that are there, with a count of the images that it asks for. */
  function later(at = first): Workplace & { asked: Record<string, number> } {
    const asked = { train: 0, test: 0 };
    const onBatch = (split: 'train' | 'test', positions: number[]) => {
      asked[split] += positions.length;
    };
    return { ...workplaceAt(at.folder, { ...small, onBatch }), asked };
  }

  it('keeps the results of two sets of weights in one file apart', async () => {
    const both = join(first.folder, 'both.safetensors');
    const tensors = [...generatedTensors(networkByName(tinyNetwork))];
    const student = tensors.map(([name, tensor]) => [`student.${name}`, tensor] as const);
    const teacher = tensors.map(([name, tensor]) => {
      return [`teacher.${name}`, { ...tensor, data: tensor.data.map((value) => value * 1.1) }] as const;
    });
    await writeSafetensors(both, new Map([...student, ...teacher]));
    const file = set('checkpoint', both);
    await refusal(() => run(later(), file), /2 sets of weights fit: student, teacher; choose one: --key student$/);
    const drops = [];
    for (const key of ['student', 'teacher']) {
      const { outcome, folder } = await run(later(), file, ...overrides({ key, ignore: '*total_ops' }));
      drops.push([outcome.original.accuracy, folder]);
      expect(outcome.engine.loaded, key).to.equal(true);
    }
    expect(drops[0]).not.to.deep.equal(drops[1]);
  });

  it('gives a second run the same table byte for byte, without an engine or an image', async () => {
    const warm = later();
    const { csv, folder, outcome } = await run(warm);
    expect(csv).to.equal(cold.csv);
    expect(folder).to.equal(cold.folder);
    expect([coldEngine, outcome.engine.loaded]).to.deep.equal([true, false]);
    expect(warm.asked).to.deep.equal({ train: 0, test: 0 });
    expect(warm.notes).to.have.length(5);
    for (const note of warm.notes) expect(note).to.match(/: in the cache \([0-9a-f]{32}\)$/);
  });

  it('keeps logits of the images that are scored, none of those that gates only learn from', async () => {
    const { features, images } = await openStages(later().context, tinyExperiment(first));
    const ofShards = async (set: FeatureSet): Promise<string[]> => {
      const { tensors } = parseSafetensors(await set.entry.read((await set.shardNames())[0]!), 'shard');
      return [...tensors.keys()].filter((name) => name === 'logits');
    };
    expect(await ofShards(features.train!)).to.deep.equal([]);
    expect(await ofShards(features.test)).to.deep.equal(['logits']);
    expect(features.train!.count).to.equal(images.train!.count);
  });

  it('needs no features where gates and scores are there, and extracts them for other gates', async () => {
    const place = await makeWorkplace(small);
    try {
      const { csv } = await run(place);
      const features = join(place.folder, 'results', 'features');
      await rm(features, { recursive: true });
      const warm = later(place);
      const again = await run(warm);
      expect(again.csv).to.equal(csv);
      expect(again.outcome.engine.loaded).to.equal(false);
      expect(warm.notes[0]).to.equal('features: not cached, and not needed: gates and scores are');
      expect(warm.asked).to.deep.equal({ train: 0, test: 0 });
      const other = later(place);
      await run(other, set('gates.l2', 0.01));
      expect(other.asked).to.deep.equal({ train: 200, test: 100 });
      expect(await readdir(features)).to.have.length(2);
    } finally {
      await place.remove();
    }
  });

  it('extracts features that were put off when somebody reads them, once', async () => {
    const place = await makeWorkplace(small);
    try {
      const experiment = tinyExperiment(place);
      await run(place);
      const warm = later(place);
      await rm(join(place.folder, 'results', 'features'), { recursive: true });
      const { features, score, train } = await openStages(warm.context, experiment);
      expect(await features.train!.entry.isComplete()).to.equal(false);
      const [data] = await Promise.all([trainingData(features.train!, 0), trainingData(features.train!, 1)]);
      expect(data.count).to.equal(200);
      expect(warm.asked).to.deep.equal({ train: 200, test: 0 });
      expect(await features.train!.entry.isComplete()).to.equal(true);
      const gates = await train({ ...experiment, gates: { ...experiment.gates, epochs: 1 } });
      expect((await score(gates, 'max')).test.count).to.equal(100);
    } finally {
      await place.remove();
    }
  });

  it('says why each stage of a first run ran', () => {
    expect(first.notes).to.deep.equal([
      'cifar10: not in the cache; fetching it from nowhere',
      'features of 200 training images: not in the cache; extracting on ort-cpu',
      'features of 100 test images: not in the cache; extracting on ort-cpu',
      'gate 1 (stage 1): not in the cache; training on ort-cpu',
      'gate 2 (stage 2): not in the cache; training on ort-cpu',
      'scores of test images: not in the cache; applying the gates',
    ]);
  });

  const cheap: [string, Override][] = [
    ['the loss', set('gates.loss', 'cross-entropy')],
    ['the number of epochs', set('gates.epochs', 1)],
    ['lambda', set('gates.l2', 0.01)],
    ['the batch size', set('gates.batchSize', 64)],
    ['the confidence', set('gates.confidence', 'difference')],
    ['margins', set('thresholds.margins', [0.5])],
    ['fixed thresholds', set('thresholds.fixed', [[0.25, 0.5]])],
    ['the folds', set('thresholds.validation.folds', 4)],
    ['the seed', set('seed', 3)],
  ];
  for (const [what, override] of cheap) {
    it(`does not extract again for ${what}`, async () => {
      const warm = later();
      const kind =
        override.path === 'thresholds.validation.folds' ? [set('thresholds.validation.kind', 'cross-fit')] : [];
      const { csv } = await run(warm, ...kind, override);
      expect(warm.asked).to.deep.equal({ train: 0, test: 0 });
      expect(csv).not.to.equal(cold.csv);
      expect(await readFile(join(cold.folder, 'table.csv'), 'utf8'), 'the other run').to.equal(cold.csv);
    });
  }

  const costly: [string, Override[], { train: number; test: number }][] = [
    ['the pooling', [set('gates.pooling', '2x2')], { train: 200, test: 100 }],
    ['the places of the gates', [set('gates.after', [2]), set('thresholds.fixed', [])], { train: 200, test: 100 }],
    ['the network', [set('network', 'resnet20-width0.25-blocks1.1.1-cifar10')], { train: 200, test: 100 }],
    ['the number of training images', [set('trainImages', 150)], { train: 150, test: 0 }],
    // Each image once more for its thumbnail.
    ['the number of test images', [set('testImages', 50)], { train: 0, test: 100 }],
  ];
  for (const [what, overrides, expected] of costly) {
    it(`extracts again for ${what}`, async () => {
      const again = later();
      const network = overrides.find(({ path }) => path === 'network')?.value as string | undefined;
      const checkpoint = join(first.folder, `${network}.safetensors`);
      if (network !== undefined) await writeTinyCheckpoint(checkpoint, { network });
      await run({ ...again, checkpoint: network === undefined ? again.checkpoint : checkpoint }, ...overrides);
      expect(again.asked).to.deep.equal(expected);
    });
  }

  it('extracts again for another checkpoint of the same network', async () => {
    const again = later();
    const checkpoint = join(first.folder, 'other.safetensors');
    await writeTinyCheckpoint(checkpoint, { mean: 0.4 });
    await run({ ...again, checkpoint });
    expect(again.asked).to.deep.equal({ train: 200, test: 100 });
  });

  it('extracts again for other images', async () => {
    const other = workplaceAt(first.folder, { ...small, seed: 1 });
    const { csv } = await run(other);
    expect(other.notes.filter((note) => note.includes('extracting'))).to.have.length(2);
    expect(csv).not.to.equal(cold.csv);
  });

  it('extracts again for another preprocessing of the same file', async () => {
    const { context, checkpoint } = later();
    const experiment = tinyExperiment(first);
    const source = await openNetwork(
      networkByName(experiment.network as string),
      checkpoint,
      context.modelsRoot,
      context.progress,
    );
    const { test } = await openImages(context, experiment, source);
    const places = [{ stage: 1, pooling: { kind: 'gap' as const } }];
    const keys = [];
    for (const preprocessing of [source.preprocessing, { mean: [0.4, 0.4, 0.4], std: [0.25, 0.25, 0.25] }]) {
      const engine = new LazyEngine('auto');
      const features = await extract(
        context,
        extractionOf(context, { ...source, preprocessing }, test, places, engine, 'test'),
      );
      expect(engine.loaded).to.equal(true);
      keys.push(features.entry.key);
    }
    expect(new Set(keys).size).to.equal(2);
  });
});

describe('a damaged cache', () => {
  let workplace: Workplace;
  let csv: string;

  before(async () => {
    workplace = await makeWorkplace(small);
    csv = (await run(workplace)).csv;
  });
  after(() => workplace.remove());

  const folderOf = (stage: string) => join(workplace.folder, 'results', stage);

  /** Changes one bit near the end of the files of a stage. */
  async function flip(stage: string): Promise<string[]> {
    const paths = (await filesBelow(folderOf(stage))).filter((name) => name.endsWith('.safetensors'));
    for (const name of paths) {
      const data = await readFile(join(folderOf(stage), name));
      data[data.length - 5]! ^= 1;
      await writeFile(join(folderOf(stage), name), data);
    }
    return paths.map((name) => join(folderOf(stage), name));
  }

  /** The next run says each of these files, once, and ends with the table of the first run and a sound cache. */
  async function expectMended(damaged: readonly string[], reason: RegExp): Promise<void> {
    const again = workplaceAt(workplace.folder, small);
    const mended = await run(again);
    expect(mended.csv).to.equal(csv);
    expect(again.warnings).to.have.length(damaged.length);
    for (const path of damaged) {
      const said = again.warnings.find((warning) => warning.startsWith(`${path}: `));
      expect(said, path)
        .to.match(reason)
        .and.to.match(/; removed, it is made again$/);
    }
    const last = workplaceAt(workplace.folder, small);
    expect((await run(last)).outcome.engine.loaded).to.equal(false);
    expect(last.warnings).to.deep.equal([]);
  }

  it('of scores is found, said, and made again', async () => {
    await expectMended(await flip('scores'), /its sha256 differs/);
  });

  it('of gates is found, said, and made again', async () => {
    await rm(folderOf('scores'), { recursive: true });
    await expectMended(await flip('gates'), /its sha256 differs/);
  });

  it('of features is found, said, and made again', async () => {
    await rm(folderOf('scores'), { recursive: true });
    await rm(folderOf('gates'), { recursive: true });
    await expectMended(await flip('features'), /its sha256 differs/);
  });

  it('of every stage at once too', async () => {
    const damaged = [...(await flip('features')), ...(await flip('gates')), ...(await flip('scores'))];
    expect(damaged).to.have.length(5);
    await expectMended(damaged, /its sha256 differs/);
  });

  it('with a file cut short or missing too', async () => {
    const [scores = ''] = (await filesBelow(folderOf('scores'))).filter((name) => name.endsWith('.safetensors'));
    const path = join(folderOf('scores'), scores);
    await writeFile(path, (await readFile(path)).subarray(0, 100));
    await expectMended([path], /its sha256 differs/);
    await rm(path);
    await expectMended([path], /is missing/);
  });

  it('leaves nothing but whole entries', async () => {
    for (const stage of ['features', 'gates', 'scores']) {
      for (const key of await readdir(folderOf(stage))) {
        const folder = join(folderOf(stage), key);
        const manifest = unseal(await readFile(join(folder, 'manifest.json'), 'utf8')) as Manifest;
        expect(manifest).to.include({ stage, key });
        const names = Object.entries(manifest.files).map(([name, { sha256 }]) => {
          return name.replace('.safetensors', `-${sha256.slice(0, 16)}.safetensors`);
        });
        expect(await readdir(folder)).to.have.members(['manifest.json', ...names]);
      }
    }
  });
});
