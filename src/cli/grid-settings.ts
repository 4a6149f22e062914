import { InputError } from '../errors.js';
import { type Override, parseSetting } from '../experiment/resolve.js';

/** One `--set`: a path and its values, one for each combination. */
export interface Axis {
  readonly path: string;
  readonly values: readonly unknown[];
}

/** The values of all axes that vary, in one combination. */
export interface Combination {
  /** One for each axis, in the order of the command line. */
  readonly settings: readonly Override[];
  /** `gates.loss=hinge, gates.epochs=5`: the axes that vary. */
  readonly label: string;
}

/**
 * `gates.loss=hinge,cross-entropy` as two values. Commas inside brackets, braces and quotes do not separate values:
 * `thresholds.margins=[0.01,0.02]` is one list and `title="a, b"` one text.
 *
 * @throws InputError
 */
export function parseAxis(setting: string): Axis {
  const [, path, text] = /^([A-Za-z][\w.]*)=(.*)$/s.exec(setting) ?? [];
  if (path === undefined || text === undefined) return { path: '', values: [parseSetting(setting)] }; // throws
  const parts = splitAtCommas(text);
  if (parts.length > 1 && parts.some((part) => part.trim() === '')) {
    throw new InputError(`--set ${setting}: an empty value between commas; valid: path=value or path=value,value`);
  }
  return { path, values: parts.map((part) => parseSetting(`${path}=${part}`).value) };
}

function splitAtCommas(text: string): string[] {
  const parts = [''];
  let depth = 0;
  let quoted = false;
  for (const [i, letter] of [...text].entries()) {
    if (letter === '"' && text[i - 1] !== '\\') quoted = !quoted;
    if (!quoted && '[{'.includes(letter)) depth++;
    if (!quoted && ']}'.includes(letter)) depth--;
    if (letter === ',' && depth === 0 && !quoted) parts.push('');
    else parts[parts.length - 1] += letter;
  }
  return parts;
}

/** Whether a command line asks for more than one combination. @throws InputError */
export const isGrid = (set: readonly string[]): boolean => set.some((setting) => parseAxis(setting).values.length > 1);

/** Every combination of the values, each once. @throws InputError where an axis that varies is given twice */
export function combinations(set: readonly string[]): Combination[] {
  const axes = set.map(parseAxis);
  const paths = axes.map(({ path }) => path);
  const twice = axes.find(({ path, values }) => values.length > 1 && paths.indexOf(path) !== paths.lastIndexOf(path));
  if (twice !== undefined) throw new InputError(`--set ${twice.path}: given twice; valid: once, with all its values`);
  const all = axes.reduce<Override[][]>(
    (before, { path, values }) =>
      before.flatMap((settings) => distinct(values).map((value) => [...settings, { path, value }])),
    [[]],
  );
  const varied = axes.filter(({ values }) => values.length > 1).map(({ path }) => path);
  return all.map((settings) => {
    const shown = settings.filter(({ path }) => varied.includes(path));
    return { settings, label: shown.map(({ path, value }) => `${path}=${valueText(value)}`).join(', ') };
  });
}

/** The settings of a combination that differ between combinations. */
export function variedSettings(all: readonly Combination[], { settings }: Combination): Record<string, string> {
  const others = (index: number, text: string): boolean =>
    all.some((one) => valueText(one.settings[index]!.value) !== text);
  return Object.fromEntries(
    settings.flatMap(({ path, value }, i) => (others(i, valueText(value)) ? [[path, valueText(value)]] : [])),
  );
}

const distinct = (values: readonly unknown[]): unknown[] =>
  values.filter((value, i) => values.findIndex((other) => valueText(other) === valueText(value)) === i);

/** A value as `--set` reads it back. */
export function valueText(value: unknown): string {
  if (typeof value === 'string') return /[",]/.test(value) ? JSON.stringify(value) : value;
  return typeof value === 'number' ? String(value) : JSON.stringify(value);
}
