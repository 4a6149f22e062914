import { type Network, networkTensors } from '../src/networks/network.js';
import type { Tensor } from '../src/tensor.js';

/**
 * The generator of `fixtures/parity.json`: value i of stream j in [-1, 1), in float64. A plain function in a plain loop:
 * the large networks ask for 42 million values.
 */
function uniform(offset: number, i: number): number {
  let h = (i + offset) >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  h = (h ^ (h >>> 16)) >>> 0;
  return h / 2147483648 - 1;
}

const streamOffset = (j: number): number => Math.imul(j, 0x9e3779b9) >>> 0;

/** base + slope * u, u folded to its absolute value where `absolute`. */
function fill(j: number, count: number, base: number, slope: number, absolute = false): Float32Array {
  const data = new Float32Array(count);
  const offset = streamOffset(j);
  for (let i = 0; i < count; i++) {
    const u = uniform(offset, i);
    data[i] = base + slope * (absolute ? Math.abs(u) : u);
  }
  return data;
}

/** Weights of a network from the generator, in the order of its `state_dict()`. */
export function generatedTensors(network: Network): Map<string, Tensor> {
  return new Map(
    networkTensors(network).map(({ name, shape, count }, j): [string, Tensor] => {
      const fanIn = shape.slice(1).reduce((product, size) => product * size, 1);
      const isNormWeight = name.endsWith('.weight') && shape.length === 1;
      let data: Float32Array;
      if (shape.length > 1) data = fill(j, count, 0, Math.sqrt(3 / fanIn));
      else if (isNormWeight) data = fill(j, count, 1, 0.1);
      else if (name.endsWith('running_var')) data = fill(j, count, 1, 0.5, true);
      else data = fill(j, count, 0, 0.1);
      return [name, { shape, data }];
    }),
  );
}

/** Two generated images [2, 3, H, W]. */
export function generatedImages(network: Network): Float32Array {
  const { channels, height, width } = network.input;
  return fill(100000, 2 * channels * height * width, 0, 2);
}
