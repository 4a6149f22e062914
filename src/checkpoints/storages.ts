import type { Budget } from '../budget.js';
import { InputError } from '../errors.js';
import { type PickleValue, Rebuilt } from '../pickle/reader.js';
import { elementCount, type Tensor } from '../tensor.js';
import { type Dtype, dtypeBytes, toFloat32 } from './dtypes.js';

/** A stretch of memory that tensors are views of, named in the pickle and stored beside it. */
export class StorageRef extends Rebuilt {
  /**
   * @param key which storage of the file
   * @param count number of elements
   * @param offset first element within the storage called `key`; other than 0 only in the legacy format
   */
  constructor(
    readonly key: string,
    readonly dtype: Dtype,
    readonly count: number,
    readonly offset = 0,
  ) {
    super();
  }
  override describe(): string {
    return `storage ${this.key}`;
  }
}

/** A tensor as PyTorch stores it: a strided view of a storage. Offset and strides count elements. */
export class TensorRef extends Rebuilt {
  constructor(
    readonly storage: StorageRef,
    readonly dtype: Dtype,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly stride: readonly number[],
    /** The values are those of the storage with the opposite sign (`torch.Tensor.is_neg`). */
    readonly isNegated = false,
  ) {
    super();
  }
  override describe(): string {
    return `a tensor of shape [${this.shape.join(', ')}]`;
  }
}

/** A torch.save file taken apart: the pickled structure, and the bytes of each storage (little-endian). */
export interface TorchFile {
  readonly root: PickleValue;
  readonly storages: ReadonlyMap<string, Uint8Array>;
}

/** Elements gathered one by one that count as one step. */
const ELEMENTS_PER_STEP = 64;

/**
 * Makes the tensors dense: views of one storage become separate tensors, all float32. Contiguous float32
 * tensors share the file's memory.
 *
 * @throws InputError where a view goes beyond its storage, a storage is missing, or the views are far larger than the file
 */
export function materialize(
  refs: ReadonlyMap<string, TensorRef>,
  storages: ReadonlyMap<string, Uint8Array>,
  budget: Budget,
): Map<string, Tensor> {
  const tensors = new Map<string, Tensor>();
  for (const [name, ref] of refs) {
    const count = elementCount(ref.shape);
    budget.bytes(count * Float32Array.BYTES_PER_ELEMENT, name);
    budget.steps(Math.ceil(count / ELEMENTS_PER_STEP));
    tensors.set(name, { shape: ref.shape, data: viewOf(ref, storages, `${budget.where}: ${name}`) });
  }
  return tensors;
}

function viewOf(ref: TensorRef, storages: ReadonlyMap<string, Uint8Array>, at: string): Float32Array {
  const data = elementsOf(ref, storages, at);
  return ref.isNegated ? data.map((value) => -value) : data;
}

function elementsOf(ref: TensorRef, storages: ReadonlyMap<string, Uint8Array>, at: string): Float32Array {
  const { storage, dtype, offset, shape, stride } = ref;
  const bytes = storages.get(storage.key);
  if (bytes === undefined) throw new InputError(`${at}: storage ${storage.key} is not in the file`);
  const size = dtypeBytes[dtype];
  const first = storage.offset * dtypeBytes[storage.dtype];
  const end = first + storage.count * dtypeBytes[storage.dtype];
  if (end > bytes.byteLength)
    throw new InputError(`${at}: storage ${storage.key} has ${bytes.byteLength} bytes, not ${end}`);
  const count = elementCount(shape);
  // One beyond the last element of the view, in elements of the storage.
  const extent =
    count === 0 ? 0 : offset + 1 + shape.reduce((sum, length, axis) => sum + (length - 1) * stride[axis]!, 0);
  const available = Math.floor((end - first) / size);
  if (extent > available) throw new InputError(`${at}: reaches element ${extent} of a storage of ${available}`);
  if (count === 0) return new Float32Array(0);
  if (!isContiguous(shape, stride))
    return strided(toFloat32(dtype, bytes.subarray(first + offset * size, first + extent * size)), shape, stride);
  return toFloat32(dtype, bytes.subarray(first + offset * size, first + (offset + count) * size));
}

/** Whether the elements lie in row-major order without gaps; axes of length 1 may have any stride. */
function isContiguous(shape: readonly number[], stride: readonly number[]): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && stride[axis] !== expected) return false;
    expected *= shape[axis]!;
  }
  return true;
}

/** Row-major copy of a strided view that begins at element 0. */
function strided(source: Float32Array, sizes: readonly number[], strides: readonly number[]): Float32Array {
  const shape = sizes.filter((size) => size !== 1);
  const stride = strides.filter((_, axis) => sizes[axis] !== 1);
  const dense = new Float32Array(elementCount(shape));
  const index = new Array<number>(shape.length).fill(0);
  let from = 0;
  for (let to = 0; to < dense.length; to++) {
    dense[to] = source[from]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += stride[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      from -= stride[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return dense;
}
