import { join } from 'node:path';
import { expect } from 'chai';
import { resolveExperiment } from '../../src/experiment/resolve.js';
import type { Experiment } from '../../src/experiment/schema.js';
import { confidenceKinds, decide } from '../../src/gates/confidence.js';
import { fitTemperature } from '../../src/gates/fit.js';
import { networkByName } from '../../src/networks/catalogue.js';
import { networkFlops } from '../../src/networks/network.js';
import { paperExperiments } from '../../src/paper/index.js';
import { plan } from '../../src/run/plan.js';
import { openBasis, runIdentity } from '../../src/run/record.js';
import { renderRun, writeRun } from '../../src/run/report.js';
import { runExperiment } from '../../src/run/run.js';
import { openStages, scoredParts } from '../../src/run/stages.js';
import { makeWorkplace, type Workplace, workplaceAt, writeTinyCheckpoint } from './workplace.js';

const names = ['resnet20-width0.25-cifar10', 'resnet20-width0.5-cifar10', 'resnet32-width0.5-cifar10'] as const;
const flops = names.map((name) => networkFlops(networkByName(name)).flops);
const small = { train: 200, test: 100 };

interface Choice {
  readonly of?: readonly (readonly [network: string, checkpoint: string])[];
  readonly confidence?: string;
  readonly more?: Record<string, unknown>;
  /** Gates inside each network; undefined for none. */
  readonly inside?: readonly (Record<string, unknown> | undefined)[];
}

