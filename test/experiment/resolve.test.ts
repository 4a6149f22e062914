import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { InputError } from '../../src/errors.js';
import { parseSetting, resolveExperiment } from '../../src/experiment/resolve.js';
import type { PresetName } from '../../src/experiment/rules.js';
import type { Experiment } from '../../src/experiment/schema.js';

const least = {
  name: 'mine',
  title: 'Two gates',
  network: 'resnet56-cifar10',
  gates: { after: [1, 2] },
  thresholds: { margins: [0.01] },
};

const resolve = (definition: unknown, settings: string[] = [], preset: PresetName = 'laptop'): Experiment =>
  resolveExperiment(definition, 'mine.ts', preset, settings.map(parseSetting));

/** The lines of a refusal, without the file's name that each begins with. */
function problems(definition: unknown, settings: string[] = [], preset: PresetName = 'laptop'): string[] {
  try {
    resolve(definition, settings, preset);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    for (const problem of error.problems) expect(problem).to.match(/^mine\.ts: /);
    return error.problems.map((problem) => problem.replace('mine.ts: ', ''));
  }
  throw new Error('nothing was refused');
}

describe('an experiment', () => {
  it('has the defaults that its type documents', async () => {
    const files = ['schema', 'network'].map((name) => new URL(`../../src/experiment/${name}.ts`, import.meta.url));
    const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')));
    const source = texts.map((text) => text.split("// A user's network")[0]).join('\n'); // gates come first
    const documented = [...source.matchAll(/Default `?([\w-]+(?:\.\d+)?)`?[.:,][^*]*\*\/\s*(\w+):/g)];
    expect(documented.map(([, , key]) => key)).to.have.members(
      'seed engine pooling loss target confidence l2 solver gap batchSize'.split(' '),
    );
    const { seed, engine, gates } = resolve(least);
    const actual: Record<string, unknown> = {
      seed,
      engine,
      ...gates,
      pooling: 'kind' in gates.pooling && gates.pooling.kind,
    };
    for (const [, value, key] of documented) expect(String(actual[key!]), key).to.equal(value);
  });

  it('pools every gate alike or each in its own way', () => {
    const [gap, grid] = [{ kind: 'gap' }, { kind: 'grid', size: 4 }];
    expect(resolve(least, ['gates.pooling=4x4']).gates.pooling).to.deep.equal(grid);
    const each = resolve(least, ['gates.after=[1,2]', 'gates.pooling=["4x4","gap"]']);
    expect(each.gates.pooling).to.deep.equal([grid, gap]);
    expect(problems(least, ['gates.after=[1,2]', 'gates.pooling=["4x4"]'])).to.have.length(1);
    expect(problems(least, ['gates.after=[1,2]', 'gates.pooling=["4x4"]'])[0]).to.match(
      /gates\.pooling: .*; valid: one pooling, or a list of 2, one for each gate$/,
    );
  });

  it('trains gates to their optimum where it says nothing', () => {
    const of = (...settings: string[]) => {
      const { solver, epochs } = resolve(least, settings).gates;
      return [solver, epochs];
    };
    expect(of()).to.deep.equal(['optimum', 1000]);
    expect(of('gates.solver=sgd')).to.deep.equal(['sgd', 20]);
    expect(of('gates.solver=optimum', 'gates.epochs=50')).to.deep.equal(['optimum', 50]);
    expect(of('gates.loss=cross-entropy')).to.deep.equal(['optimum', 20]);
    expect(of('gates.loss=cross-entropy', 'gates.solver=sgd')).to.deep.equal(['sgd', 20]);
    expect(problems(least, ['gates.solver=newton'])).to.deep.equal(['gates.solver: "newton"; valid: optimum, sgd']);
    expect(problems(least, ['gates.gap=0'])[0]).to.match(/^gates.gap: 0; valid: a number from/);
  });

  it('is cross-fitted on two folds, on all images, where it says nothing', () => {
    const experiment = resolve(least);
    expect(experiment.thresholds).to.deep.equal({
      margins: [0.01],
      fixed: [],
      search: ['joint'],
      validation: { kind: 'cross-fit', folds: 2 },
    });
    expect(experiment).not.to.have.any.keys('trainImages', 'testImages', 'checkpoint', 'presets');
  });

  it('takes pooling as gap or as a grid', () => {
    const pooled = (pooling: string) => resolve({ ...least, gates: { after: [1], pooling } }).gates.pooling;
    expect(pooled('gap')).to.deep.equal({ kind: 'gap' });
    expect(pooled('4x4')).to.deep.equal({ kind: 'grid', size: 4 });
    expect(pooled('16x16')).to.deep.equal({ kind: 'grid', size: 16 });
  });

  it('searches all gates together unless told otherwise, and promises with 95 % confidence', () => {
    const thresholds = { margins: [0.01], search: 'sequential', guarantee: { drop: 0.005 } };
    const found = resolve({ ...least, thresholds }).thresholds;
    expect(found).to.deep.include({ search: ['sequential'], guarantee: { drop: 0.005, confidence: 0.95 } });
    expect(resolve({ ...least, thresholds: { guarantee: { drop: 0.005 } } }).thresholds.margins).to.deep.equal([]);
    const wrong = { margins: [0.01], search: ['best'], guarantee: { drop: 5, risk: 1 } };
    expect(problems({ ...least, thresholds: wrong, seeds: [] })).to.have.members([
      'seeds: []; valid: a list of seeds: [0, 1, 2]',
      'thresholds.search: ["best"]; valid: sequential, lookahead, coordinate, joint, or a list of several',
      'thresholds.guarantee.drop: 5; valid: a share between 0 and 1: 0.005 is half a point',
      'thresholds.guarantee.risk: unknown key; valid: drop, disagreement, confidence, method',
    ]);
  });

  it('closes a gate with Infinity', () => {
    const fixed = [[Number.POSITIVE_INFINITY, 0]];
    expect(resolve({ ...least, thresholds: { fixed } }).thresholds.fixed).to.deep.equal(fixed);
  });
});

