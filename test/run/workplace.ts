import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeSafetensors } from '../../src/checkpoints/load.js';
import { type Override, resolveExperiment } from '../../src/experiment/resolve.js';
import type { Experiment } from '../../src/experiment/schema.js';
import { networkByName } from '../../src/networks/catalogue.js';
import { paperAnalyses, paperExperiments } from '../../src/paper/index.js';
import { silent } from '../../src/progress.js';
import { writeRun } from '../../src/run/report.js';
import { runExperiment } from '../../src/run/run.js';
import type { AnalysisContext, RunOutcome } from '../../src/run/stages.js';
import { Store } from '../../src/store/store.js';
import { generatedTensors } from '../parity.js';
import { type Generated, generatedDataset } from './generatedDataset.js';

/** ResNet-20 with 4, 8 and 16 channels: thousands of images a second. */
export const tinyNetwork = 'resnet20-width0.25-cifar10';

/** Folders, generated data and a record of what was said, for runs that need nothing from outside. */
export interface Workplace {
  readonly folder: string;
  readonly checkpoint: string;
  readonly context: AnalysisContext;
  readonly notes: string[];
  readonly warnings: string[];
  remove(): Promise<void>;
}

export async function makeWorkplace(generated?: Generated): Promise<Workplace> {
  const folder = await mkdtemp(join(tmpdir(), 'dgate-pipeline-'));
  const checkpoint = join(folder, 'tiny.safetensors');
  await writeTinyCheckpoint(checkpoint);
  return { ...workplaceAt(folder, generated), checkpoint };
}

/** Another look at the same folders, as a second command would take it. */
export function workplaceAt(folder: string, generated?: Generated): Workplace {
  const notes: string[] = [];
  const warnings: string[] = [];
  const context: AnalysisContext = {
    store: new Store(join(folder, 'results')),
    datasets: [generatedDataset(generated)],
    dataRoot: join(folder, 'data'),
    modelsRoot: join(folder, 'models'),
    resultsRoot: join(folder, 'tables'),
    analyses: paperAnalyses,
    progress: { ...silent, note: (message) => notes.push(message), warn: (message) => warnings.push(message) },
    download: () => Promise.reject(new Error('nothing to download')),
  };
  const remove = () => rm(folder, { recursive: true, force: true });
  return { folder, checkpoint: join(folder, 'tiny.safetensors'), context, notes, warnings, remove };
}

/** Generated weights of a network, with the preprocessing that belongs to them. */
export async function writeTinyCheckpoint(
  path: string,
  { network = tinyNetwork, mean = 0.5, heldOut }: TinyCheckpoint = {},
): Promise<void> {
  const preprocessing = JSON.stringify({ mean: [mean, mean, mean], std: [0.25, 0.25, 0.25] });
  const held = heldOut && { held_out: JSON.stringify(heldOut) };
  await writeSafetensors(path, generatedTensors(networkByName(network)), { preprocessing, ...held });
}

interface TinyCheckpoint {
  readonly network?: string;
  readonly mean?: number;
  /** Positions of training images that it says it has not learnt from. */
  readonly heldOut?: readonly number[];
}

/** The experiment of these tests. */
export function tinyExperiment({ checkpoint }: Workplace, ...overrides: Override[]): Experiment {
  const definition = {
    name: 'tiny',
    title: 'Two gates on generated images',
    network: tinyNetwork,
    checkpoint,
    gates: { after: [1, 2], pooling: '4x4', solver: 'sgd', epochs: 3, l2: 0.0001 },
    thresholds: { margins: [0.01, -0.45], fixed: [[-0.5, -0.5]] },
  };
  return resolveExperiment(definition, 'tiny', 'laptop', overrides, paperExperiments);
}

export interface Finished {
  readonly outcome: RunOutcome;
  readonly folder: string;
  readonly csv: string;
}

/** A run to its files, as `dgate run` does it. */
export async function run(workplace: Workplace, ...overrides: Override[]): Promise<Finished> {
  const outcome = await runExperiment(workplace.context, tinyExperiment(workplace, ...overrides));
  const folder = await writeRun(outcome, 'laptop', workplace.context.resultsRoot);
  return { outcome, folder, csv: await readFile(join(folder, 'table.csv'), 'utf8') };
}

/** Every file below a folder, as paths relative to it, sorted; none where the folder is not there. */
export async function filesBelow(folder: string): Promise<string[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = found.filter((entry) => !entry.isDirectory());
  return files.map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1)).sort();
}
