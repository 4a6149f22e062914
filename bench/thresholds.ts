/**
 * How fast thresholds are searched, what guarantees cost, and how far the paper's search is from the joint optimum.
 *
 * Command   npx tsx bench/thresholds.ts [speed|memory|searches|guarantee|readings]... [--checkpoint FILE] [--splits 200]
 *           (all but readings; searches and guarantee need the cache of `dgate run table1 table2 resnet56`; FILE is
 *           ResNet-56's checkpoint; readings needs the cache of `dgate run table1`)
 * speed: generated images, medians of 7 rounds in one process. searches: joint and sequential search on the validation
 * images of every experiment with margins. guarantee: random splits of the 10,000 test images in halves; thresholds
 * chosen on one with and without a guarantee. Which promises are broken is told in two ways: by the drop on all 10,000
 * images (drawn from without replacement, they are the population that the promise is about), and by the drop on the
 * other half, which scatters around it by itself. readings: every search of Table 1's margins beside the printed
 * thresholds; writes results/readings.csv.
 */

import { fork } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { csvOf } from '../src/csv.js';
import { Random } from '../src/random.js';
import { renderColumns } from '../src/report/findings.js';
import { originalAccuracy, partsOf } from '../src/run/search.js';
import { evaluate, type Thresholds } from '../src/thresholds/evaluate.js';
import { paretoFrontier } from '../src/thresholds/frontier.js';
import { achievableLevels, quantileLevels } from '../src/thresholds/grid.js';
import { certify } from '../src/thresholds/guarantee.js';
import {
  jointSearch,
  pointOf,
  searches as searchKinds,
  searchMethods,
  sequentialSearch,
} from '../src/thresholds/methods.js';

import { everyImage, generatedScores } from './generated-scores.js';
import { type ExperimentScores, scoresOf } from './scores.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { checkpoint: { type: 'string' }, splits: { type: 'string', default: '200' } },
});
const parts = positionals.length > 0 ? positionals : ['speed', 'memory', 'searches', 'guarantee'];
const print = (text: string): void => void process.stdout.write(`${text}\n`);
const percent = (share: number): string => (100 * share).toFixed(2);

function median(rounds: number, work: () => void): string {
  const times = Array.from({ length: rounds }, () => {
    const start = performance.now();
    work();
    return performance.now() - start;
  }).sort((a, b) => a - b);
  const [low, middle, high] = [times[0]!, times[Math.floor(rounds / 2)]!, times.at(-1)!];
  return `${middle.toFixed(1)} ms (${low.toFixed(1)} to ${high.toFixed(1)})`;
}

function speed(): void {
  const { scores, costs } = generatedScores(10_000, 3);
  const images = everyImage(scores.count);
  const frontier = paretoFrontier(scores, costs, images, 100);
  const three = median(7, () => paretoFrontier(scores, costs, images, 100));
  print(`10,000 images, 3 gates, ${frontier.combinations.toLocaleString('en')} combinations: frontier in ${three}`);

  const levels = scores.confidences.map((of) => quantileLevels(achievableLevels(of, images), 100));
  const random = new Random(2, 'sample');
  const sample = Array.from({ length: 200 }, () => levels.map((of) => of[random.below(of.length)]!));
  const start = performance.now();
  for (const thresholds of sample) evaluate(scores, thresholds, costs, images);
  const each = (performance.now() - start) / sample.length;
  const ratio = (each * frontier.combinations) / Number.parseFloat(three);
  print(
    `  trying one combination takes ${each.toFixed(3)} ms (mean of 200), all of them ${Math.round(ratio)} times as long`,
  );

  const pair = generatedScores(10_000, 2);
  const exact = paretoFrontier(pair.scores, pair.costs, images);
  const two = median(7, () => paretoFrontier(pair.scores, pair.costs, images));
  print(`10,000 images, 2 gates, all ${exact.combinations.toLocaleString('en')} achievable pairs: frontier in ${two}`);

  const certified = median(7, () => certify(scores, costs, images, { drop: 0.005, confidence: 0.95 }, 0));
  print(`guaranteed choice, 10,000 images, 3 gates: ${certified}`);
}

/** In a process of its own, so that its peak memory is that of this search. */
async function memory(): Promise<void> {
  const child = fork(fileURLToPath(import.meta.url), ['million'], { execArgv: process.execArgv, stdio: 'inherit' });
  await new Promise((resolve) => child.once('exit', resolve));
}

function million(): void {
  const { scores, costs } = generatedScores(1_000_000, 4);
  const images = everyImage(scores.count);
  const before = process.resourceUsage().maxRSS;
  const time = median(3, () => paretoFrontier(scores, costs, images, 30));
  const peak = process.resourceUsage().maxRSS;
  print(
    `1,000,000 images, 4 gates, 30 levels: frontier in ${time}; peak memory ${(peak / 1024).toFixed(0)} MB, ` +
      `${(before / 1024).toFixed(0)} MB before the search`,
  );
}

async function loaded(): Promise<ExperimentScores[]> {
  return [await scoresOf('table1'), await scoresOf('table2'), await scoresOf('resnet56', values.checkpoint)];
}

