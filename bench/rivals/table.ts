import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { csvOf, parseCsv } from '../../src/csv.js';
import { wilson } from '../../src/statistics/intervals.js';
import { writeFileAtomic } from '../../src/store/files.js';
import type { Conditions } from '../runner/csv.js';
import type { Answered, Measured, Times } from './measure.js';
import type { Subject } from './subjects.js';

/** Every figure of every system; `npm run docs` makes the tables of docs/benchmarks.md from it. */
export const rivalsPath = fileURLToPath(new URL('../../results/rivals.csv', import.meta.url));

const columns = [
  ...['network', 'system', 'images', 'accuracy', 'accuracy_low', 'accuracy_high', 'agreement'],
  ...['ms_1', 'p90_1', 'ratio_1', 'ratio_1_q25', 'ratio_1_q75', 'images_per_second_1', 'millijoules_1'],
  ...['ms_32', 'p90_32', 'ratio_32', 'ratio_32_q25', 'ratio_32_q75', 'images_per_second_32', 'millijoules_32'],
  ...['peak_mb', 'file_mb', 'rounds', 'date', 'processor', 'cores', 'system_software', 'versions'],
] as const;
type Line = Readonly<Record<string, string>>;

/** Writes a subject's lines in the place of those that it had on this processor. */
export async function saveRivals(
  subject: Subject,
  answers: Readonly<Record<string, Answered>>,
  { times }: Measured,
  conditions: Conditions,
  path = rivalsPath,
): Promise<void> {
  const old = existsSync(path) ? parseCsv(readFileSync(path, 'utf8'), path) : [];
  const original = answers['original']?.classes ?? [];
  const labels = subject.isReal
    ? (JSON.parse(readFileSync(join(subject.folder, 'labels.json'), 'utf8')) as number[])
    : [];
  const lines = subject.systems.flatMap(({ name, file }): Line[] => {
    const found = times[name];
    if (found === undefined) return [];
    const { classes = [], peakMb } = answers[name] ?? {};
    const right = classes.filter((answer, i) => answer === labels[i]).length;
    const same = classes.filter((answer, i) => answer === original[i]).length;
    const { low, high } = wilson(right, labels.length);
    const isKnown = labels.length > 0 && classes.length === labels.length;
    const shares = isKnown ? [right / labels.length, low, high, same / labels.length].map(digits) : ['', '', '', ''];
    const [accuracy, accuracyLow, accuracyHigh, agreement] = shares as [string, string, string, string];
    return [
      {
        ...{ network: subject.name, system: name, images: String(subject.images), accuracy, agreement },
        ...{ accuracy_low: accuracyLow, accuracy_high: accuracyHigh },
        ...timesOf(found[1], 1),
        ...timesOf(found[32], 32),
        peak_mb: peakMb === undefined ? '' : digits(peakMb),
        file_mb: file === undefined ? '' : digits(bytesOf(join(subject.folder, file)) / 1e6),
        ...{ rounds: `${found[1].ratio.rounds} and ${found[32].ratio.rounds}`, date: conditions.date },
        ...{ processor: conditions.processor, cores: String(conditions.cores) },
        ...{ system_software: conditions.system, versions: conditions.versions },
      },
    ];
  });
  const isOld = ({ network, processor }: Line) => network === subject.name && processor === conditions.processor;
  const all = [...old.filter((line) => !isOld(line)), ...lines];
  await writeFileAtomic(path, csvOf([columns, ...all.map((line) => columns.map((column) => line[column] ?? ''))]));
  const best = cheapest(all);
  const head = Object.keys(best[0] ?? { network: '' });
  const rows = best.map((line) => head.map((column) => line[column] ?? ''));
  await writeFileAtomic(path.replace(/\.csv$/, '-cheapest.csv'), csvOf([head, ...rows]));
}

function timesOf({ ms, p90, imagesPerSecond, ratio, millijoules }: Times, batch: 1 | 32): Line {
  const cells = {
    ...{ ms: digits(ms), p90: digits(p90), images_per_second: digits(imagesPerSecond) },
    ...{ ratio: digits(ratio.ratio), millijoules: millijoules === undefined ? '' : digits(millijoules) },
  };
  const quartiles = { [`ratio_${batch}_q25`]: digits(ratio.low), [`ratio_${batch}_q75`]: digits(ratio.high) };
  return { ...Object.fromEntries(Object.entries(cells).map(([key, cell]) => [`${key}_${batch}`, cell])), ...quartiles };
}

/** OpenVINO's weights lie beside its graph. */
function bytesOf(path: string): number {
  const parts = [path, path.replace(/\.xml$/, '.bin')].filter((part, i, all) => all.indexOf(part) === i);
  return parts.reduce((sum, part) => sum + (existsSync(part) ? statSync(part).size : 0), 0);
}

const digits = (value: number): string => String(Number(value.toPrecision(5)));

/**
 * For each network on each processor and each loss of accuracy the cheapest system that loses no more on the reported images, at
 * both batch sizes.
 *
 * @param lines of `results/rivals.csv`
 */
export function cheapest(lines: readonly Line[]): Line[] {
  return tablesOf(lines).flatMap((rows) => {
    const { network, processor } = rows[0]!;
    const own = rows.filter((line) => line['accuracy'] !== '');
    const original = own.find(({ system }) => system === 'original');
    if (original === undefined) return [];
    return [0, 0.005, 0.01].map((points): Line => {
      const enough = own.filter(({ accuracy }) => Number(accuracy) >= Number(original['accuracy']) - points - 1e-9);
      const cells = ([1, 32] as const).flatMap((batch) => {
        const best = enough.toSorted((a, b) => Number(a[`ratio_${batch}`]) - Number(b[`ratio_${batch}`]))[0]!;
        const copied = ['accuracy', 'accuracy_low', 'accuracy_high', 'ratio', 'ratio_q25', 'ratio_q75'].map((key) => {
          const of = key.replace(/^ratio/, `ratio_${batch}`);
          return [key.startsWith('ratio') ? of : `${key}_${batch}`, best[of]!];
        });
        return [[`system_${batch}`, best['system']!], ...copied];
      });
      return { network: network!, processor: processor!, points: String(points), ...Object.fromEntries(cells) };
    });
  });
}

/** The lines of each network on each processor, in the file's order. */
export function tablesOf<L extends Line>(lines: readonly L[]): L[][] {
  const keyOf = ({ network, processor }: L): string => `${network} ${processor}`;
  return [...new Set(lines.map(keyOf))].map((key) => lines.filter((line) => keyOf(line) === key));
}
