import { join } from 'node:path';
import { type Comparison, compareRuns, openRun, readRecord, runOf } from '../batch/compare.js';

import { InputError } from '../errors.js';
import { checkExperiment } from '../experiment/resolve.js';
import { isPlain, type Plain } from '../experiment/rules.js';
import { paperExperiments } from '../paper/index.js';
import { plan } from '../run/plan.js';
import { runRecord } from '../run/record.js';
import { runExperiment } from '../run/run.js';
import { readableJson } from '../store/files.js';
import type { GlobalOptions } from './command.js';
import { openContext } from './context.js';

/**
 * Runs the definitions of an earlier run again, seed after seed, with its checkpoints and engines, and compares: A is the
 * run on record, B what comes out now. What is in the cache is taken from it; nothing is written to the folder of results.
 *
 * @throws InputError where the record does not hold a definition that this version takes
 */
export async function rerun(
  nameOrPath: string,
  options: GlobalOptions & { readonly json: boolean },
): Promise<Comparison> {
  const context = await openContext(options);
  const earlier = await openRun(nameOrPath, context.resultsRoot);
  const found = await readRecord(join(earlier.folder, 'record.json'));
  const records = [];
  for (const folder of found.runs?.map((run) => join(earlier.folder, '..', '..', run)) ?? [earlier.folder]) {
    const {
      definition,
      preset = 'laptop',
      command = '',
      files = [],
      engine,
    } = await readRecord(join(folder, 'record.json'));
    if (!isPlain(definition)) throw new InputError(`${folder}/record.json: no definition; valid: a run of dgate run`);
    const { experiment, problems } = checkExperiment(
      asWritten({ ...definition, ...(engine !== undefined && { engine }) }),
      paperExperiments,
    );
    if (experiment === undefined) throw new InputError(problems.map((problem) => `${folder}/record.json: ${problem}`));
    await plan(experiment);
    const outcome = await runExperiment(context, experiment);
    records.push(JSON.parse(readableJson(runRecord(outcome, preset, command, files))));
  }
  return compareRuns(withoutTimes(earlier), withoutTimes(runOf('now', {}, records)));
}

/** A resolved definition as a file has it: poolings by name, closed gates as numbers. */
function asWritten(value: Plain): Plain {
  const undone = (item: unknown): unknown => {
    if (item === 'Infinity') return Number.POSITIVE_INFINITY;
    if (Array.isArray(item)) return item.map(undone);
    if (!isPlain(item)) return item;
    if (item['kind'] === 'gap' || item['kind'] === 'class-token') return item['kind'];
    if (item['kind'] === 'grid') return `${item['size']}x${item['size']}`;
    return Object.fromEntries(Object.entries(item).map(([key, inner]) => [key, undone(inner)]));
  };
  return undone(value) as Plain;
}

/** Times are measured by dgate time, not by a run. */
function withoutTimes(run: ReturnType<typeof runOf>): typeof run {
  return { ...run, rows: run.rows.map((rows) => rows.map((row) => ({ ...row, speedMs: null }))) };
}
