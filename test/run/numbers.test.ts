import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { encodeSafetensors } from '../../src/checkpoints/load.js';
import { type Dataset, selectImages } from '../../src/data/dataset.js';

import { InputError } from '../../src/errors.js';
import type { Override } from '../../src/experiment/resolve.js';
import { decide } from '../../src/gates/confidence.js';
import { networkByName } from '../../src/networks/catalogue.js';
import { tableRows } from '../../src/run/rows.js';
import { runExperiment } from '../../src/run/run.js';
import type { RunOutcome } from '../../src/run/stages.js';
import { rejection } from '../data/smallCifar10.js';
import { generatedTensors } from '../parity.js';
import {
  filesBelow,
  makeWorkplace,
  tinyExperiment,
  tinyNetwork,
  type Workplace,
  writeTinyCheckpoint,
} from './workplace.js';

const set = (path: string, value: unknown): Override => ({ path, value });
const [fewTrain, fewTest] = [set('trainImages', 60), set('testImages', 40)];

describe('numbers at their limits', () => {
  let place: Workplace;
  before(async () => {
    place = await makeWorkplace({ train: 200, test: 100 });
  });
  after(() => place.remove());

  const runWith = (...overrides: Override[]): Promise<RunOutcome> => {
    return runExperiment(place.context, tinyExperiment(place, fewTrain, fewTest, ...overrides));
  };

  /** The same workplace with images chosen by their labels. */
  function having(wanted: Partial<Record<'train' | 'test', (label: number) => boolean>>): Workplace {
    const [dataset] = place.context.datasets!;
    const chosen: Dataset = {
      ...dataset!,
      load: async (...asked) => {
        const images = await dataset!.load(...asked);
        const positions = Int32Array.from({ length: images.count }, (_, i) => i);
        return selectImages(
          images,
          positions.filter((i) => wanted[asked[1]]?.(images.labels[i]!) ?? true),
        );
      },
    };
    return { ...place, context: { ...place.context, datasets: [chosen] } };
  }

  /** Every number of every row can be printed. */
  function expectFinite(outcome: RunOutcome): void {
    for (const row of tableRows(outcome)) {
      const numbers = [row.accuracy, row.accuracyDrop, row.flops, row.flopsReduction, ...row.exits];
      const ends = Object.values(row.intervals ?? {}).flat();
      for (const value of [...numbers, ...ends]) expect(value, row.model).to.satisfy(Number.isFinite);
      expect(row.exits.reduce((sum, share) => sum + share, 0)).to.be.closeTo(1, 1e-12);
    }
  }

  it('all images leaving at gate 1, and none leaving', async () => {
    const outcome = await runWith(
      set('thresholds.fixed', [
        [-1e6, 0],
        [1e6, 1e6],
      ]),
      set('thresholds.margins', []),
    );
    expectFinite(outcome);
    const [all, none] = outcome.rows.map(({ evaluation }) => evaluation);
    expect(all!.exits).to.deep.equal([40, 0, 0]);
    expect(all!.flops).to.equal(outcome.exitCosts[0]);
    expect(none!.exits).to.deep.equal([0, 0, 40]);
    expect(none!.flops, 'all gates are passed on the way').to.equal(outcome.exitCosts[2]);
    expect(none!.accuracy).to.equal(outcome.original.accuracy);
  });

  it('a class without training images, and one without test images', async () => {
    const without = having({ train: (label) => label !== 9, test: (label) => label !== 3 });
    const outcome = await runExperiment(without.context, tinyExperiment(without));
    expect([outcome.splits.train, outcome.splits.test]).to.deep.equal([180, 90]);
    expectFinite(outcome);
  });

  it('images of one class only: every gate says that class, always right', async () => {
    const only = having({ train: (label) => label === 2, test: (label) => label === 2 });
    const outcome = await runExperiment(only.context, tinyExperiment(only, set('thresholds.fixed', [[-1e6, 0]])));
    expectFinite(outcome);
    expect(outcome.rows.at(-1)!.evaluation).to.include({ accuracy: 1, correct: 10 });
  });

  it('one training image, and one test image with a held-out one', async () => {
    expectFinite(await runWith(set('trainImages', 1)));
    const checkpoint = join(place.folder, 'held.safetensors');
    await writeTinyCheckpoint(checkpoint, { heldOut: [7] });
    const outcome = await runExperiment(
      place.context,
      tinyExperiment(
        { ...place, checkpoint },
        set('thresholds.validation', { kind: 'held-out' }),
        fewTrain,
        set('testImages', 1),
      ),
    );
    expectFinite(outcome);
    expect(outcome.original.count).to.equal(1);
  });

  it('fewer test images than folds, and no images at all, are refused with what would be valid', async () => {
    const fold = await rejection(runWith(set('testImages', 1)));
    expect(fold).to.be.instanceOf(InputError);
    expect(fold.message).to.equal('testImages: 1; valid: at least 2, one for each fold');
    for (const path of ['trainImages', 'testImages']) {
      expect(() => tinyExperiment(place, set(path, 0)))
        .to.throw(InputError)
        .with.property('message')
        .that.matches(new RegExp(`${path}.*0; valid: .*1`));
    }
    for (const [split, label] of [
      ['train', 'training'],
      ['test', 'test'],
    ] as const) {
      const empty = having({ [split]: () => false });
      const none = await rejection(runExperiment(empty.context, tinyExperiment(empty)));
      expect(none).to.be.instanceOf(InputError);
      expect(none.message).to.equal(`${label} images: there are none; valid: at least one`);
    }
  });

  it('weights that are not finite are refused by name, before anything is computed', async () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const checkpoint = join(place.folder, `weights-${value}.safetensors`);
      const tensors = new Map(generatedTensors(networkByName(tinyNetwork)));
      const [name, tensor] = [...tensors][5]!;
      tensors.set(name, { ...tensor, data: tensor.data.map((x, i) => (i === 0 ? value : x)) });
      const preprocessing = JSON.stringify({ mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] });
      await writeFile(checkpoint, Buffer.concat([...encodeSafetensors(tensors, { preprocessing })]));
      const error = await rejection(runExperiment(place.context, tinyExperiment({ ...place, checkpoint })));
      expect(error).to.be.instanceOf(InputError);
      expect(error.message)
        .to.contain(name)
        .and.match(/finite/);
    }
  });

  it('features that overflow are refused, and nothing is kept as if it were good', async () => {
    const checkpoint = join(place.folder, 'overflow.safetensors');
    const tensors = new Map(generatedTensors(networkByName(tinyNetwork)));
    for (const [name, tensor] of tensors) {
      if (/conv|layer/.test(name)) tensors.set(name, { ...tensor, data: tensor.data.map((x) => x * 1e20) });
    }
    const preprocessing = JSON.stringify({ mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] });
    await writeFile(checkpoint, Buffer.concat([...encodeSafetensors(tensors, { preprocessing })]));
    const before = (await filesBelow(join(place.folder, 'results/gates'))).length;
    const error = await rejection(runExperiment(place.context, tinyExperiment({ ...place, checkpoint }, fewTrain)));
    expect(error, error.stack!).to.be.instanceOf(InputError);
    expect(error.message).to.match(/gate 1 .*the features are not finite/);
    expect(await filesBelow(join(place.folder, 'results/gates'))).to.have.length(before);
  });

  it('a gate of one class says that class, whatever it holds against its threshold', () => {
    for (const kind of ['max', 'softmax', 'entropy', 'difference'] as const) {
      const { classes, confidences } = decide(Float32Array.of(-3, 0, 5), 1, kind);
      expect([...classes]).to.deep.equal([0, 0, 0]);
      for (const confidence of confidences) expect(confidence).to.satisfy(Number.isFinite);
    }
  });
});
