import { availableParallelism, cpus, release, totalmem, type } from 'node:os';
import { basename, join } from 'node:path';
import type { PresetName } from '../experiment/definition.js';
import { version } from '../project.js';
import { judgeSpeeds } from '../report/claims.js';
import type { Claim } from '../report/findings.js';
import type { TableRow } from '../report/rows.js';
import { canonicalJson, sha256 } from '../store/files.js';
import type { RunOutcome } from './outcome.js';
import { tableRows } from './rows.js';

/** What `dgate run --json` prints for an experiment. */
export interface RunDocument {
  readonly experiment: string;
  readonly preset: PresetName;
  readonly engine: string;
  readonly seeds: readonly number[];
  readonly splits: RunOutcome['splits'];
  /** Gated rows in the order of the definition; `Original` last. */
  readonly rows: readonly TableRow[];
  /** What became of the paper's claims; absent where the experiment checks none. */
  readonly claims?: readonly Claim[];
}

/** The run as one JSON document. */
export function runDocument(outcome: RunOutcome, preset: PresetName): RunDocument {
  const { experiment, engine, splits } = outcome;
  const rows = tableRows(outcome);
  const claims = judgeSpeeds(outcome.findings.claims, rows, experiment.name);
  return {
    experiment: experiment.name,
    preset,
    engine: engine.entry.id,
    seeds: [experiment.seed],
    splits,
    rows,
    ...(claims.length > 0 && { claims }),
  };
}

/**
 * The folder of a run, named after the preset and the hash of all that decides the result: the same run again writes the
 * same folder, another one does not touch it.
 */
export function runFolder(
  outcome: Pick<RunOutcome, 'experiment' | 'source' | 'engine' | 'imageHashes'>,
  preset: PresetName,
  resultsRoot: string,
): string {
  const { experiment, source, engine, imageHashes } = outcome;
  const decides = {
    experiment: { ...experiment, checkpoint: undefined, engine: engine.entry.id },
    checkpoint: source.checkpoint.sha256,
    images: imageHashes,
  };
  return join(resultsRoot, experiment.name, `${preset}-${sha256(canonicalize(decides)).slice(0, 8)}`);
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
    definition: experiment,
    network: outcome.flops,
    gates: outcome.gates,
    exitFlops: outcome.exitCosts,
    checkpoint: {
      file: basename(source.checkpoint.path),
      sha256: source.checkpoint.sha256,
      known: source.checkpoint.known?.id ?? null,
      preprocessing: source.preprocessing,
    },
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

export type RunRecord = ReturnType<typeof runRecord>;

/** JSON that people read; a closed gate's threshold is the text `Infinity`. */
export function readableJson(value: unknown): string {
  return JSON.stringify(value, infinityAsText, 2);
}

const infinityAsText = (_key: string, value: unknown): unknown =>
  typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;

function canonicalize(value: unknown): string {
  return canonicalJson(JSON.parse(JSON.stringify(value, infinityAsText)));
}
