import { z } from 'zod';
import { InputError } from '../errors.js';
import { type PresetName, presetNames } from './definition.js';
import { isPlain, type Plain, plainCopy, put } from './plain.js';
import { type Experiment, experimentSchema, presetsSchema } from './schema.js';
import { show, showKey } from './show.js';

/** Problems of one file that are listed one by one; the rest is counted. */
const MOST_LISTED = 50;
/** Keys in the path of a setting: more than any definition is deep. */
const DEEPEST = 10;

/** One `--set path=value` or another option of the command line that overrides a definition. */
export interface Override {
  /** Path in the definition: `gates.epochs`. */
  readonly path: string;
  readonly value: unknown;
}

/**
 * A checked experiment from what a definition file exports.
 *
 * @param where name of the file or experiment, for messages
 * @throws InputError with all problems of the definition at once: path, value, what would be valid
 */
export function resolveExperiment(
  exported: unknown,
  where: string,
  preset: PresetName,
  overrides: readonly Override[] = [],
): Experiment {
  const definition = plainCopy(exported, where);
  if (!isPlain(definition)) {
    throw new InputError(
      `${where}: its default export is ${show(definition)}; valid: export default defineExperiment({...})`,
    );
  }
  const { presets, ...base } = definition;
  const sizes = presetsSchema.safeParse(presets ?? {});
  const chosen = sizes.success ? sizes.data[preset] : undefined;
  if (chosen === undefined && preset !== 'laptop' && sizes.success) {
    const valid = presetNames.filter((name) => name === 'laptop' || sizes.data[name] !== undefined);
    throw new InputError(`${where}: no preset "${preset}"; valid: ${valid.join(', ')}`);
  }
  const settings = overrides.map(({ path, value }) => nest(path.split('.'), plainCopy(value, where)));
  const merged = withValidationKind(settings.reduce(merge, merge(base, chosen ?? {})));
  const checked = experimentSchema.safeParse(merged);
  const own = checked.success ? [] : describe(checked.error, merged, [], experimentSchema);
  const ofPresets = sizes.success
    ? presetProblems(base, sizes.data, own)
    : describe(sizes.error, presets, ['presets'], presetsSchema);
  const problems = [...new Set([...ofPresets, ...own])];
  if (!checked.success || problems.length > 0) {
    throw new InputError(listed(problems).map((problem) => `${where}: ${problem}`));
  }
  return checked.data;
}

function listed(problems: readonly string[]): readonly string[] {
  if (problems.length <= MOST_LISTED) return problems;
  return [...problems.slice(0, MOST_LISTED), `and ${problems.length - MOST_LISTED} more problems`];
}

/** A validation that says its folds and not its kind is of the default one: `--set thresholds.validation.folds=5`. */
function withValidationKind(definition: Plain): Plain {
  const { thresholds } = definition;
  const validation = isPlain(thresholds) ? thresholds['validation'] : undefined;
  if (!isPlain(thresholds) || !isPlain(validation) || validation['kind'] !== undefined) return definition;
  return { ...definition, thresholds: { ...thresholds, validation: { ...validation, kind: 'cross-fit' } } };
}

/** What is wrong with the presets that do not run now, as far as nothing else is to blame: no mistake waits for later. */
function presetProblems(base: Plain, presets: Readonly<Record<string, Plain | undefined>>, own: string[]): string[] {
  const problemsOf = (change: Plain): string[] => {
    const definition = withValidationKind(change);
    const { error } = experimentSchema.safeParse(definition);
    return error === undefined ? [] : describe(error, definition, [], experimentSchema);
  };
  const said = new Set([...own, ...problemsOf(base)]);
  return Object.entries(presets).flatMap(([name, change]) => {
    const problems = problemsOf(merge(base, change ?? {})).filter((problem) => !said.has(problem));
    return problems.map((problem) => `presets.${name}.${problem}`);
  });
}

/** `gates.epochs=5` as an override; the value is read as JSON where it is JSON, else as text. */
export function parseSetting(setting: string): Override {
  const [, path, value] = /^([A-Za-z][\w.]*)=(.*)$/s.exec(setting) ?? [];
  if (path === undefined || value === undefined || path.split('.').length > DEEPEST) {
    throw new InputError(
      `--set ${setting}; valid: path=value, for example gates.epochs=10 or thresholds.margins=[0.01]`,
    );
  }
  if (/^-?Infinity$/.test(value)) return { path, value: Number(value) };
  try {
    return { path, value: JSON.parse(value) as unknown };
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

/** One line per problem: path, value, what would be valid. */
function describe(error: z.ZodError, value: unknown, within: readonly string[], schema: z.ZodType): string[] {
  return error.issues.flatMap((issue) => {
    const path = issue.path.map(String);
    const at = (keys: readonly string[]): string => [...within, ...keys].map(showKey).join('.');
    const found = path.reduce<unknown>((item, key) => own(item, key), value);
    if (issue.code === 'unrecognized_keys') {
      const kind = isPlain(found) && typeof found['kind'] === 'string' ? found['kind'] : undefined;
      const valid = keysAt(schema, path, kind).join(', ');
      return issue.keys.map((key) => `${at([...path, key])}: unknown key; valid: ${valid}`);
    }
    return `${at(path)}: ${found === undefined ? 'missing' : show(found)}; valid: ${issue.message}`;
  });
}

function own(item: unknown, key: string): unknown {
  return typeof item === 'object' && item !== null && Object.hasOwn(item, key) ? (item as Plain)[key] : undefined;
}

/** Keys that the schema knows at a path; where there are several kinds of objects, those of this kind. */
function keysAt(schema: z.ZodType, path: readonly string[], kind: string | undefined): string[] {
  const objects = [schema].flatMap(objectsIn);
  const reached = path.reduce((candidates, key) => {
    return candidates.flatMap((object) => objectsIn(object.shape[key] as z.ZodType | undefined));
  }, objects);
  const ofKind = reached.filter(({ shape }) => {
    const literal = shape['kind'] as z.ZodType | undefined;
    return literal instanceof z.ZodLiteral && literal.value === kind;
  });
  return [...new Set((ofKind.length > 0 ? ofKind : reached).flatMap((object) => Object.keys(object.shape)))];
}

/** The object schemas inside defaults, optionals and unions. */
function objectsIn(schema: z.ZodType | undefined): z.ZodObject[] {
  if (schema instanceof z.ZodObject) return [schema];
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((option) => objectsIn(option as z.ZodType));
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional) {
    return objectsIn(schema.unwrap() as z.ZodType);
  }
  return [];
}
