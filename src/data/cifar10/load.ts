import type { Stats } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError } from '../../errors.js';
import { asFileProblem, exists, hashFile } from '../../store/files.js';
import type { ImageSet, PublishedSplit } from '../dataset.js';
import { imageSet } from '../images.js';
import { isUnchanged, readDescription, writeDescription } from './description.js';
import {
  binaryFolder,
  type Cifar10Layout,
  cifar10,
  classes,
  directoryOf,
  fetchCommand,
  filesOf,
  imageBytes,
  type RecordFile,
  recordBytes,
  shape,
  splitSha256,
} from './layout.js';
import { absentMessage } from './verify.js';

/** 1 MB at a time. */
const recordsPerRead = 340;

/**
 * Reads a split of `<root>/cifar10` into memory (train 154 MB, test 31 MB), in the official order.
 *
 * Files that changed since they were verified, by size or time of change, are hashed again first.
 *
 * @returns images (50,000 or 10,000; 3, 32, 32)
 * @throws InputError where the data is missing or is not CIFAR-10
 */
export async function loadCifar10(
  root: string,
  split: PublishedSplit,
  layout: Cifar10Layout = cifar10,
): Promise<ImageSet> {
  const directory = directoryOf(root);
  if (!(await exists(join(directory, binaryFolder)))) throw new InputError(absentMessage(root));
  const files = filesOf(layout, split);
  await assertVerified(directory, files, layout);

  const count = files.length * layout.imagesPerFile;
  const images = new Uint8Array(count * imageBytes);
  const labels = new Int32Array(count);
  for (const [number, file] of files.entries()) {
    const first = number * layout.imagesPerFile;
    await readRecords(
      join(directory, binaryFolder, file.name),
      images.subarray(first * imageBytes, (first + layout.imagesPerFile) * imageBytes),
      labels.subarray(first, first + layout.imagesPerFile),
    );
  }
  return imageSet({ ...shape, images, labels, classes, sha256: splitSha256(layout, split) });
}

/**
 * Reads a file of records through a small buffer, so that only the pixels' own memory is touched.
 *
 * @param images (n, 3072), filled
 * @param labels (n), filled
 */
async function readRecords(path: string, images: Uint8Array, labels: Int32Array): Promise<void> {
  const buffer = Buffer.allocUnsafe(recordsPerRead * recordBytes);
  try {
    const file = await open(path, 'r');
    try {
      for (let next = 0; next < labels.length; ) {
        const wanted = Math.min(recordsPerRead, labels.length - next) * recordBytes;
        const { bytesRead } = await file.read(buffer, 0, wanted, next * recordBytes);
        if (bytesRead < recordBytes) throw new InputError(`${path}: ends after ${next} images; run: ${fetchCommand}`);
        for (let start = 0; start + recordBytes <= bytesRead; start += recordBytes, next++) {
          labels[next] = buffer[start]!;
          images.set(buffer.subarray(start + 1, start + recordBytes), next * imageBytes);
        }
      }
    } finally {
      await file.close();
    }
  } catch (error) {
    throw asFileProblem(error, path);
  }
}

/** @throws InputError with a line for each file that is missing or is not what it should be */
async function assertVerified(directory: string, files: readonly RecordFile[], layout: Cifar10Layout): Promise<void> {
  const description = await readDescription(directory);
  const problems: string[] = [];
  const hashed: RecordFile[] = [];
  for (const file of files) {
    const path = join(directory, binaryFolder, file.name);
    const found = await stat(path).catch(() => undefined);
    if (found !== undefined && isUnchanged(file, found, description)) continue;
    hashed.push(file);
    problems.push(...(await problemsOf(path, found, file, layout)));
  }
  if (problems.length > 0) throw new InputError([...problems, `to fetch it again: ${fetchCommand}`]);
  if (hashed.length > 0) {
    // Only spares the next run the hashing: a folder that cannot be written is no reason to stop.
    await writeDescription(directory, description?.source ?? 'unknown', hashed, description).catch(() => {});
  }
}

async function problemsOf(
  path: string,
  found: Stats | undefined,
  file: RecordFile,
  layout: Cifar10Layout,
): Promise<string[]> {
  if (found === undefined) return [`${path}: missing`];
  const expectedBytes = layout.imagesPerFile * recordBytes;
  if (found.size !== expectedBytes) return [`${path}: ${found.size} bytes; valid: ${expectedBytes}`];
  const hash = await hashFile(path);
  return hash === file.sha256 ? [] : [`${path}: sha256 ${hash}; valid: ${file.sha256}`];
}
