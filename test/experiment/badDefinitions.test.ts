import { expect } from 'chai';
import { z } from 'zod';
import { InputError } from '../../src/errors.js';
import { parseSetting, resolveExperiment } from '../../src/experiment/resolve.js';
import type { PresetName } from '../../src/experiment/rules.js';
import { paperExperiments } from '../../src/paper/index.js';
import { processorMs } from '../processorTime.js';

type Definition = Record<string, unknown>;

/** Right in every field, so that whatever is said is about the one that was changed. */
const right = {
  name: 'mine',
  title: 'Two gates',
  network: 'resnet56-cifar10',
  gates: { after: [1, 2] },
  thresholds: { margins: [0.01], validation: { kind: 'held-out' } },
};
/** The same with a user's network and images. */
const numbers = {
  mean: [0.5, 0.5, 0.5],
  std: [0.2, 0.2, 0.2],
  resize: 256,
  crop: 224,
  interpolation: 'bilinear',
  squash: false,
  order: 'rgb',
};
const own = {
  ...right,
  network: {
    kind: 'onnx',
    file: 'model.onnx',
    gatesAfter: ['a', 'b'],
    pooling: 'best',
    logits: 'y',
    inputSize: [8, 8],
    preprocess: numbers,
  },
  dataset: { kind: 'image-folder', folder: 'images', preprocess: numbers, testShare: 0.2, seed: 1 },
};
const two = [{ network: 'resnet20-cifar10', checkpoint: 'a' }, { network: 'resnet56-cifar10' }];
const oneAfterTheOther = {
  name: 'mine',
  title: 'Two networks',
  network: { kind: 'cascade', networks: two, confidence: 'entropy' },
  thresholds: right.thresholds,
};
const ofScores = {
  ...oneAfterTheOther,
  network: { kind: 'scores', file: 'a.npz', choosing: 'b.npz', confidence: 'entropy' },
};
const groups = { animal: ['cat'], vehicle: ['truck'] };
const analyses = {
  'shallow-errors': { kind: 'shallow-errors', classes: ['cat'], groups },
  'loss-comparison': { kind: 'loss-comparison' },
  'threshold-plane': { kind: 'threshold-plane' },
  'class-distribution': { kind: 'class-distribution', groups },
  frontier: { kind: 'frontier' },
  shift: { kind: 'shift', images: 100 },
  places: { kind: 'places' },
  policies: { kind: 'policies' },
  'accuracy-flops': { kind: 'accuracy-flops' },
  'published-comparison': { kind: 'published-comparison', published: 'imagenet', dataset: 'imagenet' },
} as const;

/** What a field's type is, and values of that type that are wrong all the same. */
interface Field {
  readonly type: 'text' | 'number' | 'list' | 'object' | 'truth' | 'text or list' | 'list or number' | 'text or object';
  readonly wrong: readonly unknown[];
}
const text = (...wrong: unknown[]): Field => ({ type: 'text', wrong: ['', ...wrong] });
const number = (...wrong: unknown[]): Field => ({
  type: 'number',
  wrong: [Number.NaN, Number.NEGATIVE_INFINITY, 1e300, -1e300, ...wrong],
});
const whole = (...wrong: unknown[]): Field => number(Number.POSITIVE_INFINITY, 0.5, -1, 2 ** 53, ...wrong);
const list = (...wrong: unknown[]): Field => ({
  type: 'list',
  wrong: [[null], [{}], [[]], [Number.NaN], [() => 1], ...wrong],
});
const object = (...wrong: unknown[]): Field => ({ type: 'object', wrong: [{ strange: 1 }, ...wrong] });

const preprocessing = (path: string): Readonly<Record<string, Field>> => ({
  [`${path}.preprocess`]: {
    type: 'text or object',
    wrong: ['', 'imagenet', { strange: 1 }, { mean: [0] }, { std: [1] }],
  },
  [`${path}.preprocess.mean`]: list([], [0, 0], [0, 0, 0, 0], ['0', 0, 0], [1e9, 0, 0]),
  [`${path}.preprocess.std`]: list([], [1, 1], [0, 1, 1], [-1, 1, 1], [1, 1, Number.POSITIVE_INFINITY], [1]),
  [`${path}.preprocess.resize`]: whole(0, 4097),
  [`${path}.preprocess.crop`]: whole(0, 4097, 257),
  [`${path}.preprocess.interpolation`]: text('nearest', 'Bilinear'),
  [`${path}.preprocess.squash`]: { type: 'truth', wrong: ['true', 0, 1, ''] },
  [`${path}.preprocess.order`]: text('RGB', 'grb'),
});

