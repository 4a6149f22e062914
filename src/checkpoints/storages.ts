import { InputError } from '../errors.js';
import type { Budget } from '../json.js';
import { type PickleValue, Rebuilt } from '../pickle/reader.js';
import { elementCount, type Tensor } from '../tensor.js';
import { type Dtype, elementBytes, toFloat32 } from './dtypes.js';

/** A storage that tensors are views of, named in the pickle and stored beside it. */
export class StorageRef extends Rebuilt {
  /**
   * @param key which storage of the file
   * @param count number of elements
   * @param offset first element within the storage `key`; 0 except in the legacy format
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
    /** Whether the values are the storage's negated (`torch.Tensor.is_neg`). */
    readonly isNegated = false,
  ) {
    super();
  }
  override describe(): string {
    return `a tensor of shape [${this.shape.join(', ')}]`;
  }
}

/** Content of a torch.save file: the pickled structure, and the bytes of each storage (little-endian). */
export interface TorchFile {
  readonly root: PickleValue;
  readonly storages: ReadonlyMap<string, Uint8Array>;
}

/** Elements copied per step of the budget. */
const ELEMENTS_PER_STEP = 64;

/**
 * Turns views into dense float32 tensors; contiguous float32 views share the file's memory.
 *
 * @throws InputError if a view exceeds its storage, a storage is missing, or the views are far larger than the file
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
    const data = elementsOf(ref, storages, `${budget.where}: ${name}`);
    tensors.set(name, { shape: ref.shape, data: ref.isNegated ? data.map((value) => -value) : data });
  }
  return tensors;
}

function elementsOf(ref: TensorRef, storages: ReadonlyMap<string, Uint8Array>, at: string): Float32Array {
  const { storage, dtype, offset, shape, stride } = ref;
  const bytes = storages.get(storage.key);
  if (bytes === undefined) throw new InputError(`${at}: storage ${storage.key} is not in the file`);
  const first = storage.offset * elementBytes(storage.dtype);
  const end = first + storage.count * elementBytes(storage.dtype);
  if (end > bytes.byteLength) {
    throw new InputError(`${at}: storage ${storage.key} has ${bytes.byteLength} bytes, not ${end}`);
  }
  if (elementCount(shape) === 0) return new Float32Array(0);
  const size = elementBytes(dtype);
  // Position after the view's last element, counted in the storage's elements.
  const extent = offset + 1 + shape.reduce((sum, length, axis) => sum + (length - 1) * stride[axis]!, 0);
  const available = Math.floor((end - first) / size);
  if (extent > available) throw new InputError(`${at}: reaches element ${extent} of a storage of ${available}`);
  const elements = toFloat32(dtype, bytes.subarray(first + offset * size, first + extent * size));
  return isContiguous(shape, stride) ? elements : strided(elements, shape, stride);
}

/** Whether the elements are in row-major order without gaps; axes of length 1 may have any stride. */
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
