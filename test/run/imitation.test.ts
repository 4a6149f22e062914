import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { expect } from 'chai';
import { imageFolder, onnxNetwork } from '../../src/experiment/network.js';
import { resolveExperiment } from '../../src/experiment/resolve.js';
import { paperExperiments } from '../../src/paper/index.js';
import { withFoundPlaces } from '../../src/run/plan.js';
import type { AnalysisContext } from '../../src/run/stages.js';
import { openStages } from '../../src/run/stages.js';
import { trainingData } from '../../src/run/train.js';
import { Store } from '../../src/store/store.js';
import { UserGraph } from '../onnx/user-graphs.js';
import { makeWorkplace, tinyNetwork, type Workplace } from './workplace.js';

describe('gates that learn from the network', () => {
  let place: Workplace;
  before(async () => {
    place = await makeWorkplace({ train: 300, test: 60 });
  });
  after(() => place.remove());

  const resolve = (gates: Record<string, unknown>) =>
    resolveExperiment(
      {
        name: 'mine',
        title: 'Imitation',
        network: tinyNetwork,
        checkpoint: place.checkpoint,
        gates: { after: [1, 2], pooling: '4x4', ...gates },
        thresholds: { guarantee: { disagreement: 0.2 } },
      },
      'mine',
      'laptop',
      [],
      paperExperiments,
    );

  /** The same dataset with the labels of its training images turned round. */
  function withOtherLabels(): AnalysisContext {
    const datasets = place.context.datasets!.map((dataset) => ({
      ...dataset,
      load: async (...given: Parameters<typeof dataset.load>) => {
        const images = await dataset.load(...given);
        return { ...images, labels: Int32Array.from(images.labels).reverse() };
      },
    }));
    return { ...place.context, datasets, store: new Store(`${place.folder}/other`) };
  }

  const weightsOf = async (context: AnalysisContext, gates: Record<string, unknown>): Promise<number[][]> => {
    const trained = await (await openStages(context, resolve(gates))).train();
    return Promise.all(trained.map(async ({ load }) => [...(await load()).weights]));
  };

  it('are the same gates with any labels, and others than those that learn from labels', async () => {
    const [own, labels] = [{ loss: 'cross-entropy', target: 'network' }, { loss: 'cross-entropy' }];
    const gates = await weightsOf(place.context, own);
    expect(await weightsOf(withOtherLabels(), own)).to.deep.equal(gates);
    const learnt = await weightsOf(place.context, labels);
    expect(learnt).to.not.deep.equal(gates);
    expect(await weightsOf(withOtherLabels(), labels)).to.not.deep.equal(learnt);
  });

  it('learn from the images that reach them, by the gates before, with labels or without', async () => {
    const [own, labels] = [{ loss: 'cross-entropy', target: 'network' }, { loss: 'hinge' }];
    for (const gates of [own, labels]) {
      const [first, second] = await weightsOf(place.context, gates);
      const [same, other] = await weightsOf(place.context, { ...gates, weights: 'survivors' });
      expect(same).to.deep.equal(first);
      expect(other).to.not.deep.equal(second);
    }
    const survivors = { ...own, weights: 'survivors' };
    expect(await weightsOf(withOtherLabels(), survivors)).to.deep.equal(await weightsOf(place.context, survivors));
    // One gate alone has the gates before it trained first; trained again, all is in the cache.
    const fresh = { ...place.context, store: new Store(`${place.folder}/fresh`) };
    const stages = await openStages(fresh, resolve(survivors));
    const [alone] = await stages.train(undefined, [1]);
    const all = await stages.train();
    expect([...(await alone!.load()).weights]).to.deep.equal((await weightsOf(place.context, survivors))[1]);
    expect(all[1]!.entry.key).to.equal(alone!.entry.key);
    const [equal] = await Promise.all([openStages(fresh, resolve({ ...own, weights: 'equal' })), stages]);
    const keys = async (of: typeof equal) => (await of.train()).map(({ entry }) => entry.key);
    expect(await keys(equal)).to.deep.equal(await keys(await openStages(fresh, resolve(own))));
  });

  it('take the distances of the gate before, with labels or without, alone or all, to a lower objective', async () => {
    const trained = async (gates: object, context = place.context, wanted?: number[]) =>
      (await openStages(context, resolve({ ...gates }))).train(undefined, wanted);
    for (const gates of [{ loss: 'cross-entropy', target: 'network' }, { loss: 'hinge' }]) {
      const [first, second] = await trained(gates);
      const [same, other] = await trained({ ...gates, previous: true });
      expect(same!.entry.key).to.equal(first!.entry.key);
      expect(other!.reached.objective).to.be.below(second!.reached.objective);
      expect(other!.reached.worstGap).to.be.below(1e-3);
      const gate = await other!.load();
      expect([gate.features, gate.weights.length, gate.previous!.length]).to.deep.equal([512 / 4, 1280, 100]);
      const fresh = { ...place.context, store: new Store(`${place.folder}/previous-${gates.loss}`) };
      const [alone] = await trained({ ...gates, previous: true, weights: 'survivors' }, fresh, [1]);
      const [, both] = await trained({ ...gates, previous: true, weights: 'survivors' });
      expect(await alone!.load()).to.deep.equal(await both!.load());
      expect(both!.entry.key).to.not.equal(other!.entry.key);
    }
    const own = { loss: 'cross-entropy', target: 'network', previous: true };
    expect(await weightsOf(withOtherLabels(), own)).to.deep.equal(await weightsOf(place.context, own));
  });

  it('refuse distances beside features that are too large for memory', async () => {
    const { features } = await openStages(place.context, resolve({}));
    const error = await trainingData(features.train!, 1, 'labels', 0, { before: new Float32Array(3000) }).catch(
      (thrown: unknown) => thrown,
    );
    expect(String(error)).to.match(/gates\.previous: true, 300 images; valid: features of up to 1 GiB at each gate$/);
  });

  it('refuse survivors and distances of one of several lambdas', () => {
    const several = { weights: 'survivors', l2: [0.001, 0.01] };
    expect(() => resolve(several)).to.throw(/mine: gates\.weights: "survivors"; valid: equal, or with one l2/);
    expect(() => resolve({ weights: 'few' })).to.throw(/mine: gates\.weights: "few"; valid: equal, survivors/);
    const chained = { previous: true, l2: [0.001, 0.01] };
    expect(() => resolve(chained)).to.throw(
      /mine: gates\.previous: true; valid: false, or with one l2 and at least two gates/,
    );
    expect(() => resolve({ previous: 1 })).to.throw(/mine: gates\.previous: 1; valid: true or false/);
    expect(() => resolve({ previous: true, after: [2] })).to.throw(
      /mine: gates\.previous: true; valid: false, or with/,
    );
  });

  it('need cross-entropy', () => {
    expect(() => resolve({ target: 'network' })).to.throw(
      /^mine: gates\.target: "network"; valid: 'labels', or with loss: 'cross-entropy'$/,
    );
  });
});

