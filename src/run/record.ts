import { availableParallelism, cpus, release, totalmem, type } from 'node:os';
import { basename } from 'node:path';
import { parseCsv } from '../csv.js';
import { networkLabel } from '../experiment/network.js';
import type { PresetName } from '../experiment/rules.js';
import { version } from '../project.js';
import type { Claim } from '../report/findings.js';
import { type Area, areasOf, renderCsv, renderFindingCsv, type TableRow } from '../report/rows.js';

import { timingCsv } from '../report/table.js';
import { runIdentity } from './identity.js';
import type { RunOutcome } from './outcome.js';
import { tableRows } from './rows.js';
import type { NetworkSource } from './source.js';

/** What `dgate run --json` prints for an experiment. */
export interface RunDocument {
  readonly experiment: string;
  readonly preset: PresetName;
  readonly engine: string;
  readonly seeds: readonly number[];
  readonly splits: RunOutcome['splits'];
  /** Gated rows in the order of the definition; `Original` last. */
  readonly rows: readonly TableRow[];
  /** The area under accuracy against FLOPs of each kind of searched rows; absent where no kind has two. */
  readonly areas?: readonly Area[];
  /** What became of the paper's claims; absent where the experiment checks none. */
  readonly claims?: readonly Claim[];
}

/** The run as one JSON document. */
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

/** Verdicts on the paper's claims, from the run's CSV files as they are written. */
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

/** What a run computed on. */
export interface MachineNote {
  readonly system: string;
  readonly processor: string;
  readonly cores: number;
  readonly memoryBytes: number;
}

export function machineNote(): MachineNote {
  return {
    system: `${type()} ${release()}`,
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
  };
}

/**
 * What stands in `record.json`: the document, the resolved definition, versions, hashes, machine and durations.
 *
 * @param command what gives the same run again
 * @param files names of all files of the run
 */
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
