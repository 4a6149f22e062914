import { Random } from '../../src/random.js';
import { evaluate } from '../../src/thresholds/evaluate.js';
import { type FrontierPoint, paretoFrontier } from '../../src/thresholds/frontier.js';
import { achievableLevels, quantileLevels } from '../../src/thresholds/grid.js';
import { jointSearch } from '../../src/thresholds/methods.js';
import { everyImage, generatedScores } from '../generated-scores.js';
import { inTurn, milliseconds, ratioOf, type Work } from '../runner/pairs.js';
import type { Bench, Benchmark, Ratio } from '../runner/types.js';

const IMAGES = 10_000;
const GATES = 3;
/** Of a million combinations so many are tried; a round of all would take minutes. */
const SAMPLE = 2000;
/** What sorting costs: n log n at a million images against a hundred thousand. */
const TENFOLD = 12;

export const benchmark: Benchmark = {
  name: 'thresholds',
  title: 'searching thresholds on generated scores: against trying every combination, and as images and gates grow',
  peers: [],
  async run(bench) {
    return [
      await againstAll(bench),
      await againstSample(bench),
      await moreImages(bench, 10 * IMAGES),
      await moreImages(bench, 100 * IMAGES),
      await moreGates(bench, 1, 10),
    ];
  },
};

/** Every combination of 20 levels a gate really tried; both must find the same frontier. */
async function againstAll({ say }: Bench): Promise<Ratio> {
  const levels = 20;
  const { scores, costs } = generatedScores(IMAGES, GATES);
  const images = everyImage(IMAGES);
  const [first, second, third] = scores.confidences.map((of) => quantileLevels(achievableLevels(of, images), levels));
  const tryAll = (): Map<number, number> => {
    const fewest = new Map<number, number>(); // FLOPs by right answers
    for (const a of first!) {
      for (const b of second!) {
        for (const c of third!) {
          const { correct, flops } = evaluate(scores, [a, b, c], costs, images);
          if (flops < (fewest.get(correct) ?? Number.POSITIVE_INFINITY)) fewest.set(correct, flops);
        }
      }
    }
    return fewest;
  };
  const { points } = paretoFrontier(scores, costs, images, levels);
  const same = isSameFrontier(points, tryAll());
  if (!same) throw new Error('the frontier is not the one that trying every combination finds');
  say(`${levels ** GATES} combinations`);
  const search: Work = () => milliseconds(() => paretoFrontier(scores, costs, images, levels));
  const pairs = await inTurn(search, () => milliseconds(tryAll), { rounds: 5, restMs: 0 });
  return ratioOf(pairs, {
    what: `frontier, 10,000 images, 3 gates, ${(levels ** GATES).toLocaleString('en')} combinations`,
    against: 'trying every combination',
    unit: 'ms',
    note: `the same ${points.length} points`,
  });
}

/** Whether points are those that nothing beats among these. @param fewest FLOPs an image by right answers */
function isSameFrontier(points: readonly FrontierPoint[], fewest: ReadonlyMap<number, number>): boolean {
  let least = Number.POSITIVE_INFINITY;
  const unbeaten = [...fewest]
    .toSorted(([a], [b]) => b - a)
    .filter(([, flops]) => {
      if (flops >= least - 1e-9) return false;
      least = flops;
      return true;
    });
  return (
    unbeaten.length === points.length &&
    points.every(({ correct, flops }, i) => correct === unbeaten[i]![0] && Math.abs(flops - unbeaten[i]![1]) < 1e-9)
  );
}

/** A million combinations, which the other is measured on a part of. */
async function againstSample({ say }: Bench): Promise<Ratio> {
  const { scores, costs } = generatedScores(IMAGES, GATES);
  const images = everyImage(IMAGES);
  const levels = scores.confidences.map((of) => quantileLevels(achievableLevels(of, images), 100));
  const random = new Random(2, 'sample');
  const sample = Array.from({ length: SAMPLE }, () => levels.map((of) => of[random.below(of.length)]!));
  const { combinations } = paretoFrontier(scores, costs, images, 100);
  say(`${combinations} combinations`);
  const tryAll: Work = async () => {
    const tried = await milliseconds(() => {
      for (const thresholds of sample) evaluate(scores, thresholds, costs, images);
    });
    return (tried * combinations) / SAMPLE;
  };
  const search: Work = () => milliseconds(() => paretoFrontier(scores, costs, images, 100));
  return ratioOf(await inTurn(search, tryAll, { rounds: 9, restMs: 0 }), {
    what: `frontier, 10,000 images, 3 gates, ${combinations.toLocaleString('en')} combinations`,
    against: 'trying every combination',
    unit: 'ms',
    note: `the other extrapolated from ${SAMPLE.toLocaleString('en')} random combinations a round`,
  });
}

/** The search of `dgate run` for one margin. */
function searching(count: number, gates: number): Work {
  const { scores, costs } = generatedScores(count, gates);
  const images = everyImage(count);
  const objective = { kind: 'accuracy', required: 0.93 } as const;
  return () => milliseconds(() => jointSearch(scores, costs, images, objective));
}

async function moreImages({ say }: Bench, count: number): Promise<Ratio> {
  say(`${count} images`);
  const pairs = await inTurn(searching(count, GATES), searching(count / 10, GATES), { rounds: 5, restMs: 0 });
  const [many, few] = [count, count / 10].map((number) => number.toLocaleString('en'));
  const row = ratioOf(pairs, {
    what: `joint search, 3 gates, ${many} images`,
    against: `${few} images`,
    unit: 'ms',
    target: { atMost: TENFOLD },
  });
  return { ...row, note: `exponent ${Math.log10(row.ratio).toFixed(2)}` };
}

async function moreGates({ say }: Bench, few: number, many: number): Promise<Ratio> {
  say(`${few} and ${many} gates`);
  const pairs = await inTurn(searching(IMAGES, many), searching(IMAGES, few), { rounds: 5, restMs: 0 });
  const row = ratioOf(pairs, {
    what: `joint search, 10,000 images, ${many} gates`,
    against: `${few} gate`,
    unit: 'ms',
  });
  return { ...row, note: `exponent ${(Math.log(row.ratio) / Math.log(many / few)).toFixed(2)}` };
}
