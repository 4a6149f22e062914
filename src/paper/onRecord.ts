import { join } from 'node:path';
import { parseCsv } from '../csv.js';
import { loadDefinition } from '../experiment/load.js';
import { networkLabel } from '../experiment/network.js';
import { resolveExperiment } from '../experiment/resolve.js';
import type { PresetName } from '../experiment/rules.js';
import { networkByName } from '../networks/catalogue.js';
import { networkFlops } from '../networks/network.js';
import type { ClaimOnRecord } from '../report/claims.js';
import { namesIn, readTextIfThere } from '../store/files.js';
import { openJudge } from './claims.js';
import { paperExperiments } from './index.js';
import { numberIn, printedClaims, type Records } from './published.js';

/** A run's folder, `<experiment>/<preset>-<hash>`, below the folder of all results. */
export interface RunOnRecord {
  readonly experiment: string;
  readonly preset: PresetName;
  /** With `/`, from the folder of all results. */
  readonly folder: string;
}

/** What is committed as evidence, below the folder of results. */
export const REFERENCE = 'reference/';

/** Runs of the paper's experiments in a folder of results and its reference, in the order of their names. */
export async function runsOnRecord(resultsRoot: string, presets: readonly PresetName[]): Promise<RunOnRecord[]> {
  const experiments = new Set((await printedClaims()).map(({ id }) => id.slice(0, id.indexOf('-'))));
  const found: RunOnRecord[] = [];
  for (const experiment of [...experiments].sort().flatMap((name) => [name, `${REFERENCE}${name}`])) {
    const folders = await namesIn(join(resultsRoot, experiment));
    for (const folder of folders.sort()) {
      const preset = presets.find(
        (name) => folder.startsWith(`${name}-`) && /^[0-9a-f]{8}$/.test(folder.slice(name.length + 1)),
      );
      if (preset === undefined) continue;
      found.push({ experiment: experiment.replace(REFERENCE, ''), preset, folder: `${experiment}/${folder}` });
    }
  }
  return found;
}

/** Files that claims are read from. */
const names = ['table', 'timing', 'errors', 'differences', 'points', 'steps', 'classes', 'comparison'];

/** The verdicts on the claims of each run, from its CSV files alone. */
export async function claimsOnRecord(resultsRoot: string, runs: readonly RunOnRecord[]): Promise<ClaimOnRecord[]> {
  const claims: ClaimOnRecord[] = [];
  for (const { experiment, preset, folder } of runs) {
    const files = new Map<string, Records>();
    for (const name of names) {
      const path = join(resultsRoot, folder, `${name}.csv`);
      const text = await readTextIfThere(path);
      if (text !== undefined) files.set(name, parseCsv(text, path));
    }
    const network = await networkOf(experiment, preset, files.get('table'));
    const judge = await openJudge(experiment);
    const judged = judge((name) => files.get(name), { preset, network: network.name, dataset: network.dataset });
    claims.push(
      ...judged.map((claim) => ({ ...claim, experiment, folder, isPaper: preset === 'paper' && network.known })),
    );
  }
  return claims;
}

/** The network of a run: its experiment's in that preset, if the FLOPs of the table are those of that network. */
async function networkOf(experiment: string, preset: PresetName, table: Records | undefined) {
  const { exported, where } = await loadDefinition(experiment);
  const name = networkLabel(resolveExperiment(exported, where, preset, [], paperExperiments).network);
  const network = networkByName(name);
  const original = table?.find(({ model }) => model === 'Original');
  const flops = numberIn(original, 'flops_per_image');
  const known = flops === networkFlops(network).flops;
  return { name: known ? name : `a network of ${flops} FLOPs`, dataset: network.dataset, known };
}
