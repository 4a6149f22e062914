/**
 * npx tsx bench/own-exits.ts FOLDER CACHE [TABLE.csv]
 *
 * Networks with exits of their own from `bench/own_exits.py` (FOLDER), the whole way through the command line: `dgate model
 * inspect`, `run` with `gates: 'own'` on all test images (below CACHE), `time --verify`, `export`, and `predict` with the file itself and
 * with the exported one. What comes out is compared with what the files themselves say, one image at a time in Python's ONNX Runtime
 * (class) and in PyTorch (exit). TABLE.csv gets a line for each file that it does not have yet.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { csvOf, parseCsv } from '../src/csv.js';
import { datasetNamed } from '../src/data/registry.js';
import type { Predictions } from '../src/gated/predict.js';
import { renderColumns } from '../src/report/findings.js';
import type { RunDocument } from '../src/run/record.js';

const [folder, cache, table] = process.argv.slice(2);
if (cache === undefined) throw new Error('own-exits.ts FOLDER CACHE [TABLE.csv]');
const PREDICTED = 32;
const MARGIN = 0.01;
const work = mkdtempSync(join(tmpdir(), 'dgate-own-exits-'));
const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** What `bench/own_exits.py` writes of a network. */
interface Said {
  readonly dataset: string;
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly exits: readonly number[];
  readonly script: readonly number[];
  readonly cond: readonly number[];
  readonly versions: string;
}

const COLUMNS = [
  ...['network', 'form', 'exits', 'leaves', 'images_at_each_exit', 'original_accuracy_fraction', 'accuracy_fraction'],
  ...[
    'flops_reduction_fraction',
    'margin_fraction',
    'margin_accuracy_drop_fraction',
    'margin_flops_reduction_fraction',
  ],
  ...[
    'images_same_class',
    'images_same_exit',
    'images',
    'images_executed_same',
    'images_executed',
    'images_predicted_same',
  ],
  ...['images_predicted', 'command', 'date', 'machine', 'versions'],
];

const known = table !== undefined && existsSync(table) ? parseCsv(readFileSync(table, 'utf8'), table) : [];
const rows: unknown[][] = known.map((record) => COLUMNS.map((column) => record[column]));
try {
  for (const json of readdirSync(folder!).filter((name) => name.endsWith('.json'))) {
    for (const form of ['script', 'cond'] as const) {
      const name = basename(json, '.json');
      if (rows.some((row) => row[0] === name && row[1] === form)) continue;
      rows.push(await wholeWay(name, form));
      if (table !== undefined) writeFileSync(table, csvOf([COLUMNS, ...rows]));
      process.stderr.write(`${rows.at(-1)!.slice(0, 18).join('  ')}\n`);
    }
  }
} finally {
  rmSync(work, { recursive: true });
}
process.stdout.write(
  `${renderColumns(
    COLUMNS.slice(0, 18),
    rows.map((row) => row.slice(0, 18).map(String)),
  )}\n`,
);

