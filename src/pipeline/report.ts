import { availableParallelism, cpus, release, totalmem, type } from 'node:os';
import { basename, join } from 'node:path';
import type { PresetName } from '../experiment/definition.js';
import { version } from '../project.js';
import { renderCsv } from '../report/csv.js';
import type { TableRow } from '../report/rows.js';
import { renderTable } from '../report/table.js';
import { canonicalJson, sha256, writeFileAtomic } from '../store/files.js';
import { tableRows } from './rows.js';
import type { RunOutcome } from './run.js';

/** What `dgate run --json` prints for an experiment. */
export interface RunDocument {
  readonly experiment: string;
  readonly preset: PresetName;
  readonly engine: string;
  readonly seeds: readonly number[];
  readonly splits: RunOutcome['splits'];
  /** Gated rows in the order of the definition; `Original` last. */
  readonly rows: readonly TableRow[];
}

/** The run as one JSON document. */
export function runDocument(outcome: RunOutcome, preset: PresetName): RunDocument {
  const { experiment, engine, splits } = outcome;
  const rows = tableRows(outcome);
  return { experiment: experiment.name, preset, engine: engine.entry.id, seeds: [experiment.seed], splits, rows };
}

/** The console report: title, table, and what the numbers rest on. */
export function renderRun(outcome: RunOutcome, preset: PresetName): string {
  const { experiment, splits, source, engine, gates } = outcome;
  const { loss, l2, epochs, confidence } = experiment.gates;
  const places = gates.map(({ stage, pooling, features, objective }) => {
    const cells = pooling.kind === 'gap' ? 'global averages' : `${pooling.size} x ${pooling.size} grids`;
    return `${stage} (${cells}, ${features} features, objective ${objective.toFixed(4)})`;
  });
  return [
    `${experiment.title} [${experiment.name}, preset ${preset}]`,
    renderTable(tableRows(outcome)),
    `Network     ${source.network.name}, checkpoint ${source.checkpoint.known?.id ?? basename(source.checkpoint.path)} ` +
      `(sha256 ${source.checkpoint.sha256.slice(0, 12)})`,
    `Gates       after stages ${places.join(', ')}`,
    `            ${loss}, lambda ${l2}, ${epochs} epochs, confidence ${confidence}`,
    `Train       ${splits.train.toLocaleString('en')} images`,
    `Validation  ${splits.validation}`,
    `Test        ${splits.test.toLocaleString('en')} images`,
    `Seed        ${experiment.seed}; engine ${engine.entry.id}`,
  ].join('\n');
}

/**
 * Writes a run's folder: `table.csv`, `table.txt` and `record.json` (resolved definition, versions, hashes, seeds,
 * machine, duration of each stage). The folder is named after the preset and the hash of all that decides the result:
 * the same run again writes the same folder, another one does not touch it.
 *
 * @returns the folder
 */
export async function writeRun(outcome: RunOutcome, preset: PresetName, resultsRoot: string): Promise<string> {
  const { experiment, source, engine, imageHashes } = outcome;
  const decides = {
    experiment: { ...experiment, checkpoint: undefined, engine: engine.entry.id },
    checkpoint: source.checkpoint.sha256,
    images: imageHashes,
  };
  const folder = join(resultsRoot, experiment.name, `${preset}-${sha256(canonicalize(decides)).slice(0, 8)}`);
  const record = {
    ...runDocument(outcome, preset),
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
    images: imageHashes,
    versions: { dgate: version(), node: process.versions.node, ...outcome.extractedOn?.versions },
    machine: {
      system: `${type()} ${release()}`,
      processor: cpus()[0]?.model.trim() ?? 'unknown',
      cores: availableParallelism(),
      memoryBytes: totalmem(),
    },
    date: new Date().toISOString(),
    seconds: outcome.seconds,
    secondsWhenComputed: outcome.computedSeconds,
  };
  await writeFileAtomic(join(folder, 'table.csv'), renderCsv(record.rows));
  await writeFileAtomic(join(folder, 'table.txt'), `${renderRun(outcome, preset)}\n`);
  await writeFileAtomic(join(folder, 'record.json'), `${JSON.stringify(record, infinityAsText, 2)}\n`);
  return folder;
}

const infinityAsText = (_key: string, value: unknown): unknown =>
  typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;

function canonicalize(value: unknown): string {
  return canonicalJson(JSON.parse(JSON.stringify(value, infinityAsText)));
}
