import { engineNamed } from '../engines/registry.js';
import { InputError } from '../errors.js';
import { experimentNames, loadDefinition } from '../experiment/load.js';
import { type Override, parseSetting, resolveExperiment } from '../experiment/resolve.js';
import type { Experiment } from '../experiment/schema.js';
import { renderRun, runDocument, writeRun } from '../pipeline/report.js';
import { plan, runExperiment } from '../pipeline/run.js';
import { ensureFolder } from '../store/store.js';
import { openContext } from './context.js';
import type { RunOptions } from './run.js';

/** `dgate run`: every definition is checked before the first one runs. */
export async function runExperiments(options: RunOptions, overrides: readonly Override[]): Promise<void> {
  const settings = [...options.set.map(parseSetting), ...overrides];
  const experiments = await resolveAll(options, settings);
  const context = await openContext(options);
  await ensureFolder(context.resultsRoot);
  const documents = [];
  for (const experiment of experiments) {
    const outcome = await runExperiment(context, experiment);
    const folder = await writeRun(outcome, options.preset, context.resultsRoot);
    documents.push(runDocument(outcome, options.preset));
    if (!options.json) process.stdout.write(`${renderRun(outcome, options.preset)}\n`);
    context.progress.note(`written: ${folder}/table.csv, table.txt, record.json`);
  }
  if (options.json) {
    const document = documents.length === 1 ? documents[0] : documents;
    process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
  }
}

/** Does some work; what it finds wrong is said of a definition. */
function checked(where: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new InputError(error.problems.map((problem) => `${where}: ${problem}`));
  }
}

/** @throws InputError with the problems of all definitions at once */
async function resolveAll(options: RunOptions, settings: readonly Override[]): Promise<Experiment[]> {
  const all = options.experiment.includes('all');
  const names = all ? await experimentNames() : options.experiment;
  const problems: string[] = [];
  const experiments: Experiment[] = [];
  for (const name of names) {
    try {
      const { exported, where } = await loadDefinition(name);
      const experiment = resolveExperiment(exported, where, options.preset, settings);
      checked(where, () => {
        plan(experiment);
        engineNamed(experiment.engine);
      });
      experiments.push(experiment);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      problems.push(...error.problems);
    }
  }
  if (problems.length > 0) throw new InputError(problems);
  return experiments;
}