describe('a preset', () => {
  const definition = {
    ...least,
    trainImages: 40,
    presets: { smoke: { trainImages: 10, gates: { epochs: 2, after: [1] } }, paper: { network: 'resnet110-cifar10' } },
  };

  it('replaces values and lists and leaves the rest', () => {
    const smoke = resolve(definition, [], 'smoke');
    expect([smoke.trainImages, smoke.gates.epochs, smoke.gates.after]).to.deep.equal([10, 2, [1]]);
    expect(smoke).to.deep.include({ network: 'resnet56-cifar10', title: 'Two gates' });
    expect(resolve(definition, [], 'paper').network).to.equal('resnet110-cifar10');
  });

  it('is not needed for laptop, and is for every other', () => {
    expect(resolve(definition).trainImages).to.equal(40);
    expect(problems({ ...definition, presets: { smoke: {} } }, [], 'paper')).to.deep.equal([
      'no preset "paper"; valid: laptop, smoke',
    ]);
  });

  it('gives way to --set', () => {
    expect(resolve(definition, ['gates.epochs=7'], 'smoke').gates.epochs).to.equal(7);
  });

  it('is checked even where another one runs', () => {
    const presets = {
      smoke: { gates: { epoch: 2 }, trainImage: 3 },
      paper: { gates: { after: [] }, thresholds: { margin: [1], validation: { kind: 'cross-fit', fold: 2 } } },
    };
    expect(problems({ ...least, presets })).to.have.members([
      'presets.smoke.gates.epoch: unknown key; valid: after, pooling, loss, target, weights, previous, l2, solver, gap, epochs, batchSize, confidence, calibrate',
      'presets.smoke.trainImage: unknown key; valid: name, title, network, dataset, unlabelled, checkpoint, weights, seed, seeds, engine, int8, published, ' +
        'trainImages, testImages, gates, thresholds, baselines, analysis',
      'presets.paper.gates.after: []; valid: at least one stage',
      'presets.paper.thresholds.validation.fold: unknown key; valid: kind, folds',
      'presets.paper.thresholds.margin: unknown key; valid: margins, budgets, latencyMs, resamples, disagreements, perClass, fixed, search, guarantee, validation',
    ]);
  });

  it('must be one of three, an object', () => {
    expect(problems({ ...least, presets: { smok: {} } })).to.deep.equal([
      'presets.smok: unknown key; valid: paper, laptop, quick, smoke',
    ]);
    expect(problems({ ...least, presets: { smoke: 3 } })).to.deep.equal([
      'presets.smoke: 3; valid: an object of what differs',
    ]);
    expect(problems({ ...least, presets: [] })[0]).to.match(/^presets: \[\]; valid: an object with the keys paper/);
  });

  it('is not blamed for what is wrong in the definition itself', () => {
    const wrong = { ...least, seed: -1, presets: { smoke: { trainImages: 10 } } };
    expect(problems(wrong)).to.deep.equal(['seed: -1; valid: a whole number from 0 to 2147483648']);
  });
});