/** Every field there is, by its path: the types of the schemas, and what they do not say. */
const fields: Readonly<Record<string, Field>> = {
  name: text('a b', '../x', 'a\nb', 'x'.repeat(65), '-x', 'ü'),
  title: text('a\nb'),
  network: { type: 'text or object', wrong: ['', 'two words', {}, { kind: 'onnx' }, { kind: 'onnx', file: '' }] },
  dataset: {
    type: 'text or object',
    wrong: ['', 'cifar10', { kind: 'image-folder' }, { kind: 'folder', folder: 'x' }],
  },
  'network.kind': text('ONNX', 'image-folder', '__proto__'),
  'network.file': text(),
  'network.gatesAfter': { type: 'text or list', wrong: ['', 'all', [], [''], [1], [null]] },
  'network.pooling': text('gap', 'BEST'),
  'network.logits': text(),
  'network.inputSize': { type: 'list', wrong: [[], [1], [0, 1], [1.5, 2], [1, 2, 3], [4097, 1]] },
  ...preprocessing('network'),
  'network.networks': list([], [two[0]], ['resnet20-cifar10', 'resnet56-cifar10'], [{ ...two[0], seed: 1 }, two[1]]),
  'network.confidence': text('margin', 'MAX'),
  'network.calibrate': { type: 'truth', wrong: [] },
  'network.choosing': text(),
  'dataset.kind': text('folder', 'onnx'),
  'dataset.folder': text(),
  ...preprocessing('dataset'),
  'dataset.testShare': number(0, 1, 20, Number.POSITIVE_INFINITY),
  'dataset.seed': whole(2 ** 32),
  checkpoint: text(),
  weights: object({ key: '' }),
  'weights.key': text(),
  'weights.ignore': text(),
  unlabelled: text(),
  seed: whole(2 ** 32),
  seeds: list([], [-1], [0.5], ['0']),
  engine: text('two words'),
  int8: { type: 'truth', wrong: ['true', 1, ''] },
  baselines: list(['resnet20-cifar10'], [{ ...two[0], seed: 1 }]),
  published: text('../table1', 'table1.csv', '/etc/passwd'),
  trainImages: whole(0),
  testImages: whole(0),
  gates: object(),
  'gates.after': list([], [0], [-1], [0.5], ['1'], [101], [2, 1], [1, 1]),
  'gates.pooling': { type: 'text or list', wrong: ['4', '4x2', '0x0', 'GAP', ['4x4'], [4, 4], ['4x4', '4x4', '4x4']] },
  'gates.loss': text('logistic', 'Hinge'),
  'gates.target': text('logits', 'network'),
  'gates.weights': text('heavy', 'Survivors'),
  'gates.previous': { type: 'truth', wrong: [] },
  'gates.confidence': text('margin', 'MAX'),
  'gates.calibrate': { type: 'truth', wrong: [] },
  'gates.l2': {
    type: 'list or number',
    wrong: [0, -1, Number.NaN, Number.POSITIVE_INFINITY, [], [0], ['a'], [[1]], [1, -1]],
  },
  'gates.solver': text('newton', 'SGD'),
  'gates.gap': number(0, -1, 2, Number.POSITIVE_INFINITY),
  'gates.epochs': whole(0),
  'gates.batchSize': whole(0),
  thresholds: object(),
  'thresholds.margins': list([2], [1], [-0.6], ['1 %'], [Number.POSITIVE_INFINITY]),
  'thresholds.resamples': list(0, 1.5, -1, 'many'),
  'thresholds.disagreements': list([-0.1], [1], ['none'], 0.01),
  'thresholds.latencyMs': list([0], [-1], ['fast'], [Number.NaN]),
  'thresholds.budgets': list([0], [1.5], [-1], ['half'], [Number.NaN]),
  'thresholds.perClass': { type: 'truth', wrong: ['true', 1] },
  'thresholds.fixed': list([1, 2], [[1]], [[1, 2, 3]], [['1', 1]], [[Number.NaN, 1]], [[null, 1]]),
  'thresholds.search': { type: 'text or list', wrong: ['best', [], ['best'], [1]] },
  'thresholds.guarantee': object({ drop: 0.1, confidence: 0.95, risk: 1 }),
  'thresholds.guarantee.drop': number(0, 1, 5),
  'thresholds.guarantee.disagreement': number(0, 1, 5),
  'thresholds.guarantee.method': text('bets', 'Exact'),
  'thresholds.guarantee.confidence': number(0, 1, 95),
  'thresholds.validation': object({ kind: 'kfold' }, { kind: 'held-out', folds: 2 }),
  'thresholds.validation.kind': text('kfold'),
  'thresholds.validation.folds': whole(0, 1),
  analysis: object({ kind: 'magic' }),
  'analysis.kind': text('magic'),
  'analysis.gate': whole(0, 3),
  'analysis.classes': { type: 'list or number', wrong: [[], ['a\nb'], [1], '', 0.5, -1, Number.NaN] },
  'analysis.groups': object({ animal: [] }, { animal: 'cat' }, { animal: [1] }),
  'analysis.images': whole(0),
  'analysis.gates': list([], [1], [2, 1], [1, 3], [1, 1], [0, 1], [1, 2, 3]),
  'analysis.seeds': whole(0),
  'analysis.l2': list([], [0], [-1], ['1']),
  'analysis.reductions': list([], [0.1], [0.2, 0.1], [0, 0.5], [0.5, 1]),
  'analysis.from': number(Number.POSITIVE_INFINITY, 4),
  'analysis.to': number(Number.POSITIVE_INFINITY),
  'analysis.step': number(0, -1, 1e-5, Number.POSITIVE_INFINITY),
  'analysis.show': text('all'),
  'analysis.margins': list([-0.1], [0.6], ['1 %']),
  'analysis.reference': whole(0, 4),
  'analysis.drop': number(0, 0.9),
  'analysis.confidence': number(0, 1, 95),
  'analysis.policies': list([], [{ loss: 'hinge', confidence: 'max' }], ['hinge', 'max']),
  'analysis.corruptions': list([], ['fog'], 'jpeg'),
  'analysis.severities': list([], [0], [6], [0.5]),
  'analysis.anew': list([0], [0.5], 200),
  'analysis.labels': { type: 'truth', wrong: ['false', 0, ''] },
  'analysis.most': whole(0, 5),
  'analysis.distance': number(Number.POSITIVE_INFINITY),
  'analysis.published': text('../imagenet'),
  'analysis.dataset': text('two words'),
  presets: object(),
  'presets.smoke': object(),
};