describe('a cascade', () => {
  let place: Workplace;
  const file = (i: number): string => join(place.folder, `network${i}.safetensors`);
  const all = (): [string, string][] => names.map((name, i) => [name, file(i)]);

  function experimentOf({ of = all().slice(0, 2), confidence, more, inside = [] }: Choice = {}): Experiment {
    const networks = of.map(([network, checkpoint], i) => ({
      network,
      checkpoint,
      ...(inside[i] && { gates: inside[i] }),
    }));
    const network = { kind: 'cascade', networks, ...(confidence && { confidence }) };
    const exits = of.length - 1 + inside.reduce((sum, gates) => sum + ((gates?.['after'] as number[])?.length ?? 0), 0);
    const thresholds = { margins: [0, 0.02], fixed: [Array.from({ length: exits }, () => 0.2)] };
    return resolveExperiment(
      { name: 'c', title: 'A cascade', network, thresholds, ...more },
      'c',
      'laptop',
      [],
      paperExperiments,
    );
  }

  const scoresOf = async (experiment: Experiment) => {
    const stages = await openStages(place.context, experiment);
    return stages.score(await stages.train(), experiment.gates.confidence);
  };

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

  const inside = [{ after: [1, 2], epochs: 2, pooling: '4x4' }, undefined, { after: [2], epochs: 3 }];

  it('has the gates inside its networks as exits, each of which costs what it costs there and all networks before', async () => {
    const { costs, costsOf, exits } = await plan(experimentOf({ of: all(), inside }));
    const own = await Promise.all(
      names.map(async (network, i) => {
        if (inside[i] === undefined) return [flops[i]!];
        const definition = { name: 's', title: 's', network, gates: inside[i], thresholds: { margins: [0] } };
        return (await plan(resolveExperiment(definition, 's', 'laptop'))).costs;
      }),
    );
    const [first, second, third] = own as [number[], number[], number[]];
    const two = first[2]! + second[0]!;
    expect(costs).to.deep.equal([...first, two, ...third.map((cost) => two + cost)]);
    expect(costs).to.deep.equal(costs.toSorted((a, b) => a - b));
    expect(exits.map(({ network, place }) => [network, place?.stage])).to.deep.equal([
      ...[1, 2, undefined].map((stage) => [0, stage]),
      [1, undefined],
      ...[2, undefined].map((stage) => [2, stage]),
    ]);
    // A network is run up to the last of its exits that is used: the first one's gate 1, then the last network.
    expect(costsOf([0])).to.deep.equal([first[0], first[0]! + flops[2]!]);
    const { costsOf: alone } = await plan(experimentOf({ inside: [{ ...inside[0], after: [2] }] }));
    const upToGate2 = alone([0])[0]!;
    expect(costsOf([1, 3])).to.deep.equal([upToGate2, upToGate2 + flops[1]!, upToGate2 + flops[1]! + flops[2]!]);
  });

  it('scores the gates inside as the network alone does, learns from training images only there, and reports them', async () => {
    const inside = [{ after: [1, 2], epochs: 2, pooling: '4x4', previous: true }, undefined, { after: [2], epochs: 3 }];
    const outcome = await runExperiment(place.context, experimentOf({ of: all(), inside, confidence: 'max' }));
    const { test } = await scoresOf(experimentOf({ of: all(), inside, confidence: 'max' }));
    const alone = (i: number) => {
      const definition = { name: 's', title: 's', network: names[i], checkpoint: file(i), gates: inside[i] };
      return scoresOf(resolveExperiment({ ...definition, thresholds: { margins: [0] } }, 's', 'laptop'));
    };
    const [first, last] = [(await alone(0)).test, (await alone(2)).test];
    expect(test.classes.slice(0, 3)).to.deep.equal([...first.classes, first.original]);
    expect(test.confidences.slice(0, 2)).to.deep.equal(first.confidences);
    expect([test.classes[4], test.confidences[4], test.original]).to.deep.equal([
      last.classes[0],
      last.confidences[0],
      last.original,
    ]);
    expect(outcome.splits.train).to.equal(200);
    expect(outcome.gates.map(({ network, stage }) => [network, stage])).to.deep.equal([
      [0, 1],
      [0, 2],
      [2, 2],
    ]);
    expect(renderRun(outcome, 'laptop')).to.match(
      /Networks +resnet20-width0\.25.*\n +with gates after stages 1 \(4 x 4/,
    );
    const lazy = workplaceAt(place.folder, { ...small, onBatch: () => expect.fail('asks for images') });
    await runExperiment(lazy.context, experimentOf({ of: all(), inside, confidence: 'max' }));
    expect(lazy.notes.filter((note) => !/: in the cache/.test(note))).to.deep.equal([]);
  });

  it('is another run with other gates inside, and names what is wrong with them', async () => {
    const identity = async (choice: Choice) => runIdentity(await openBasis(place.context, experimentOf(choice))).inputs;
    const other = [{ ...inside[0], epochs: 3 }, undefined, inside[2]];
    expect(await identity({ of: all(), inside })).not.to.equal(await identity({ of: all(), inside: other }));
    const refused = (gates: Record<string, unknown>) => () => experimentOf({ inside: [undefined, gates] });
    expect(refused({ after: [2, 1] })).to.throw(/network\.networks\.1\.gates\.after: .*stages in their order/);
    expect(refused({ after: [1], pooling: ['gap', '2x2'] })).to.throw(/networks\.1\.gates\.pooling: .*a list of 1/);
    const frontier = { inside: [{ after: [1, 2], previous: true }], more: { analysis: { kind: 'frontier' } } };
    expect(() => experimentOf(frontier)).to.throw(/analysis\.kind: "frontier"; valid: policies with gates\.previous/);
    expect(refused({ after: [1], confidence: 'max' })).to.throw(/networks\.1\.gates\.confidence: unknown key/);
    expect(refused({ after: [] })).to.throw(/at least one stage/);
    expect(await plan(experimentOf({ inside: [{ after: [3] }] })).catch(String)).to.match(/stage 3/);
    expect(experimentOf({ inside: [{ after: [1] }], more: { trainImages: 20 } }).trainImages).to.equal(20);
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

  it('divides the logits by temperatures that were fitted where thresholds are chosen, and says what that changes', async () => {
    const network = (more: Record<string, unknown>) => ({
      of: all(),
      more: { network: { ...(experimentOf({ of: all() }).network as object), ...more } },
    });
    const stages = await openStages(place.context, experimentOf(network({ calibrate: true })));
    const { scores, parts, fits } = await scoredParts(stages, []);
    const plain = await stages.score([], 'softmax');
    for (const [part, { selection, evaluation }] of parts.entries()) {
      for (const [exit, { test }] of stages.sets.slice(0, -1).entries()) {
        for await (const { logits, labels } of test.shards()) {
          const judged = { numbers: logits, labels, classes: 10 };
          const { temperature = 1 } = fits![exit]![part]!.fitted;
          expect(temperature).to.equal(fitTemperature(judged, selection.images)).and.not.equal(1);
          const { confidences } = decide(
            logits.map((value) => value / temperature),
            10,
            'softmax',
          );
          expect(selection.scores.confidences[exit]).to.deep.equal(confidences);
          for (const image of evaluation.images) {
            expect(scores.test.confidences[exit]![image]).to.equal(confidences[image]);
          }
        }
      }
    }
    expect(fits!.map((of) => of.length)).to.deep.equal([2, 2, 2]);
    expect(scores.test.classes).to.deep.equal(plain.test.classes);
    const text = renderRun(await runExperiment(place.context, experimentOf(network({ calibrate: true }))), 'laptop');
    expect(text).to.match(/│ exit +│ part │ temperature │ error before \(%\) │ error after/);
    expect(text.match(/│ 3: resnet32-width0.5-cifar10 /g)).to.have.length(2);
    // Without it, nothing is another run than before.
    const identity = async (choice: Choice) => runIdentity(await openBasis(place.context, experimentOf(choice))).inputs;
    expect(await identity(network({ calibrate: true }))).not.to.equal(await identity({ of: all() }));
    expect(await identity(network({}))).to.equal(await identity({ of: all() }));
    const refused: [object, RegExp][] = [
      [{ ...network({ calibrate: 1 }) }, /network.calibrate: 1; valid: true or false/],
      [
        network({ calibrate: true, confidence: 'max' }),
        /network.calibrate: true; valid: false with max, which .* only scales/,
      ],
    ];
    for (const [choice, message] of refused) expect(() => experimentOf(choice)).to.throw(message);
    const { more } = network({ calibrate: true });
    const ofAgreement = { of: all(), more: { ...more, analysis: { kind: 'frontier', labels: false } } };
    expect(() => experimentOf(ofAgreement)).to.throw(
      /analysis.labels: false; valid: true with calibrate, perClass and failure/,
    );
    const shift = { of: all(), more: { ...more, analysis: { kind: 'shift' } } };
    expect(() => experimentOf(shift)).to.throw(/analysis.kind: "shift"; valid: frontier, .* with network.calibrate/);
    const without = { of: all(), more: { ...more, unlabelled: 'x', thresholds: { disagreements: [0.1] } } };
    expect(() => experimentOf(without)).to.throw(/network.calibrate: true; valid: left out: .* fitted to labels/);
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
