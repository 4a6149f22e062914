/**
 * Extraction against a bare onnxruntime loop on the same graph, batch and threads, in turn in one process.
 *
 * Command   npx tsx bench/extraction.ts [NETWORK] [IMAGES] [ROUNDS]     (resnet56-cifar10 2048 5)
 * Weights and images are generated; nothing is fetched. The extraction runs whole: preprocessing, the network, pooling,
 * shards written to the disk with their hashes. Printed: images per second of each round and the median ratio (limit:
 * at least 0.9).
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import { imageSet } from '../src/data/images.js';
import { datasets } from '../src/data/registry.js';
import { OnnxRuntimeCpu } from '../src/engines/onnxruntime/engine.js';
import { networkByName } from '../src/networks/catalogue.js';
import { lowerNetwork } from '../src/networks/lower.js';
import type { GatePlace } from '../src/networks/pooling.js';
import { featureGraph } from '../src/onnx/network.js';
import { BATCH_IMAGES } from '../src/pipeline/batches.js';
import { LazyEngine, type RunContext } from '../src/pipeline/context.js';
import { extract } from '../src/pipeline/extract.js';
import { silent } from '../src/progress.js';
import { Random } from '../src/random.js';
import { Store } from '../src/store/store.js';
import { generatedTensors } from '../test/parity.js';

const [name = 'resnet56-cifar10', imagesArgument = '2048', roundsArgument = '5'] = process.argv.slice(2);
const [count, rounds] = [Number(imagesArgument), Number(roundsArgument)];
const network = networkByName(name);
const { channels, height, width } = network.input;
const lowered = lowerNetwork(network, generatedTensors(network));
const places: GatePlace[] = [1, 2].map((stage) => ({ stage, pooling: { kind: 'grid', size: 4 } }));
const random = new Random(0);
const pixels = channels * height * width;
const images = imageSet({
  channels,
  height,
  width,
  images: Uint8Array.from({ length: count * pixels }, () => random.below(256)),
  labels: new Int32Array(count),
  classes: Array.from({ length: 10 }, (_, i) => String(i)),
  sha256: 'generated',
});

/** Images per second of one whole extraction into an empty cache. */
async function ours(): Promise<number> {
  const root = await mkdtemp(join(tmpdir(), 'dgate-bench-'));
  const context: RunContext = {
    store: new Store(root),
    datasets,
    dataRoot: root,
    modelsRoot: root,
    resultsRoot: root,
    progress: silent,
    download: async () => {},
  };
  const source = {
    network,
    checkpoint: { path: 'generated', sha256: 'generated', known: undefined },
    preprocessing: { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] },
    heldOut: async () => new Int32Array(),
    lowered: async () => lowered,
  };
  const start = performance.now();
  await extract(context, source, images, places, new LazyEngine('ort-cpu'), 'generated');
  const rate = count / ((performance.now() - start) / 1000);
  await rm(root, { recursive: true });
  return rate;
}

/** Images per second of `session.run` alone, on one batch again and again, loading included as above. */
async function bare(): Promise<number> {
  const input = new ort.Tensor('float32', new Float32Array(BATCH_IMAGES * pixels), [
    BATCH_IMAGES,
    channels,
    height,
    width,
  ]);
  const start = performance.now();
  const session = await engine.createSession(featureGraph(lowered, places));
  for (let done = 0; done < count; done += BATCH_IMAGES) await session.run({ images: input });
  const rate = count / ((performance.now() - start) / 1000);
  await session.release();
  return rate;
}

const engine = await OnnxRuntimeCpu.create();
await bare(); // warm-up
const ratios: number[] = [];
for (let round = 0; round < rounds; round++) {
  const [a, b] = round % 2 === 0 ? [await ours(), await bare()] : [await bare(), await ours()].reverse();
  ratios.push(a! / b!);
  process.stdout.write(`round ${round + 1}: extraction ${a!.toFixed(1)} images/s, bare ${b!.toFixed(1)} images/s\n`);
}
ratios.sort((a, b) => a - b);
const { versions } = engine.describe();
process.stdout.write(
  `${name}, batch ${BATCH_IMAGES}, ${count} images, ${rounds} rounds: extraction / bare = ` +
    `${ratios[Math.floor(rounds / 2)]!.toFixed(3)} (median; ${ratios[0]!.toFixed(3)} to ${ratios.at(-1)!.toFixed(3)})\n` +
    `${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, onnxruntime-node ${versions['onnxruntime-node']}, ` +
    `node ${process.versions.node}\n`,
);
