/**
 * One stage of a run in a process of its own, for memory.ts: node --import tsx memory-stage.ts STAGE IMAGES FOLDER.
 *
 * Makes the stage's results in FOLDER, those of the stages before being there, and prints the process's peak of resident
 * memory in bytes. IMAGES training images and as many test images are generated batch by batch, so that the pixels take no
 * memory: what is measured is the pipeline. Three gates on a narrow ResNet-18 with generated weights.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { writeSafetensors } from '../../src/checkpoints/load.js';
import type { Dataset, ImageSource } from '../../src/data/dataset.js';
import { cifarShape as shape } from '../../src/data/records/layout.js';
import { cifar10 } from '../../src/data/registry.js';
import { resolveExperiment } from '../../src/experiment/resolve.js';
import type { Experiment } from '../../src/experiment/schema.js';
import { networkByName } from '../../src/networks/catalogue.js';
import { paperAnalyses } from '../../src/paper/index.js';
import { silent } from '../../src/progress.js';
import { Random } from '../../src/random.js';
import { writeRun } from '../../src/run/report.js';
import { runExperiment } from '../../src/run/run.js';
import { partsOf, searchAndEvaluate } from '../../src/run/search.js';
import { type AnalysisContext, openStages } from '../../src/run/stages.js';

import { exists } from '../../src/store/files.js';
import { Store } from '../../src/store/store.js';
import { generatedTensors } from '../../test/parity.js';
import type { Stage } from './memory.js';

const { classes } = cifar10;

const NETWORK = 'resnet18-width0.125-blocks1.1.1.1-cifar10';
const IMAGE_BYTES = shape.channels * shape.height * shape.width;
const preprocessing = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };

/** Noise to cut images from: drawing each pixel would take longer than the network. */
const noise = (() => {
  const random = new Random(0, 'noise');
  return Uint8Array.from({ length: 1 << 20 }, () => random.below(200));
})();

/** Each image: noise from a place of its own, one of ten patches brighter, as its class says. */
function generatedSplit(count: number, name: string): ImageSource {
  const places = new Random(1, name);
  const starts = Int32Array.from({ length: count }, () => places.below(noise.length - IMAGE_BYTES));
  const labels = Int32Array.from({ length: count }, (_, i) => i % classes.length);
  const patch = Math.floor(IMAGE_BYTES / classes.length);
  return {
    ...shape,
    count,
    classes,
    labels,
    sha256: `generated ${name} ${count}`,
    batch: async (indices) => {
      const out = new Uint8Array(indices.length * IMAGE_BYTES);
      Array.from(indices).forEach((index, row) => {
        const image = out.subarray(row * IMAGE_BYTES, (row + 1) * IMAGE_BYTES);
        image.set(noise.subarray(starts[index]!, starts[index]! + IMAGE_BYTES));
        const first = labels[index]! * patch;
        for (let i = first; i < first + patch; i++) image[i]! += 20;
      });
      return out;
    },
  };
}

function generatedDataset(count: number): Dataset {
  return {
    name: 'cifar10',
    description: 'generated',
    input: shape,
    classes,
    splits: { train: count, test: count },
    preprocessing,
    isThere: () => Promise.resolve(true),
    sources: [],
    fetch: () => Promise.reject(new Error('generated')),
    verify: () => Promise.reject(new Error('generated')),
    load: async (_root, split) => generatedSplit(count, split),
  };
}

async function open(count: number, folder: string): Promise<{ context: AnalysisContext; experiment: Experiment }> {
  const checkpoint = join(folder, 'generated.safetensors');
  await mkdir(folder, { recursive: true });
  if (!(await exists(checkpoint))) {
    const tensors = generatedTensors(networkByName(NETWORK));
    await writeSafetensors(checkpoint, tensors, { preprocessing: JSON.stringify(preprocessing) });
  }
  const definition = {
    name: 'memory',
    title: 'Three gates on generated images',
    network: NETWORK,
    checkpoint,
    gates: { after: [1, 2, 3], pooling: ['4x4', '4x4', 'gap'] },
    thresholds: { search: ['sequential', 'joint'], margins: [0, 0.01], fixed: [[0, 0, 0]] },
  };
  const context = {
    store: new Store(join(folder, 'results')),
    datasets: [generatedDataset(count)],
    dataRoot: join(folder, 'data'),
    modelsRoot: join(folder, 'models'),
    resultsRoot: join(folder, 'tables'),
    analyses: paperAnalyses,
    progress: silent,
    download: () => Promise.reject(new Error('nothing to download')),
  };
  return { context, experiment: resolveExperiment(definition, 'memory', 'laptop') };
}

/** Everything up to a stage; what was made before comes from the cache. */
async function runTo(stage: Stage, context: AnalysisContext, experiment: Experiment): Promise<void> {
  if (stage === 'report') {
    await writeRun(await runExperiment(context, experiment), 'laptop', context.resultsRoot);
    return;
  }
  const stages = await openStages(context, experiment);
  if (stage === 'extract') return;
  const gates = await stages.train();
  if (stage === 'train') return;
  const scores = await stages.score(gates, experiment.gates.confidence);
  if (stage === 'score') return;
  searchAndEvaluate(experiment, partsOf(experiment, scores.test, undefined, classes.length), stages.plan.costs);
}

const [stage, count, folder] = process.argv.slice(2) as [Stage, string, string];
const { context, experiment } = await open(Number(count), folder);
await runTo(stage, context, experiment);
process.stdout.write(`PEAK ${process.resourceUsage().maxRSS * 1024}\n`);
