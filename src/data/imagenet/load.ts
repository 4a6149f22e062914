import type { ImageSource, PublishedSplit } from '../dataset.js';
import { geometryOf, usualGeometry } from '../image-folder/geometry.js';
import { folderSource } from '../image-folder/source.js';
import type { Preprocessing } from '../preprocess.js';
import { names, wnids } from './classes.js';
import { listOf, readRegistration } from './register.js';

/**
 * Opens a split; no image is read. Training images come in a shuffled order that is always the same, validation images
 * by name.
 *
 * @throws InputError if ImageNet is not registered or lacks the split
 */
export async function loadImageNet(
  root: string,
  split: PublishedSplit,
  preprocessing: Preprocessing,
): Promise<ImageSource> {
  const { list } = await listOf(root, await readRegistration(root), split);
  return { ...folderSource(list, names, geometryOf(preprocessing, usualGeometry)), classIds: wnids };
}
