import { isCascade, networkLabel } from '../../experiment/network.js';
import type { PresetName } from '../../experiment/rules.js';
import type { Experiment } from '../../experiment/schema.js';

/** The stages of a submission, in order; each is one array of tasks. */
export const stageNames = ['data', 'extract', 'gate', 'run', 'table'] as const;
export type StageName = (typeof stageNames)[number];

/** One task of an array, done by one process. */
export interface Task {
  /** `extract-2`: stage and position in its array. */
  readonly id: string;
  readonly stage: StageName;
  /** A description for the console. */
  readonly label: string;
  /** The experiment in `experiments` whose stage it is; of `table`, the first of its grid. */
  readonly experiment: number;
  /** Of `extract`: the part of the shards, from 0, of how many. */
  readonly share?: { readonly index: number; readonly of: number };
  /** Of `gate`: its position, from 0. */
  readonly gate?: number;
  /** Of `table`: the grid in `grids`. */
  readonly grid?: number;
  /** Tasks whose results it needs. */
  readonly needs: readonly string[];
}

/** One combination and seed, the work of one `run` task. */
export interface PlannedRun {
  readonly experiment: Experiment;
  /** The command that does the same without a cluster. */
  readonly command: string;
}

/** An experiment with all its combinations and seeds, shown in one table. */
export interface PlannedTable {
  readonly command: string;
  readonly cells: readonly { readonly settings: Readonly<Record<string, string>>; readonly experiment: Experiment }[];
  /** For each cell, its runs (one for each seed) as positions in `runs`. */
  readonly runs: readonly (readonly number[])[];
}

/** The plan of a submission, read by its tasks. */
export interface SubmissionPlan {
  readonly preset: PresetName;
  readonly runs: readonly PlannedRun[];
  readonly tables: readonly PlannedTable[];
  readonly tasks: readonly Task[];
}

/**
 * The tasks of some runs. Work that several runs share (a network's data, an extraction, a gate) is one task. A table
 * of several runs is a separate task.
 *
 * @param shards tasks that one extraction is divided into
 */
export function planTasks(
  preset: PresetName,
  runs: readonly PlannedRun[],
  tables: readonly PlannedTable[],
  shards: number,
): SubmissionPlan {
  const tasks: Task[] = [];
  const known = new Map<string, string[]>();
  /** Adds tasks that are not planned yet. @returns the ids of the tasks */
  const once = (key: unknown, make: () => (Omit<Task, 'id'> & { readonly stage: StageName })[]): string[] => {
    const text = JSON.stringify(key);
    const ids = known.get(text) ?? make().map((task) => add(task));
    known.set(text, ids);
    return ids;
  };
  const add = (task: Omit<Task, 'id'>): string => {
    const id = `${task.stage}-${tasks.filter(({ stage }) => stage === task.stage).length}`;
    tasks.push({ id, ...task });
    return id;
  };
  const runIds = runs.map(({ experiment }, number) => {
    const { name, network, checkpoint } = experiment;
    const about = { experiment: number, label: name };
    const called = networkLabel(network);
    const data = once(['data', network, checkpoint], () => [{ stage: 'data', ...about, label: called, needs: [] }]);
    const extract = once(['extract', extractionKey(experiment)], () =>
      Array.from({ length: shards }, (_, index) => {
        const label = `${called}, part ${index + 1} of ${shards}`;
        return { stage: 'extract', ...about, label, share: { index, of: shards }, needs: data };
      }),
    );
    const gates = gatesTrained(experiment).flatMap((stage, gate) =>
      once(['gate', gateKey(experiment), gate], () => [
        { stage: 'gate', ...about, label: `${name}, gate ${gate + 1} (stage ${stage})`, gate, needs: extract },
      ]),
    );
    return add({
      stage: 'run',
      ...about,
      label: runLabel(experiment, number, tables),
      needs: gates.length > 0 ? gates : extract,
    });
  });
  tables.forEach(({ runs: positions }, grid) => {
    const needs = positions.flat().map((run) => runIds[run]!);
    const first = positions[0]![0]!;
    if (needs.length > 1) add({ stage: 'table', label: runs[first]!.experiment.name, experiment: first, grid, needs });
  });
  return { preset, runs, tables, tasks };
}

/** Stages of all gates that are trained, those inside a cascade's networks one behind the other. */
const gatesTrained = ({ network, gates }: Experiment): readonly number[] =>
  isCascade(network) ? network.networks.flatMap((one) => one.gates?.after ?? []) : gates.after;

/** @param number position in the runs of the submission */
function runLabel({ name, seed }: Experiment, number: number, tables: readonly PlannedTable[]): string {
  const [settings = {}] = tables.flatMap(({ cells, runs }) =>
    cells.flatMap((cell, i) => (runs[i]!.includes(number) ? [cell.settings] : [])),
  );
  return [name, ...Object.entries(settings).map(([path, value]) => `${path}=${value}`), `seed ${seed}`].join(', ');
}

/** The part of a definition that determines an extraction. */
function extractionKey(experiment: Experiment): unknown {
  const { seed, thresholds, gates, ...rest } = experiment;
  const isSubset = experiment.trainImages !== undefined || experiment.testImages !== undefined;
  const { after, pooling } = gates;
  const others = { name: undefined, title: undefined, published: undefined, analysis: undefined, seeds: undefined };
  return { ...rest, ...others, validation: thresholds.validation.kind, after, pooling, ...(isSubset && { seed }) };
}

function gateKey(experiment: Experiment): unknown {
  const { confidence: _, ...gates } = experiment.gates;
  return { ...(extractionKey(experiment) as object), gates, seed: experiment.seed };
}
