import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { OnnxRuntimeCpu } from '../../src/engines/onnxruntime/engine.js';
import { resolveExperiment } from '../../src/experiment/resolve.js';
import { exportGated } from '../../src/gated/export.js';
import { compareDynamic, openGated } from '../../src/gated/open.js';
import { confidenceKinds, looksBack, ownKinds, unfitted } from '../../src/gates/confidence.js';
import { readGatedFile } from '../../src/onnx/gated-file.js';
import { paperExperiments } from '../../src/paper/index.js';
import { silent } from '../../src/progress.js';
import { plan } from '../../src/run/plan.js';
import { renderRun } from '../../src/run/report.js';
import { runExperiment } from '../../src/run/run.js';
import { type AnalysisContext, openStages, scoredParts } from '../../src/run/stages.js';
import { Store } from '../../src/store/store.js';
import { proposingImages } from '../../src/thresholds/guarantee.js';
import { makeWorkplace, tinyNetwork, type Workplace } from './workplace.js';

const TEST = 120;

describe('confidences that are fitted or look back', () => {
  let place: Workplace;
  before(async () => {
    place = await makeWorkplace({ train: 200, test: TEST });
  });
  after(() => place.remove());

  const resolve = (gates: object, thresholds: object = {}, more: object = {}) =>
    resolveExperiment(
      {
        name: 'mine',
        title: 'Fitted',
        network: tinyNetwork,
        checkpoint: place.checkpoint,
        gates: { after: [1, 2], pooling: '4x4', loss: 'cross-entropy', ...gates },
        thresholds: { margins: [0.1], ...thresholds },
        ...more,
      },
      'mine',
      'laptop',
      [],
      paperExperiments,
    );
  type Asked = Parameters<typeof resolve>;

  const open = async (context: AnalysisContext, ...asked: Asked) => {
    const stages = await openStages(context, resolve(...asked));
    const gates = await stages.train();
    return { stages, gates, ...(await scoredParts(stages, gates)) };
  };

  /** The same dataset with the labels of its test images turned round. */
  function withOtherLabels(): AnalysisContext {
    const datasets = place.context.datasets!.map((dataset) => ({
      ...dataset,
      load: async (...given: Parameters<typeof dataset.load>) => {
        const images = await dataset.load(...given);
        return given[1] === 'train' ? images : { ...images, labels: Int32Array.from(images.labels).reverse() };
      },
    }));
    return { ...place.context, datasets, store: new Store(`${place.folder}/other`) };
  }

  for (const [confidence, perClass, previous] of [
    ['max', true, true],
    ['patience', false, false],
    ['average', true, false],
    ['average', false, true],
    ['failure', false, false],
    ['failure', true, true],
  ] as const) {
    const what = `${perClass ? ', thresholds by class' : ''}${previous ? ', distances of the gate before' : ''}`;
    it(`${confidence}${what}: exported and on an engine as in the cache`, async () => {
      const experiment = resolve({ confidence, previous }, { perClass, budgets: [0.7] });
      const out = join(place.folder, `${confidence}-${perClass}.onnx`);
      const { verified } = await exportGated(place.context, experiment, { out, preset: 'laptop', row: 2 });
      expect(verified.same + verified.near).to.equal(TEST);
      const opened = await openGated(place.context, experiment);
      const expected = [
        ...(confidence === 'failure' ? ['factors'] : []),
        ...(perClass || confidence === 'failure' ? ['offsets'] : []),
      ];
      const { about } = readGatedFile(await readFile(out), out);
      expect([about.factors?.length, about.offsets?.length]).to.deep.equal(
        ['factors', 'offsets'].map((kind) => (expected.includes(kind) ? 3 : undefined)),
      );
      const engine = await OnnxRuntimeCpu.create(1);
      const network = await engine.loadGated(
        await opened.lowered(),
        opened.gates,
        confidence,
        opened.fitted && 'input',
      );
      for (const row of opened.rows) {
        for (const batch of [1, 9]) {
          const found = await compareDynamic(opened, network, row, { batch, progress: silent });
          expect([found.same + found.near, found.different]).to.deep.equal([TEST, []]);
        }
      }
      await network.close();
    });
  }

  it('are the weighted confidences of the exit plus a number of its answer, fitted by each part on its choosing images', async () => {
    const { fits, parts, stages, gates } = await open(place.context, { confidence: 'failure' }, { perClass: true });
    const each = await Promise.all(ownKinds.map(async (kind) => (await stages.score(gates, kind)).test));
    for (const [part, { selection, evaluation }] of parts.entries()) {
      for (const gate of [0, 1]) {
        const { offsets, factors } = fits![gate]![part]!.fitted;
        expect(new Set(offsets).size).to.be.greaterThan(2);
        for (const { scores, images } of [selection, evaluation]) {
          for (const image of images) {
            const weighted = each.reduce((sum, own, k) => sum + factors![k]! * own.confidences[gate]![image]!, 0);
            const expected = weighted + offsets![each[0]!.classes[gate]![image]!]!;
            expect(scores.confidences[gate]![image]).to.be.closeTo(expected, 1e-4);
          }
        }
      }
    }
    expect(fits![0]![0]!.fitted).to.not.deep.equal(fits![0]![1]!.fitted);
    expect(fits![2]![0]!.fitted).to.deep.equal(unfitted(10));
  });

  it('use no label where only agreement with the network is asked for', async () => {
    const ofAgreement = { margins: [], disagreements: [0.1], perClass: true };
    const asked: Asked = [{ confidence: 'failure', target: 'network' }, ofAgreement];
    const fitted = async (context: AnalysisContext, of: Asked) => (await open(context, ...of)).fits!.slice(0, 2);
    const own = await fitted(place.context, asked);
    expect(await fitted(withOtherLabels(), asked)).to.deep.equal(own);
    const labels: Asked = [{ confidence: 'failure' }, { perClass: true }];
    expect(await fitted(withOtherLabels(), labels)).to.not.deep.equal(await fitted(place.context, labels));
  });

  it('leave the images that test a promise out of the fit', async () => {
    const asked: Asked = [{ confidence: 'failure' }, { perClass: true, guarantee: { drop: 0.2 } }];
    const { fits, parts, stages } = await open(place.context, ...asked);
    const all = await open(place.context, { confidence: 'failure' }, { perClass: true });
    expect(fits![0]).to.not.deep.equal(all.fits![0]);
    // Only these images, as the choosing ones, give the same offsets.
    const { selection } = parts[0]!;
    const { proposing } = proposingImages(selection.images, stages.experiment.seed);
    const { fitParts } = await import('../../src/run/score.js');
    const fitting = {
      ...({ kind: 'failure', temperature: false, byClass: true, withoutLabels: false } as const),
      fittedOn: () => proposing,
    };
    const { test } = stages.features;
    const again = await fitParts([[test, test]], await stages.train(), fitting, parts.slice(0, 1));
    expect(again.fits[0]![0]!.fitted).to.deep.equal(fits![0]![0]!.fitted);
  });

  it('cost FLOPs at each gate', async () => {
    const costs = async (...asked: Asked) => (await plan(resolve(...asked))).costs;
    const own = await costs({});
    for (const kind of confidenceKinds) {
      const added = (await costs({ confidence: kind })).map((cost, i) => cost - own[i]!);
      const each = { patience: 10, average: 30, failure: 8 }[kind as string] ?? 0;
      expect(added, kind).to.deep.equal([each, 2 * each, 2 * each]);
    }
    expect((await costs({}, { perClass: true })).map((cost, i) => cost - own[i]!)).to.deep.equal([1, 2, 2]);
    expect((await costs({ previous: true })).map((cost, i) => cost - own[i]!)).to.deep.equal([0, 200, 200]);
  });

  it('are said in the report, and refused in a line where they do not fit', async () => {
    const text = renderRun(
      await runExperiment(place.context, resolve({ confidence: 'patience' }, { perClass: true })),
      'laptop',
    );
    expect(text).to.match(/confidence patience, with an offset for each predicted class/);
    const refused: [Asked, RegExp][] = [
      [[{}, { perClass: 'yes' }], /^mine: thresholds\.perClass: "yes"; valid: true or false$/],
      [
        [{}, { perClass: true }, { analysis: { kind: 'shift' } }],
        /^mine: analysis\.kind: "shift"; valid: frontier, .* with thresholds\.perClass$/,
      ],
      [
        [{ confidence: 'failure' }, {}, { analysis: { kind: 'shift' } }],
        /analysis\.kind: "shift"; valid: frontier, .* with gates\.confidence: failure$/,
      ],
      [
        [{ confidence: 'failure' }, {}, { analysis: { kind: 'frontier', labels: false } }],
        /analysis\.labels: false; valid: true with/,
      ],
    ];
    const places = { analysis: { kind: 'places' } };
    refused.push([[{ previous: true }, {}, places], /analysis\.kind: "places"; valid: policies with gates\.previous$/]);
    for (const kind of confidenceKinds.filter(looksBack)) {
      refused.push([
        [{ confidence: kind }, {}, places],
        /analysis\.kind: "places"; valid: policies with gates\.confidence: \w+$/,
      ]);
    }
    for (const [asked, message] of refused) expect(() => resolve(...asked), String(message)).to.throw(message);
  });
});
