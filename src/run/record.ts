import { basename, join } from 'node:path';
import { parseCsv } from '../csv.js';
import { isCascade, networkLabel } from '../experiment/network.js';
import type { PresetName } from '../experiment/rules.js';
import type { Experiment } from '../experiment/schema.js';
import { version } from '../project.js';
import type { Claim } from '../report/findings.js';
import { type Area, areasOf, renderCsv, renderFindingCsv, type TableRow } from '../report/rows.js';
import { timingCsv } from '../report/table.js';
import { codeOf, hashesIn } from '../store/code.js';
import { canonicalJson, readableJson, sha256 } from '../store/files.js';
import { machineNote } from '../timing/record.js';
import { LazyEngine, type RunBasis, type RunContext } from './context.js';
import { hashesOf, imagesOfAll, openMembers } from './images.js';
import { openSource, plan } from './plan.js';
import { tableRows } from './rows.js';
import type { NetworkSource } from './source.js';
import type { RunOutcome } from './stages.js';

/** What `dgate run --json` prints of an experiment. */
export interface RunDocument {
  readonly experiment: string;
  readonly preset: PresetName;
  readonly engine: string;
  readonly seeds: readonly number[];
  readonly splits: RunOutcome['splits'];
  /** Gated rows in the order of the definition; `Original` last. */
  readonly rows: readonly TableRow[];
  /** The area under accuracy against FLOPs of each kind of searched rows; absent if no kind has two. */
  readonly areas?: readonly Area[];
  /** Verdicts on the paper's claims; absent if the experiment checks none. */
  readonly claims?: readonly Claim[];
}

export function runDocument(outcome: RunOutcome, preset: PresetName): RunDocument {
  const { experiment, engine, splits } = outcome;
  const rows = tableRows(outcome);
  const claims = claimsOf(outcome, preset, rows);
  const areas = areasOf(rows);
  return {
    experiment: experiment.name,
    preset,
    engine: engine.entry.id,
    seeds: [experiment.seed],
    splits,
    rows,
    ...(areas.length > 0 && { areas }),
    ...(claims.length > 0 && { claims }),
  };
}

/** Verdicts on the paper's claims, from the texts of the run's CSV files. */
function claimsOf({ findings, judge, source, experiment, timing }: RunOutcome, preset: PresetName, rows: TableRow[]) {
  const texts = new Map([
    ...findings.tables.map((table) => [table.name, () => renderFindingCsv(table)] as const),
    ['table', () => renderCsv(rows)] as const,
    ...(timing === undefined ? [] : [['timing', () => timingCsv(timing)] as const]),
  ]);
  const files = (name: string): Record<string, string>[] | undefined => {
    const text = texts.get(name)?.();
    return text === undefined ? undefined : parseCsv(text, `${name}.csv`);
  };
  return judge(files, { preset, network: networkLabel(experiment.network), dataset: source.network.dataset });
}

/** The content of `record.json`. @param command repeats the run @param files names of all files of the run */
export function runRecord(outcome: RunOutcome, preset: PresetName, command: string, files: readonly string[]) {
  const { experiment, source } = outcome;
  return {
    ...runDocument(outcome, preset),
    command,
    identity: runIdentity(outcome),
    definition: experiment,
    network: outcome.flops,
    gates: outcome.gates,
    exitFlops: outcome.exitCosts,
    checkpoint: checkpointOf(source),
    ...(source.earlier && {
      earlierNetworks: source.earlier.map((each) => ({ network: each.network.name, ...checkpointOf(each) })),
    }),
    images: outcome.imageHashes,
    leftOut: outcome.leftOut,
    duplicates: outcome.duplicates ?? null,
    versions: { dgate: version(), node: process.versions.node, ...outcome.extractedOn?.versions } as Readonly<
      Record<string, string>
    >,
    machine: machineNote(),
    date: new Date().toISOString(),
    timed: outcome.timing === undefined ? null : { date: outcome.timing.date, machine: outcome.timing.machine },
    seconds: outcome.seconds,
    secondsWhenComputed: outcome.computedSeconds,
    files,
  };
}

function checkpointOf({ checkpoint: { path, sha256, known }, preprocessing }: NetworkSource) {
  return { file: basename(path), sha256, known: known?.id ?? null, preprocessing };
}

export type RunRecord = ReturnType<typeof runRecord>;

/** Modules below `src` that turn images into rows and claims. */
export const runModules = ['run/run', 'run/record', 'paper/index'] as const;

/**
 * The identity of a run: equal `inputs` and `code` give equal results.
 *
 * @returns `inputs`: hash of the definition, the checkpoint, the images and the engine; `code`: identity of the code from images
 *   to claims (`codeOf`), and of the published numbers
 */
export function runIdentity({ experiment, source, engine, imageHashes }: RunBasis) {
  const inputs = {
    experiment: {
      ...experiment,
      ...withoutPaths(experiment),
      checkpoint: undefined,
      engine: engine.entry.id,
    },
    checkpoint: source.checkpoint.sha256,
    ...(source.earlier && { earlier: source.earlier.map(({ checkpoint }) => checkpoint.sha256) }),
    images: imageHashes,
  };
  return {
    inputs: sha256(canonicalJson(JSON.parse(readableJson(inputs)))),
    code: sha256(
      canonicalJson([codeOf(...runModules, ...source.modules, engine.entry.module), hashesIn('results/published')]),
    ).slice(0, 16),
  };
}

/** Identity of a timed system: networks, gates and engine, without thresholds and images. */
export function systemIdentity({ source, engine, experiment: { network, dataset, gates } }: RunBasis): string {
  const nothing = { margins: [], fixed: [], search: [], validation: { kind: 'held-out' as const } };
  const experiment = { ...{ name: '', title: '', seed: 0, engine: '' }, network, dataset, gates };
  return runIdentity({ source, engine, imageHashes: {}, experiment: { ...experiment, thresholds: nothing } }).inputs;
}

/** Only the contents of files count, not their paths. */
function withoutPaths({ network, dataset, baselines }: Experiment) {
  const left = <T extends object>(item: T | string, ...paths: readonly string[]): unknown =>
    typeof item === 'string' ? item : { ...item, ...Object.fromEntries(paths.map((path) => [path, undefined])) };
  const of = (one: Experiment['network']): unknown => {
    if (!isCascade(one)) return left(one, 'file', 'choosing');
    const networks = one.networks.map(({ network: member, gates }) =>
      gates === undefined ? of(member) : { network: of(member), gates },
    );
    return { ...one, networks };
  };
  return {
    network: of(network),
    dataset: dataset && left(dataset, 'folder'),
    baselines: baselines?.map((member) => ({ ...member, network: of(member.network) })),
  };
}

/** The basis of a run that has not begun. Opens its network and images; computes nothing. */
export async function openBasis(context: RunContext, experiment: Experiment): Promise<RunBasis> {
  const planned = await plan(experiment);
  const source = await openSource(context, experiment, planned);
  const imageHashes = hashesOf(imagesOfAll(await openMembers(context, experiment, planned, source)));
  return { experiment, source, engine: new LazyEngine(experiment.engine), imageHashes };
}

/** The folder of a run, named after the preset and the hash of its inputs: only the same run writes it again. */
export function runFolder(basis: RunBasis, preset: PresetName, resultsRoot: string): string {
  return join(resultsRoot, basis.experiment.name, `${preset}-${runIdentity(basis).inputs.slice(0, 8)}`);
}
