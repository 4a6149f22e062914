import { z } from 'zod';
import type { Comparison } from '../src/batch/compare.js';
import type { Predictions } from '../src/gated/predict.js';
import type { NetworkFlops } from '../src/networks/network.js';
import type { Claim } from '../src/report/findings.js';
import type { PublishedRow, TableRow } from '../src/report/rows.js';
import type { OriginalEvaluation } from '../src/run/images.js';
import type { RunDocument } from '../src/run/record.js';
import { guaranteeMethods } from '../src/thresholds/guarantee.js';
import { searchMethods } from '../src/thresholds/methods.js';

// What --json prints: the compiler compares each schema with the type of what is printed. `npm run docs` writes
// schema.json, which ships (`dgate/schema.json`), and the tables of docs/json.md.

const number = (text: string) => z.number().describe(text);
const share = (text: string) => z.number().describe(`${text}; a fraction`);
const ends = (of: string) => z.tuple([z.number(), z.number()]).describe(`lower and upper end, ${of}`);
const maybe = <T extends z.ZodType>(item: T, when: string) => z.exactOptional(item).describe(when);
/** The compiler refuses a schema whose documents are no T. */
const of = <T>() => ({ is: <S extends z.ZodType<T>>(schema: S): S => schema });
const each = <T extends z.ZodType>(of: T) => ({
  ...{ accuracy: of.nullable(), accuracyDrop: of.nullable() },
  ...{ flops: of, flopsReduction: of },
});
const known = (item: z.ZodNumber) => item.nullable().describe(`${item.description}; null without labels`);

const published: z.ZodType<PublishedRow> = z.strictObject({
  model: z.string(),
  accuracy: z.number(),
  flops: z.number(),
  flopsReduction: z.number().nullable(),
  speedMs: z.number().nullable(),
  speedUp: z.number().nullable(),
});
const spread = z.strictObject({ lowest: z.number(), highest: z.number(), deviation: z.number() });
const guarantee = z.strictObject({
  drop: share('what is lost at most'),
  confidence: share('over the draw of the choosing images'),
  of: z.exactOptional(z.literal('agreement')),
  method: z.exactOptional(z.enum(guaranteeMethods)),
  parts: z.array(z.strictObject({ open: z.boolean(), pValue: z.number().nullable(), testedOn: z.number() })),
});

