import fc from 'fast-check';
import { parseThresholds } from '../../../src/cli/commands/predict.js';
import { InputError } from '../../../src/errors.js';
import { experimentNames, loadDefinition } from '../../../src/experiment/load.js';
import { type Override, parseSetting, resolveExperiment } from '../../../src/experiment/resolve.js';
import { type PresetName, presetNames } from '../../../src/experiment/rules.js';
import { paperExperiments } from '../../../src/paper/index.js';
import { upTo } from '../amplify.js';
import type { Reader } from '../fuzz.js';
import { mutatedText } from '../mutation.js';

async function definitions(): Promise<object[]> {
  const names = await experimentNames();
  return Promise.all(names.map(async (name) => (await loadDefinition(name)).exported as object));
}

/** Anything that JavaScript can hold, the likely mistakes more often. */
const value = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    undefined,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    -1,
    0,
    0.5,
    1e300,
    '',
    'x',
    [],
    {},
    true,
    5n,
  ),
  fc.anything({
    withBigInt: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withNullPrototype: true,
    withSparseArray: true,
    withTypedArray: true,
    maxDepth: 3,
  }),
  fc.constantFrom<unknown>(Symbol('s'), () => 1, class Thing {}, Promise.resolve(1), /x/),
);

interface Change {
  readonly path: readonly number[];
  readonly value: unknown;
  readonly key: string | undefined;
}

/** A copy in which what stands at the path is something else, or something stands there that did not. */
function changed(item: unknown, { path: [at, ...rest], value, key }: Change): unknown {
  if (typeof item !== 'object' || item === null || at === undefined) return value;
  const keys = Object.keys(item);
  const name = key !== undefined && rest.length === 0 ? key : keys[at % Math.max(1, keys.length)];
  if (name === undefined) return value;
  const before = (item as Record<string, unknown>)[name];
  const after = rest.length === 0 ? value : changed(before, { path: rest, value, key });
  if (Array.isArray(item)) return item.map((each: unknown, i) => (String(i) === name ? after : each));
  return { ...item, [name]: after };
}

const change: fc.Arbitrary<Change> = fc.record({
  path: fc.array(fc.nat(40), { minLength: 1, maxLength: 4 }),
  value,
  key: fc.option(
    fc.oneof(fc.string(), fc.constantFrom('__proto__', 'constructor', 'toString', 'kind', 'folds', 'analysis')),
    { nil: undefined, freq: 4 },
  ),
});
/** A refusal says of each problem what would be valid. */
function resolved(definition: unknown, preset: PresetName, overrides: readonly Override[] = []): void {
  try {
    resolveExperiment(definition, 'mine.ts', preset, overrides, paperExperiments);
  } catch (error) {
    const said = error instanceof InputError ? error.problems : [];
    const odd = said.find(
      (line) => !/^(mine\.ts: .+; valid: .+|and \d+ more problems)$/.test(line) || /Invalid input|\[object/.test(line),
    );
    throw odd === undefined ? error : new Error(`says nothing of use: ${odd}`);
  }
}

const preset = fc.constantFrom(...presetNames);

/** Values that are much of little: lists, keys, texts, what nests, and what is named by many. */
const much: fc.Arbitrary<unknown> = fc.oneof(
  fc.tuple(upTo(200_000), fc.constantFrom<unknown>('x', 0, null, [], {}, { kind: 'x' })).map(([count, item]) => {
    return new Array<unknown>(count).fill(item);
  }),
  upTo(60_000).map((count) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, i]))),
  upTo(5_000_000).map((count) => 'x'.repeat(count)),
  upTo(5000).map((levels) => Array.from({ length: levels }).reduce<unknown>((inner) => [inner], 1)),
  fc.nat(40).map((levels) => Array.from({ length: levels }).reduce<unknown>((inner) => [inner, inner], 1)),
  fc.nat(40).map((levels) => Array.from({ length: levels }).reduce<unknown>((inner) => ({ a: inner, b: inner }), 1)),
  upTo(2 ** 24).map((length) => new Array<unknown>(length)),
);

/** Definitions of the project in which one value, or each preset's, is much. */
export async function definitionsThatAskForMuch(): Promise<fc.Arbitrary<unknown>> {
  const seeds = await definitions();
  return fc
    .tuple(fc.nat(seeds.length - 1), fc.array(fc.tuple(change, much), { minLength: 1, maxLength: 2 }), preset)
    .map(([seed, changes, name]) => [
      changes.reduce<unknown>((item, [where, value]) => changed(item, { ...where, value }), seeds[seed]),
      name,
    ]);
}

export const experimentReaders: readonly Reader[] = [
  {
    name: 'definitions',
    inputs: 20_000,
    async input() {
      const seeds = await definitions();
      const some = fc.array(change, { maxLength: 3 });
      return fc
        .tuple(fc.nat(seeds.length - 1), some, preset)
        .map(([seed, changes, name]) => [changes.reduce<unknown>(changed, seeds[seed]), name] as const);
    },
    read: ([definition, name]: [unknown, PresetName]) => resolved(definition, name),
  },
  {
    name: 'anything as a definition',
    inputs: 10_000,
    input: () => value,
    read: (definition: unknown) => resolved(definition, 'laptop'),
  },
  {
    name: 'settings',
    inputs: 15_000,
    async input() {
      const seeds = await definitions();
      const texts = mutatedText(
        [
          'gates.epochs=5',
          'thresholds.fixed=[[1,2],[Infinity,3]]',
          'thresholds.validation.folds=5',
          'analysis.step=0.5',
          'seed=1',
        ],
        [
          '.',
          '=',
          '[',
          '{',
          '"',
          '__proto__',
          'constructor',
          'gates',
          'thresholds',
          'presets',
          'kind',
          '\x1b[2J',
          '\u202e',
        ],
      );
      return fc
        .tuple(fc.nat(seeds.length - 1), fc.array(texts, { minLength: 1, maxLength: 3 }))
        .map(([seed, list]) => [seeds[seed], list] as const);
    },
    read: ([definition, settings]: [unknown, string[]]) => resolved(definition, 'laptop', settings.map(parseSetting)),
  },
  {
    name: 'thresholds on the command line',
    inputs: 5000,
    input: () => mutatedText(['1,2,inf', '0.5, -3'], ['inf', ',', 'e', '0x', ' ', 'NaN']),
    read: (text: string) => parseThresholds(text),
  },
];
