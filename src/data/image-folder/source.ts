import { closeSync, fstatSync, read } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { InputError, messageOf } from '../../errors.js';
import { canonicalJson, sha256 } from '../../store/files.js';
import { openInputSync } from '../../store/input.js';
import { checkedIndex, type ImageSource } from '../dataset.js';
import { channelsIn, type Geometry } from '../preprocess.js';
import { decodeImage } from './decode.js';
import type { FileList } from './listing.js';

const readAt = promisify(read);

/** Part of the content id only: the keys of cached results hash the decoder's code. */
const DECODER_VERSION = 2;

/** Larger than any photograph; sparse files can have any size. */
const MOST_BYTES = 2 ** 28;

/** A power of two of at least 128 KiB: most files of ImageNet fit the smallest. */
const roomFor = (size: number): number => 2 ** Math.max(17, Math.ceil(Math.log2(Math.max(1, size))));

/** Reused buffers for files, at most as many as files read at once: memory does not depend on the garbage collector. */
class FileBuffers {
  /** Unused buffers, the smallest first. */
  readonly #spare: Buffer[] = [];

  take(size: number): Buffer {
    const fitting = this.#spare.findIndex((buffer) => buffer.length >= size);
    if (fitting >= 0) return this.#spare.splice(fitting, 1)[0]!;
    this.#spare.shift(); // a larger buffer replaces the smallest
    return Buffer.allocUnsafeSlow(roomFor(size));
  }

  giveBack(buffer: Buffer): void {
    const larger = this.#spare.findIndex(({ length }) => length >= buffer.length);
    this.#spare.splice(larger < 0 ? this.#spare.length : larger, 0, buffer);
  }
}

/**
 * Image files as a source, decoded on request without a cache.
 *
 * A file that cannot be decoded gives zeros and is named in `unreadable`. A file that is missing or whose size has changed
 * since it was listed is an error.
 */
export function folderSource(list: FileList, classes: readonly string[], geometry: Geometry): ImageSource {
  const { crop } = geometry;
  const channels = channelsIn(geometry);
  const imageBytes = channels * crop * crop;
  const unreadable = new Map<number, string>();
  const buffers = new FileBuffers();
  const decode = async (index: number, out: Uint8Array): Promise<void> => {
    const path = join(list.directory, list.path(checkedIndex(index, list.count)));
    const size = list.sizes[index]!;
    const refuse = (reason: string): void => {
      unreadable.set(index, `${path}: ${reason}`);
      out.fill(0);
    };
    if (size === 0) return refuse('empty, or a link to nothing');
    if (size > MOST_BYTES) return refuse(`more than ${MOST_BYTES} bytes`);
    const buffer = buffers.take(size);
    const bytes = await readListed(path, size, buffer);
    try {
      await decodeImage(bytes, geometry, out);
    } catch (error) {
      refuse(messageOf(error).split('\n')[0]!);
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
    if (bytesRead === size) return bytes;
    throw new InputError(`${path}: ${bytesRead} bytes, ${size} when its folder was listed; valid: unchanged files`);
  } finally {
    closeSync(file);
  }
}

type Collect = (options?: { readonly type: 'minor' }) => void;

let collect: Collect | undefined;

/**
 * Collects young objects, in about a millisecond. V8 does not count native buffers: it takes a decoded image of 200 kB for a
 * few bytes and lets hundreds of them accumulate.
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
