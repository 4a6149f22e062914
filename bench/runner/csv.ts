import { readFile } from 'node:fs/promises';
import { parse } from 'csv-parse/sync';
import { stringify } from 'csv-stringify/sync';
import { InputError } from '../../src/errors.js';
import { writeFileAtomic } from '../../src/store/files.js';
import { isMet, targetText } from './table.js';
import type { Ratio } from './types.js';

/** What stands in every line: on what, with what, when. */
export interface Conditions {
  /** YYYY-MM-DD */
  readonly date: string;
  readonly processor: string;
  readonly cores: number;
  readonly system: string;
  /** `node 20.20.2; onnxruntime-node 1.30.0; ...` */
  readonly versions: string;
}

const columns = [
  'benchmark',
  'what',
  'against',
  'ours',
  'other',
  'unit',
  'ratio',
  'ratio_q25',
  'ratio_q75',
  'rounds',
  'target',
  'met',
  'note',
  'date',
  'processor',
  'cores',
  'system',
  'versions',
] as const;

type Line = readonly string[];
const PROCESSOR = columns.indexOf('processor');

function lineOf(benchmark: string, ratio: Ratio, conditions: Conditions): Line {
  const { what, against, ours, peer, unit, low, high, rounds, target, note } = ratio;
  const { date, processor, cores, system, versions } = conditions;
  const named = isHidden(processor) ? `AVX2 alone: ${what}` : what;
  const numbers = [ours, peer].map(plain);
  const ratios = [ratio.ratio, low, high].map(plain);
  const met = isMet(ratio);
  const judged = [targetText(target), met === undefined ? '' : met ? 'yes' : 'no', note];
  return [
    ...[benchmark, named, against, ...numbers, unit, ...ratios, String(rounds)],
    ...[...judged, date, processor, String(cores), system, versions],
  ];
}

/** Six digits are more than any of these numbers is known to. */
const plain = (value: number): string => String(Number(value.toPrecision(6)));

/** Whether a processor's name says that programs found AVX2 alone (`avx2.c`): lines of their own, beside those of all it has. */
export const isHidden = (processor: string): boolean => processor.includes('hidden');

/**
 * Writes a benchmark's lines into the file in place of its old ones; lines of other benchmarks stay as they are.
 *
 * @param keep of the benchmark's own old lines those to be kept all the same, by what they are against: what could not be
 *   measured this time is not forgotten
 * @param order benchmarks in the order in which their lines stand
 * @throws InputError where the file is not one of these
 */
export async function saveRatios(
  path: string,
  benchmark: string,
  ratios: readonly Ratio[],
  conditions: Conditions,
  order: readonly string[],
  keep: (against: string) => boolean = () => false,
): Promise<void> {
  const old = await readLines(path);
  const made = new Set(ratios.map(({ what, against }) => JSON.stringify([what, against])));
  const kept = old.filter((line) => {
    const [name, what, against] = line;
    const isOther = name !== benchmark || isHidden(line[PROCESSOR]!) !== isHidden(conditions.processor);
    return isOther || (keep(against!) && !made.has(JSON.stringify([what, against])));
  });
  const place = (line: Line): number => {
    const index = order.indexOf(line[0]!);
    return index < 0 ? order.length : index;
  };
  const lines = [...kept, ...ratios.map((ratio) => lineOf(benchmark, ratio, conditions))];
  await writeFileAtomic(path, stringify([[...columns], ...lines.toSorted((a, b) => place(a) - place(b))]));
}

async function readLines(path: string): Promise<Line[]> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return [];
  const [head, ...lines] = parse(text, { relax_column_count: true }) as string[][];
  if (head?.join() !== columns.join() || lines.some((line) => line.length !== columns.length)) {
    throw new InputError(`${path}: not a table of benchmarks; valid: a file of npm run bench, or none`);
  }
  return lines;
}
