import { z } from 'zod';
import { isPlain, type Plain, put } from './plain.js';
import { type Experiment, type ExperimentSchema, presetsSchema } from './schema.js';
import { show, showKey } from './show.js';

/** With more problems than this there is enough to mend: each would be a copy of the definition. */
const MOST_PATCHED = 1000;

/** The experiment, or all that is wrong with it: a line each, of path, value and what would be valid. */
export function checkExperiment(
  definition: Plain,
  schema: ExperimentSchema,
): { experiment: Experiment | undefined; problems: string[] } {
  const checked = schema.safeParse(definition, { reportInput: true });
  if (checked.success) return { experiment: checked.data, problems: [] };
  const { issues: found } = checked.error;
  const issues = found.length > MOST_PATCHED ? found : [...found, ...hiddenIssues(definition, found, schema)];
  return { experiment: undefined, problems: describe(issues, definition, [], schema) };
}

/** What is wrong with the presets as such: their names, and that they are objects. */
export function presetsProblems(presets: unknown): string[] {
  const { error } = presetsSchema.safeParse(presets ?? {});
  return error === undefined ? [] : describe(error.issues, presets, ['presets'], presetsSchema);
}

type Issue = z.core.$ZodIssue;

/**
 * Rules between several values are not looked at where one value has the wrong type. Here they are, with such values
 * replaced by some that pass; what such a replacement may have caused is left out.
 */
function hiddenIssues(definition: Plain, issues: readonly Issue[], schema: ExperimentSchema): Issue[] {
  let patched: Plain = { name: 'x', title: 'x', network: 'x', ...definition };
  for (const issue of issues) {
    const extra = issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...issue.path, key]) : [issue.path];
    for (const path of extra) patched = replaced(patched, path.map(String)) as Plain;
  }
  const again = schema.safeParse(patched, { reportInput: true }).error?.issues ?? [];
  const said = issues.map(({ path }) => path.map(String));
  const isNew = ({ code, path }: Issue): boolean =>
    code === 'custom' && !said.some((other) => path.every((key, i) => String(key) === other[i]));
  return again.filter(isNew);
}

/** Without the value at a path: what has a default takes it, an element of a list becomes 1, a needed text `x`. */
function replaced(item: unknown, [key, ...rest]: readonly string[]): unknown {
  if (key === undefined) return undefined;
  if (Array.isArray(item)) {
    return item.map((each: unknown, i) => (String(i) === key ? (replaced(each, rest) ?? 1) : each));
  }
  if (!isPlain(item)) return item;
  const { [key]: value, ...others } = item;
  const after = replaced(value, rest) ?? (['name', 'title', 'network'].includes(key) ? 'x' : undefined);
  const copy: Record<string, unknown> = { ...others };
  if (after !== undefined) put(copy, key, after);
  return copy;
}

/** One line per problem: path, value, what would be valid. */
function describe(issues: readonly Issue[], value: unknown, within: readonly string[], schema: z.ZodType): string[] {
  return issues.flatMap((issue) => {
    const path = issue.path.map(String);
    const at = (keys: readonly string[]): string => [...within, ...keys].map(showKey).join('.');
    const found = path.reduce<unknown>((item, key) => own(item, key), value);
    if (issue.code === 'unrecognized_keys') {
      const kind = isPlain(found) && typeof found['kind'] === 'string' ? found['kind'] : undefined;
      const valid = keysAt(schema, path, kind).join(', ');
      return issue.keys.map((key) => `${at([...path, key])}: unknown key; valid: ${valid}`);
    }
    // Of an object that may be a text as well, what is wrong inside says more than that it is neither.
    const inside = issue.code === 'invalid_union' && isPlain(found) ? issue.errors.find(isOfObject) : undefined;
    if (inside !== undefined) {
      const issues = inside.map((problem) => ({ ...problem, path: [...issue.path, ...problem.path] }));
      return describe(issues, value, within, schema);
    }
    // A rule between several values may name an absent one: then its default does not fit.
    const shown = found === undefined && issue.code === 'custom' ? issue.input : found;
    return `${at(path)}: ${shown === undefined ? 'missing' : show(shown)}; valid: ${issue.message}`;
  });
}

/** Whether a union's option is of this kind of object: what it finds wrong lies inside. */
function isOfObject(issues: readonly Issue[]): boolean {
  return issues.every(({ code, path }) => (path.length > 0 && path[0] !== 'kind') || code === 'unrecognized_keys');
}

function own(item: unknown, key: string): unknown {
  return typeof item === 'object' && item !== null && Object.hasOwn(item, key) ? (item as Plain)[key] : undefined;
}

/** Keys that the schema knows at a path; where there are several kinds of objects, those of this kind. */
function keysAt(schema: z.ZodType, path: readonly string[], kind: string | undefined): string[] {
  const objects = [schema].flatMap(objectsIn);
  const reached = path.reduce((candidates, key) => {
    if (/^\d+$/.test(key)) return candidates; // an element of a list, whose objects were reached with the list
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
  if (schema instanceof z.ZodArray) return objectsIn(schema.element as z.ZodType);
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((option) => objectsIn(option as z.ZodType));
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional) {
    return objectsIn(schema.unwrap() as z.ZodType);
  }
  return [];
}
