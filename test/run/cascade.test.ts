import { join } from 'node:path';
import { expect } from 'chai';
import { resolveExperiment } from '../../src/experiment/resolve.js';
import type { Experiment } from '../../src/experiment/schema.js';
import { confidenceKinds } from '../../src/gates/confidence.js';
import { networkByName } from '../../src/networks/catalogue.js';
import { networkFlops } from '../../src/networks/flops.js';
import { paperExperiments } from '../../src/paper/index.js';
import { openBasis, runIdentity } from '../../src/run/identity.js';
import { plan } from '../../src/run/plan.js';
import { renderRun, writeRun } from '../../src/run/report.js';
import { runExperiment } from '../../src/run/run.js';
import { openStages } from '../../src/run/stages.js';
import { makeWorkplace, type Workplace, workplaceAt, writeTinyCheckpoint } from './workplace.js';

const names = ['resnet20-width0.25-cifar10', 'resnet20-width0.5-cifar10', 'resnet32-width0.5-cifar10'] as const;
const flops = names.map((name) => networkFlops(networkByName(name)).flops);
const small = { train: 200, test: 100 };

interface Choice {
  readonly of?: readonly (readonly [network: string, checkpoint: string])[];
  readonly confidence?: string;
  readonly more?: Record<string, unknown>;
}

