import { z } from 'zod';
import { InputError } from '../errors.js';
import { type PresetName, presetNames } from './definition.js';
import { type Experiment, experimentSchema, presetsSchema } from './schema.js';

type Plain = Readonly<Record<string, unknown>>;

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
  if (!isPlain(exported)) {
    throw new InputError(
      `${where}: its default export is ${show(exported)}; valid: export default defineExperiment({...})`,
    );
  }
  const { presets, ...base } = exported;
  const sizes = presetsSchema.safeParse(presets ?? {});
  const chosen = sizes.success ? sizes.data[preset] : undefined;
  if (chosen === undefined && preset !== 'laptop' && sizes.success) {
    const valid = presetNames.filter((name) => name === 'laptop' || sizes.data[name] !== undefined);
    throw new InputError(`${where}: no preset "${preset}"; valid: ${valid.join(', ')}`);
  }
  const merged = overrides.reduce(
    (value, { path, value: item }) => {
      return merge(value, nest(path.split('.'), item));
    },
    merge(base, chosen ?? {}),
  );
  const checked = experimentSchema.safeParse(merged);
  const own = checked.success ? [] : describe(checked.error, merged, [], experimentSchema);
  const ofPresets = sizes.success
    ? presetProblems(base, sizes.data, own)
    : describe(sizes.error, presets, ['presets'], presetsSchema);
  const problems = [...new Set([...ofPresets, ...own])];
  if (!checked.success || problems.length > 0) throw new InputError(problems.map((problem) => `${where}: ${problem}`));
  return checked.data;
}

/** What is wrong with the presets that do not run now, as far as nothing else is to blame: no mistake waits for later. */
function presetProblems(base: Plain, presets: Readonly<Record<string, Plain | undefined>>, own: string[]): string[] {
  const problemsOf = (definition: Plain): string[] => {
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
  if (path === undefined || value === undefined) {
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

function isPlain(value: unknown): value is Plain {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function nest(path: readonly string[], value: unknown): Plain {
  const [key = '', ...rest] = path;
  return { [key]: rest.length === 0 ? value : nest(rest, value) };
}

/** Objects are merged key by key; an object whose `kind` changes, a list or a value replaces what stood there. */
function merge(base: Plain, change: Plain): Plain {
  const result: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(change)) {
    const before = result[key];
    const sameKind = isPlain(before) && isPlain(value) && (value['kind'] ?? before['kind']) === before['kind'];
    result[key] = sameKind ? merge(before, value) : value;
  }
  return result;
}

function show(value: unknown): string {
  // JSON has no NaN and no Infinity.
  const text = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** One line per problem: path, value, what would be valid. */
function describe(error: z.ZodError, value: unknown, within: readonly string[], schema: z.ZodType): string[] {
  return error.issues.flatMap((issue) => {
    const path = issue.path.map(String);
    const at = (keys: readonly string[]): string => [...within, ...keys].join('.');
    if (issue.code === 'unrecognized_keys') {
      const valid = keysAt(schema, path).join(', ');
      return issue.keys.map((key) => `${at([...path, key])}: unknown key; valid: ${valid}`);
    }
    const found = path.reduce<unknown>((item, key) => (item as Plain | undefined)?.[key], value);
    return `${at(path)}: ${found === undefined ? 'missing' : show(found)}; valid: ${issue.message}`;
  });
}

/** Keys that the schema knows at a path. */
function keysAt(schema: z.ZodType, path: readonly string[]): string[] {
  const objects = [schema].flatMap(objectsIn);
  const reached = path.reduce((candidates, key) => {
    return candidates.flatMap((object) => objectsIn(object.shape[key] as z.ZodType | undefined));
  }, objects);
  return [...new Set(reached.flatMap((object) => Object.keys(object.shape)))];
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
