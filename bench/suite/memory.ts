import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Pair, ratioOf } from '../runner/pairs.js';
import type { Bench, Benchmark, Ratio } from '../runner/types.js';

/** Stages of a run in their order; each is measured with those before in the cache. */
const stages = ['extract', 'train', 'score', 'search', 'report'] as const;
export type Stage = (typeof stages)[number];

const COUNTS = [1_000, 10_000, 100_000] as const;
const ROUNDS = 2;
const GATES = 3;
/** Numbers at the three gates: 4 x 4 of 8 and of 16 channels, averages of 32. */
const FEATURES = [128, 256, 32];
const MB = 1e6;

/** Bytes that a stage reads of so many training and so many test images. */
const dataBytes: Readonly<Record<Stage, (count: number) => number>> = {
  extract: (count) => 2 * count * 3 * 32 * 32,
  // Gates are trained one after the other: the widest counts.
  train: (count) => count * Math.max(...FEATURES) * 4,
  score: (count) => count * FEATURES.reduce((sum, width) => sum + width, 0) * 4,
  search: scoreBytes,
  report: scoreBytes,
};

/** Class and confidence at each gate, label and the original's class of each test image, 4 bytes each. */
function scoreBytes(count: number): number {
  return count * (2 * GATES + 2) * 4;
}

const reads: Readonly<Record<Stage, string>> = {
  extract: 'pixels',
  train: "the widest gate's features",
  score: 'features',
  search: 'scores',
  report: 'scores',
};

export const benchmark: Benchmark = {
  name: 'memory',
  title: 'growth of the peak of each stage against the growth of its data, 1,000 to 100,000 images',
  peers: [],
  async run(bench) {
    const folder = await mkdtemp(join(tmpdir(), 'dgate-bench-'));
    try {
      const peaks = await measureAll(bench, folder);
      return stages.map((stage) => growth(stage, peaks.get(stage)!));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};

/** Of each stage, of each number of images, the peak in bytes of every round. */
type Peaks = ReadonlyMap<Stage, readonly (readonly number[])[]>;

async function measureAll(bench: Bench, folder: string): Promise<Peaks> {
  const peaks = new Map(stages.map((stage) => [stage, COUNTS.map((): number[] => [])]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, count] of COUNTS.entries()) {
      const place = join(folder, `${round}-${count}`);
      for (const stage of stages) {
        const peak = peakOf(stage, count, place);
        bench.say(`${stage}, ${count.toLocaleString('en')} images: ${(peak / MB).toFixed(0)} MB`);
        peaks.get(stage)![i]!.push(peak);
      }
      await rm(place, { recursive: true, force: true });
    }
  }
  return peaks;
}

/** Peak of resident memory of a stage in a process of its own. */
function peakOf(stage: Stage, count: number, folder: string): number {
  const script = fileURLToPath(new URL('memory-stage.ts', import.meta.url));
  const args = ['--import', 'tsx', script, stage, String(count), folder];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  const peak = /^PEAK (\d+)$/m.exec(stdout ?? '')?.[1];
  if (status !== 0 || peak === undefined) throw new Error(`${stage} of ${count} images: ${stderr}`);
  return Number(peak);
}

function growth(stage: Stage, peaks: readonly (readonly number[])[]): Ratio {
  const bytes = dataBytes[stage];
  const [few, many] = [COUNTS[0], COUNTS.at(-1)!];
  const data = (bytes(many) - bytes(few)) / MB;
  const pairs = peaks.at(-1)!.map((peak, round): Pair => ({ ours: (peak - peaks[0]![round]!) / MB, peer: data }));
  const most = peaks.map((of) => `${(Math.max(...of) / MB).toFixed(0)}`);
  const counts = COUNTS.map((count) => count.toLocaleString('en'));
  return ratioOf(pairs, {
    what: `${stage}, from ${counts[0]} to ${counts.at(-1)} images`,
    against: `its data: ${reads[stage]}`,
    unit: 'MB more',
    note: `peak ${most.join(' / ')} MB at ${counts.join(' / ')} training images and as many test images, generated`,
  });
}
