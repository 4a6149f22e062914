import { closeSync, fstatSync, read } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { InputError, messageOf } from '../../errors.js';
import { canonicalJson, sha256 } from '../../store/files.js';
import { openInputSync } from '../../store/input.js';
import type { ImageSource } from '../dataset.js';
import { decodeImage } from './decode.js';
import { channelsIn, type Geometry } from './geometry.js';
import type { FileList } from './listing.js';

const readAt = promisify(read);

/** Part of the content id only: the keys of cached results hash the decoder's code. */
const DECODER_VERSION = 2;

/** Larger than any photograph; sparse files can have any size. */
const MOST_BYTES = 2 ** 28;

/** A power of two of at least 128 KiB: most files of ImageNet fit the smallest. */
const roomFor = (size: number): number => 2 ** Math.max(17, Math.ceil(Math.log2(Math.max(1, size))));

/**
 * Reused buffers for files, so that memory does not depend on the garbage collector. There are at most as many as files that
 * are read at once: a larger buffer replaces a smaller one.
 */
class FileBuffers {
  /** Unused buffers, the smallest first. */
  readonly #spare: Buffer[] = [];

  take(size: number): Buffer {
    const fitting = this.#spare.findIndex((buffer) => buffer.length >= size);
    if (fitting >= 0) return this.#spare.splice(fitting, 1)[0]!;
    this.#spare.shift();
    return Buffer.allocUnsafeSlow(roomFor(size));
  }

  giveBack(buffer: Buffer): void {
    const larger = this.#spare.findIndex(({ length }) => length >= buffer.length);
    this.#spare.splice(larger < 0 ? this.#spare.length : larger, 0, buffer);
  }
}

/**
 * Image files as a source: decoded on request, without a cache.
 *
 * A file that cannot be decoded gives zeros and is named in `unreadable`; callers must leave it out. A file that is missing or
 * has another size than when it was listed is an error: the folder has changed.
 */
export function folderSource(list: FileList, classes: readonly string[], geometry: Geometry): ImageSource {
  const { crop } = geometry;
  const channels = channelsIn(geometry);
  const imageBytes = channels * crop * crop;
  const unreadable = new Map<number, string>();
  const buffers = new FileBuffers();
  const decode = async (index: number, out: Uint8Array): Promise<void> => {
    if (!Number.isInteger(index) || index < 0 || index >= list.count) {
      throw new RangeError(`image ${index} of ${list.count}`);
    }
    const path = join(list.directory, list.path(index));
    const size = list.sizes[index]!;
    if (size > MOST_BYTES || size === 0) {
      const what = size === 0 ? 'empty, or a link to nothing' : `more than ${MOST_BYTES} bytes`;
      unreadable.set(index, `${path}: ${what}`);
      out.fill(0);
      return;
    }
    const buffer = buffers.take(size);
    const bytes = await readListed(path, size, buffer);
    try {
      await decodeImage(bytes, geometry, out);
    } catch (error) {
      unreadable.set(index, `${path}: ${messageOf(error).split('\n')[0]!}`);
      out.fill(0);
    } finally {
      buffers.giveBack(buffer);
    }
  };
  return {
    channels,
    height: crop,
    width: crop,
    count: list.count,
    classes,
    labels: list.labels,
    sha256: sha256(canonicalJson({ files: list.sha256, classes, geometry: { ...geometry }, decoder: DECODER_VERSION })),
    unreadable,
    async batch(indices, into) {
      const bytes = indices.length * imageBytes;
      const images = into !== undefined && into.length >= bytes ? into.subarray(0, bytes) : new Uint8Array(bytes);
      await Promise.all(
        Array.from(indices, (index, i) => decode(index, images.subarray(i * imageBytes, (i + 1) * imageBytes))),
      );
      // Free the decoders' buffers of these images.
      collectYoung();
      return images;
    },
  };
}

/**
 * Reads a file of known size. Only the read itself waits for the event loop, which rarely runs while an engine holds the main
 * thread.
 *
 * @throws InputError if it differs from the listing
 */
async function readListed(path: string, size: number, into: Buffer): Promise<Uint8Array> {
  let file: number;
  try {
    file = openInputSync(path);
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`${path}: ${messageOf(error)}; it was there when its folder was listed`);
  }
  try {
    const found = fstatSync(file).size;
    const bytes = into.subarray(0, size);
    const bytesRead = found === size && size > 0 ? (await readAt(file, bytes, 0, size, 0)).bytesRead : found;
    if (bytesRead !== size) {
      throw new InputError(`${path}: ${bytesRead} bytes, ${size} when its folder was listed; valid: unchanged files`);
    }
    return bytes;
  } finally {
    closeSync(file);
  }
}

type Collect = (options?: { readonly type: 'minor' }) => void;

let collect: Collect | undefined;

/**
 * Frees what JavaScript has just stopped using: a collection of the young objects, about a millisecond.
 *
 * Buffers of native libraries lie outside of V8's heap, and V8 does not know how large they are: to it a decoded image of
 * 200 kB is a few bytes, so it collects them late, and memory grows by hundreds of them meanwhile.
 */
function collectYoung(): void {
  collect ??= exposed();
  collect({ type: 'minor' });
}

function exposed(): Collect {
  if (globalThis.gc !== undefined) return globalThis.gc as Collect;
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as Collect;
}