/** What no field is, whatever its type: the types are not there any more when a definition is loaded. */
const cycle: Definition = {};
cycle['self'] = cycle;
const deep = JSON.parse(`${'{"a":'.repeat(500)}1${'}'.repeat(500)}`) as unknown;
const never: readonly (readonly [what: string, value: unknown, shown: RegExp])[] = [
  ['null', null, /null/],
  ['a function', () => 1, /a function/],
  ['a class', class Thing {}, /a function/],
  ['a symbol', Symbol('s'), /Symbol\(s\)/],
  ['a bigint', 5n, /5n/],
  ['a promise', Promise.resolve(1), /a promise/],
  ['a Date', new Date(0), /a Date/],
  ['a Map', new Map(), /a Map/],
  ['a typed array', Float32Array.of(1), /a typed array/],
  ['a boxed number', Object(1), /a boxed value/],
  [
    'a Proxy',
    new Proxy(
      {},
      {
        get: () => {
          throw new Error('no');
        },
      },
    ),
    /a Proxy/,
  ],
  ['something that holds itself', [cycle], /./],
  ['something very deep', [deep], /./],
];
/** Values of one type each, to be put where another is asked for. */
const typed: readonly (readonly [type: Field['type'], value: unknown])[] = [
  ['text', 'seven'],
  ['number', 7],
  ['list', [[[7]]]],
  ['object', { seven: 7 }],
];

function at(path: string, definition: Definition, value: unknown): Definition {
  const [key = '', ...rest] = path.split('.');
  if (rest.length === 0) return { ...definition, [key]: value };
  return { ...definition, [key]: at(rest.join('.'), (definition[key] ?? {}) as Definition, value) };
}