describe('--set', () => {
  it('reads JSON where it is JSON, else text', () => {
    expect(parseSetting('gates.epochs=5')).to.deep.equal({ path: 'gates.epochs', value: 5 });
    expect(parseSetting('gates.loss=cross-entropy')).to.deep.equal({ path: 'gates.loss', value: 'cross-entropy' });
    expect(parseSetting('thresholds.fixed=[[1,2]]').value).to.deep.equal([[1, 2]]);
    expect(parseSetting('thresholds.fixed=[[1,Infinity]]').value).to.deep.equal([[1, Number.POSITIVE_INFINITY]]);
    expect(parseSetting('title=to Infinity').value).to.equal('to Infinity');
    expect(parseSetting('title=a=b "c"').value).to.equal('a=b "c"');
    expect(parseSetting('checkpoint=').value).to.equal('');
  });

  it('overrides the definition, the last one of two', () => {
    const experiment = resolve(least, ['gates.loss=cross-entropy', 'gates.epochs=5', 'gates.epochs=6', 'seed=4']);
    expect(experiment.gates).to.include({ loss: 'cross-entropy', epochs: 6 });
    expect(experiment.seed).to.equal(4);
    expect(resolve(least, ['thresholds.margins=[0.5]']).thresholds.margins).to.deep.equal([0.5]);
  });

  it('replaces a validation by one of another kind', () => {
    const crossFit = { ...least, thresholds: { margins: [0.01], validation: { kind: 'cross-fit', folds: 5 } } };
    const kind = 'thresholds.validation.kind=held-out';
    expect(resolve(crossFit, [kind]).thresholds.validation).to.deep.equal({ kind: 'held-out' });
    const whole = 'thresholds.validation={"kind":"held-out"}';
    expect(resolve(crossFit, [whole]).thresholds.validation).to.deep.equal({ kind: 'held-out' });
    expect(resolve(crossFit, ['thresholds.validation.folds=3']).thresholds.validation).to.include({ folds: 3 });
  });

  it('refuses what is no path=value, saying what is', () => {
    for (const nonsense of ['x', '=3', '.a=3', '3=4', '']) {
      expect(() => parseSetting(nonsense), nonsense).to.throw(InputError, /^--set .*; valid: path=value, for example/);
    }
  });

  it('cannot set what does not exist', () => {
    expect(problems(least, ['gates.epoch=3'])).to.deep.equal([
      'gates.epoch: unknown key; valid: after, pooling, loss, target, weights, previous, l2, solver, gap, epochs, batchSize, confidence, calibrate',
    ]);
    expect(problems(least, ['seed.x=3'])[0]).to.match(/^seed: \{"x":3\}; valid: a whole number/);
    expect(problems(least, ['presets.smoke=3'])[0]).to.match(/^presets: unknown key/);
    expect(problems(least, ['gates.constructor=3'])[0]).to.match(/^gates\.constructor: unknown key/);
    expect(problems(least, ['gates.__proto__.x=3'])).to.have.length(1);
  });
});

