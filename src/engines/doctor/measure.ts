import { networkByName } from '../../networks/catalogue.js';
import { networkFlops } from '../../networks/flops.js';
import { type LoweredNetwork, lowerNetwork } from '../../networks/lower.js';
import type { Network } from '../../networks/network.js';
import { networkTensors } from '../../networks/tensors.js';
import { Random } from '../../random.js';
import type { Tensor } from '../../tensor.js';
import type { Engine } from '../engine.js';

/** An engine's speed on the doctor's workload. */
export interface Measurement {
  readonly gflopsPerSecond: number;
  readonly imagesPerSecond: number;
  readonly batch: number;
}

const NETWORK = 'resnet20-cifar10';
const BATCH = 32;
const SECONDS = 1;
/** An engine that takes longer for one image is measured on single images. */
const SLOW_SECONDS = 0.1;

/** Measures an engine for about a second on a network (ResNet-20) with random weights, after a warm-up. */
export async function measureEngine(engine: Engine, network = networkByName(NETWORK)): Promise<Measurement> {
  const { flops } = networkFlops(network);
  const { channels, height, width } = network.input;
  const random = new Random(0, 'doctor');
  const images = Float32Array.from({ length: BATCH * channels * height * width }, () => 2 * random.uniform() - 1);
  const loaded = await engine.loadFeatures(randomNetwork(network, random), []);
  const run = async (batch: number): Promise<number> => {
    const start = performance.now();
    await loaded.run(images.subarray(0, batch * channels * height * width), batch);
    return (performance.now() - start) / 1000;
  };
  try {
    await run(1); // compiles kernels and shaders
    const batch = (await run(1)) > SLOW_SECONDS ? 1 : BATCH;
    if (batch > 1) await run(batch); // the first run of a size allocates
    let [count, seconds] = [0, 0];
    while (seconds < SECONDS) {
      seconds += await run(batch);
      count += batch;
    }
    const imagesPerSecond = count / seconds;
    return { gflopsPerSecond: (imagesPerSecond * flops) / 1e9, imagesPerSecond, batch };
  } finally {
    await loaded.close();
  }
}

/** Weights small enough that values stay finite through all layers. */
function randomNetwork(network: Network, random: Random): LoweredNetwork {
  const tensors = networkTensors(network).map(({ name, shape, count }): [string, Tensor] => {
    const fanIn = count / shape[0]!;
    const data = new Float32Array(count);
    for (let i = 0; i < count; i++) {
      data[i] = shape.length > 1 ? (2 * random.uniform() - 1) / Math.sqrt(fanIn) : random.uniform();
    }
    return [name, { shape, data }];
  });
  return lowerNetwork(network, new Map(tensors));
}
