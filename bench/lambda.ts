/**
 * What it brings to choose lambda for each gate on the choosing images: Table 1 (laptop), with lambda 0.002 and with the list of its
 * definition, gates trained on all training images and on a third of them.
 *
 * Usage: npx tsx bench/lambda.ts      writes results/lambda.csv; some minutes
 */
import { writeFileSync } from 'node:fs';
import { openContext } from '../src/cli/context.js';
import { csvOf } from '../src/csv.js';
import { loadDefinition } from '../src/experiment/load.js';
import { resolveExperiment } from '../src/experiment/resolve.js';
import { paperExperiments } from '../src/paper/index.js';
import { runExperiment } from '../src/run/run.js';

const { exported, where } = await loadDefinition('table1');
const context = await openContext({});
const date = new Date().toISOString().slice(0, 10);
const rows: (string | number)[][] = [];
for (const images of [45_000, 15_000]) {
  for (const fixed of [0.002, undefined]) {
    const settings = [
      ...(images === 45_000 ? [] : [{ path: 'trainImages', value: images }]),
      ...(fixed === undefined ? [] : [{ path: 'gates.l2', value: fixed }]),
    ];
    const experiment = resolveExperiment(exported, where, 'laptop', settings, paperExperiments);
    const { rows: found, gates, original } = await runExperiment(context, experiment);
    for (const { search, margin, evaluation } of found) {
      if (search === undefined) continue;
      const saved = 1 - evaluation.flops / original.flops;
      const lambdas = gates.map(({ l2 }) => l2).join(' ');
      const drop = original.accuracy - evaluation.accuracy;
      rows.push([images, fixed ?? 'chosen', lambdas, search, margin ?? '', drop, saved, date]);
    }
  }
}
const head =
  'training_images,lambda,lambdas,search,margin_fraction,accuracy_drop_fraction,flops_reduction_fraction,date';
writeFileSync(new URL('../results/lambda.csv', import.meta.url), csvOf([head.split(','), ...rows]));
