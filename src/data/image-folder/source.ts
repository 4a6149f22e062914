import { join } from 'node:path';
import { InputError, messageOf } from '../../errors.js';
import { canonicalJson, sha256 } from '../../store/files.js';
import type { ImageSource } from '../dataset.js';
import { decodeImage } from './decode.js';
import type { Geometry } from './geometry.js';
import type { FileList } from './listing.js';

/** Raise when the same files give other pixels. */
const DECODER_VERSION = 1;

/**
 * Image files as a source: decoded when they are asked for, nothing kept.
 *
 * A file that cannot be decoded gives zeros and is named in `unreadable`; whoever asked leaves it out. A file that is
 * gone, though it was listed, is an error: the folder is not what it was.
 */
export function folderSource(list: FileList, classes: readonly string[], geometry: Geometry): ImageSource {
  const { crop } = geometry;
  const imageBytes = 3 * crop * crop;
  const unreadable = new Map<number, string>();
  const decode = async (index: number, out: Uint8Array): Promise<void> => {
    if (!Number.isInteger(index) || index < 0 || index >= list.count) {
      throw new RangeError(`image ${index} of ${list.count}`);
    }
    const path = join(list.directory, list.path(index));
    try {
      out.set(await decodeImage(path, geometry));
    } catch (error) {
      const reason = messageOf(error).split('\n')[0]!;
      if (/^Input file is missing/.test(reason)) {
        throw new InputError(`${path}: gone since its folder was listed; valid: an unchanged folder`);
      }
      unreadable.set(index, `${path}: ${reason}`);
    }
  };
  return {
    channels: 3,
    height: crop,
    width: crop,
    count: list.count,
    classes,
    labels: list.labels,
    sha256: sha256(canonicalJson({ files: list.sha256, classes, geometry: { ...geometry }, decoder: DECODER_VERSION })),
    unreadable,
    async batch(indices) {
      const images = new Uint8Array(indices.length * imageBytes);
      await Promise.all(
        Array.from(indices, (index, i) => decode(index, images.subarray(i * imageBytes, (i + 1) * imageBytes))),
      );
      return images;
    },
  };
}
