/**
 * How far the table of an experiment moves where the processor, the seed or the engine is another: gates are trained, thresholds
 * searched and rows reported again on features that are multiplied by 1 + 1e-6 u, u uniform in [-1, 1] (what another processor's
 * rounding does), with another seed of training, extracted by another engine, or on another processor.
 *
 * Usage: npx tsx bench/same-table.ts EXPERIMENT PRESET CHANGE...
 *        CHANGE: noise-1, seed-3, tfjs-wasm, or processor: this one, beside the one that the file's lines `none` are of.
 *        SOLVER=sgd: gates by another solver than `optimum`; SET=gates.gap=1e-4: other settings, space-separated.
 *        DGATE_CACHE: a folder of its own for features of another processor.
 *
 * Appends a line for each row and change to results/same-table.csv, beside what the unchanged features give: the file's lines
 * `none`, or where it has none, those made now.
 */
import { existsSync } from 'node:fs';
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { stringify } from 'csv-stringify/sync';
import { consoleProgress, openContext } from '../src/cli/context.js';
import { parseCsv } from '../src/csv.js';
import { loadDefinition } from '../src/experiment/load.js';
import { parseSetting, resolveExperiment } from '../src/experiment/resolve.js';
import { distances, type Gate } from '../src/gates/gate.js';
import { trainGate } from '../src/gates/train.js';
import { Random } from '../src/random.js';
import type { FeatureSet } from '../src/run/features.js';
import { partsOf, type Row, searchAndEvaluate } from '../src/run/search.js';
import { openStages } from '../src/run/stages.js';
import { gateTrainer, inMemory } from '../src/run/train.js';
import type { Scores } from '../src/thresholds/evaluate.js';
import { conditionsOf } from './runner/conditions.js';
import { isHidden } from './runner/csv.js';

const [name = 'table1', preset = 'laptop', ...changes] = process.argv.slice(2);
const { SOLVER: solver = 'optimum', SET: set = '' } = process.env;
const more = set.split(' ').filter((setting) => setting !== '');
const out = new URL('../results/same-table.csv', import.meta.url);
const columns =
  'experiment,preset,solver,change,row,search,margin_fraction,accuracy_fraction,flops_reduction_fraction,thresholds,accuracy_moved_fraction,flops_reduction_moved_fraction';

/** Features of a gate, [count, features], with noise where there is a source of it. */
async function featuresOf(set: FeatureSet, gate: number, noise: Random | undefined): Promise<Float32Array> {
  const width = set.widths[gate]!;
  const x = new Float32Array(set.count * width);
  let start = 0;
  for await (const shard of set.shards()) {
    x.set(shard.features(gate), start);
    start += shard.count * width;
  }
  if (noise !== undefined) for (let i = 0; i < x.length; i++) x[i]! *= 1 + 1e-6 * (2 * noise.uniform() - 1);
  return x;
}

/** @param answered whether the shards hold the network's logits: not those of training images */
async function labelsOf(set: FeatureSet, answered: boolean): Promise<{ labels: Int32Array; original: Int32Array }> {
  const labels = new Int32Array(set.count);
  const original = new Int32Array(set.count);
  let start = 0;
  for await (const shard of set.shards()) {
    labels.set(shard.labels, start);
    if (answered) {
      const { logits } = shard;
      const classes = logits.length / shard.count;
      for (let i = 0; i < shard.count; i++) {
        const row = logits.subarray(i * classes, (i + 1) * classes);
        original[start + i] = row.indexOf(row.reduce((a, b) => Math.max(a, b)));
      }
    }
    start += shard.count;
  }
  return { labels, original };
}

/** Class and largest distance of each image. */
function decide(gate: Gate, x: Float32Array, count: number) {
  const { classes } = gate;
  const all = distances(gate, x);
  const answers = new Int32Array(count);
  const confidences = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const row = all.subarray(i * classes, (i + 1) * classes);
    confidences[i] = row.reduce((a, b) => Math.max(a, b));
    answers[i] = row.indexOf(confidences[i]!);
  }
  return { answers, confidences };
}