async function searches(): Promise<void> {
  const rows: string[][] = [];
  for (const { experiment, test, heldOut, costs, classes, flops } of await loaded()) {
    const choosing = partsOf(experiment, test, heldOut, classes).map((part) => part.selection);
    for (const [fold, { scores, images }] of choosing.entries()) {
      const frontier = paretoFrontier(scores, costs, images);
      for (const margin of experiment.thresholds.margins) {
        const required = originalAccuracy(scores, images) - margin;
        const one = pointOf(scores, costs, images, sequentialSearch(scores, costs, images, required));
        const joint = jointSearch(scores, costs, images, { kind: 'accuracy', required }, frontier)!;
        const worse = joint.flops > one.flops || joint.accuracy < required - 1e-9;
        const name = `${experiment.name}${choosing.length > 1 ? `, fold ${fold + 1}` : ''}`;
        const saved = [one, joint].map((point) => percent(1 - point.flops / flops));
        rows.push([name, percent(margin), ...saved, (joint.flops / one.flops).toFixed(4), worse ? 'WORSE' : '']);
      }
    }
  }
  const head = ['Experiment', 'Margin (%)', 'Sequential saves (%)', 'Joint saves (%)', 'FLOPs ratio', ''];
  print(`Validation images, FLOPs saved against the original\n${renderColumns(head, rows)}`);
}

async function guarantee(): Promise<void> {
  const splits = Number(values.splits);
  const promised = { drop: 0.005, confidence: 0.95 };
  const rows: string[][] = [];
  for (const { experiment, test, costs, flops } of await loaded()) {
    const all = everyImage(test.count);
    const kinds = ['guaranteed', 'unguarded'].map((kind) => ({
      kind,
      population: 0,
      otherHalf: 0,
      saved: 0,
      closed: 0,
    }));
    for (let split = 0; split < splits; split++) {
      const order = new Random(split, 'splits').shuffle(all.slice());
      const [choose, others] = [order.slice(0, order.length / 2), order.slice(order.length / 2)];
      const required = originalAccuracy(test, choose) - promised.drop;
      const unguarded = jointSearch(
        test,
        costs,
        choose,
        { kind: 'accuracy', required },
        paretoFrontier(test, costs, choose, 100),
      );
      const chosen: Thresholds[] = [certify(test, costs, choose, promised, split).thresholds, unguarded!.thresholds];
      for (const [i, thresholds] of chosen.entries()) {
        const broken = (images: Int32Array): number => {
          const drop = originalAccuracy(test, images) - evaluate(test, thresholds, costs, images).accuracy;
          return Number(drop > promised.drop + 1e-9);
        };
        const kind = kinds[i]!;
        kind.population += broken(all);
        kind.otherHalf += broken(others);
        kind.saved += 1 - evaluate(test, thresholds, costs, others).flops / flops;
        kind.closed += Number(thresholds.every((t) => t === Number.POSITIVE_INFINITY));
      }
    }
    for (const { kind, population, otherHalf, saved, closed } of kinds) {
      rows.push([
        `${experiment.name}, ${kind}`,
        ...[population, otherHalf, closed].map(String),
        percent(saved / splits),
      ]);
    }
  }
  const head = ['', 'Broken: all images', 'Broken: other half', 'All gates closed', 'FLOPs saved (%)'];
  print(`At most 0.5 points lost with 95 % confidence, ${splits} splits: counts\n${renderColumns(head, rows)}`);
}

/** Every search of Table 1's margins: thresholds, what they save and lose, and how far they are from the printed ones. */
async function readings(): Promise<void> {
  const { experiment, test, heldOut, costs, classes, flops } = await scoresOf('table1');
  const [part] = partsOf(experiment, test, heldOut, classes);
  const { scores, images } = part!.selection;
  const { margins, fixed } = experiment.thresholds;
  const lines: (string | number)[][] = [];
  for (const method of searchMethods) {
    const search = searchKinds[method].on(scores, costs, images);
    for (const [i, margin] of margins.entries()) {
      const thresholds = search(originalAccuracy(scores, images) - margin);
      const [chosen, reported] = [evaluate(scores, thresholds, costs, images), evaluate(test, thresholds, costs)];
      const drop = originalAccuracy(test, everyImage(test.count)) - reported.accuracy;
      const apart = thresholds.reduce((sum, t, gate) => sum + Math.abs(t - fixed[i]![gate]!), 0) / thresholds.length;
      const saved = [chosen, reported].map((of) => 1 - of.flops / flops);
      lines.push([method, margin, ...thresholds, ...fixed[i]!, apart, ...saved, drop].map((v) => rounded(v)));
    }
  }
  const gates = costs.slice(1).map((_, gate) => gate + 1);
  const head = [
    'search',
    'margin_fraction',
    ...gates.map((gate) => `t${gate}`),
    ...gates.map((gate) => `printed_t${gate}`),
    'mean_distance_from_printed',
    'saved_validation_fraction',
    'saved_fraction',
    'drop_fraction',
  ];
  await writeFile('results/readings.csv', csvOf([head, ...lines]));
  print(
    renderColumns(
      head,
      lines.map((line) => line.map(String)),
    ),
  );
}

const rounded = (value: string | number): string | number => (typeof value === 'number' ? +value.toFixed(4) : value);

const work = { speed, memory, million, searches, guarantee, readings } as const;
for (const part of parts) {
  if (!(part in work)) throw new Error(`${part}; valid: speed, memory, searches, guarantee, readings`);
  await work[part as keyof typeof work]();
}
if (!parts.includes('million')) {
  print(`${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, node ${process.versions.node}`);
}
