import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openContext } from '../../src/cli/context.js';
import { OnnxRuntimeCpu } from '../../src/engines/onnxruntime/engine.js';
import { loadDefinition } from '../../src/experiment/load.js';
import { resolveExperiment } from '../../src/experiment/resolve.js';
import { paperExperiments } from '../../src/paper/index.js';
import { silent } from '../../src/progress.js';
import { writeRun } from '../../src/run/report.js';
import { runExperiment } from '../../src/run/run.js';
import { exists } from '../../src/store/files.js';
import { Store } from '../../src/store/store.js';
import { ratioOf } from '../runner/pairs.js';
import type { Benchmark, Ratio } from '../runner/types.js';
import { MATRIX_SIDES, matrixSession } from './extraction.js';

/**
 * Where the time of a cold run goes: data and checkpoint are there, no result is. Extraction's GFLOP/s stand beside the best matrix
 * product before and after the run. `DGATE_COLD_IMAGES` takes fewer training and test images.
 */
export const benchmark: Benchmark = {
  name: 'cold',
  title: 'stages of dgate run table1 with no result in the cache: seconds, and GFLOP/s of the extraction',
  peers: [],
  async run({ say }) {
    const opened = await openContext({});
    if (!(await exists(join(opened.dataRoot, 'cifar10')))) {
      say('left out: no CIFAR-10 in the cache (DGATE_CACHE)');
      return [];
    }
    const root = await mkdtemp(join(tmpdir(), 'dgate-bench-'));
    try {
      const engine = await OnnxRuntimeCpu.create();
      const products = await Promise.all(MATRIX_SIDES.map((side) => matrixSession(engine, side)));
      const best = async (): Promise<number> => {
        const rates: number[] = [];
        for (const { multiply } of [...products, ...products]) rates.push(await multiply());
        return Math.max(...rates);
      };
      const before = await best();
      const context = { ...opened, store: new Store(join(root, 'results')), resultsRoot: root, progress: silent };
      const { seconds, gigaflops, images } = await runCold(context);
      const after = await best();
      return rowsOf(seconds, gigaflops / seconds['extract']!, [before, after], `table1, ${images}`);
    } finally {
      await rm(root, { recursive: true });
    }
  },
};

async function runCold(context: Parameters<typeof runExperiment>[0]) {
  const { exported, where } = await loadDefinition('table1');
  const limit = process.env['DGATE_COLD_IMAGES'];
  const fewer = ['trainImages', 'testImages'].map((path) => ({ path, value: Number(limit) }));
  const experiment = resolveExperiment(exported, where, 'laptop', limit === undefined ? [] : fewer, paperExperiments);
  const outcome = await runExperiment(context, experiment);
  const start = performance.now();
  await writeRun(outcome, 'laptop', context.resultsRoot);
  const report = (performance.now() - start) / 1000;
  // For training images the network runs up to the last gate.
  const { flops, splits, gates, choosing } = outcome;
  const toLastGate = Math.max(...gates.map(({ stage }) => flops.stages[stage - 1]!.cumulativeFlops));
  const others = splits.test + (choosing?.count ?? 0);
  const gigaflops = (splits.train * toLastGate + others * flops.flops) / 1e9;
  const images = `${splits.train.toLocaleString('en')} training, ${others.toLocaleString('en')} other images`;
  return { seconds: { ...outcome.seconds, report } as Readonly<Record<string, number>>, gigaflops, images };
}

function rowsOf(
  seconds: Readonly<Record<string, number>>,
  rate: number,
  products: readonly number[],
  what: string,
): Ratio[] {
  const whole = Object.values(seconds).reduce((sum, of) => sum + of, 0);
  const stages = Object.entries(seconds).map(([stage, ours]) =>
    ratioOf([{ ours, peer: whole }], { what: `${what}: ${stage}`, against: 'the whole run', unit: 's' }),
  );
  const beside = products.map((peer) => ({ ours: rate, peer }));
  return [
    ...stages,
    ratioOf(beside, {
      what: `${what}: extraction, from bytes to shards`,
      against: 'best matrix product',
      unit: 'GFLOP/s',
      note: `products of square matrices of ${MATRIX_SIDES.join(', ')}, before the run and after it`,
    }),
  ];
}
