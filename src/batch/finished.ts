import { join } from 'node:path';
import type { PresetName } from '../experiment/definition.js';
import type { Experiment } from '../experiment/schema.js';
import { version } from '../project.js';
import { LazyEngine, type RunContext } from '../run/context.js';
import { openImages } from '../run/images.js';
import { type RunDocument, type RunRecord, runFolder } from '../run/record.js';
import { openSource, plan } from '../run/stages.js';
import { exists, readJson } from '../store/files.js';

/** A run whose folder is whole. */
export interface FinishedRun {
  readonly folder: string;
  readonly document: RunDocument;
}

/**
 * The folder that this run would write, where it is there already, whole and of this version of dgate. The record is
 * written last: where it is, all files before it are.
 */
export async function finishedRun(
  context: RunContext,
  experiment: Experiment,
  preset: PresetName,
): Promise<FinishedRun | undefined> {
  const source = await openSource(context, experiment, await plan(experiment));
  const images = await openImages(context, experiment, source);
  const imageHashes = Object.fromEntries(Object.entries(images).map(([split, { sha256 }]) => [split, sha256]));
  const engine = new LazyEngine(experiment.engine);
  const folder = runFolder({ experiment, source, engine, imageHashes }, preset, context.resultsRoot);
  const record = (await readJson(join(folder, 'record.json')).catch(() => undefined)) as Partial<RunRecord> | undefined;
  if (record?.versions?.['dgate'] !== version() || record.rows === undefined || record.files === undefined)
    return undefined;
  for (const file of record.files) if (!(await exists(join(folder, file)))) return undefined;
  const { experiment: name, engine: id, seeds, splits, rows, claims } = record as RunRecord;
  return {
    folder,
    document: { experiment: name, preset, engine: id, seeds, splits, rows, ...(claims !== undefined && { claims }) },
  };
}
