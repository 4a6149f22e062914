import { join } from 'node:path';
import type { z } from 'zod';
import { parseCsv } from '../csv.js';
import { experimentSchemaOf } from '../experiment/checks.js';
import { loadDefinition } from '../experiment/load.js';
import { networkLabel } from '../experiment/network.js';
import { resolveExperiment } from '../experiment/resolve.js';
import type { DeepReadonly, PresetName } from '../experiment/rules.js';
import { networkByName } from '../networks/catalogue.js';
import { networkFlops } from '../networks/network.js';
import type { ClaimOnRecord } from '../report/claims.js';
import type { Findings } from '../report/findings.js';
import type { Analyses } from '../run/stages.js';
import { namesIn, readTextIfThere } from '../store/files.js';
import { accuracyFlops } from './accuracyFlops.js';
import type { Analysis } from './analysis.js';
import { openJudge } from './claims.js';
import { classDistribution } from './classDistribution.js';
import { frontier } from './frontier.js';
import { lossComparison } from './lossComparison.js';
import { places } from './places.js';
import { policies } from './policies.js';
import { numberIn, printedClaims, type Records, readPublished } from './published.js';
import { publishedComparison } from './publishedComparison.js';
import { shallowErrors } from './shallowErrors.js';
import { shift } from './shift.js';
import { thresholdPlane } from './thresholdPlane.js';

// Other rooms import from this file alone.
export { uncheckedClaims } from './claims.js';
export { choosePromised, type FrontierOptions, judged, referenceOf } from './frontier.js';

/** Every analysis; a new one is a file and its name here. */
export const analyses = [
  shallowErrors,
  lossComparison,
  thresholdPlane,
  classDistribution,
  accuracyFlops,
  publishedComparison,
  frontier,
  shift,
  places,
  policies,
] as const satisfies readonly Analysis[];

/** What an experiment studies besides its table of thresholds, as a user writes it. */
export type AnalysisDefinition = DeepReadonly<z.input<(typeof analyses)[number]['options']>>;

/** Experiments whose analysis, if any, is one of the paper's. */
export const paperExperiments = experimentSchemaOf(analyses);

const nothing: Findings = { tables: [], figures: [], sheets: [] };

/** The paper's analyses, claims and published tables. */
export const paperAnalyses: Analyses = {
  analyse: async (run) => {
    const { analysis: chosen } = run.experiment;
    if (chosen === undefined) return nothing;
    const analysis: Analysis = analyses.find(({ options }) => options.shape.kind.value === chosen.kind)!;
    return { ...nothing, ...(await run.timed('analyse', () => analysis.compute(run, chosen))) };
  },
  published: readPublished,
  judge: openJudge,
};

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
      const preset = presets.find((name) => new RegExp(`^${name}-[0-9a-f]{8}$`).test(folder));
      if (preset === undefined) continue;
      found.push({ experiment: experiment.replace(REFERENCE, ''), preset, folder: `${experiment}/${folder}` });
    }
  }
  return found;
}

/** Files that claims are read from. */
const claimFiles = ['table', 'timing', 'errors', 'differences', 'points', 'steps', 'classes', 'comparison'];

/** The verdicts on the claims of each run, from its CSV files alone. */
export async function claimsOnRecord(resultsRoot: string, runs: readonly RunOnRecord[]): Promise<ClaimOnRecord[]> {
  const claims: ClaimOnRecord[] = [];
  for (const { experiment, preset, folder } of runs) {
    const files = new Map<string, Records>();
    for (const name of claimFiles) {
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
