/**
 * How often promises are broken and what they save: 20 generated populations (ties, tiny sets, a drop of almost nothing, gates
 * better than the network, answers that all change) and three real ones (the test images of Table 1's small network, of the
 * cascade of ResNet-20 and ResNet-56, and of ResNet-56 with gates), each drawn 2,000 times, by every method; beside them the plain
 * bound of Clopper and Pearson on lost images alone. All methods see the same draws and test the same choices.
 *
 *   npm exec --no -- tsx bench/promises.ts [draws] [part of the name] > results/promises.csv
 *
 * Real scores come from the cache, or are made (`dgate run cascade`, the others with gates trained on few images).
 */
import { csvOf } from '../src/csv.js';
import { Random } from '../src/random.js';
import { upperLimit } from '../src/statistics/intervals.js';
import { type ExitCosts, evaluate, exitOf, type Scores, type Thresholds } from '../src/thresholds/evaluate.js';
import { certifyPath, changes, guaranteeMethods, proposePath } from '../src/thresholds/guarantee.js';
import { everyImage } from './generated-scores.js';
import { scoresOf } from './scores.js';

interface Population {
  readonly name: string;
  readonly images: number;
  readonly drop: number;
  readonly confidence: number;
  readonly scores: Scores;
  readonly costs?: ExitCosts;
}

const generatedCosts: ExitCosts = [1, 4, 10];
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

// Gates trained on fewer images are there sooner; what they are worth is no matter here.
const trainImages: Readonly<Record<string, number>> = { table1: 2000, resnet56: 5000 };
const names = ['table1', 'cascade', 'resnet56'];
const real = names.map((name) => async (): Promise<Population> => {
  const { test: scores, costs } = await scoresOf(name, undefined, trainImages[name]);
  return { name: `${name}, test images`, images: 5000, drop: 0.005, confidence: 0.95, scores, costs };
});

const draws = Number(process.argv[2] ?? 2000);
const wanted = process.argv[3] ?? '';
const methods = [...guaranteeMethods, 'clopper-pearson'] as const;
const columns =
  'population,images,drop_fraction,confidence_fraction,method,draws,broken_fraction,mean_drop_fraction,open_fraction,saved_fraction';
process.stdout.write(csvOf([columns.split(',')]));
for (const one of populations) if (one.name.includes(wanted)) report(one);
for (const [i, make] of real.entries()) if (names[i]!.includes(wanted)) report(await make());
process.stderr.write(`${(process.cpuUsage().user / 1e6).toFixed(0)} s of the processor\n`);

/** A row for each method. */
function report({ name, images, drop, confidence, scores, costs = generatedCosts }: Population): void {
  const random = new Random(7, name);
  const everything = everyImage(scores.count);
  const sums = methods.map(() => ({ broken: 0, open: 0, saved: 0, loss: 0 }));
  for (let draw = 0; draw < draws; draw++) {
    const drawn = Int32Array.from({ length: images }, () => random.below(scores.count));
    const systems = [{ scores, costs }];
    const path = proposePath(systems, drawn, { drop, confidence }, draw);
    for (const [i, method] of methods.entries()) {
      const { thresholds } =
        method === 'clopper-pearson'
          ? plainBound(scores, drawn, path.testing, drop, confidence)
          : certifyPath(systems, path, { drop, confidence, method });
      const sum = sums[i]!;
      if (!thresholds.some(Number.isFinite)) continue; // nothing lost, nothing saved
      const { lost, gained } = changes(scores, thresholds, everything);
      const loss = (lost - gained) / scores.count;
      sum.broken += Number(loss > drop);
      sum.loss += loss;
      sum.open++;
      sum.saved += 1 - evaluate(scores, thresholds, costs, drawn).flops / costs.at(-1)!;
    }
  }
  const rows = methods.map((method, i) => {
    const { broken, open, saved, loss } = sums[i]!;
    return [name, images, drop, confidence, method, draws, ...[broken, loss, open, saved].map((sum) => sum / draws)];
  });
  process.stdout.write(csvOf(rows));
  process.stderr.write(`${name}\n`);
}

/** All gates at one quantile of the drawn confidences; the testing images bound the share of lost images. */
function plainBound(
  scores: Scores,
  drawn: Int32Array,
  testing: Int32Array,
  drop: number,
  confidence: number,
): { readonly thresholds: Thresholds } {
  const isLast = (exit: number): boolean => exit === scores.confidences.length;
  const sorted = scores.confidences.map((of) => Float32Array.from(drawn, (i) => of[i]!).sort());
  let thresholds: Thresholds = sorted.map(() => Number.POSITIVE_INFINITY);
  for (let step = 100; step >= 0; step--) {
    const tried = sorted.map((of) => of[Math.min(of.length - 1, Math.floor((step / 100) * of.length))]!);
    const lost = testing.reduce((sum, i) => {
      const exit = exitOf(scores, tried, i);
      const right = scores.original[i] === scores.labels[i];
      return sum + Number(!isLast(exit) && right && scores.classes[exit]![i] !== scores.labels[i]);
    }, 0);
    if (!(upperLimit(lost, testing.length, 1 - confidence) <= drop)) break;
    thresholds = tried;
  }
  return { thresholds };
}
