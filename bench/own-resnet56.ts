/**
 * npx tsx bench/own-resnet56.ts CHECKPOINT FILE.onnx [--preset smoke]
 *
 * One network through two doors: akamaster's ResNet-56 as `dgate run resnet56 --checkpoint CHECKPOINT` takes it, and as an
 * ONNX file that PyTorch exported from the same checkpoint (`bench/make-onnx.py resnet56 CHECKPOINT FILE.onnx
 * [--keep-batch-norm]`). How far apart are features, tables with the gates of each door, and tables with the same gates?
 * CIFAR-10 and results lie in DGATE_CACHE. Four minutes on two cores for all images, half a minute with --preset smoke.
 */
import resnet56 from '../experiments/resnet56.js';
import { findCheckpoint } from '../src/checkpoints/known.js';
import { openContext } from '../src/cli/context.js';
import { resolveExperiment } from '../src/experiment/resolve.js';
import { onnxNetwork } from '../src/index.js';
import { renderColumns } from '../src/report/findings.js';
import type { FeatureSet } from '../src/run/features.js';
import { type Part, partsOf, type Row, searchAndEvaluate } from '../src/run/search.js';
import { openStages, type Stages } from '../src/run/stages.js';
import type { CachedGate } from '../src/run/train.js';
import { inspectFile } from '../src/run/user-network.js';
import { exitOf, type Scores } from '../src/thresholds/evaluate.js';

const [checkpoint, file, ...rest] = process.argv.slice(2);
if (file === undefined) throw new Error('own-resnet56.ts CHECKPOINT FILE.onnx [--preset smoke]');
const preset = rest.includes('smoke') ? 'smoke' : 'laptop';
const context = await openContext({});

const registry = await openStages(context, resolveExperiment({ ...resnet56, checkpoint }, 'resnet56', preset, []));
const door = await openStages(context, await throughOnnx(registry));
const gates = await registry.train();
const ours = await scored(registry, gates);
const own = await scored(door, await door.train());
const same = await scored(door, gates);

process.stdout.write(`${await features(registry.features.train!, door.features.train!, 'training')}\n`);
process.stdout.write(`${await features(registry.features.test, door.features.test, 'test')}\n`);
const head = [
  'Row',
  "Accuracy, registry's",
  'ONNX',
  'same gates',
  'Exits that differ, ONNX',
  'same gates',
  'FLOPs differ, ONNX',
];
process.stdout.write(`${renderColumns([...head, 'same gates'], ours.rows.map(compareRow))}\n`);
process.stdout.write(
  `Class or exit of an image differs: ${imagesApart(own)} images with the door's own gates, ${imagesApart(same)} with the same gates, summed over the rows\n`,
);

/** The same experiment on the ONNX file, gates at the tensors that cost what the registry's stages do. */
async function throughOnnx({ plan, experiment }: Stages) {
  const { cuts } = (await inspectFile(file!)).cuts;
  const gatesAfter = plan.places.map(({ stage }) => {
    const cost = plan.flops.stages[stage - 1]!.cumulativeFlops;
    const cut = cuts.find(({ flops }) => flops === cost);
    if (cut === undefined) throw new Error(`${file}: no tensor after ${cost} FLOPs; is it ResNet-56?`);
    return cut.tensor;
  });
  const { preprocessing } = findCheckpoint('akamaster-resnet56-cifar10');
  const { checkpoint: _, ...definition } = resnet56;
  const network = onnxNetwork(file!, { gatesAfter, preprocess: preprocessing });
  return resolveExperiment({ ...definition, network, dataset: 'cifar10' }, experiment.name, preset, []);
}

interface Scored {
  readonly parts: readonly Part[];
  readonly scores: Scores;
  readonly rows: readonly Row[];
}

async function scored({ experiment, plan, score, features }: Stages, gates: readonly CachedGate[]): Promise<Scored> {
  const { test } = await score(gates, experiment.gates.confidence);
  const parts = partsOf(experiment, test, undefined, features.test.classes);
  return { parts, scores: test, rows: searchAndEvaluate(experiment, parts, plan.costs) };
}

/** How many numbers of the features differ, and the largest difference relative to the largest number. */
async function features(a: FeatureSet, b: FeatureSet, label: string): Promise<string> {
  const others = b.shards()[Symbol.asyncIterator]();
  let [count, different, most, largest] = [0, 0, 0, 0];
  for await (const shard of a.shards()) {
    const other = (await others.next()).value!;
    for (let gate = 0; gate < 2; gate++) {
      const [x, y] = [shard.features(gate), other.features(gate)];
      count += x.length;
      for (let i = 0; i < x.length; i++) {
        largest = Math.max(largest, Math.abs(x[i]!));
        if (x[i] === y[i]) continue;
        different++;
        most = Math.max(most, Math.abs(x[i]! - y[i]!));
      }
    }
  }
  return `Features of ${label} images: ${different.toLocaleString('en')} of ${count.toLocaleString('en')} numbers differ, by at most ${(most / largest).toExponential(1)} of the largest`;
}

function compareRow(row: Row, index: number): string[] {
  const [a, b, c] = [row, own.rows[index]!, same.rows[index]!].map(({ evaluation }) => evaluation);
  const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;
  const exits = (other: typeof a): string =>
    String(a!.exits.reduce((sum, number, exit) => sum + Math.abs(number - other!.exits[exit]!), 0) / 2);
  const flops = (other: typeof a): string =>
    `${((100 * (other!.flops - a!.flops)) / registry.plan.flops.flops).toFixed(3)} points`;
  const label = row.margin === undefined ? row.kind : `${100 * row.margin} % ${row.search}`;
  const accuracies = [a, b, c].map((evaluation) => percent(evaluation!.accuracy));
  return [label, ...accuracies, exits(b), exits(c), flops(b), flops(c)];
}

/** Images whose class or exit is another one than through the registry, summed over the rows. */
function imagesApart(other: Scored): number {
  let apart = 0;
  ours.rows.forEach((row, index) => {
    ours.parts.forEach(({ evaluation }, part) => {
      for (const image of evaluation.images) {
        const [a, b] = [answer(ours, row, part, image), answer(other, other.rows[index]!, part, image)];
        if (a !== b) apart++;
      }
    });
  });
  return apart;
}

function answer({ scores }: Scored, row: Row, part: number, image: number): string {
  const exit = exitOf(scores, row.thresholds[part]!, image);
  return `${exit}:${(scores.classes[exit] ?? scores.original)[image]}`;
}
