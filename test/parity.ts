import type { Network } from '../src/networks/network.js';
import { networkTensors } from '../src/networks/tensors.js';
import type { Tensor } from '../src/tensor.js';

/** The generator of `fixtures/parity.json`: value j of n in [-1, 1), in float64. */
function uniform(j: number, count: number): Float64Array {
  const offset = Math.imul(j, 0x9e3779b9) >>> 0;
  return Float64Array.from({ length: count }, (_, i) => {
    let h = (i + offset) >>> 0;
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    h = (h ^ (h >>> 16)) >>> 0;
    return h / 2147483648 - 1;
  });
}

/** Weights of a network from the generator, in the order of its `state_dict()`. */
export function generatedTensors(network: Network): Map<string, Tensor> {
  const tensors = networkTensors(network).map(({ name, shape, count }, j): [string, Tensor] => {
    const value = uniform(j, count);
    const fanIn = shape.slice(1).reduce((product, size) => product * size, 1);
    const isNormWeight = name.endsWith('.weight') && shape.length === 1;
    const data = Float32Array.from(value, (u) => {
      if (shape.length > 1) return u * Math.sqrt(3 / fanIn);
      if (isNormWeight) return 1 + 0.1 * u;
      return name.endsWith('running_var') ? 1 + 0.5 * Math.abs(u) : 0.1 * u;
    });
    return [name, { shape, data }];
  });
  return new Map(tensors);
}

/** Two generated images [2, 3, H, W]. */
export function generatedImages(network: Network): Float32Array {
  const { channels, height, width } = network.input;
  return Float32Array.from(uniform(100000, 2 * channels * height * width), (u) => 2 * u);
}