describe('a bad definition', () => {
  it('that is not an object says what would be', () => {
    for (const [exported, shown] of [
      [42, '42'],
      [undefined, 'undefined'],
      [null, 'null'],
      ['text', '"text"'],
      [[1], '[1]'],
    ] as const) {
      expect(problems(exported)).to.deep.equal([
        `its default export is ${shown}; valid: export default defineExperiment({...})`,
      ]);
    }
  });

  const cases: [string, object, string][] = [
    [
      'a misspelt key',
      { titel: 'x' },
      'titel: unknown key; valid: name, title, network, dataset, unlabelled, checkpoint, weights, seed, seeds, engine, ',
    ],
    ['a misspelt key of gates', { gates: { after: [1], epoch: 3 } }, 'gates.epoch: unknown key; valid: after, pooling'],
    [
      'a misspelt key of thresholds',
      { thresholds: { margins: [0], fix: [] } },
      'thresholds.fix: unknown key; valid: margins, budgets, latencyMs, resamples, disagreements, perClass, fixed, search, guarantee, validation',
    ],
    [
      'a misspelt key of validation',
      { thresholds: { margins: [0], validation: { kind: 'cross-fit', fold: 2 } } },
      'thresholds.validation.fold: unknown key; valid: kind, folds',
    ],
    ['a name that is no folder', { name: '../x' }, 'name: "../x"; valid: letters, digits and dashes'],
    ['a title of another type', { title: 3 }, 'title: 3; valid: one line of text'],
    ['a title of two lines', { title: 'a\nb' }, 'title: "a\\nb"; valid: one line of text'],
    ['no network', { network: undefined }, 'network: missing; valid: <architecture>-<dataset>'],
    ['a seed that is none', { seed: 1.5 }, 'seed: 1.5; valid: a whole number from 0 to 2147483648'],
    ['a seed that is not a number', { seed: Number.NaN }, 'seed: NaN; valid: a whole number from 0'],
    ['no images', { trainImages: 0 }, 'trainImages: 0; valid: a whole number from 1'],
    ['no gates', { gates: undefined }, 'gates: missing; valid: an object: { after: [1, 2] }'],
    ['gates after nothing', { gates: { after: [] } }, 'gates.after: []; valid: at least one stage'],
    ['a stage 0', { gates: { after: [0] } }, 'gates.after.0: 0; valid: a whole number from 1 to 100'],
    [
      'one stage that is no list',
      { gates: { after: 1 } },
      'gates.after: 1; valid: a list of stages, counted from 1: [1, 2]',
    ],
    [
      'a grid that is not square',
      { gates: { after: [1], pooling: '4x2' } },
      'gates.pooling: "4x2"; valid: gap, a grid',
    ],
    ['a loss that is none', { gates: { after: [1], loss: 'hing' } }, 'gates.loss: "hing"; valid: hinge, cross-entropy'],
    [
      'a confidence that is none',
      { gates: { after: [1], confidence: 'top' } },
      'gates.confidence: "top"; valid: max, ',
    ],
    ['a negative lambda', { gates: { after: [1], l2: -1 } }, 'gates.l2: -1; valid: a number from 1e-12 to 1000'],
    ['no thresholds', { thresholds: undefined }, 'thresholds: missing; valid: an object: { margins: [0.01] }'],
    [
      'thresholds without any',
      { thresholds: {} },
      'thresholds: {}; valid: at least one margin, budget or row of fixed',
    ],
    ['a margin in percent', { thresholds: { margins: [2] } }, 'thresholds.margins.0: 2; valid: a share of accuracy'],
    [
      'one margin that is no list',
      { thresholds: { margins: 0.1 } },
      'thresholds.margins: 0.1; valid: a list of margins',
    ],
    [
      'fixed thresholds that are no rows',
      { thresholds: { fixed: [1] } },
      'thresholds.fixed.0: 1; valid: one threshold for each gate: [1, 1]',
    ],
    [
      'more thresholds than gates',
      {
        thresholds: {
          fixed: [
            [1, 1],
            [1, 1, 1],
          ],
        },
      },
      'thresholds.fixed.1: [1,1,1]; valid: 2 thresholds, one for each gate',
    ],
    [
      'fewer thresholds than gates',
      { thresholds: { fixed: [[1]] } },
      'thresholds.fixed.0: [1]; valid: 2 thresholds, one for each gate',
    ],
    [
      'thresholds for one gate',
      { gates: { after: [1] }, thresholds: { fixed: [[1, 2]] } },
      'thresholds.fixed.0: [1,2]; valid: one threshold, one for each gate',
    ],
    [
      'a threshold that is no number',
      { thresholds: { fixed: [['a', 1]] } },
      'thresholds.fixed.0.0: "a"; valid: a number; Infinity closes a gate',
    ],
    [
      'a validation of no kind',
      { thresholds: { margins: [0], validation: { kind: 'kfold' } } },
      "thresholds.validation.kind: \"kfold\"; valid: { kind: 'cross-fit', folds } or { kind: 'held-out' }",
    ],
    [
      'one fold',
      { thresholds: { margins: [0], validation: { kind: 'cross-fit', folds: 1 } } },
      'thresholds.validation.folds: 1; valid: a whole number from 2',
    ],
  ];
  for (const [what, change, expected] of cases) {
    it(`with ${what} is refused in one line`, () => {
      const [problem, ...others] = problems({ ...least, ...change });
      expect(problem?.slice(0, expected.length)).to.equal(expected);
      expect(problem).not.to.match(/\n|Invalid input/);
      expect(others).to.deep.equal([]);
    });
  }

  it('says all that is wrong at once', () => {
    const everything = {
      name: 'a b',
      network: 3,
      seed: 'x',
      gates: { after: [], epochs: 0, batch: 1 },
      thresholds: { margins: ['a'], fixed: 3 },
      presets: { smok: {} },
      colour: 'red',
    };
    expect(problems(everything).map((problem) => problem.split(':')[0])).to.have.members([
      'name',
      'title',
      'network',
      'seed',
      'gates.after',
      'gates.epochs',
      'gates.batch',
      'thresholds.margins.0',
      'thresholds.fixed',
      'presets.smok',
      'colour',
    ]);
  });

  it('says the wrong number of thresholds together with anything else', () => {
    const both = { ...least, seed: -1, thresholds: { fixed: [[1, 2, 3]] } };
    expect(problems(both)).to.have.length(2);
  });
});
