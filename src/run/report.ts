import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Column, csvOf, tabulate } from '../csv.js';
import { visible } from '../escape.js';
import { isScores } from '../experiment/network.js';
import type { PresetName } from '../experiment/rules.js';
import { claimLines } from '../report/claims.js';
import { explorerData, explorerScript } from '../report/explorer.js';
import { renderPng, renderSvg } from '../report/figures.js';
import { type FindingTable, findingCells, renderColumns } from '../report/findings.js';
import { type Page, renderPage } from '../report/page.js';
import { renderCsv, renderFindingCsv } from '../report/rows.js';
import { renderTable, tableCells } from '../report/table.js';
import { readableJson, readSealed, writeFileAtomic, writeSealed } from '../store/files.js';
import { sweep } from '../store/lock.js';
import { answersAt, exitOf } from '../thresholds/evaluate.js';
import { runFacts } from './facts.js';
import { eachInTurn, membersOf } from './plan.js';
import { type RunRecord, runDocument, runFolder, runRecord } from './record.js';
import { tableRows } from './rows.js';
import { scoresFiles } from './scores-file.js';
import { networksOf } from './source.js';
import type { RunOutcome } from './stages.js';

/** The report as text. @param verdictLines renders the verdicts on the paper's claims; by default a line for each */
export function renderRun(outcome: RunOutcome, preset: PresetName, verdictLines = claimLines): string {
  const { experiment, findings, rows } = outcome;
  const { claims = [] } = runDocument(outcome, preset);
  return [
    visible(`${experiment.title} [${experiment.name}, preset ${preset}]`),
    ...(rows.length > 0 ? [renderTable(tableRows(outcome))] : []),
    ...findings.tables.map(renderFinding),
    ...verdictLines(claims),
    ...runFacts(outcome).map(([name, value]) => visible(`${name.padEnd(11)} ${value}`)),
  ].join('\n');
}

function renderFinding(table: FindingTable): string {
  const { name, title, consoleRows = 0, rows, legend } = table;
  if (consoleRows === 0) return visible(`${title}: ${name}.csv`);
  const { head, lines } = findingCells(table, consoleRows);
  const left = rows.length - lines.length;
  const more = left > 0 ? [`${left} more rows in ${name}.csv`] : [];
  return [visible(title), renderColumns(head, lines), ...more, ...(legend === undefined ? [] : [legend])].join('\n');
}

/** Names of the files that a run writes, the most useful first. */
export function runFiles(outcome: RunOutcome, logImages = false): string[] {
  const { findings } = outcome;
  const names = [
    'report.html',
    'table.csv',
    'table.txt',
    ...findings.tables.map(({ name }) => `${name}.csv`),
    ...findings.figures.map(({ name }) => `${name}.svg`),
    ...findings.sheets.map(({ name }) => `${name}.png`),
    ...(logImages ? ['images.csv', ...scoresFiles(outcome).map(([name]) => name)] : []),
    'record.json',
  ];
  const wrong = names.find((name, i) => !/^[\w-]+\.\w+$/.test(name) || names.indexOf(name) !== i);
  if (wrong !== undefined) throw new Error(`a run cannot write ${wrong}: not a plain name, or used twice`);
  return names;
}

export interface WriteOptions {
  /** Repeats the run; by default its name and preset. */
  readonly command?: string;
  /** Whether to write `images.csv`, the exits and answers of each image, and its scores; or as the run's folder has it already. */
  readonly logImages?: boolean | 'as before' | undefined;
  /** Differences of its rows to committed ones, for the page. */
  readonly beside?: readonly string[];
  /** Receives warnings about figures. */
  readonly warn?: (message: string) => void;
}

/** Writes a run's folder, each file atomically, and removes files that only an earlier run wrote. @returns the folder */
export async function writeRun(
  outcome: RunOutcome,
  preset: PresetName,
  resultsRoot: string,
  options: WriteOptions = {},
): Promise<string> {
  const { experiment, findings } = outcome;
  const folder = runFolder(outcome, preset, resultsRoot);
  const { command = `dgate run ${experiment.name} --preset ${preset}`, warn, logImages: asked = false } = options;
  const logImages = asked === 'as before' ? existsSync(join(folder, 'images.csv')) : asked;
  const files = runFiles(outcome, logImages);
  const record = runRecord(outcome, preset, command, files);
  const before = await readSealed(join(folder, 'record.json'));
  const write = (name: string, content: string | Uint8Array | Iterable<string | Uint8Array>) =>
    writeFileAtomic(join(folder, name), content);

  await sweep(folder);
  await write('table.csv', renderCsv(record.rows));
  await write('table.txt', `${renderRun(outcome, preset)}\n`);
  for (const table of findings.tables) await write(`${table.name}.csv`, renderFindingCsv(table));
  if (logImages) {
    await write('images.csv', imagesCsv(outcome));
    for (const [name, bytes] of scoresFiles(outcome)) await write(name, bytes());
  }
  const figures = await eachInTurn(findings.figures, async (figure) => {
    const svg = await renderSvg(figure, warn);
    await write(`${figure.name}.svg`, svg);
    return { figure, svg };
  });
  const sheets = await eachInTurn(findings.sheets, async (sheet) => {
    const png = await renderPng(sheet);
    await write(`${sheet.name}.png`, png);
    return { sheet, png };
  });
  const explorer = await explorerOf(outcome, record);
  const page = { ...pageOf(outcome, record, options.beside ?? []), figures, sheets, ...(explorer && { explorer }) };
  await write('report.html', renderPage(page));
  await writeSealed(join(folder, 'record.json'), record);
  if (before !== undefined && 'found' in before) await removeStale(folder, before.found, files);
  return folder;
}

