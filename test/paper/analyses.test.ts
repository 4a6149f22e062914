import { expect } from 'chai';
import { cascade } from '../../src/experiment/network.js';
import { resolveExperiment } from '../../src/experiment/resolve.js';
import { analyses, paperExperiments } from '../../src/paper/index.js';
import { checkFindings } from '../experiments/findings.js';
import { makeWorkplace, run, type Workplace, writeTinyCheckpoint } from '../run/workplace.js';
import { thrown } from './thrown.js';

const base = {
  name: 'mine',
  title: 'Two gates',
  network: 'resnet20-cifar10',
  gates: { after: [1, 2] },
  thresholds: {},
};
const resolved = (analysis: unknown, more: object = {}) =>
  resolveExperiment({ ...base, ...more, analysis }, 'mine', 'laptop', [], paperExperiments);
const heldOut = { thresholds: { validation: { kind: 'held-out' } } };

describe('an analysis', () => {
  it('stands without margins and thresholds, and has its defaults', () => {
    expect(resolved({ kind: 'threshold-plane' }).analysis).to.deep.equal({
      kind: 'threshold-plane',
      gates: [1, 2],
      from: -1,
      to: 3.5,
      step: 0.1,
    });
    expect(resolved({ kind: 'class-distribution' }).analysis).to.include({ show: 'counts', distance: 1 });
    expect(resolved({ kind: 'loss-comparison' }, heldOut).analysis).to.deep.include({
      seeds: 3,
      reductions: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
    });
  });

  for (const [what, analysis, more, problem] of [
    ['no kind', {}, {}, /^mine: analysis\.kind: missing; valid: \{ kind: 'shallow-errors' \}, \{ kind: 'loss-compar/],
    ['another kind', { kind: 'magic' }, {}, /^mine: analysis\.kind: "magic"; valid: \{ kind: 'shallow-errors' \}/],
    ['a misspelt key', { kind: 'threshold-plane', stp: 1 }, {}, /^mine: analysis\.stp: unknown key; valid: .*\bstep\b/],
    [
      'a gate that is not there',
      { kind: 'shallow-errors', gate: 3, classes: ['cat'], groups: { a: ['cat'] } },
      {},
      /^mine: analysis\.gate: 3; valid: a gate, 1 to 2$/,
    ],
    [
      'a pair out of order',
      { kind: 'threshold-plane', gates: [2, 1] },
      {},
      /^mine: analysis\.gates: \[2,1\]; valid: two of the 2 gates, counted from 1, in their order$/,
    ],
    [
      'a plane of too many cells',
      { kind: 'threshold-plane', step: 0.001 },
      {},
      /^mine: analysis\.step: 0\.001; valid: a step with which the grid has 2 to 200 thresholds$/,
    ],
    [
      'losses compared without held-out images',
      { kind: 'loss-comparison' },
      {},
      /^mine: analysis\.kind: "loss-comparison"; valid: with thresholds\.validation \{ kind: 'held-out' \} only$/,
    ],
    [
      'losses compared on a cascade, which has no gates',
      { kind: 'loss-comparison' },
      { network: cascade(['resnet20-cifar10', 'resnet56-cifar10'].map((network) => ({ network }))), gates: undefined },
      /^mine: analysis: \{"kind":"loss-comparison".*; valid: one that trains no gates$/m,
    ],
    [
      'shares that do not ascend',
      { kind: 'loss-comparison', reductions: [0.2, 0.1] },
      heldOut,
      /^mine: analysis\.reductions: \[0\.2,0\.1\]; valid: at least two shares of FLOPs, ascending/,
    ],
    [
      'shares of a curve that do not ascend',
      { kind: 'accuracy-flops', reductions: [0.2, 0.2] },
      {},
      /^mine: analysis\.reductions: \[0\.2,0\.2\]; valid: at least two shares of FLOPs, ascending/,
    ],
    [
      'a corruption and a severity that do not exist',
      { kind: 'shift', corruptions: ['fog'], severities: [6] },
      { thresholds: { margins: [0.01] } },
      /^mine: analysis\.corruptions\.0: "fog"; valid: gaussian-noise, .*\nmine: analysis\.severities\.0: 6; valid: a whole number from 1 to 5$/,
    ],
    [
      'a shift of no thresholds',
      { kind: 'shift' },
      {},
      /^mine: analysis\.kind: "shift"; valid: with margins, a guarantee or fixed thresholds$/,
    ],
    [
      'a comparison without margins',
      { kind: 'published-comparison', published: 'imagenet', dataset: 'imagenet' },
      {},
      /^mine: analysis\.kind: "published-comparison"; valid: with at least one margin in thresholds\.margins$/,
    ],
  ] as const) {
    it(`with ${what} is refused in one line`, () => {
      expect(thrown(() => resolved(analysis, more))).to.match(problem);
    });
  }

  it('says all that is wrong at once', () => {
    const message = thrown(() => resolved({ kind: 'shallow-errors', gate: 0, classes: [], groups: 3, images: 0.5 }));
    for (const key of ['gate: 0', 'classes: []', 'groups: 3', 'images: 0.5'])
      expect(message).to.contain(`analysis.${key}`);
  });

  it('can be overridden on the command line', () => {
    const definition = { ...base, analysis: { kind: 'threshold-plane' } };
    const settings = [{ path: 'analysis.step', value: 0.5 }];
    const experiment = resolveExperiment(definition, 'mine', 'laptop', settings, paperExperiments);
    expect(experiment.analysis).to.include({ step: 0.5, from: -1 });
  });

  it('is refused where no analysis is known', () => {
    const definition = { ...base, analysis: { kind: 'threshold-plane' } };
    expect(thrown(() => resolveExperiment(definition, 'mine', 'laptop'))).to.match(
      /^mine: analysis: \{.*; valid: left out: no analysis is known here$/m,
    );
  });
});

const groups = {
  animal: ['bird', 'cat', 'deer', 'dog', 'frog', 'horse'],
  vehicle: ['airplane', 'automobile', 'ship', 'truck'],
};
/** Options of each kind that take little time; the least that must be said is what has no default. */
const small: Readonly<Record<string, object>> = {
  'shallow-errors': { classes: ['cat'], groups },
  'loss-comparison': { seeds: 1, l2: [0.002], reductions: [0.1, 0.2] },
  'threshold-plane': { step: 1 },
  'class-distribution': { groups },
  'accuracy-flops': { reductions: [0.05, 0.2] },
  'published-comparison': { published: 'imagenet', dataset: 'imagenet' },
  frontier: { margins: [0.01] },
  shift: { corruptions: ['contrast', 'shot-noise'], severities: [1, 5], images: 60, anew: [20] },
  places: { margins: [0.01], most: 2 },
  policies: {
    policies: [
      { loss: 'hinge', confidence: 'max' },
      { loss: 'cross-entropy', confidence: 'softmax', l2: 0.01 },
      { loss: 'cross-entropy', confidence: 'failure', perClass: true },
      { loss: 'cross-entropy', confidence: 'patience', weights: 'survivors' },
      { loss: 'hinge', confidence: 'average', previous: true, solver: 'optimum' },
    ],
    margins: [0.01],
    seeds: 2,
  },
};

describe('every analysis of the registry', () => {
  let workplace: Workplace;
  before(async () => {
    workplace = await makeWorkplace({ train: 300, test: 100 });
    await writeTinyCheckpoint(workplace.checkpoint, { heldOut: Array.from({ length: 100 }, (_, i) => 3 * i) });
  });
  after(() => workplace.remove());

  it('is tried here, and has a name of its own', () => {
    const kinds = analyses.map(({ options }) => options.shape.kind.value);
    expect(kinds).to.deep.equal(Object.keys(small));
    expect(thrown(() => resolved({ kind: 'x' }))).to.contain(
      kinds
        .map((kind) => `{ kind: '${kind}' }`)
        .join(', ')
        .slice(0, 60),
    );
  });

  for (const { options } of analyses) {
    const kind = options.shape.kind.value;
    const definition = { kind, ...small[kind] };

    it(`${kind}: its options, defaults included, are valid as they are printed`, () => {
      const { analysis } = resolved(definition, { thresholds: { ...heldOut.thresholds, margins: [0.01] } });
      const again = resolved(analysis, { thresholds: { ...heldOut.thresholds, margins: [0.01] } });
      expect(again.analysis).to.deep.equal(analysis);
      expect(analysis).to.include.keys(definition);
    });

    it(`${kind}: another key is refused, with the keys that it has`, () => {
      const message = thrown(() => resolved({ ...definition, strange: 1 }));
      expect(message).to.contain(`analysis.strange: unknown key; valid: ${Object.keys(options.shape).join(', ')}`);
    });

    it(`${kind}: findings that can be drawn, printed and traced, the same each time`, async () => {
      const settings = [
        { path: 'analysis', value: definition },
        { path: 'thresholds.validation', value: { kind: 'held-out' } },
      ];
      const { outcome } = await run(workplace, ...settings);
      checkFindings(outcome);
      const { findings } = (await run(workplace, ...settings)).outcome;
      expect(findings.tables).to.deep.equal(outcome.findings.tables);
    });
  }
});