async function wholeWay(name: string, form: 'script' | 'cond'): Promise<unknown[]> {
  const file = resolve(folder!, `${name}.${form}.onnx`);
  const said = JSON.parse(readFileSync(join(folder!, `${name}.json`), 'utf8')) as Said;
  const inspected = dgate<{ exits: { leaves: string }[] }>('model', 'inspect', file);
  const { dataset, mean, std } = said;
  const experiment = join(work, `${name}-${form}.ts`);
  writeFileSync(
    experiment,
    `import { defineExperiment, onnxNetwork } from ${JSON.stringify(here('../src/index.ts'))};
export default defineExperiment({
  name: '${name}-${form}', title: '${name} with its own exits',
  network: onnxNetwork(${JSON.stringify(file)}, { preprocess: ${JSON.stringify({ mean, std })} }),
  dataset: '${dataset}', gates: 'own', thresholds: { margins: [${MARGIN}] },
});
`,
  );
  const { rows } = dgate<RunDocument>('run', experiment, '--log-images');
  const [margin, own, original] = rows.map((row) => ({ ...row, accuracy: row.accuracy! }));
  const [run] = readdirSync(join(work, 'results', `${name}-${form}`));
  const images = join(work, 'results', `${name}-${form}`, run!, 'images.csv');
  const logged = parseCsv(readFileSync(images, 'utf8'), images).map((row) => {
    const exit = Number(row['row2_exit']) - 1;
    return { position: Number(row['position']), exit, class: Number(row[`exit${exit + 1}_class`]) };
  });
  const of = new Map(logged.map((row) => [row.position, row]));
  const same = (what: 'class' | 'exit', wanted: readonly number[]): number =>
    wanted.filter((value, position) => of.get(position)?.[what] === value).length;
  const timing = ['--batch', '1', '--images', '64', '--repeats', '1', '--rows-only', '--verify'];
  const { verified } = dgate<{ verified: { images: number; differing: number }[] }>('time', experiment, ...timing);
  const out = join(work, `${name}-${form}.onnx`);
  dgate('export', experiment, '--row', '2', '--out', out);
  const photos = await photosOf(dataset);
  const answers = [
    dgate<Predictions>('predict', '--model', file, `--mean=${mean}`, `--std=${std}`, photos),
    dgate<Predictions>('predict', '--model', out, photos),
  ];
  const predicted = said.exits
    .slice(0, PREDICTED)
    .filter((exit, i) =>
      answers.every(
        ({ predictions }) => predictions[i]!.exit === exit + 1 && predictions[i]!.classIndex === said[form][i],
      ),
    );
  const count = verified.reduce((sum, each) => sum + each.images, 0);
  return [
    ...[
      name,
      form,
      inspected.exits.length,
      inspected.exits
        .slice(0, -1)
        .map(({ leaves }) => leaves)
        .join('; then '),
    ],
    own!.exits.map((share) => (100 * share).toFixed(1)).join(' '),
    ...[original!.accuracy, own!.accuracy, own!.flopsReduction, MARGIN, original!.accuracy - margin!.accuracy],
    ...[margin!.flopsReduction, same('class', said[form]), same('exit', said.exits), said.exits.length],
    ...[count - verified.reduce((sum, each) => sum + each.differing, 0), count, predicted.length, PREDICTED],
    ...[
      'python bench/own_exits.py DATA FOLDER; npx tsx bench/own-exits.ts FOLDER CACHE',
      new Date().toISOString().slice(0, 10),
    ],
    `${cpus()[0]!.model.replace(/ \d.*/, '')} ${availableParallelism()} cores`,
    `node ${process.versions.node}; ${said.versions}`,
  ];
}

/** The first test images as files, in their order. */
async function photosOf(dataset: string): Promise<string> {
  const target = join(work, dataset);
  const source = await datasetNamed(dataset).load(join(cache!, 'data'), 'test');
  const { channels, height, width } = source;
  mkdirSync(target, { recursive: true });
  for (let i = 0; i < PREDICTED; i++) {
    const planes = await source.batch(Int32Array.of(i));
    const area = height * width;
    const pixels = Uint8Array.from(planes, (_, at) => planes[(at % channels) * area + Math.floor(at / channels)]!);
    const raw = { width, height, channels: channels as 1 | 3 };
    await sharp(pixels, { raw })
      .png()
      .toFile(join(target, `${String(i).padStart(2, '0')}.png`));
  }
  return target;
}

/** The document that a command prints with --json. */
function dgate<T>(...args: string[]): T {
  const command = ['--import', here('../node_modules/tsx/dist/loader.mjs'), here('../bin/dgate.ts'), ...args, '--json'];
  const env = { ...process.env, DGATE_CACHE: resolve(cache!) };
  const options = { cwd: work, env, encoding: 'utf8', maxBuffer: 2 ** 28 } as const;
  return JSON.parse(execFileSync(process.execPath, command, options)) as T;
}
