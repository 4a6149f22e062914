import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { InputError } from '../../errors.js';
import { CHANNEL, SUPERVISOR, supervisorId } from '../../store/processes.js';
import { ruleNames } from '../../timing/pairs.js';
import type { TimingRecord } from '../../timing/record.js';
import { defineCommand, option } from '../command.js';
import { assertWhole, optionOverrides, runOptions } from '../options.js';
import { print, printJson } from '../output.js';

export const timeCommand = defineCommand({
  command: 'time <experiment...>',
  describe: 'time the systems of a table against the original, pair by pair, and measure their memory',
  options: {
    experiment: option.argumentList('names (dgate list experiments), files (./mine.ts), or all'),
    batch: option.text('batch sizes, comma-separated', { default: '1,32' }),
    images: option.whole('time the first test images, each once for each row', {
      defaultDescription: 'about 15 s a row',
    }),
    repeats: option.whole('processes that time every row, one after the other; intervals contain their variation', {
      defaultDescription: '3; 1 with --rules mlperf',
    }),
    repeat: { type: 'string', hidden: true }, // for the processes that this command starts
    rules: option.choice(
      ruleNames,
      "mlperf: MLPerf's single-stream and offline runs, at least 10 minutes per network and row",
      { default: 'default' },
    ),
    'rows-only': option.flag('time only the rows, not static rows and other systems compared with them'),
    verify: option.flag('first run all test images and compare class and exit with the cached evaluation'),
    ...runOptions,
    engine: option.text('what executes the networks (dgate list engines)'),
    seeds: option.text('several seeds, one after the other: 0..4, or 0,2,5'),
  },
  examples: {
    '$0 time table1': 'latency (batch 1) and throughput (batch 32) of every row',
    '$0 time table1 --engine tfjs-node --batch 1,32,256': 'on a GPU',
    '$0 time table1 --rules mlperf --batch 1': "MLPerf's single-stream rules",
  },
  run: async (options) => {
    const batches = parseBatches(options.batch);
    const { images } = options;
    assertWhole('images', images, 'a whole number, at least 1');
    if (images !== undefined && options.rules === 'mlperf') {
      throw new InputError('--images with --rules mlperf: these rules set the number of images; valid: one of the two');
    }
    const { repeats = options.rules === 'mlperf' ? 1 : 3 } = options;
    assertWhole('repeats', repeats, `a whole number from 1 to ${MOST_REPEATS}`, MOST_REPEATS);
    const { perSeed } = await import('../../batch/grid.js');
    const { timingFiles } = await import('../../gated/time/files.js');
    const { timeRepeat, timeRun } = await import('../../gated/time/time.js');
    const { renderTiming, timingWarnings } = await import('../../report/table.js');
    const { writeRun } = await import('../../run/report.js');
    const { runExperiment } = await import('../../run/run.js');
    const { ensureFolder } = await import('../../store/store.js');
    const { openContext } = await import('../context.js');
    const { commandLine, resolveAll } = await import('../run-experiments.js');
    const resolved = await resolveAll(options.experiment, options, optionOverrides(options));
    const context = await openContext(options);
    await ensureFolder(context.resultsRoot);
    const records: TimingRecord[] = [];
    const seeds = resolved.flatMap(({ name, experiment }) =>
      perSeed(experiment).map((one) => ({ name, experiment: one })),
    );
    const started = startedRepeat(options.repeat);
    if (started !== undefined) {
      const quiet = { ...context, progress: { ...context.progress, note() {} } };
      const outcome = await runExperiment(quiet, seeds[started.run]!.experiment);
      await timeRepeat(context, outcome, { ...options, ...started, batches, repeats });
      return;
    }
    for (const [run, { name, experiment }] of seeds.entries()) {
      const timing = { ...options, repeat: 1, batches, repeats };
      const repeatAnew = (repeat: number) => runAgain(['--repeat', `${run},${repeat}`]);
      const found = await runExperiment(context, experiment);
      const outcome = await timeRun(context, found, timing, repeats === 1 ? undefined : repeatAnew);
      const record = outcome.timing!;
      records.push(record);
      // The table of the same run now has its Speed columns.
      const folder = await writeRun(outcome, options.preset, context.resultsRoot, {
        command: commandLine([name], options),
        logImages: 'as before',
      });
      if (options.json) for (const warning of timingWarnings(record)) context.progress.warn(warning);
      else print(() => renderTiming(record));
      context.progress.note(`written to ${folder}: ${timingFiles.join(', ')}, and the speeds of its tables`);
      if (isWrong(record)) process.exitCode = 1;
    }
    if (options.json) printJson(records.length === 1 ? records[0] : records);
  },
});

const MOST_REPEATS = 100;

/** `0,2`: the second repeat of the first run. @throws InputError */
function startedRepeat(text: string | undefined): { readonly run: number; readonly repeat: number } | undefined {
  if (text === undefined) return undefined;
  const [run = Number.NaN, repeat = Number.NaN] = text.split(',').map(Number);
  if (Number.isInteger(run + repeat) && run >= 0 && repeat >= 1) return { run, repeat };
  throw new InputError(`--repeat ${text}; valid: --repeats N`);
}

/** Whether an image got another class or exit than in the table, other than near a threshold. */
function isWrong({ batches, verified }: TimingRecord): boolean {
  const timed = batches.flatMap(({ rows }) => rows.map(({ agreement }) => agreement));
  return [...timed, ...(verified ?? [])].some(({ differing }) => differing > 0);
}

/** `1,32` as numbers. @throws InputError */
export function parseBatches(text: string): number[] {
  const sizes = text.split(',').map((size) => (/^\d+$/.test(size.trim()) ? Number(size) : Number.NaN));
  if (!sizes.every((size) => size >= 1 && size <= 65_536) || new Set(sizes).size !== sizes.length) {
    throw new InputError(`--batch ${text}; valid: whole numbers from 1, none twice, for example 1,32`);
  }
  return sizes;
}

/** Runs this command anew with more arguments, without its output. @throws Error if it fails; it has reported why */
async function runAgain(more: readonly string[]): Promise<void> {
  const channel = supervisorId === undefined ? 'ignore' : CHANNEL;
  const work = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1), ...more], {
    stdio: ['ignore', 'ignore', 'inherit', channel],
    env: { ...process.env, [SUPERVISOR]: String(process.pid) },
  });
  const [status, signal] = (await once(work, 'close')) as [number | null, NodeJS.Signals | null];
  if (status === 0) return;
  throw new Error(
    `a process of this command ended with ${signal ?? `status ${status}`}; run the command again to resume`,
  );
}
