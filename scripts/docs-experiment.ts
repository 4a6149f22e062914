import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { paperExperiments } from '../src/paper/index.js';
import { escaped, read, root } from './docs-numbers.js';
import { examples } from './experiment-examples.js';

/** The functions that make an object of a kind. */
const makers: Readonly<Record<string, string>> = {
  onnx: 'onnxNetwork(...)',
  cascade: 'cascade(...)',
  scores: 'scores(...)',
  'image-folder': 'imageFolder(...)',
};

interface Schema {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly items?: Schema | boolean;
  readonly prefixItems?: readonly Schema[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly additionalProperties?: unknown;
}

const literal = (value: unknown): string => {
  if (typeof value === 'string') return `'${value}'`;
  if (Array.isArray(value)) return `[${value.map(literal).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return String(value);
  return `{ ${Object.entries(value)
    .map(([key, item]) => `${key}: ${literal(item)}`)
    .join(', ')} }`;
};

function typeOf(schema: Schema): string {
  const options = schema.anyOf ?? schema.oneOf;
  if (schema.const !== undefined) return literal(schema.const);
  if (schema.enum !== undefined) return schema.enum.map(literal).join(', ');
  if (options !== undefined) return [...new Set(options.map(typeOf))].join(', or ');
  if (schema.prefixItems !== undefined) return `[${schema.prefixItems.map(typeOf).join(', ')}]`;
  if (schema.type === 'array') return `list of ${typeof schema.items === 'object' ? typeOf(schema.items) : 'values'}`;
  if (schema.type === 'string') return 'text';
  if (schema.type === 'boolean') return 'true, false';
  if (schema.type === 'object') {
    const kind = schema.properties?.['kind']?.const;
    return kind === undefined ? 'object' : (makers[String(kind)] ?? `object of kind ${literal(kind)}`);
  }
  return rangeOf(schema);
}

function rangeOf(schema: Schema): string {
  if (schema.type === 'integer' || schema.type === 'number') {
    const { minimum, maximum } = schema;
    const name = schema.type === 'integer' ? 'whole number' : 'number';
    const safe = maximum === undefined || maximum >= 1e9 ? undefined : maximum;
    if (minimum === undefined || minimum <= -1e6) return name;
    return safe === undefined ? `${name} from ${minimum}` : `${name}, ${minimum} to ${safe}`;
  }
  return 'text';
}

/** JSDoc comments of the object literals of a source: the keys of each literal, in order, with their comments. */
export function commentsOf(text: string): ReadonlyMap<string, string>[] {
  const done: Map<string, string>[] = [];
  const open: (Map<string, string> | undefined)[] = [];
  let comment = '';
  const token =
    /\/\*\*(.*?)\*\/|\/\*.*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`(?:\\.|[^`\\])*`|\/(?![*/ ])(?:\\.|[^/\\\n])+\/\w*|[\w$]+|\S/gs;
  let previous = '';
  let word = '';
  for (const match of text.matchAll(token)) {
    const [whole, doc] = match;
    if (doc !== undefined) {
      comment = doc
        .replaceAll(/^\s*\* ?/gm, ' ')
        .replaceAll(/\s+/g, ' ')
        .trim();
      continue;
    }
    if (whole.startsWith('//') || whole.startsWith('/*')) continue;
    if (/^[({[]$/.test(whole)) open.push(whole === '{' ? new Map() : undefined);
    else if (/^[)}\]]$/.test(whole)) {
      const closed = open.pop();
      if (closed !== undefined && closed.size > 0) done.push(closed);
    } else if (/^[\w$]+$/.test(whole) && (previous === '{' || previous === ',')) {
      word = whole;
      open.at(-1)?.set(word, comment);
    }
    comment = '';
    previous = whole;
  }
  return done;
}

const sources = ['src/experiment', 'src/paper'].flatMap((folder) =>
  readdirSync(join(root, folder)).flatMap((name) =>
    name.endsWith('.ts') ? commentsOf(read(`${folder}/${name}`)) : [],
  ),
);

/** The comment of a key: of the literals that have it, the one whose keys are most alike. */
function commentOf(keys: readonly string[], key: string): string {
  const alike = (literal: ReadonlyMap<string, string>): number => {
    const shared = keys.filter((one) => literal.has(one)).length;
    return shared / (keys.length + literal.size - shared);
  };
  const common = (literal: ReadonlyMap<string, string>): number => keys.filter((one) => literal.has(one)).length;
  const own = sources.find((literal) => literal.has(key) && alike(literal) > 0.9);
  const [best] = sources
    .filter((literal) => (literal.get(key) ?? '') !== '' && common(literal) >= Math.min(2, keys.length, literal.size))
    .sort((a, b) => alike(b) - alike(a) || b.size - a.size);
  return (own ?? best)?.get(key) ?? '';
}

/** All values that the examples have at a path such as `thresholds.guarantee.drop`. */
function exampleAt(path: readonly string[]): string {
  for (const example of examples) {
    const value = path.reduce<unknown>((at, key) => {
      const [name, kind] = key.split(':');
      const inside = name === '' ? at : (at as Record<string, unknown> | undefined)?.[name!];
      const list = Array.isArray(inside) ? inside : [inside];
      if (kind === undefined)
        return Array.isArray(inside) && typeof inside[0] === 'object' && key !== path.at(-1) ? inside[0] : inside;
      return list.find((one) => (one as { kind?: string } | undefined)?.kind === kind);
    }, example);
    if (value !== undefined && typeof value !== 'function') {
      const text = literal(value);
      return text.length > 70 ? '' : `\`${text}\``;
    }
  }
  return '';
}

interface Section {
  /** Where the object stands: `thresholds.guarantee`. */
  readonly places: string[];
  /** Key, type, default, what. */
  readonly rows: readonly (readonly string[])[];
  readonly examples: string[];
}

/** The sections of an object of the schema and of all objects below it. @throws Error for a key without a comment */
function sections(place: string, path: readonly string[], schema: Schema): Section[] {
  const properties = schema.properties ?? {};
  const keys = Object.keys(properties);
  const below: Section[] = [];
  const rows = keys.map((key) => {
    const value = properties[key]!;
    const choices = [value, ...(value.anyOf ?? value.oneOf ?? [])];
    const objects = choices.flatMap((one) => {
      const item = typeof one.items === 'object' ? one.items : undefined;
      return [one, ...(item === undefined ? [] : [item, ...(item.anyOf ?? item.oneOf ?? [])])];
    });
    for (const object of objects.filter((one) => one.properties !== undefined)) {
      const kind = object.properties!['kind']?.const;
      const name = [...path, key].map((one) => one.split(':')[0]).join('.');
      if (kind === undefined) below.push(...sections(`\`${name}\``, [...path, key], object));
      else below.push(...sections(`\`${name}\`: ${makers[String(kind)] ?? kind}`, [...path, `${key}:${kind}`], object));
    }
    const needed = schema.required?.includes(key) === true ? 'needed' : '';
    const usual = value.default === undefined ? needed : `\`${literal(value.default)}\``;
    const comment = key === 'kind' ? 'which of the kinds it is' : commentOf(keys, key);
    const what = comment.replace(/ ?Default(?: `[^`]*`|: [^;.]*|[^;.]*\.\.\. [\d.]+|( [\d.]+,?)+| -?[\w.]+)\.$/, '');
    if (what === '') missing.push(`${place}: ${key}`);
    const types =
      objects.filter((one) => one.properties?.['kind'] !== undefined).length > 4
        ? 'an object of a kind below'
        : typeOf(value);
    return [`\`${key}\``, types, usual, what].map(escaped);
  });
  return [{ places: [place], rows, examples: keys.map((key) => escaped(exampleAt([...path, key]))) }, ...below];
}
const missing: string[] = [];

/** docs/experiment.md. */
export function experimentPage(): string {
  const schema = z.toJSONSchema(paperExperiments, { io: 'input', unrepresentable: 'any' }) as Schema;
  const different = new Map<string, Section>();
  for (const section of sections('The experiment', [], schema)) {
    const same = different.get(JSON.stringify(section.rows));
    if (same === undefined) different.set(JSON.stringify(section.rows), section);
    else {
      same.places.push(...section.places);
      for (const [i, example] of section.examples.entries()) same.examples[i] ||= example;
    }
  }
  if (missing.length > 0)
    throw new Error(`keys of an experiment without a comment in its schema: ${missing.join('; ')}`);
  const texts = [...different.values()].map(({ places: [place, ...others], rows, examples }) => {
    const also = others.length === 0 ? '' : `Also: ${others.join(', ')}.\n\n`;
    const lines = rows.map((cells, i) => `| ${[...cells, examples[i]].join(' | ')} |`);
    return `## ${place}\n\n${also}| key | type | default | what | example |\n|---|---|---|---|---|\n${lines.join('\n')}\n`;
  });
  return `# Every key of an experiment

Written by \`npm run docs\` from the schema that checks a definition; \`dgate run\` names each wrong key with its path and what
would be valid. Shares are fractions: 0.01 is one percent, or one point of accuracy. FLOPs are 2 x multiply-accumulates. Any
value can be overridden on the command line: \`--set gates.l2=0.01\`. The key \`presets\` of a definition file holds what differs
in each size: \`presets: { smoke: { testImages: 500 } }\`; its names are \`paper\`, \`laptop\`, \`quick\` and \`smoke\`.

${texts.join('\n')}`;
}
