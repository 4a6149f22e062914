/**
 * How often promises are broken and what they save: 20 generated populations (ties, tiny sets, a drop of almost nothing, gates
 * better than the network, answers that all change), each drawn 2,000 times, by every method; beside them the plain bound of
 * Clopper and Pearson on lost images alone.
 *
 *   npm exec --no -- tsx bench/promises.ts [draws] > results/promises.csv
 */
import { csvOf } from '../src/csv.js';
import { Random } from '../src/random.js';
import { upperLimit } from '../src/statistics/intervals.js';
import { type ExitCosts, evaluate, exitOf, type Scores } from '../src/thresholds/evaluate.js';
import { certify, changes, guaranteeMethods } from '../src/thresholds/guarantee.js';

interface Population {
  readonly name: string;
  readonly images: number;
  readonly drop: number;
  readonly confidence: number;
  readonly scores: Scores;
}

const costs: ExitCosts = [1, 4, 10];
const SIZE = 20_000;

/** @param gate chance that a gate is wrong at a confidence; @param last chance that the network is @param steps of confidence */
function population(seed: number, gate: (confidence: number, gate: number) => number, last: number, steps = 0): Scores {
  const random = new Random(seed, 'promises');
  const confidences = [0, 1].map(() =>
    Float32Array.from({ length: SIZE }, () => {
      const value = random.uniform();
      return steps > 0 ? Math.floor(value * steps) / steps : value;
    }),
  );
  return {
    count: SIZE,
    labels: new Int32Array(SIZE),
    original: Int32Array.from({ length: SIZE }, () => Number(random.uniform() < last)),
    confidences,
    classes: confidences.map((of, g) => Int32Array.from(of, (c) => Number(random.uniform() < gate(c, g)))),
  };
}

const usual = (c: number, g: number): number => (0.3 - 0.1 * g) * (1 - c) ** 2;
const flat = (): number => 0.05;
const opposite = (scores: Scores): Scores => ({
  ...scores,
  classes: scores.classes.map(() => scores.original.map((o) => 1 - o)),
});

const populations: Population[] = [
  ...[200, 1000, 3500, 5000].map((images, i) => ({
    name: `usual, ${images} images`,
    images,
    drop: 0.005,
    confidence: 0.95,
    scores: population(i, usual, 0.06),
  })),
  ...[2, 5, 20].map((steps, i) => ({
    name: `ties, ${steps} values`,
    images: 1000,
    drop: 0.01,
    confidence: 0.95,
    scores: population(10 + i, usual, 0.06, steps),
  })),
  ...[10, 30, 60].map((images, i) => ({
    name: `tiny, ${images} images`,
    images,
    drop: 0.1,
    confidence: 0.9,
    scores: population(20 + i, usual, 0.06),
  })),
  ...[1e-6, 0.0005].map((drop, i) => ({
    name: `drop ${drop}`,
    images: 3500,
    drop,
    confidence: 0.95,
    scores: population(30 + i, usual, 0.06),
  })),
  ...[0.1, 0.2].map((last, i) => ({
    name: `gates better than a network wrong at ${last}`,
    images: 1000,
    drop: 0.005,
    confidence: 0.95,
    scores: population(40 + i, flat, last),
  })),
  ...[0.651, 0.66, 0.7].map((share, i) => ({
    name: `every answer changes, ${share} right`,
    images: 300,
    drop: 0.3,
    confidence: 0.95,
    scores: opposite(population(50 + i, flat, 1 - share)),
  })),
  ...[0.06, 0.075, 0.09].map((wrong, i) => ({
    name: `gates wrong at ${wrong}, network at 0.06`,
    images: 1000,
    drop: 0.015,
    confidence: 0.95,
    scores: population(60 + i, () => wrong, 0.06),
  })),
];

const draws = Number(process.argv[2] ?? 2000);
const rows: (string | number)[][] = [];
for (const { name, images, drop, confidence, scores } of populations) {
  const everything = Int32Array.from({ length: SIZE }, (_, i) => i);
  for (const method of [...guaranteeMethods, 'clopper-pearson'] as const) {
    const random = new Random(7, name);
    let [broken, open, saved, loss] = [0, 0, 0, 0];
    for (let draw = 0; draw < draws; draw++) {
      const drawn = Int32Array.from({ length: images }, () => random.below(SIZE));
      const { thresholds } =
        method === 'clopper-pearson'
          ? plainBound(scores, drawn, drop, confidence, draw)
          : certify(scores, costs, drawn, { drop, confidence, method }, draw);
      const { lost, gained } = changes(scores, thresholds, everything);
      broken += Number((lost - gained) / SIZE > drop);
      loss += (lost - gained) / SIZE;
      open += Number(thresholds.some(Number.isFinite));
      saved += 1 - evaluate(scores, thresholds, costs, drawn).flops / 10;
    }
    rows.push([
      name,
      images,
      drop,
      confidence,
      method,
      draws,
      broken / draws,
      loss / draws,
      open / draws,
      saved / draws,
    ]);
  }
  process.stderr.write(`${name}\n`);
}
const columns =
  'population,images,drop_fraction,confidence_fraction,method,draws,broken_fraction,mean_drop_fraction,open_fraction,saved_fraction';
process.stdout.write(csvOf([columns.split(','), ...rows]));

/** One threshold for both gates, proposed on 30 % of the images; the others bound the share of lost images. */
function plainBound(scores: Scores, images: Int32Array, drop: number, confidence: number, seed: number) {
  const shuffled = new Random(seed, 'guarantee').shuffle(Int32Array.from(images));
  const testing = shuffled.slice(Math.round(0.3 * shuffled.length));
  let thresholds = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let step = 100; step >= 0; step--) {
    const tried = [step / 100, step / 100];
    const lost = testing.reduce((sum, i) => {
      const exit = exitOf(scores, tried, i);
      return sum + Number(exit < 2 && scores.original[i] === 0 && scores.classes[exit]![i] !== 0);
    }, 0);
    if (!(upperLimit(lost, testing.length, 1 - confidence) <= drop)) break;
    thresholds = tried;
  }
  return { thresholds };
}
