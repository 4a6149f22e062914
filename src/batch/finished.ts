import { join } from 'node:path';
import type { PresetName } from '../experiment/presets.js';
import type { Experiment } from '../experiment/schema.js';
import type { RunContext } from '../run/context.js';
import { openBasis, runFolder, runIdentity } from '../run/identity.js';
import type { RunDocument, RunRecord } from '../run/record.js';
import { exists, readSealed } from '../store/files.js';

/** A finished run with all its files. */
export interface FinishedRun {
  readonly folder: string;
  readonly document: RunDocument;
}

/**
 * The finished run of this code on these inputs, if its files are complete and its record unchanged. The record is
 * written last, after all other files. Reports why an existing record does not count.
 */
export async function finishedRun(
  context: RunContext,
  experiment: Experiment,
  preset: PresetName,
): Promise<FinishedRun | undefined> {
  const basis = await openBasis(context, experiment);
  const folder = runFolder(basis, preset, context.resultsRoot);
  const stored = await readSealed(join(folder, 'record.json'));
  if (stored === undefined) return undefined;
  if ('why' in stored) {
    context.progress.warn(`${stored.why}; the run is made again`);
    return undefined;
  }
  const record = stored.found as RunRecord;
  const { inputs, code } = runIdentity(basis);
  if (record.identity?.inputs !== inputs || record.identity.code !== code) {
    context.progress.note(`${folder}: made by other code or from other inputs; the run is made again`);
    return undefined;
  }
  for (const file of record.files) if (!(await exists(join(folder, file)))) return undefined;
  const { experiment: name, engine: id, seeds, splits, rows, claims } = record;
  return {
    folder,
    document: { experiment: name, preset, engine: id, seeds, splits, rows, ...(claims !== undefined && { claims }) },
  };
}
