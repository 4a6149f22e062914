import { join } from 'node:path';
import { isCascade } from '../experiment/network.js';
import type { PresetName } from '../experiment/rules.js';
import type { Experiment } from '../experiment/schema.js';
import { codeOf, hashesIn } from '../store/code.js';
import { canonicalJson, readableJson, sha256 } from '../store/files.js';
import { LazyEngine, type RunContext } from './context.js';
import { hashesOf, imagesOfAll, openMembers } from './images.js';
import { openSource, plan } from './plan.js';
import type { NetworkSource } from './source.js';

/** What decides the result of a run. */
export interface RunBasis {
  readonly experiment: Experiment;
  readonly source: NetworkSource;
  readonly engine: LazyEngine;
  /** Content ids of the images, by split, those included that turn out not to be decodable. */
  readonly imageHashes: Readonly<Record<string, string>>;
}

/**
 * The identity of a run: with the same `inputs` and `code` it finds the same. The one that runs, grids, submissions,
 * comparisons and timings go by.
 */
export interface RunIdentity {
  /** Hash of the definition, the checkpoint, the images and the engine. */
  readonly inputs: string;
  /** Identity of all code between images, rows and claims (`codeOf`), and of the published numbers that come with it. */
  readonly code: string;
}

/** What turns images into rows and claims, below `src`. */
export const runModules = ['run/run', 'run/record', 'paper/index'] as const;

export function runIdentity({ experiment, source, engine, imageHashes }: RunBasis): RunIdentity {
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

/** Where files lie does not count, only what is in them. */
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

/** What decides the result of a run that has not begun. Opens its network and its images, and computes nothing. */
export async function openBasis(context: RunContext, experiment: Experiment): Promise<RunBasis> {
  const planned = await plan(experiment);
  const source = await openSource(context, experiment, planned);
  const imageHashes = hashesOf(imagesOfAll(await openMembers(context, experiment, planned, source)));
  return { experiment, source, engine: new LazyEngine(experiment.engine), imageHashes };
}

/**
 * The folder of a run, named after the preset and the hash of its inputs: the same run again writes the same folder,
 * another one does not touch it.
 */
export function runFolder(basis: RunBasis, preset: PresetName, resultsRoot: string): string {
  return join(resultsRoot, basis.experiment.name, `${preset}-${runIdentity(basis).inputs.slice(0, 8)}`);
}