/** Cells of a piece of `images.csv`. */
const CSV_CELLS = 2 ** 17;

/**
 * Each reported image: its position in its split, its label, class and confidence at each exit (the last has no confidence), then
 * for each row of the table its exit and whether it is right. Labels and verdicts of unlabelled images are empty.
 */
function* imagesCsv(outcome: RunOutcome): Generator<string> {
  const { experiment, parts, rows, exitCosts, testImages } = outcome;
  const scores = outcome.scores.test;
  const partOf = new Int32Array(scores.count);
  for (const [part, { evaluation }] of parts.entries()) for (const image of evaluation.images) partOf[image] = part;
  const labelOf = (image: number) => (experiment.unlabelled === undefined ? scores.labels[image]! : null);
  type ImageColumn = Column<number, unknown>;
  const columns: ImageColumn[] = [
    ['position', (image) => testImages.positions?.[image] ?? image],
    ['label', labelOf],
    ...scores.classes.flatMap((classes, i): ImageColumn[] => [
      [`exit${i + 1}_class`, (image) => classes[image]],
      [`exit${i + 1}_confidence`, (image) => scores.confidences[i]![image]],
    ]),
    [`exit${exitCosts.length}_class`, (image) => scores.original[image]],
    ...rows.flatMap(({ thresholds }, i): ImageColumn[] => {
      const exit = (image: number): number => exitOf(scores, thresholds[partOf[image]!]!, image);
      const isRight = (image: number): boolean => answersAt(scores, exit(image))[image] === labelOf(image);
      return [
        [`row${i + 1}_exit`, (image) => exit(image) + 1],
        [`row${i + 1}_right`, (image) => (labelOf(image) === null ? null : String(isRight(image)))],
      ];
    }),
  ];
  yield csvOf([columns.map(([name]) => name)]);
  // In pieces: the text of a million images is longer than a string can be.
  const piece = Math.ceil(CSV_CELLS / columns.length);
  for (let start = 0; start < scores.count; start += piece) {
    const length = Math.min(piece, scores.count - start);
    const images = Array.from({ length }, (_, i) => start + i);
    yield csvOf(tabulate(images, columns).rows);
  }
}

/** The page's control of thresholds; undefined without rows to start from. */
async function explorerOf(outcome: RunOutcome, record: RunRecord): Promise<Page['explorer']> {
  const { experiment, scores, testImages, thumbnails, rows, exitCosts, original, source } = outcome;
  // The page's script counts right answers.
  if (rows.length === 0 || experiment.unlabelled !== undefined) return undefined;
  const sources = networksOf(source);
  const exits = isScores(experiment.network)
    ? exitCosts.map((_, i) => `exit ${i + 1}`)
    : membersOf(experiment).flatMap(({ gates }, i) => {
        const name = sources.length === 1 ? '' : sources[i]!.network.name;
        return [...gates.after.map((_, gate) => `${name} gate ${gate + 1}`.trim()), name || 'last exit'];
      });
  const about = {
    exits,
    costs: exitCosts,
    originalFlops: original.flops,
    rows: record.rows.slice(0, -1).flatMap(({ model, margin, search, thresholds }) =>
      thresholds.map((of, fold) => ({
        name: [
          model,
          ...(margin === null ? [] : [`margin ${+(100 * margin).toFixed(4)} %`]),
          ...(search === null ? [] : [search]),
          ...(thresholds.length > 1 ? [`fold ${fold + 1}`] : []),
        ].join(', '),
        thresholds: of,
      })),
    ),
    command: record.command,
  };
  const data = await explorerData(scores.test, testImages, about, thumbnails);
  return data && { data, script: await explorerScript() };
}

/** Removes stale files of the earlier record only; a timing's files stay. */
async function removeStale(folder: string, before: unknown, files: readonly string[]): Promise<void> {
  const named = (before as { files?: unknown } | undefined)?.files;
  const stale = (Array.isArray(named) ? named : []).filter((name) => !files.includes(name as string));
  for (const name of stale) await rm(join(folder, basename(String(name))), { force: true });
}

/** A run's page without its pictures. */
function pageOf(outcome: RunOutcome, record: RunRecord, beside: readonly string[]): Omit<Page, 'figures' | 'sheets'> {
  const { experiment, findings, rows, seconds, computedSeconds } = outcome;
  const { machine, versions, images } = record;
  const facts = runFacts(outcome).reduce<[string, string][]>((all, [name, value]) => {
    const last = all.at(-1);
    if (name === '' && last !== undefined) last[1] += `; ${value}`;
    else all.push([name, value]);
    return all;
  }, []);
  const listed = (entries: Readonly<Record<string, string>>): string =>
    Object.entries(entries)
      .map(([name, value]) => `${name} ${value}`)
      .join(', ');
  const gigabytes = (machine.memoryBytes / 1024 ** 3).toFixed(0);
  return {
    title: experiment.title,
    experiment: experiment.name,
    preset: record.preset,
    command: record.command,
    date: record.date,
    ...(rows.length > 0 && { results: tableCells(record.rows, true) }),
    claims: record.claims ?? [],
    tables: findings.tables,
    facts: [
      ...facts,
      ...(beside.length === 0 ? [] : [['On record', beside.join('; ')] as const]),
      ['Images (sha256)', listed(images)],
      ['Machine', `${machine.processor}, ${machine.cores} cores, ${gigabytes} GiB, ${machine.system}`],
      ['Versions', listed(versions)],
    ],
    stages: Object.entries(seconds).map(([name, now]) => ({
      name,
      now,
      computed: (computedSeconds as Readonly<Record<string, number>>)[name] ?? null,
    })),
    definition: readableJson(experiment),
  };
}
