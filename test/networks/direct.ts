import { type Layer, type MapShape, type Network, networkTensors } from '../../src/networks/network.js';
import type { Random } from '../../src/random.js';
import type { Tensor, TensorMap } from '../../src/tensor.js';

/** A feature map of one image in double precision, [channels, height, width]. */
export interface FeatureMap extends MapShape {
  readonly data: Float64Array;
}

/** Value of a function at each channel, row and column. */
export function mapOf(shape: MapShape, value: (channel: number, row: number, column: number) => number): FeatureMap {
  const { channels, height, width } = shape;
  const data = new Float64Array(channels * height * width);
  for (let c = 0, i = 0; c < channels; c++) {
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++, i++) data[i] = value(c, y, x);
  }
  return { channels, height, width, data };
}

/** Element of a map; `outside` beyond its edges. */
export function at(map: FeatureMap, channel: number, row: number, column: number, outside = 0): number {
  if (row < 0 || column < 0 || row >= map.height || column >= map.width) return outside;
  return map.data[(channel * map.height + row) * map.width + column]!;
}

/** Layers as their definitions say, one number at a time: what folded weights and ONNX graphs are held against. */
export function applyLayers(layers: readonly Layer[], tensors: TensorMap, input: FeatureMap): FeatureMap {
  return layers.reduce((map, layer) => applyLayer(layer, tensors, map), input);
}

function applyLayer(layer: Layer, tensors: TensorMap, input: FeatureMap): FeatureMap {
  const data = (name: string): Float32Array => tensors.get(name)!.data;
  switch (layer.op) {
    case 'conv':
      return convolve(input, tensors.get(`${layer.name}.weight`)!, layer.stride, layer.padding);
    case 'batchNorm': {
      const part = (name: string, c: number): number => data(`${layer.name}.${name}`)[c]!;
      return mapOf(input, (c, y, x) => {
        const normalised = (at(input, c, y, x) - part('running_mean', c)) / Math.sqrt(part('running_var', c) + 1e-5);
        return normalised * part('weight', c) + part('bias', c);
      });
    }
    case 'relu':
      return mapOf(input, (c, y, x) => Math.max(0, at(input, c, y, x)));
    case 'maxPool':
      return pool(input, layer, (values) => Math.max(...values));
    case 'avgPool':
      return pool(input, layer, (values) => values.reduce((sum, value) => sum + value, 0) / values.length);
    case 'residual': {
      const body = applyLayers(layer.body, tensors, input);
      const shortcut = applyLayers(layer.shortcut, tensors, input);
      return mapOf(body, (c, y, x) => at(body, c, y, x) + at(shortcut, c, y, x));
    }
    case 'denseConcat': {
      const fresh = applyLayers(layer.body, tensors, input);
      const [first, second] = layer.first === 'new' ? [fresh, input] : [input, fresh];
      return mapOf({ ...input, channels: first.channels + second.channels }, (c, y, x) =>
        c < first.channels ? at(first, c, y, x) : at(second, c - first.channels, y, x),
      );
    }
    case 'subsamplePad': {
      const { stride, before, after } = layer;
      const height = Math.ceil(input.height / stride);
      const width = Math.ceil(input.width / stride);
      return mapOf({ channels: before + input.channels + after, height, width }, (c, y, x) =>
        c < before || c >= before + input.channels ? 0 : at(input, c - before, y * stride, x * stride),
      );
    }
  }
}

/** @param weight [out, in, kernel, kernel] @param bias [out]; none by default */
export function convolve(
  input: FeatureMap,
  weight: Tensor,
  stride: number,
  padding: number,
  bias?: Float32Array,
): FeatureMap {
  const [out, channels, kernel] = weight.shape as [number, number, number, number];
  const size = (side: number): number => Math.floor((side + 2 * padding - kernel) / stride) + 1;
  return mapOf({ channels: out, height: size(input.height), width: size(input.width) }, (o, y, x) => {
    let sum = bias?.[o] ?? 0;
    for (let c = 0; c < channels; c++) {
      for (let i = 0; i < kernel; i++) {
        for (let j = 0; j < kernel; j++) {
          const value = at(input, c, y * stride + i - padding, x * stride + j - padding);
          sum += value * weight.data[((o * channels + c) * kernel + i) * kernel + j]!;
        }
      }
    }
    return sum;
  });
}

/** Pools the cells that lie within the map: PyTorch pads a maximum with -Infinity. */
function pool(
  input: FeatureMap,
  layer: { readonly kernel: number; readonly stride: number; readonly padding: number },
  reduce: (values: number[]) => number,
): FeatureMap {
  const { kernel, stride, padding } = layer;
  const size = (side: number): number => Math.floor((side + 2 * padding - kernel) / stride) + 1;
  const shape = { channels: input.channels, height: size(input.height), width: size(input.width) };
  return mapOf(shape, (c, y, x) => {
    const values: number[] = [];
    for (let i = 0; i < kernel; i++) {
      for (let j = 0; j < kernel; j++) {
        const value = at(input, c, y * stride + i - padding, x * stride + j - padding, Number.NaN);
        if (!Number.isNaN(value)) values.push(value);
      }
    }
    return reduce(values);
  });
}

/** Averages of size x size equal cells of each channel, in the order channel, row, column. */
export function gridAverages(map: FeatureMap, size: number): number[] {
  const [height, width] = [map.height / size, map.width / size];
  const averages: number[] = [];
  for (let c = 0; c < map.channels; c++) {
    for (let row = 0; row < size; row++) {
      for (let column = 0; column < size; column++) {
        let sum = 0;
        for (let y = 0; y < height; y++) {
          for (let x = 0; x < width; x++) sum += at(map, c, row * height + y, column * width + x);
        }
        averages.push(sum / (height * width));
      }
    }
  }
  return averages;
}

/** Weights with nothing left at a default: batch norms of negative scale, shifted, some of almost no variance. */
export function randomTensors(network: Network, random: Random): Map<string, Tensor> {
  return new Map(
    networkTensors(network).map(({ name, shape, count }) => {
      const data = Float32Array.from({ length: count }, () => {
        const u = 2 * random.uniform() - 1;
        return name.endsWith('running_var') ? (u < -0.5 ? 1e-5 : 1 + u) : u;
      });
      return [name, { shape, data }];
    }),
  );
}