describe("gates: 'best'", () => {
  const whole = (network: unknown, dataset?: unknown) =>
    resolveExperiment(
      { name: 'mine', title: 'Best', network, dataset, gates: 'best', thresholds: { margins: [0.01] } },
      'mine',
      'laptop',
      [],
      paperExperiments,
    );
  const resolved = (network: string) => whole(network).gates;

  it('are gates at all stages, read as what saved most', () => {
    expect(resolved('resnet101-cifar10')).to.deep.include({
      after: [1, 2, 3],
      pooling: [{ kind: 'grid', size: 4 }, { kind: 'grid', size: 4 }, { kind: 'gap' }],
      loss: 'hinge',
      confidence: 'difference',
    });
    expect(resolved('resnet56-cifar10')).to.deep.include({ after: [1, 2] });
  });

  it('are gates at the places that inspect proposes of an ONNX file', async () => {
    const graph = new UserGraph('best');
    const a = graph.relu(graph.conv(graph.input(['batch', 3, 32, 32]), 3, 8), 'a');
    const b = graph.relu(graph.conv(a, 8, 16, { stride: 4 }), 'b');
    const path = await graph.classify(graph.relu(graph.conv(b, 16, 24)), 24, 5).write();
    const dataset = imageFolder('images', { preprocess: { mean: [0, 0, 0], std: [1, 1, 1], resize: 32, crop: 32 } });
    const { gates, network } = await withFoundPlaces(whole(onnxNetwork(path), dataset));
    expect(network).to.deep.include({ gatesAfter: ['a', 'b'] });
    expect(gates).to.deep.include({
      after: [1, 2],
      pooling: [{ kind: 'grid', size: 4 }, { kind: 'gap' }],
      loss: 'hinge',
      confidence: 'difference',
    });
    const only = await withFoundPlaces(whole(onnxNetwork(path, { gatesAfter: ['b'] }), dataset));
    expect(only.network)
      .to.deep.include({ gatesAfter: ['b'] })
      .and.not.to.have.property('pooling');
    expect(only.gates).to.deep.include({ after: [1], pooling: [{ kind: 'gap' }], confidence: 'difference' });
    const { network: spread } = whole(onnxNetwork(path, { gatesAfter: 'spread' }), dataset);
    expect(spread).to.deep.include({ gatesAfter: 'spread', pooling: 'best' });
    expect(() => whole(onnxNetwork(path, { gatesAfter: 'own' }), dataset)).to.throw(
      /gates: "best"; valid: 'best' with one network, without gatesAfter: 'own'; else \{ after/,
    );
    const places = {
      name: 'mine',
      title: 'Own',
      network: onnxNetwork(path, { gatesAfter: ['a'] }),
      dataset,
      gates: 'own',
    };
    expect(() => resolveExperiment(places, 'mine', 'laptop')).to.throw(
      /gates: "own"; valid: 'own' with an ONNX file without gatesAfter; else \{ after/,
    );
    await rm(dirname(path), { recursive: true });
  });
});