/** Where a wrong field is named: a kind that is none, at the object that is of no kind. */
const namedAt = (path: string): string => path.replace(/^(network|dataset)\.kind$/, '$1');

/** The lines of a refusal; each must be one that helps. */
function problems(definition: unknown, settings: string[] = [], preset: PresetName = 'laptop'): string[] {
  let thrown: unknown;
  try {
    resolveExperiment(definition, 'mine.ts', preset, settings.map(parseSetting), paperExperiments);
  } catch (error) {
    thrown = error;
  }
  if (thrown === undefined) return [];
  if (!(thrown instanceof InputError)) throw thrown;
  for (const problem of thrown.problems) {
    expect(problem).to.match(/^(mine\.ts: .+; valid: .+|and \d+ more problems)$/);
    expect(problem).not.to.match(/Invalid input|: undefined|\[object/);
    expect(problem.length, problem).to.be.below(400);
  }
  return thrown.problems.map((problem) => problem.replace('mine.ts: ', ''));
}

/** Definitions that have the field at a path, right as they are. */
function withField(path: string): Definition[] {
  const [first, second] = path.split('.');
  if (first === 'analysis') {
    const kinds = Object.values(analyses).filter(
      ({ kind }) => second === undefined || second === 'kind' || Object.hasOwn(shapeOf(kind), second),
    );
    return kinds.map((analysis) => ({ ...right, analysis }));
  }
  if (path === 'network.choosing') return [ofScores];
  if (path === 'network.confidence') return [oneAfterTheOther, ofScores];
  if (path === 'network.networks' || path === 'network.calibrate') return [oneAfterTheOther];
  if (/^(network|dataset)\./.test(path)) return [own];
  if (path === 'thresholds.guarantee.disagreement') return [at('thresholds.guarantee', right, { disagreement: 0.01 })];
  if (path.startsWith('thresholds.guarantee')) return [at('thresholds.guarantee', right, { drop: 0.01 })];
  if (path === 'thresholds.validation.folds') return [at('thresholds.validation', right, { kind: 'cross-fit' })];
  return [right];
}

function shapeOf(kind: string): object {
  const analysis = (paperExperiments.shape.analysis as z.ZodOptional<z.ZodDiscriminatedUnion>).unwrap();
  const options = analysis.options as z.ZodObject[];
  return options.find(({ shape }) => (shape['kind'] as z.ZodLiteral).value === kind)?.shape ?? {};
}

/** Paths of all that the schema knows. */
function pathsOf(schema: unknown, path: readonly string[] = []): string[] {
  if (schema instanceof z.ZodObject) {
    const inside = Object.entries(schema.shape).flatMap(([key, value]) => pathsOf(value, [...path, key]));
    return path.length === 0 ? inside : [path.join('.'), ...inside];
  }
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((option) => pathsOf(option, path));
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) {
    return pathsOf(schema.unwrap(), path);
  }
  if (schema instanceof z.ZodPipe) return pathsOf(schema.in, path);
  return [path.join('.')];
}

