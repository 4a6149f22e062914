import type { Tensor, Tensor1D, Tensor2D, Tensor4D } from '@tensorflow/tfjs';
import type { BatchNorm, Conv, Layer, Network, Pool, SubsamplePad } from '../../../networks/network.js';
import type { TensorFlow } from '../backend.js';

/** The differences between training and evaluation, and the source of tensors. */
export interface ForwardMode {
  /** A tensor by its name in the network; convolutions as (kernel, kernel, in, out). */
  tensor(name: string): Tensor;
  batchNorm(layer: BatchNorm, x: Tensor4D): Tensor4D;
  relu(x: Tensor4D): Tensor4D;
  /** Whether a map is freed once the next one is computed; not if gradients are needed. */
  readonly releasesMaps: boolean;
}

/**
 * Runs a network's description in differentiable form: nothing is folded.
 *
 * @param images (count, height, width, channels)
 * @returns logits (count, classes)
 */
export function forward(tf: TensorFlow, network: Network, mode: ForwardMode, images: Tensor4D): Tensor2D {
  const { classifier, stem, stages } = network;
  const layers = [...stem, ...stages.flatMap((stage) => [...stage.layers, ...stage.transition]), ...classifier.head];
  const map = mode.releasesMaps ? applyReleasing(tf, layers, mode, images) : applyLayers(tf, layers, mode, images);
  const features = tf.mean<Tensor2D>(map, [1, 2]);
  const weight = mode.tensor(`${classifier.name}.weight`) as Tensor2D; // (classes, features)
  return tf.add(tf.matMul(features, weight, false, true), mode.tensor(`${classifier.name}.bias`));
}

/** Keeps only two feature maps in memory at a time. */
function applyReleasing(tf: TensorFlow, layers: readonly Layer[], mode: ForwardMode, images: Tensor4D): Tensor4D {
  let map = images;
  for (const layer of layers) {
    const next = tf.tidy(() => applyLayer(tf, layer, mode, map));
    map.dispose();
    map = next;
  }
  return map;
}

function applyLayers(tf: TensorFlow, layers: readonly Layer[], mode: ForwardMode, x: Tensor4D): Tensor4D {
  return layers.reduce((map, layer) => applyLayer(tf, layer, mode, map), x);
}

function applyLayer(tf: TensorFlow, layer: Layer, mode: ForwardMode, x: Tensor4D): Tensor4D {
  switch (layer.op) {
    case 'conv':
      return convolve(tf, layer, mode.tensor(`${layer.name}.weight`) as Tensor4D, x);
    case 'batchNorm':
      return mode.batchNorm(layer, x);
    case 'relu':
      return mode.relu(x);
    case 'residual':
      return tf.add(applyLayers(tf, layer.body, mode, x), applyLayers(tf, layer.shortcut, mode, x));
    case 'denseConcat': {
      const fresh = applyLayers(tf, layer.body, mode, x);
      return tf.concat(layer.first === 'new' ? [fresh, x] : [x, fresh], 3);
    }
    case 'maxPool':
    case 'avgPool':
      return pool(tf, layer, x);
    case 'subsamplePad':
      return subsamplePad(tf, layer, x);
  }
}

/** TensorFlow's "same" pads after the image only where the stride is 2; PyTorch pads all sides alike. */
function convolve(tf: TensorFlow, layer: Conv, weight: Tensor4D, x: Tensor4D): Tensor4D {
  const { kernel, stride, padding } = layer;
  if (padding === 0) return tf.conv2d(x, weight, stride, 'valid');
  if (stride === 1 && 2 * padding === kernel - 1) return tf.conv2d(x, weight, 1, 'same');
  return tf.conv2d(padSides(tf, x, padding, 0), weight, stride, 'valid');
}

function pool(tf: TensorFlow, { op, kernel, stride, padding }: Pool, x: Tensor4D): Tensor4D {
  if (op === 'avgPool') return tf.avgPool(padSides(tf, x, padding, 0), kernel, stride, 'valid');
  // PyTorch pads a maximum with -Infinity, which arithmetic on padding could turn into NaN.
  return tf.maxPool(padSides(tf, x, padding, -3e38), kernel, stride, 'valid');
}

function padSides(tf: TensorFlow, x: Tensor4D, padding: number, value: number): Tensor4D {
  const sides: [number, number] = [padding, padding];
  return padding === 0 ? x : tf.pad(x, [[0, 0], sides, sides, [0, 0]], value);
}

/** A pooling over single cells takes every second row and column; `stridedSlice` has no gradient. */
function subsamplePad(tf: TensorFlow, { stride, before, after }: SubsamplePad, x: Tensor4D): Tensor4D {
  const some = tf.avgPool(x, 1, stride, 'valid');
  return tf.pad(some, [
    [0, 0],
    [0, 0],
    [0, 0],
    [before, after],
  ]);
}

/** A batch norm in evaluation mode. */
export function normaliseByRunningStatistics(
  tf: TensorFlow,
  { name }: BatchNorm,
  tensor: (name: string) => Tensor,
  x: Tensor4D,
  epsilon: number,
): Tensor4D {
  const [weight, bias, mean, variance] = (['weight', 'bias', 'running_mean', 'running_var'] as const).map(
    (part) => tensor(`${name}.${part}`) as Tensor1D,
  );
  return tf.batchNorm4d(x, mean!, variance!, bias!, weight!, epsilon);
}
