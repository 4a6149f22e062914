import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { mean } from '../../src/statistics/intervals.js';
import type { Bench, Benchmark, Ratio } from '../runner/types.js';

export interface Sizes {
  readonly images: number;
  readonly classes: number;
  readonly exits: number;
  /** Of fixed thresholds. */
  readonly rows: number;
}

/** What grows: a stage, the sizes that stay, and by dimension those that grow, the largest last. */
interface Growing {
  readonly at: Sizes;
  readonly by: Partial<Record<keyof Sizes, readonly number[]>>;
  /** Dimensions that a stage is a polynomial of by design: shown, not asked for. */
  readonly free?: readonly (keyof Sizes)[];
}

const doublings = (most: number, count = 4): number[] =>
  Array.from({ length: count }, (_, i) => most / 2 ** (count - 1 - i));

const few: Sizes = { images: 10_000, classes: 10, exits: 4, rows: 4 };
const ten: Sizes = { ...few, exits: 10 };
const million = { images: doublings(1_000_000) };

const stages = {
  'hinge, optimum': { at: { ...few, images: 4000 }, by: { images: doublings(1_000_000), classes: doublings(1000) } },
  'hinge, stochastic steps': { at: few, by: { images: doublings(1_000_000), classes: doublings(1000) } },
  'cross-entropy': { at: { ...few, images: 4000 }, by: { images: doublings(1_000_000), classes: doublings(1000) } },
  temperatures: {
    at: { ...few, images: 2000 },
    by: { images: doublings(160_000), classes: doublings(1000), exits: [4, 8, 16, 32] },
  },
  'sequential search': { at: ten, by: { ...million, exits: [5, 10, 20, 40] } },
  'coordinate search': { at: ten, by: { ...million, exits: [5, 10, 20, 40] }, free: ['exits'] },
  'lookahead search': {
    at: { ...ten, images: 2000 },
    by: { images: doublings(20_000), exits: [3, 5, 10, 20] },
    free: ['exits'],
  },
  'joint search': { at: ten, by: { ...million, exits: [5, 10, 20, 40] } },
  promise: { at: ten, by: { ...million, exits: [5, 10, 20, 40] } },
  'rows of a run': { at: ten, by: { ...million, classes: doublings(32_000), rows: doublings(400) } },
  'report and page': {
    at: ten,
    by: { images: doublings(1_000_000), classes: doublings(32_000), rows: doublings(400) },
  },
} as const satisfies Readonly<Record<string, Growing>>;
export type GrowthStage = keyof typeof stages;

/** The exponent that is asked for at most: n log n has 1.07 from 125,000 to a million. */
const EXPONENT = 1.1;
/** The peak of a process differs by that much from run to run. */
const NOISE_BYTES = 32e6;
const LEAST = { images: 1000, classes: 2, exits: 2, rows: 1 } as const;

/**
 * Exponents by the slope of log against log, of processor time and of the peak of memory above that of the smallest data.
 * `DGATE_GROWTH=STAGE,STAGE` measures some of the stages only.
 */
export const benchmark: Benchmark = {
  name: 'growth',
  title: 'exponents of time and memory of training, search, promise and report in images, classes, exits and rows',
  peers: [],
  async run(bench) {
    const chosen = process.env['DGATE_GROWTH']?.split(',');
    const names = Object.keys(stages).filter((name) => chosen?.includes(name) ?? true) as GrowthStage[];
    return names.flatMap((stage) => {
      const base = measure(stage, LEAST).peak;
      const { by } = stages[stage] as Growing;
      return (Object.keys(by) as (keyof Sizes)[]).flatMap((what) => exponents(bench, stage, what, base));
    });
  },
};

interface Measured {
  /** Of the processor. */
  readonly seconds: number;
  /** Bytes */
  readonly peak: number;
  readonly note: string;
}

function measure(stage: GrowthStage, sizes: Sizes): Measured {
  const script = fileURLToPath(new URL('growth-stage.ts', import.meta.url));
  const args = ['--import', 'tsx', script, stage, JSON.stringify(sizes)];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  const measured = /^MEASURED (.*)$/m.exec(stdout ?? '')?.[1];
  if (status !== 0 || measured === undefined) throw new Error(`${stage}, ${JSON.stringify(sizes)}: ${stderr}`);
  return JSON.parse(measured) as Measured;
}

/** How time and memory of a stage grow with one of its sizes. @param base bytes of the smallest data */
function exponents({ say }: Bench, stage: GrowthStage, what: keyof Sizes, base: number): Ratio[] {
  const { at, by, free }: Growing = stages[stage];
  const sizes = by[what]!;
  const found = sizes.map((size) => {
    const measured = measure(stage, { ...at, [what]: size });
    say(`${stage}, ${size} ${what}: ${measured.seconds.toFixed(2)} s, ${(measured.peak / 1e6).toFixed(0)} MB`);
    return measured;
  });
  const others = Object.entries(at).flatMap(([name, size]) => (name === what ? [] : `${size} ${name}`));
  const row = (kind: string, values: readonly number[], texts: readonly string[], note: string): Ratio => {
    const logs = values.map(Math.log2);
    const steps = sizes.map((size) => Math.log2(size));
    const local = logs.slice(1).map((value, i) => (value - logs[i]!) / (steps[i + 1]! - steps[i]!));
    const ratio = slope(steps, logs);
    const [low, high] = [Math.min(...local), Math.max(...local)];
    const range = `${sizes[0]!.toLocaleString('en')} to ${sizes.at(-1)!.toLocaleString('en')} ${what}`;
    return {
      ...{
        what: `${stage}: ${kind}, ${range}`,
        against: `exponent 1 in ${what}`,
        ours: ratio,
        peer: 1,
        ratio,
        low,
        high,
      },
      ...{ unit: '', rounds: sizes.length, ...(free?.includes(what) !== true && { target: { atMost: EXPONENT } }) },
      note: `${texts.join(' / ')} at ${sizes.join(' / ')} ${what}; ${others.join(', ')}${note}`,
    };
  };
  const seconds = found.map((of) => of.seconds);
  const bytes = found.map((of) => Math.max(NOISE_BYTES, of.peak - base));
  const megabytes = bytes.map((of) => `${(of / 1e6).toFixed(0)} MB`);
  return [
    row(
      'time',
      seconds,
      seconds.map((of) => `${of.toPrecision(3)} s`),
      `; ${found.at(-1)!.note}`,
    ),
    row('memory', bytes, megabytes, `; above the ${(base / 1e6).toFixed(0)} MB of the smallest data`),
  ];
}

/** Of the line of least squares. */
function slope(x: readonly number[], y: readonly number[]): number {
  const [a, b] = [mean(x), mean(y)];
  const along = x.reduce((sum, value, i) => sum + (value - a) * (y[i]! - b), 0);
  return along / x.reduce((sum, value) => sum + (value - a) ** 2, 0);
}