describe('a definition that its types did not check', () => {
  it('every field of the schema is tried', () => {
    const known = [...new Set(pathsOf(paperExperiments)), 'presets', 'presets.smoke'];
    expect(known).to.have.members(Object.keys(fields));
  });

  it('the definitions that are changed are right', () => {
    for (const path of Object.keys(fields)) {
      for (const definition of withField(path)) expect(problems(definition), path).to.deep.equal([]);
    }
  });

  for (const [path, field] of Object.entries(fields)) {
    it(`${path}: every wrong value is refused by path, with what would be valid`, () => {
      const ofOtherTypes = typed.filter(([type]) => !field.type.includes(type)).map(([, value]) => value);
      const wrong = [...field.wrong, ...ofOtherTypes, ...(field.type === 'truth' ? [] : [true])];
      for (const definition of withField(path)) {
        for (const value of wrong) {
          const [problem, ...more] = problems(at(path, definition, value));
          expect(problem, `nothing was refused: ${String(value)}`).to.be.a('string');
          expect(
            [problem!, ...more].some((line) => line.startsWith(namedAt(path))),
            problem,
          ).to.equal(true);
        }
        for (const [what, value, shown] of never) {
          // Whoever leaves presets out may say so with null.
          if (what === 'null' && path === 'presets') continue;
          const line = problems(at(path, definition, value)).find((problem) => problem.startsWith(namedAt(path)));
          expect(line, what).to.match(shown);
        }
      }
    });

    if (!/^(presets|name$)/.test(path)) {
      it(`presets.smoke.${path}: as well, whichever preset runs`, () => {
        for (const definition of withField(path)) {
          for (const value of field.wrong) {
            const change = at(path, {}, value);
            if (path === 'thresholds.validation.folds')
              Object.assign(change, { thresholds: { validation: { folds: value } } });
            if (path.startsWith('analysis.') && path !== 'analysis.kind')
              Object.assign(change['analysis'] as object, {});
            const found = problems({ ...definition, presets: { smoke: change } });
            expect(
              found.some((line) => line.startsWith(`presets.smoke.${namedAt(path)}`)),
              `${path}: ${found.join()}`,
            ).to.equal(true);
          }
        }
      });
    }
  }

  it('a getter that throws is named, and what it says', () => {
    const definition = Object.defineProperty({ ...right }, 'seed', {
      enumerable: true,
      get() {
        throw new Error('boom\nmore');
      },
    });
    expect(problems(definition)).to.deep.equal([
      'seed: a getter that throws: boom\\nmore; valid: a whole number from 0 to 2147483648',
    ]);
  });

  it('a getter is asked once: what was checked is what is used', () => {
    let asked = 0;
    const definition = Object.defineProperty({ ...right }, 'seed', { enumerable: true, get: () => asked++ });
    expect(resolveExperiment(definition, 'mine.ts', 'laptop').seed).to.equal(0);
    expect(asked).to.equal(1);
  });

  it('keys of prototypes are unknown keys, and change nothing', () => {
    const definition = JSON.parse(
      JSON.stringify(right).replace('{', '{"__proto__":{"x":1},"constructor":{"x":1},'),
    ) as unknown;
    expect(problems(definition).map((line) => line.split(':')[0])).to.have.members(['__proto__', 'constructor']);
    expect(problems({ ...right, presets: JSON.parse('{"smoke":{"__proto__":{"x":1}}}') as unknown })[0]).to.match(
      /^presets\.smoke\.__proto__: unknown key/,
    );
    expect(() => parseSetting('__proto__.x=1')).to.throw(InputError, /^--set __proto__/);
    expect(({} as { x?: unknown }).x).to.equal(undefined);
  });

  it('what an object inherits does not count', () => {
    const inherited = Object.create(right) as object;
    expect(problems(inherited).map((line) => line.split(':')[0])).to.have.members([
      'name',
      'title',
      'network',
      'gates',
      'thresholds',
    ]);
    expect(problems(Object.assign(Object.create(null), right))).to.deep.equal([]);
  });

  it('keys that would break the line are written as text', () => {
    const [problem] = problems({ ...right, 'a\n\u001b[2J\u202e': 1 });
    expect(problem).to.match(/^"a\\n\\u001b\[2J\\u202e": unknown key/);
    expect(problems({ ...right, ['k'.repeat(5000)]: 1 })[0]!.length).to.be.below(300);
  });

  it('long values are cut, many problems counted', () => {
    const many = problems(at('thresholds.margins', right, new Array(1000).fill('x')));
    expect(many).to.have.length(101);
    expect(many[100]).to.equal('and 900 more problems');
    const long = problems({ ...right, seed: 'x'.repeat(1e6) });
    expect(long[0]!.length).to.be.below(200);
  });

  it('what holds too much is refused as a whole, in time', async () => {
    let wide: unknown = 1;
    for (let i = 0; i < 20; i++) wide = [wide, wide, wide];
    const ms = await processorMs(() => {
      for (const seed of [wide, new Array(30_000_000), new Array(2 ** 32 - 1)]) {
        expect(problems({ ...right, seed })).to.deep.equal(['holds more than 20000 values; valid: an experiment']);
      }
      expect(problems(at('thresholds.margins', right, new Array(15_000).fill('x')))).to.have.length(101);
      const keys = Object.fromEntries(Array.from({ length: 9000 }, (_, i) => [`k${i}`, i]));
      expect(problems({ ...right, presets: { smoke: { thresholds: keys } } })).to.have.length(101);
    }, 1000);
    expect(ms).to.be.below(1000);
  });

  it('everything wrong at once is one message with a line for each', () => {
    const top = Object.keys(fields).filter(
      (path) =>
        !/^(presets|analysis)|^(network|dataset)\.|validation|guarantee\./.test(path) &&
        !/^(gates|thresholds|weights)$/.test(path),
    );
    const all = top.reduce<Definition>((definition, path) => at(path, definition, null), right);
    expect(problems(all).map((line) => line.split(':')[0])).to.have.members(top);
  });

  it("everything wrong at once in a user's network and images is one message too", () => {
    const inside = Object.keys(fields).filter((path) =>
      /^(network|dataset)\.(?!kind$|preprocess$|networks$|confidence$|calibrate$|choosing$)/.test(path),
    );
    const all = inside.reduce<Definition>((definition, path) => at(path, definition, null), own);
    const found = problems(all);
    expect(found.map((line) => line.split(':')[0])).to.have.members(inside);
    for (const line of found) expect(line).to.match(/: null; valid: ./);
  });

  it('rules between fields are looked at even where another field has the wrong type', () => {
    const both = {
      ...right,
      seed: 'x',
      colour: 1,
      gates: { after: [1, 2], pooling: ['4x4'], l2: 'small' },
      thresholds: { margins: ['a'], fixed: [[1], ['b', 1]] },
      analysis: { kind: 'shallow-errors', gate: 9, classes: ['cat'], groups, images: 'many' },
    };
    expect(problems(both).map((line) => line.split(':')[0])).to.have.members([
      'seed',
      'colour',
      'gates.pooling',
      'gates.l2',
      'thresholds.margins.0',
      'thresholds.fixed.0',
      'thresholds.fixed.1.0',
      'analysis.gate',
      'analysis.images',
    ]);
  });

  it('a preset that is not there, one that cannot be read and a wrong field come together', () => {
    const definition = { ...right, seed: -1, presets: { smoke: 3, laptop: { trainImages: 0 } } };
    expect(problems(definition, [], 'paper').map((line) => line.split(':')[0])).to.deep.equal([
      'presets.smoke',
      'no preset "paper"; valid',
      'presets.laptop.trainImages',
      'seed',
    ]);
  });

  describe('the default export', () => {
    const exports: [string, unknown, RegExp][] = [
      [
        'a promise of an experiment',
        Promise.resolve(right),
        /^its default export is a promise; valid: export default define/,
      ],
      ['a function that makes one', () => right, /^its default export is a function; valid/],
      ['a list of one', [right], /^its default export is \[\{"name":"mine".*\.\.\.; valid/],
      ['a Map', new Map(Object.entries(right)), /^its default export is a Map; valid/],
      ['nothing', undefined, /^its default export is undefined; valid/],
      ['text', 'resnet56', /^its default export is "resnet56"; valid/],
      ['a Proxy', new Proxy(right, {}), /^its default export is a Proxy; valid/],
    ];
    for (const [what, exported, expected] of exports) {
      it(`that is ${what} is refused`, () => {
        const [problem, ...more] = problems(exported);
        expect(problem).to.match(expected);
        expect(more).to.deep.equal([]);
      });
    }
  });

  describe('--set thresholds.validation.folds', () => {
    const plain = at('thresholds', right, { margins: [0.01] });

    it('is of the default kind where nothing says another', () => {
      const { validation } = resolveExperiment(plain, 'mine.ts', 'laptop', [
        parseSetting('thresholds.validation.folds=5'),
      ]).thresholds;
      expect(validation).to.deep.equal({ kind: 'cross-fit', folds: 5 });
      expect(problems({ ...plain, presets: { smoke: { thresholds: { validation: { folds: 3 } } } } })).to.deep.equal(
        [],
      );
    });

    it('is checked like any other', () => {
      expect(problems(plain, ['thresholds.validation.folds=1'])[0]).to.match(
        /^thresholds\.validation\.folds: 1; valid: a whole/,
      );
      expect(problems(plain, ['thresholds.validation.fold=5'])[0]).to.equal(
        'thresholds.validation.fold: unknown key; valid: kind, folds',
      );
    });

    it('does not belong to held-out images', () => {
      expect(problems(right, ['thresholds.validation.folds=5'])).to.deep.equal([
        'thresholds.validation.folds: unknown key; valid: kind',
      ]);
    });
  });
});