describe('a cascade', () => {
  let place: Workplace;
  const file = (i: number): string => join(place.folder, `network${i}.safetensors`);
  const all = (): [string, string][] => names.map((name, i) => [name, file(i)]);

  function experimentOf({ of = all().slice(0, 2), confidence, more }: Choice = {}): Experiment {
    const networks = of.map(([network, checkpoint]) => ({ network, checkpoint }));
    const network = { kind: 'cascade', networks, ...(confidence && { confidence }) };
    const thresholds = { margins: [0, 0.02], fixed: [of.slice(1).map(() => 0.2)] };
    return resolveExperiment(
      { name: 'c', title: 'A cascade', network, thresholds, ...more },
      'c',
      'laptop',
      [],
      paperExperiments,
    );
  }

  before(async () => {
    place = await makeWorkplace(small);
    // Each network wants its own pixels; the first two share two held-out images.
    const held = [
      [1, 5, 7, 40],
      [5, 7, 9],
      [2, 5, 7, 8],
    ];
    for (const [i, network] of names.entries()) {
      await writeTinyCheckpoint(file(i), { network, mean: 0.5 - i / 10, heldOut: held[i]! });
    }
  });
  after(() => place.remove());

  it('costs all networks that an image went through', async () => {
    const { costs, costsOf } = await plan(experimentOf({ of: all() }));
    expect(costs).to.deep.equal([flops[0], flops[0]! + flops[1]!, flops[0]! + flops[1]! + flops[2]!]);
    expect(costsOf([1])).to.deep.equal([flops[1], flops[1]! + flops[2]!]);
  });

  it('scores each image with what each network alone says of it, for every confidence', async () => {
    const three = await openStages(place.context, experimentOf({ of: all() }));
    const { test } = await three.score([], 'max');
    const single = { name: 's', title: 's', gates: { after: [1] }, thresholds: { fixed: [[1]] } };
    for (const [i, network] of names.entries()) {
      const definition = { ...single, network, checkpoint: file(i) };
      const alone = await openStages(place.context, resolveExperiment(definition, 's', 'laptop'));
      const { test: own } = await alone.score(await alone.train(), 'max');
      expect([...own.original], network).to.deep.equal([...(test.classes[i] ?? test.original)]);
    }
    for (const kind of confidenceKinds) {
      const { test: scores } = await three.score([], kind);
      expect(scores.confidences).to.have.length(2);
      for (const { size } of scores.confidences.map((values) => new Set(values))) expect(size, kind).to.be.above(50);
    }
  });

  it('searches thresholds that brute force does not beat, with two and with three networks', async () => {
    for (const of of [all().slice(0, 2), all()]) {
      const stages = await openStages(place.context, experimentOf({ of }));
      const { test } = await stages.score([], 'softmax');
      const { rows } = await runExperiment(place.context, experimentOf({ of }));
      for (const row of rows.filter(({ margin }) => margin !== undefined)) {
        // The first fold's thresholds, on the images that chose them: those of the other fold.
        const found = row.thresholds[0]!;
        const report = await import('../../src/run/search.js');
        const [part] = report.partsOf(stages.experiment, test, undefined, 10);
        const { images } = part!.selection;
        const original = report.originalAccuracy(test, images);
        const costOf = (thresholds: readonly number[]) => {
          let [right, cost] = [0, 0];
          for (const image of images) {
            let exit = thresholds.findIndex((t, k) => test.confidences[k]![image]! >= t);
            if (exit < 0) exit = thresholds.length;
            right += Number((test.classes[exit] ?? test.original)[image] === test.labels[image]);
            cost += stages.plan.costs[exit]!;
          }
          return right >= Math.ceil((original - row.margin!) * images.length - 1e-9) ? cost : Number.POSITIVE_INFINITY;
        };
        const levels = found.map((_, k) => [
          Number.POSITIVE_INFINITY,
          ...Array.from(images, (i) => test.confidences[k]![i]!),
        ]);
        const combinations = levels.reduce<number[][]>(
          (some, next) => some.flatMap((t) => next.map((x) => [...t, x])),
          [[]],
        );
        expect(costOf(found)).to.equal(
          combinations.reduce((least, t) => Math.min(least, costOf(t)), Number.POSITIVE_INFINITY),
        );
      }
    }
  });

  it('runs no training image, and nothing again where it is cached', async () => {
    const asked: string[] = [];
    const onBatch = (split: string) => void asked.push(split);
    const fresh = await makeWorkplace({ ...small, onBatch });
    try {
      await runExperiment(fresh.context, experimentOf());
      expect(new Set(asked)).to.deep.equal(new Set(['test']));
      const again = workplaceAt(fresh.folder, { ...small, onBatch: () => expect.fail('asks for images') });
      const outcome = await runExperiment(again.context, experimentOf());
      expect(outcome.splits.train).to.equal(0);
      expect(again.notes.filter((note) => !/: in the cache/.test(note))).to.deep.equal([]);
    } finally {
      await fresh.remove();
    }
  });

  it('chooses on held-out images that no network has learnt from', async () => {
    const validation = { kind: 'held-out' };
    const held = experimentOf({ more: { thresholds: { margins: [0], validation } } });
    const { features } = await openStages(place.context, held);
    expect(features.heldOut?.count).to.equal(2);
    const other = join(place.folder, 'other.safetensors');
    await writeTinyCheckpoint(other, { network: names[1], heldOut: [2, 3] });
    const of = [all()[0]!, [names[1], other] as const];
    const problem = await openStages(
      place.context,
      experimentOf({ of, more: { thresholds: { margins: [0], validation } } }),
    ).catch(String);
    expect(problem).to.match(/no image was held out of the training of all/);
  });

  it('is identified by what is in its checkpoints, not by where they lie', async () => {
    const identity = async (choice?: Choice) =>
      runIdentity(await openBasis(place.context, experimentOf(choice))).inputs;
    const moved = join(place.folder, 'moved.safetensors');
    await writeTinyCheckpoint(moved, { network: names[0], mean: 0.5, heldOut: [1, 5, 7, 40] });
    const changed = join(place.folder, 'changed.safetensors');
    await writeTinyCheckpoint(changed, { network: names[0], mean: 0.51 });
    const second = all()[1]!;
    expect(await identity({ of: [[names[0], moved], second] })).to.equal(await identity());
    expect(await identity({ of: [[names[0], changed], second] })).not.to.equal(await identity());
    expect(await identity({ confidence: 'entropy' })).not.to.equal(await identity());
  });

  it('is reported by its networks', async () => {
    const outcome = await runExperiment(place.context, experimentOf());
    const text = renderRun(outcome, 'laptop');
    expect(text)
      .to.match(/cascade\(/)
      .and.to.match(/Networks +resnet20-width0\.25-cifar10, .*\n +resnet20-width0\.5-cifar10/);
    expect(text).not.to.match(/Gates|Train /);
    await writeRun(outcome, 'laptop', place.context.resultsRoot);
  });

  it('refuses what is no cascade, in a line', async () => {
    const refused = async (choice: Choice): Promise<string> => {
      try {
        await plan(experimentOf(choice));
        return 'accepted';
      } catch (error) {
        return (error as Error).message;
      }
    };
    const [a, b] = all() as [[string, string], [string, string]];
    expect(await refused({ of: [a] })).to.match(/network\.networks: .*at least two networks/);
    expect(await refused({ of: [b, a] })).to.match(/valid: each network dearer than the one before/);
    expect(await refused({ of: [a, a] })).to.match(/valid: each network dearer than the one before/);
    expect(await refused({ of: [a, ['resnet32-cifar100', 'x']] })).to.match(
      /10 classes of cifar10, 100 classes of cifar100/,
    );
    expect(await refused({ of: [a, ['nonsense', 'x']] })).to.match(/nonsense/);
    expect(await refused({ confidence: 'mood' })).to.match(/confidence: "mood"; valid: max, softmax/);
    expect(await refused({ more: { gates: { after: [1] } } })).to.match(/^c: gates: .*valid: left out/);
    expect(await refused({ more: { gates: { after: [1], confidence: 'softmax', epochs: 5 } } })).to.match(
      /^c: gates: .*valid: left out/,
    );
    expect(await refused({ more: { checkpoint: 'x' } })).to.match(/^c: checkpoint: .*each network/);
    expect(await refused({ more: { trainImages: 5 } })).to.match(/^c: trainImages: 5; valid: left out/);
    expect(await refused({ more: { dataset: 'cifar10' } })).to.match(/^c: dataset: .*left out/);
    expect(await refused({ more: { analysis: { kind: 'loss-comparison' } } })).to.match(/analysis/);
    expect(await refused({ more: { thresholds: { fixed: [[1, 1]] } } })).to.match(/one threshold, one for each gate/);
  });
});
