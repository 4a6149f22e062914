import { perSeed } from '../batch/seeds.js';
import { InputError } from '../errors.js';
import { parseSetting } from '../experiment/resolve.js';
import { timingFiles } from '../gated/time/files.js';
import { timeRun } from '../gated/time/run.js';
import { renderTiming, timingWarnings } from '../report/timing.js';
import { writeRun } from '../run/report.js';
import { runExperiment } from '../run/run.js';
import { ensureFolder } from '../store/store.js';
import type { TimingRecord } from '../timing/record.js';
import { openContext } from './context.js';
import { print, printJson } from './output.js';
import { optionOverrides } from './run.js';
import { commandLine, resolveAll } from './run-experiments.js';
import type { TimeOptions } from './time.js';

/** `dgate time`: every definition and option is checked before the first run. */
export async function timeExperiments(options: TimeOptions): Promise<void> {
  const batches = parseBatches(options.batch);
  const { images } = options;
  if (images !== undefined && (!Number.isInteger(images) || images < 1)) {
    throw new InputError(`--images ${images}; valid: a whole number, at least 1`);
  }
  if (images !== undefined && options.rules === 'mlperf') {
    throw new InputError('--images with --rules mlperf: the rules say how many; valid: one of the two');
  }
  const settings = [...options.set.map(parseSetting), ...optionOverrides(options)];
  const experiments = await resolveAll(options, settings);
  const context = await openContext(options);
  await ensureFolder(context.resultsRoot);
  const records: TimingRecord[] = [];
  const seeds = experiments.flatMap((experiment, i) => perSeed(experiment).map((one) => ({ experiment: one, i })));
  for (const { experiment, i } of seeds) {
    const outcome = await timeRun(context, await runExperiment(context, experiment), { ...options, batches });
    const record = outcome.timing!;
    records.push(record);
    // The table of the same run now has its Speed columns.
    const named = options.experiment.includes('all') ? experiment.name : options.experiment[i]!;
    const folder = await writeRun(outcome, options.preset, context.resultsRoot, {
      command: commandLine([named], options),
    });
    if (options.json) for (const warning of timingWarnings(record)) context.progress.warn(warning);
    else print(renderTiming(record));
    context.progress.note(`written to ${folder}: ${timingFiles.join(', ')}, and the speeds of its tables`);
    if (isWrong(record)) process.exitCode = 1;
  }
  if (options.json) {
    printJson(records.length === 1 ? records[0] : records);
  }
}

/** Whether the gated network gave any image another class or exit than the table rests on, without an excuse. */
function isWrong({ batches, verified }: TimingRecord): boolean {
  const timed = batches.flatMap(({ rows }) => rows.map(({ agreement }) => agreement));
  return [...timed, ...(verified ?? [])].some(({ differing }) => differing > 0);
}

/** Batch sizes as they are asked for, none twice. @throws InputError */
export function parseBatches(text: string): number[] {
  const sizes = text.split(',').map((size) => (/^\d+$/.test(size.trim()) ? Number(size) : Number.NaN));
  if (!sizes.every((size) => size >= 1 && size <= 65_536) || new Set(sizes).size !== sizes.length) {
    throw new InputError(`--batch ${text}; valid: whole numbers from 1, none twice, for example 1,32`);
  }
  return sizes;
}