const row = z.strictObject({
  model: z.string().describe('`dg(t1, t2)`, `cascade(t1)`, or `Original`'),
  margin: z.number().nullable().describe('accuracy margin of the search, a fraction; null without one'),
  search: z.enum(searchMethods).nullable().describe('how thresholds were searched; null without a margin'),
  budget: maybe(z.number(), 'share of the FLOPs that the thresholds were to keep'),
  latencyMs: maybe(z.number(), 'average milliseconds of an image that the thresholds were to keep'),
  allowedDisagreement: maybe(z.number(), 'share of other answers that the thresholds were to keep'),
  guarantee: guarantee
    .nullable()
    .describe('what is promised: drop, confidence, of, method, parts; null without a promise'),
  thresholds: z
    .array(z.array(z.number().nullable()))
    .describe('a list for each fold and seed, a number for each gate; null for a closed gate; empty for the original'),
  accuracy: known(share('on the reported images')),
  accuracyDrop: known(share("the original's accuracy minus this one's")),
  flops: number('average FLOPs per image, gates included'),
  flopsReduction: share("1 - flops / the original's"),
  speedMs: z.number().nullable().describe('milliseconds per image (`dgate time`); null where it was not timed'),
  speedUp: z.number().nullable().describe("share of the original's time that is saved; null where it was not timed"),
  efficiency: z.number().nullable().describe('share of the FLOPs reduction that becomes speed-up'),
  exits: z.array(z.number()).describe('share of images that leave at each exit, the original classifier last'),
  intervals: z
    .strictObject({
      ...each(ends('in the units of the row')),
      disagreement: z.exactOptional(ends('of images without labels only')),
    })
    .nullable()
    .describe('95 % intervals over the reported images, thresholds as they are'),
  chosenAgain: maybe(
    z.strictObject({
      accuracyDrop: ends('a fraction').nullable(),
      flopsReduction: ends('a fraction'),
      disagreement: z.exactOptional(ends('of images without labels only')),
    }),
    '95 % intervals with thresholds searched again (`resamples`)',
  ),
  seeds: z.array(z.number()).describe('seeds whose mean the row is'),
  spread: z
    .strictObject(each(spread))
    .nullable()
    .describe('lowest, highest and deviation over the seeds; null for one'),
  disagreement: share("images with another answer than the original's"),
  worstClassDrop: known(share('largest drop of accuracy of a class')),
  published: maybe(published, "the paper's row for the same margin"),
});
const claim: z.ZodType<Claim> = z.strictObject({
  id: z.string(),
  source: z.string(),
  statement: z.string(),
  printed: z.string(),
  rule: z.string(),
  measured: z.string(),
  verdict: z.enum(['holds', 'does not hold', 'undecided', 'cannot be checked here']),
  why: z.exactOptional(z.string()),
  chance: z.number(),
  trace: z.strictObject({ file: z.string(), row: z.string() }),
});
const version = { version: z.literal(1).describe('of the form of the document: 1') };
const about = {
  experiment: z.string().describe('its name'),
  preset: z.enum(['paper', 'laptop', 'quick', 'smoke']).describe('size of the run'),
};
const run = z.strictObject({
  ...version,
  ...about,
  engine: z.string().describe('what ran the network'),
  seeds: z.array(z.number()).describe('of choice of images, folds and training'),
  splits: z
    .strictObject({ train: z.number(), validation: z.string(), test: z.number() })
    .describe('images that gates learn from, what thresholds are chosen on (in words), images that are reported'),
  rows: z.array(row).describe('in the order of the definition; `Original` last'),
  areas: maybe(
    z.array(
      z.strictObject({
        rows: z.enum([...searchMethods, 'budget', 'disagreement']),
        from: z.number(),
        area: z.number(),
      }),
    ),
    'area under accuracy against FLOPs of each kind of rows: mean accuracy from a share of the FLOPs to all of them',
  ),
  claims: maybe(z.array(claim), "what became of the paper's claims (docs/outputs.md)"),
});
const failed = z.strictObject({ ...version, ...about, error: z.string().describe('why it could not be run') });
const difference = z.strictObject({
  row: z.string().describe('`margin 0.01, joint`'),
  quantity: z.string().describe('with its unit'),
  a: z.number().nullable(),
  b: z.number().nullable(),
  difference: z.number().nullable().describe('b - a'),
  interval: ends('95 %, over seeds').nullable().describe('of the difference; null for one seed'),
});
const value = z.union([z.number(), z.string()]).nullable();
const compare = z.strictObject({
  ...version,
  a: z.string().describe('folder of the first run'),
  b: z.string().describe('folder of the other'),
  basis: z
    .array(z.strictObject({ path: z.string(), a: value, b: value }))
    .describe('differences of definition, images, versions, code, machine'),
  basisUnknown: maybe(z.literal(true), 'one of them is nothing but its table.csv'),
  results: z.array(difference).describe('differences of rows: row, quantity, a, b, difference, interval'),
  equalRows: number('rows that are equal in both'),
  intervals: maybe(z.enum(['paired', 'independent']), 'what the intervals are of'),
});
const size = z.strictObject({ width: z.number(), height: z.number() });
const pixels = z.strictObject({
  ...size.shape,
  order: z.enum(['rgb', 'bgr', 'grey']),
  mean: z.array(z.number()),
  std: z.array(z.number()),
  resize: z.number(),
  interpolation: z.enum(['bilinear', 'bicubic']),
  squash: z.boolean(),
});
const predict = z.strictObject({
  ...version,
  model: z.string().describe('the file'),
  exits: number('number of exits, the original classifier included'),
  thresholds: z.array(z.number().nullable()).describe('of each gate; null for a closed one'),
  input: pixels.describe('of the network: size in pixels, and how images become it'),
  predictions: z
    .array(
      z.strictObject({
        image: z.string(),
        class: z.string(),
        classIndex: z.number(),
        exit: z.number(),
        confidence: z.number(),
        ms: z.number(),
        resizedFrom: z.exactOptional(size),
      }),
    )
    .describe('image, class, classIndex, exit (from 1), confidence, ms, resizedFrom'),
});
const map = { channels: z.number(), height: z.number(), width: z.number() };
const flops = z.strictObject({
  ...version,
  network: z.string(),
  input: z.strictObject(map),
  parameters: number('trainable numbers'),
  flops: number('of the whole network, 2 x multiply-accumulates'),
  stages: z
    .array(z.strictObject({ name: z.string(), ...map, flops: z.number(), cumulativeFlops: z.number() }))
    .describe('name, shape at its end, flops of the stage, cumulativeFlops from the image on'),
});
const evaluation = z.strictObject({
  ...version,
  network: z.string(),
  engine: z.string(),
  accuracy: share('classified correctly'),
  images: number('how many'),
  seconds: number('in the network'),
});

