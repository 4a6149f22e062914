import { expect } from 'chai';
import { resolveExperiment } from '../../src/experiment/resolve.js';
import { thrown } from '../paper/thrown.js';

const base = {
  name: 'mine',
  title: 'Two gates',
  network: 'resnet20-cifar10',
  gates: { after: [1, 2] },
  thresholds: {},
};
const resolved = (analysis: unknown, more: object = {}) =>
  resolveExperiment({ ...base, ...more, analysis }, 'mine', 'laptop');
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
    const experiment = resolveExperiment({ ...base, analysis: { kind: 'threshold-plane' } }, 'mine', 'laptop', [
      { path: 'analysis.step', value: 0.5 },
    ]);
    expect(experiment.analysis).to.include({ step: 0.5, from: -1 });
  });
});
