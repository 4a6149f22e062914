import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { tablesOf } from '../bench/rivals/table.js';
import { isHidden } from '../bench/runner/csv.js';
import { loadBenchmark } from '../bench/runner/suite.js';
import { root, rowsOf, significant, tableOf } from './docs-numbers.js';

// docs/benchmarks.md, from results/bench.csv, results/rivals.csv and results/rivals-cheapest.csv.

type Row = ReturnType<typeof rowsOf>[number];

const uniqueOf = (rows: readonly Row[], text: (row: Row) => string): string => [...new Set(rows.map(text))].join('; ');
const machineOf = (row: Row): string => `${row['processor']}, ${row['cores']} cores`;
const most = 12;

/** 0.83; near one 1.0022; below a hundredth 1 / 4,400. */
function ratioText(text: string): string {
  const ratio = Number(text);
  if (ratio > 0 && ratio < 0.01) return `1 / ${significant(1 / ratio, 2)}`;
  return Math.abs(ratio - 1) < 0.01 ? ratio.toFixed(4) : significant(ratio, 3);
}

const spread = (row: Row, ratio = 'ratio'): string => {
  const [middle, low, high] = [ratio, `${ratio}_q25`, `${ratio}_q75`].map((column) => ratioText(row[column]!));
  return row['rounds'] === '1' ? `${middle}, one round` : `${middle} (${low} to ${high})`;
};

const amount = (value: string, unit: string): string => `${significant(Number(value), 4)} ${unit}`.trim();

function rowsTable(rows: readonly Row[]): string {
  const headings = ['What', 'Against', 'Ours', 'The other', 'Ours / the other (quartiles)', 'Asked', 'Met'];
  const cells = rows.map((row) => [
    row['what']!,
    row['against']!,
    amount(row['ours']!, row['unit']!),
    amount(row['other']!, row['unit']!),
    spread(row),
    row['target']!,
    row['met'] === 'no' ? '**no**' : row['met']!,
  ]);
  return tableOf(headings, cells, [false, false, true, true, true, false, false]);
}

const asked = (rows: readonly Row[]): string => {
  const judged = rows.filter((row) => row['target'] !== '');
  return judged.length === 0 ? '' : `${judged.filter((row) => row['met'] === 'yes').length} of ${judged.length}`;
};

async function section(name: string, rows: readonly Row[]): Promise<string> {
  const { title } = await loadBenchmark(name);
  const sentence = title.charAt(0).toUpperCase() + title.slice(1);
  const tables = [false, true].flatMap((hidden) => {
    const these = rows.filter(({ processor }) => isHidden(processor!) === hidden);
    return these.length === 0 ? [] : [measuredOn(name, these)];
  });
  return `## ${name}\n\n${sentence}.\n\n${tables.join('\n\n')}`;
}

function measuredOn(name: string, rows: readonly Row[]): string {
  const lines = rowsTable(rows);
  const shown =
    rows.length <= most ? lines : `<details><summary>All ${rows.length} rows</summary>\n\n${lines}\n\n</details>`;
  const when = uniqueOf(rows, (row) => `${row['date']}, ${machineOf(row)}, ${row['system']}; ${row['versions']}`);
  return `${shown}\n\n\`npm run bench -- ${name}\`: ${when}.`;
}

const percent = (row: Row, column: string): string => (Number(row[column]) * 100).toFixed(2);
const withInterval = (row: Row, end = ''): string =>
  row[`accuracy${end}`] === ''
    ? ''
    : `${percent(row, `accuracy${end}`)} (${percent(row, `accuracy_low${end}`)} to ${percent(row, `accuracy_high${end}`)})`;
const fixed = (text: string | undefined, digits: number): string =>
  text === undefined || text === '' ? '' : Number(text).toFixed(digits);

/** The systems of one network on one processor: accuracy, times at batch 1 and 32, memory. */
function rivalsOf(rows: readonly Row[]): string {
  const isReal = rows.some((row) => row['accuracy'] !== '');
  const batches = ['1', '32'];
  const timesOf = (row: Row): string[] =>
    batches.flatMap((batch) => [
      `${fixed(row[`ms_${batch}`], 2)} (${fixed(row[`p90_${batch}`], 2)})`,
      spread(row, `ratio_${batch}`),
    ]);
  const headings = [
    'System',
    ...(isReal ? ['Accuracy, % (95 %)', 'Same answer, %'] : []),
    ...batches.flatMap((batch) => [`ms, batch ${batch} (p90)`, '/ original (quartiles)']),
    ...['Peak, MB', 'File, MB'],
  ];
  const cells = rows.map((row) => [
    row['system']!,
    ...(isReal ? [withInterval(row), row['agreement'] === '' ? '' : percent(row, 'agreement')] : []),
    ...timesOf(row),
    ...[fixed(row['peak_mb'], 0), fixed(row['file_mb'], 1)],
  ]);
  const when = uniqueOf(rows, (row) => `${row['date']}, ${machineOf(row)}; ${row['versions']}`);
  const title = `### ${rows[0]!['network']}, ${rows[0]!['processor']}\n\n${uniqueOf(rows, ({ images }) => images!)} images; ${when}.`;
  return `${title}\n\n${tableOf(headings, cells, [false, ...headings.slice(1).map(() => true)])}`;
}

