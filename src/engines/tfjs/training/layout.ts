import { elementCount, type Tensor } from '../../../tensor.js';

/** Where an axis of one layout comes from in the other; convolutions only, all else is the same in both. */
const hwioFromOihw = [2, 3, 1, 0] as const;
const oihwFromHwio = [3, 2, 0, 1] as const;

/** A tensor as TensorFlow wants it: convolutions from (out, in, height, width) to (height, width, in, out). */
export function toTensorFlow(tensor: Tensor): Tensor {
  return tensor.shape.length === 4 ? permute(tensor, hwioFromOihw) : tensor;
}

/** A tensor as PyTorch has it: the inverse of {@link toTensorFlow}. */
export function toPyTorch(tensor: Tensor): Tensor {
  return tensor.shape.length === 4 ? permute(tensor, oihwFromHwio) : tensor;
}

function permute({ shape, data }: Tensor, order: readonly [number, number, number, number]): Tensor {
  const strides = shape.map((_, axis) => elementCount(shape.slice(axis + 1)));
  const sizes = order.map((axis) => shape[axis]!) as [number, number, number, number];
  const [s0, s1, s2, s3] = order.map((axis) => strides[axis]!) as [number, number, number, number];
  const out = new Float32Array(data.length);
  let to = 0;
  for (let a = 0; a < sizes[0]; a++) {
    for (let b = 0; b < sizes[1]; b++) {
      for (let c = 0; c < sizes[2]; c++) {
        let from = a * s0 + b * s1 + c * s2;
        for (let d = 0; d < sizes[3]; d++, from += s3) out[to++] = data[from]!;
      }
    }
  }
  return { shape: sizes, data: out };
}