/** Rows of the table, and the original's FLOPs. */
async function tableOf(change: string): Promise<{ rows: readonly Row[]; total: number }> {
  const { exported, where } = await loadDefinition(name);
  const seed = change.startsWith('seed-') ? Number(change.slice(5)) : 0;
  const engine = /^(?:tfjs|ort)-/.test(change) ? change : 'auto';
  const settings = [
    { path: 'engine', value: engine },
    { path: 'gates.solver', value: solver },
    ...more.map(parseSetting),
  ];
  const experiment = resolveExperiment(exported, where, preset as 'laptop', settings);
  const stages = await openStages(await openContext({}), experiment);
  const { train, heldOut, test } = stages.features;
  const noise = change.startsWith('noise-') ? new Random(Number(change.slice(6)), 'noise') : undefined;
  const trainer = await gateTrainer.create();
  const { labels } = await labelsOf(train!, false);
  const scored = await Promise.all(
    [heldOut!, test].map(async (set) => ({
      set,
      ...(await labelsOf(set, true)),
      classes: [] as Int32Array[],
      confidences: [] as Float32Array[],
    })),
  );
  const { loss, gap, epochs, batchSize } = experiment.gates;
  // As in a run: the lambda that is right for most choosing images, of equal ones the largest.
  const lambdas = [experiment.gates.l2].flat().sort((a, b) => b - a);
  for (const gate of train!.widths.keys()) {
    const data = inMemory(await featuresOf(train!, gate, noise), labels, train!.classes);
    const features = await Promise.all(scored.map((one) => featuresOf(one.set, gate, noise)));
    let [best, found] = [-1, [] as ReturnType<typeof decide>[]];
    for (const l2 of lambdas) {
      const training = { loss, l2, solver: experiment.gates.solver, gap, epochs, batchSize, seed };
      const label = `${change}, gate ${gate + 1}, lambda ${l2}`;
      const trained = await trainGate(data, training, trainer, consoleProgress(), label);
      const decided = scored.map(({ set }, i) => decide(trained.gate, features[i]!, set.count));
      const right = decided[0]!.answers.filter((answer, i) => answer === scored[0]!.labels[i]).length;
      if (right > best) [best, found] = [right, decided];
    }
    for (const [i, { answers, confidences }] of found.entries()) {
      scored[i]!.classes.push(answers);
      scored[i]!.confidences.push(confidences);
    }
  }
  const [chosen, reported] = scored.map(({ set, labels, original, classes, confidences }): Scores => {
    return { count: set.count, labels, original, classes, confidences };
  });
  const parts = partsOf(experiment, reported!, chosen, train!.classes);
  const total = stages.plan.flops.flops;
  return { rows: searchAndEvaluate(experiment, parts, stages.plan.costs, total), total };
}

if (!existsSync(out)) await writeFile(out, `${columns}\n`);
const wanted = { experiment: name, preset, solver: [solver, ...more].join(' '), change: 'none' };
const base = parseCsv(await readFile(out, 'utf8'), out.pathname).filter((line) =>
  Object.entries(wanted).every(([column, value]) => line[column] === value),
);
for (const change of [...(base.length === 0 ? ['none'] : []), ...changes]) {
  const { rows, total } = await tableOf(change);
  const { processor } = await conditionsOf(new Map());
  const label = change !== 'processor' ? change : isHidden(processor) ? 'AVX2 alone' : processor;
  const lines = rows.map((row, i) => {
    const { accuracy, flops } = row.evaluation;
    const saved = 1 - flops / total;
    const whole = base[i];
    return [
      name,
      preset,
      wanted.solver,
      label,
      i + 1,
      row.search ?? '',
      row.margin ?? '',
      accuracy,
      saved,
      row.thresholds[0]!.map((t) => t.toFixed(4)).join(' '),
      whole === undefined ? 0 : accuracy - Number(whole['accuracy_fraction']),
      whole === undefined ? 0 : saved - Number(whole['flops_reduction_fraction']),
    ];
  });
  const text = stringify(lines);
  if (base.length === 0) base.push(...parseCsv(`${columns}\n${text}`, 'now'));
  await appendFile(out, text);
}
