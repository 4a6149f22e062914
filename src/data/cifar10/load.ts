import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { InputError } from '../../errors.js';
import { asFileProblem, exists } from '../../store/files.js';
import { openInput } from '../../store/input.js';
import type { ImageSet, PublishedSplit } from '../dataset.js';
import { imageSet } from '../images.js';
import {
  binaryFolder,
  type Cifar10Layout,
  cifar10,
  classes,
  directoryOf,
  fetchCommand,
  filesOf,
  imageBytes,
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
 * Every byte is hashed while it is read: a bit that flipped on the disk changes no time and no size.
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

  const count = files.length * layout.imagesPerFile;
  const images = new Uint8Array(count * imageBytes);
  const labels = new Int32Array(count);
  const problems: string[] = [];
  for (const [number, file] of files.entries()) {
    const first = number * layout.imagesPerFile;
    const problem = await readRecords(
      join(directory, binaryFolder, file.name),
      file.sha256,
      images.subarray(first * imageBytes, (first + layout.imagesPerFile) * imageBytes),
      labels.subarray(first, first + layout.imagesPerFile),
    );
    if (problem !== undefined) problems.push(problem);
  }
  if (problems.length > 0) throw new InputError([...problems, `to fetch it again: ${fetchCommand}`]);
  return imageSet({ ...shape, images, labels, classes, sha256: splitSha256(layout, split) });
}

/**
 * Reads a file of records through a small buffer, so that only the pixels' own memory is touched.
 *
 * @param images (n, 3072), filled
 * @param labels (n), filled
 * @returns what is wrong with the file, a line
 */
async function readRecords(
  path: string,
  expected: string,
  images: Uint8Array,
  labels: Int32Array,
): Promise<string | undefined> {
  const buffer = Buffer.allocUnsafe(recordsPerRead * recordBytes);
  const hash = createHash('sha256');
  try {
    const { handle: file, size } = await openInput(path);
    try {
      const expectedBytes = labels.length * recordBytes;
      if (size !== expectedBytes) return `${path}: ${size} bytes; valid: ${expectedBytes}`;
      for (let next = 0; next < labels.length; ) {
        const wanted = Math.min(recordsPerRead, labels.length - next) * recordBytes;
        const { bytesRead } = await file.read(buffer, 0, wanted, next * recordBytes);
        if (bytesRead < wanted) return `${path}: ends after ${next * recordBytes + bytesRead} bytes`;
        hash.update(buffer.subarray(0, bytesRead));
        for (let start = 0; start < bytesRead; start += recordBytes, next++) {
          labels[next] = buffer[start]!;
          images.set(buffer.subarray(start + 1, start + recordBytes), next * imageBytes);
        }
      }
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return `${path}: missing`;
    throw asFileProblem(error, path);
  }
  const found = hash.digest('hex');
  return found === expected ? undefined : `${path}: sha256 ${found}; valid: ${expected}`;
}