/** Every document, by the command that prints it. */
export const documents = {
  run: {
    of: of<RunDocument>().is(run),
    shape: run.shape,
    what: '`dgate run` and `dgate frontier`; of several experiments a list',
  },
  failed: { of: failed, shape: failed.shape, what: 'an experiment of several that failed' },
  row: { of: of<TableRow>().is(row), shape: row.shape, what: 'one of `rows`' },
  compare: {
    of: of<Comparison>().is(compare),
    shape: compare.shape,
    what: '`dgate compare` and `dgate rerun`; of more than two runs a list',
  },
  predict: { of: of<Predictions>().is(predict), shape: predict.shape, what: '`dgate predict`' },
  flops: { of: of<NetworkFlops>().is(flops), shape: flops.shape, what: '`dgate flops`' },
  evaluation: { of: of<OriginalEvaluation>().is(evaluation), shape: evaluation.shape, what: '`dgate model eval`' },
};

export function schemaText(): string {
  const defs = Object.entries(documents).map(([name, { of }]) => {
    const { $schema: _, ...schema } = z.toJSONSchema(of);
    return [name, schema];
  });
  const $defs = Object.fromEntries(defs) as Record<string, unknown>;
  const $schema = 'https://json-schema.org/draft/2020-12/schema';
  return `${JSON.stringify({ $schema, title: 'What dgate --json prints', $defs }, null, 1)}\n`;
}

/** docs/json.md. */
export function pageText(): string {
  const tables = Object.entries(documents).map(([name, { shape, what }]) => {
    const rows = Object.entries(shape).map(([field, schema]) => {
      const { description = '' } = schema as z.ZodType;
      return `| \`${field}\` | ${description.replaceAll('|', '\\|')} |`;
    });
    return `## ${name}\n\n${what}.\n\n| field | what |\n|---|---|\n${rows.join('\n')}\n`;
  });
  return `# What --json prints

One JSON document on stdout, and nothing else. It begins with \`version\`, the version of its form: fields may come, and the
version grows where one changes its meaning or goes. Shares are fractions, not percent; what was not measured is null. The
schema ships with the package (\`dgate/schema.json\`, JSON Schema 2020-12, a definition for each document below); it and this page
are written by \`npm run docs\` from the schemas that the tests hold against what the commands print.
Other commands' documents begin with \`version\` too and have no schema; lists (\`dgate list KIND --json\`, \`dgate runs --json\`) have none.

${tables.join('\n')}`;
}
