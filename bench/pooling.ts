/**
 * Which pooling suits the gates of a network: accuracy of each gate on held-out images for several poolings.
 *
 * Command   npx tsx bench/pooling.ts NETWORK CHECKPOINT [TRAIN_IMAGES]
 * Gates learn from a stratified choice of training images (10,000 by default) and are judged on the images that the
 * checkpoint's network has not learnt from. Test images are not looked at. Needs CIFAR-10 in the cache (DGATE_CACHE).
 */

import { openContext } from '../src/cli/context.js';
import { selectImages, stratifiedSubset } from '../src/data/dataset.js';
import { decide } from '../src/gates/confidence.js';
import { distances } from '../src/gates/gate.js';
import { trainGate } from '../src/gates/train.js';
import { networkByName } from '../src/networks/catalogue.js';
import { stageShapes } from '../src/networks/network.js';
import { featureCount, type GatePlace, type Pooling } from '../src/networks/onnx.js';
import { silent } from '../src/progress.js';
import { renderColumns } from '../src/report/findings.js';
import { LazyEngine } from '../src/run/context.js';
import { extract, extractionOf } from '../src/run/extract.js';
import { openSplit } from '../src/run/images.js';
import { openNetwork } from '../src/run/source.js';
import { gateTrainer, trainingData } from '../src/run/train.js';

const [name = '', checkpoint = '', trainImages = '10000'] = process.argv.slice(2);
const context = await openContext({});
const network = networkByName(name);
const source = await openNetwork(network, checkpoint, context.modelsRoot, context.progress);
const train = await openSplit(context, source, 'train');
const held = await source.heldOut();
const isHeld = new Set(held);
const rest = selectImages(
  train,
  Int32Array.from(train.labels.keys()).filter((i) => !isHeld.has(i)),
);
const learnt = selectImages(rest, stratifiedSubset(rest.labels, rest.classes.length, Number(trainImages), 0));

const shapes = stageShapes(network).slice(0, -1);
const poolings: Pooling[] = [{ kind: 'gap' }, { kind: 'grid', size: 2 }, { kind: 'grid', size: 4 }];
const places = shapes.flatMap((_, index) => poolings.map((pooling): GatePlace => ({ stage: index + 1, pooling })));
const engine = new LazyEngine('auto');
const trainFeatures = await extract(context, extractionOf(context, source, learnt, places, engine, 'training'));
const heldFeatures = await extract(
  context,
  extractionOf(context, source, selectImages(train, held), places, engine, 'held-out'),
);

const rows = [];
for (const [index, { stage, pooling }] of places.entries()) {
  const training = { loss: 'hinge', l2: 0.002, solver: 'sgd', gap: 1e-3, epochs: 20, batchSize: 512, seed: 0 } as const;
  const { gate } = await trainGate(
    await trainingData(trainFeatures, index),
    training,
    await gateTrainer.create(),
    silent,
    'gate',
  );
  let correct = 0;
  for await (const shard of heldFeatures.shards()) {
    const { classes } = decide(distances(gate, shard.features(index)), gate.classes, 'max');
    correct += classes.filter((predicted, i) => predicted === shard.labels[i]).length;
  }
  const cells = pooling.kind !== 'grid' ? 'gap' : `${pooling.size}x${pooling.size}`;
  const features = featureCount(shapes[stage - 1]!, pooling);
  rows.push([String(stage), cells, String(features), `${((100 * correct) / held.length).toFixed(2)} %`]);
}
process.stdout.write(
  `${name}: gates on ${learnt.count} training images, judged on ${held.length} held-out ones\n` +
    `${renderColumns(['Stage', 'Pooling', 'Features', 'Accuracy'], rows)}\n`,
);