function cheapestOf(rows: readonly Row[]): string {
  const headings = [
    'Network',
    'Processor',
    'Points lost at most',
    'Batch',
    'Cheapest system',
    '/ original (quartiles)',
    'Accuracy, %',
  ];
  const cells = rows.flatMap((row) =>
    ['1', '32'].map((batch) => [
      row['network']!,
      row['processor']!,
      (Number(row['points']) * 100).toFixed(1),
      batch,
      row[`system_${batch}`]!,
      spread(row, `ratio_${batch}`),
      withInterval(row, `_${batch}`),
    ]),
  );
  return tableOf(headings, cells, [false, false, true, true, false, true, true]);
}

const has = (file: string): boolean => existsSync(join(root, 'results', file));

function rivals(): string {
  const head = `## rivals

dgate beside what people use instead, on the same networks, images and threads: smaller networks, 8-bit networks, OpenVINO,
torch.compile and earlyon.`;
  if (!has('rivals.csv')) return `${head} Not measured yet: \`npm run bench -- rivals\`.`;
  const rows = rowsOf('rivals.csv');
  const cheapest = has('rivals-cheapest.csv') ? rowsOf('rivals-cheapest.csv') : [];
  const best =
    cheapest.length === 0
      ? ''
      : `\n\n### The cheapest system\n\nOf those that lose at most so much accuracy on these images:\n\n${cheapestOf(cheapest)}`;
  return `${head} Measured by \`npm run bench -- rivals\`.

- Every system runs in turn with the original network on ONNX Runtime. Times are medians of all batches, ratios medians of the rounds.
- Accuracy is on images that chose no thresholds. Rows of gates, cascades and earlyon are named after the points that they may
  lose on the images that choose.
- Peak memory is that of a Python process with this system alone.
- earlyon's command line knows its own networks only, and scales CIFAR-10 to 224 x 224. So its Python functions wrap, train and
  calibrate these networks. Its batches leave with their hardest image.
- The gates of the 8-bit networks learn from 10,000 images, all others from all.

- Where a processor's table says that instruction sets are hidden, programs found AVX2 alone (\`bench/avx2.c\`): what processors
  without AVX-512 and VNNI do, at this one's clock rate and caches.

${tablesOf(rows).map(rivalsOf).join('\n\n')}${best}`;
}

/** docs/benchmarks.md. */
export async function benchmarksPage(): Promise<string> {
  const all = rowsOf('bench.csv').filter(({ benchmark }) => benchmark !== 'rivals');
  const names = [...new Set(all.map(({ benchmark }) => benchmark!))];
  const of = (name: string): readonly Row[] => all.filter(({ benchmark }) => benchmark === name);
  const sections: string[] = [];
  for (const name of names) sections.push(await section(name, of(name)));
  const overview = names.map((name) => {
    const rows = of(name);
    const ratios = rows.map(({ ratio }) => Number(ratio));
    const range = [Math.min(...ratios), Math.max(...ratios)].map((ratio) => ratioText(String(ratio)));
    return [
      `[${name}](#${name})`,
      String(rows.length),
      range.join(' to '),
      asked(rows),
      uniqueOf(rows, ({ date }) => date!),
    ];
  });
  return `# Benchmarks

Written by \`npm run docs\` from \`results/bench.csv\`. \`npm run bench\` runs all benchmarks, \`npm run bench -- NAME...\` some of
them, one to four minutes each (hinge: half an hour). \`npm run bench -- --list\` says what each measures.

dgate and what stands against it run in turn, on the same input. A ratio is the median of the rounds' ratios, ours / the other's;
its quartiles stand behind it. *Asked* is what the project wants of a ratio; what misses it says **no**. The notes in
\`results/bench.csv\` say where the time goes and how far results agree. \`bench/peers.sh\` installs the peers from PyPI; what is not
there is left out, and the command says so.

${tableOf(['Benchmark', 'Rows', 'Ours / the other', 'Asked, and met', 'Date'], overview, [false, true, true, true, false])}

${sections.join('\n\n')}

${rivals()}
`;
}
