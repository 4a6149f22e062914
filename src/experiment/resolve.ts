import { InputError } from '../errors.js';
import { parseJson } from '../json.js';
import { withCascadeGates } from './cascade.js';
import { isPlain, type Plain, plainCopy, put } from './plain.js';
import { type PresetName, presetNames } from './presets.js';
import { checkExperiment, presetsProblems } from './problems.js';
import { type Experiment, type ExperimentSchema, experimentSchemaOf } from './schema.js';
import { show } from './show.js';

/** Keys in the path of a setting: more than any definition is deep. */
const DEEPEST = 10;

/** One `--set path=value` or another option of the command line that overrides a definition. */
export interface Override {
  /** Path in the definition: `gates.epochs`. */
  readonly path: string;
  readonly value: unknown;
}

const withoutAnalyses = experimentSchemaOf([]);

/**
 * A checked experiment from what a definition file exports.
 *
 * @param where name of the file or experiment, for messages
 * @param schema says which analyses there are; none by default
 * @throws InputError with all problems of the definition at once: path, value, what would be valid
 */
export function resolveExperiment(
  exported: unknown,
  where: string,
  preset: PresetName,
  overrides: readonly Override[] = [],
  schema: ExperimentSchema = withoutAnalyses,
): Experiment {
  const definition = plainCopy(exported, where);
  if (!isPlain(definition)) {
    throw new InputError(
      `${where}: its default export is ${show(definition)}; valid: export default defineExperiment({...})`,
    );
  }
  const { presets, ...base } = definition;
  const sizes = sizesIn(presets);
  const chosen = sizes[preset];
  const settings = overrides.map(({ path, value }) => nest(path.split('.'), plainCopy(value, where)));
  const merged = completed(settings.reduce(merge, merge(base, chosen ?? {})));
  const { experiment, problems } = checkExperiment(merged, schema);
  const all = new Set([
    ...presetsProblems(presets),
    ...(chosen === undefined && preset !== 'laptop'
      ? [`no preset "${preset}"; valid: ${namesOf(sizes).join(', ')}`]
      : []),
    ...eachPresetProblems(base, sizes, problems, schema),
    ...problems,
  ]);
  if (experiment === undefined || all.size > 0) {
    throw new InputError([...all].map((problem) => `${where}: ${problem}`));
  }
  return experiment;
}

type Sizes = Readonly<Partial<Record<PresetName, Plain>>>;

/** The presets that can be read, whatever else is wrong. */
function sizesIn(presets: unknown): Sizes {
  if (!isPlain(presets)) return {};
  return Object.fromEntries(presetNames.flatMap((name) => (isPlain(presets[name]) ? [[name, presets[name]]] : [])));
}

const namesOf = (sizes: Sizes): PresetName[] => presetNames.filter((name) => name === 'laptop' || name in sizes);

/** The definition with what follows from what it says. */
const completed = (definition: Plain): Plain => withCascadeGates(withValidationKind(definition));

/** A validation that says its folds and not its kind is of the default one: `--set thresholds.validation.folds=5`. */
function withValidationKind(definition: Plain): Plain {
  const { thresholds } = definition;
  const validation = isPlain(thresholds) ? thresholds['validation'] : undefined;
  if (!isPlain(thresholds) || !isPlain(validation) || validation['kind'] !== undefined) return definition;
  return { ...definition, thresholds: { ...thresholds, validation: { ...validation, kind: 'cross-fit' } } };
}

/** What is wrong with the presets that do not run now, as far as nothing else is to blame: no mistake waits for later. */
function eachPresetProblems(base: Plain, sizes: Sizes, own: readonly string[], schema: ExperimentSchema): string[] {
  const problemsOf = (definition: Plain): string[] => checkExperiment(completed(definition), schema).problems;
  const said = new Set([...own, ...problemsOf(base)]);
  return Object.entries(sizes).flatMap(([name, change]) => {
    const problems = problemsOf(merge(base, change)).filter((problem) => !said.has(problem));
    return problems.map((problem) => `presets.${name}.${problem}`);
  });
}

/** `gates.epochs=5` as an override; the value is read as JSON where it is JSON, otherwise as text. */
export function parseSetting(setting: string): Override {
  const [, path, value] = /^([A-Za-z][\w.]*)=(.*)$/s.exec(setting) ?? [];
  if (path === undefined || value === undefined || path.split('.').length > DEEPEST) {
    throw new InputError(
      `--set ${setting}; valid: path=value, for example gates.epochs=10 or thresholds.margins=[0.01]`,
    );
  }
  if (/^-?Infinity$/.test(value)) return { path, value: Number(value) };
  try {
    return { path, value: parseJson(value, path) };
  } catch {
    return { path, value };
  }
}

function nest(path: readonly string[], value: unknown): Plain {
  const [key = '', ...rest] = path;
  const result = {};
  put(result, key, rest.length === 0 ? value : nest(rest, value));
  return result;
}

/** Objects are merged key by key; an object whose `kind` changes, a list or a value replaces what stood there. */
function merge(base: Plain, change: Plain): Plain {
  const result: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(change)) {
    const before = Object.hasOwn(result, key) ? result[key] : undefined;
    const sameKind = isPlain(before) && isPlain(value) && (value['kind'] ?? before['kind']) === before['kind'];
    put(result, key, sameKind ? merge(before, value) : value);
  }
  return result;
}
