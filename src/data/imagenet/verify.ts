import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { messageOf, Problems } from '../../errors.js';
import { type Progress, silent } from '../../progress.js';
import { sha256 } from '../../store/files.js';
import { readRegular } from '../../store/input.js';
import type { DataReport, PublishedSplit } from '../dataset.js';
import { decodeImage } from '../image-folder/decode.js';
import { usualGeometry } from '../image-folder/geometry.js';
import type { FileList } from '../image-folder/listing.js';
import { wnids } from './classes.js';
import { groundTruthsOf, locate, stem } from './layout.js';
import { imageNetReport, incompleteness, listOf, readRegistration, splitsOf, writeRegistration } from './register.js';

/** Problems of one kind that are listed one by one; the rest is counted. */
const MOST_LISTED = 20;
const batchFiles = 64;

/**
 * Reads and decodes every image, counts them, and checks their labels: folders are wnids, files named after a class lie
 * in its folder, and all ground truths that are there say the same.
 *
 * @throws InputError with all that is missing or wrong
 */
export async function verifyImageNet(root: string, progress: Progress = silent): Promise<DataReport> {
  const registration = await readRegistration(root);
  const folders = locate(registration.folder);
  const lists = new Map<PublishedSplit, FileList>();
  const hashes = new Map<PublishedSplit, string>();
  const problems = new Problems();
  for (const split of ['train', 'test'] as const) {
    if (splitsOf(folders).includes(split)) continue;
    problems.add(`${folders.root}: no ${split === 'train' ? 'train/' : 'val/'} folder here`);
  }
  for (const split of splitsOf(folders)) {
    const { list } = await listOf(root, registration, split, progress);
    lists.set(split, list);
    const { broken, hash } = await readAll(list, progress);
    const found = [...incompleteness(split, list), ...mislabelled(list, folders.root), ...broken];
    for (const problem of found) problems.add(problem);
    hashes.set(split, hash);
    const before = registration.verified?.[split];
    if (before !== undefined && before !== hash) {
      problems.add(`${list.directory}: not the bytes that were verified on ${registration.verified?.date}`);
    }
  }
  problems.throwIfAny();
  const verified = { date: new Date().toISOString(), ...Object.fromEntries(hashes) };
  await writeRegistration(root, { ...registration, verified });
  return imageNetReport(root, 'present', lists, [], hashes);
}

/** Decodes every file. @returns a line for each that cannot be, and one hash of all bytes in the list's order */
async function readAll(list: FileList, progress: Progress): Promise<{ broken: string[]; hash: string }> {
  const task = progress.begin(`reading ${list.directory}`, list.count, 'images');
  const broken = new Problems([], MOST_LISTED, 'more files that cannot be decoded');
  const whole = createHash('sha256');
  const check = async (index: number): Promise<string> => {
    const path = join(list.directory, list.path(index));
    try {
      const bytes = await readRegular(path);
      await decodeImage(bytes, usualGeometry).catch((error: unknown) => {
        broken.add(`${path}: ${messageOf(error).split('\n')[0]}`);
      });
      return sha256(bytes);
    } catch (error) {
      broken.add(`${path}: ${messageOf(error)}`);
      return '';
    }
  };
  for (let start = 0; start < list.count; start += batchFiles) {
    const count = Math.min(batchFiles, list.count - start);
    for (const hash of await Promise.all(Array.from({ length: count }, (_, i) => check(start + i)))) whole.update(hash);
    task.update(start + count, broken.count > 0 ? `${broken.count} broken` : undefined);
  }
  task.end(`${list.directory}: ${list.count.toLocaleString('en')} files read, ${broken.count} cannot be decoded`);
  return { broken: broken.lines().sort(), hash: whole.digest('hex') };
}

/** Images whose name (n01440764_10026.JPEG) or another ground truth says another class than the list. */
function mislabelled(list: FileList, root: string): string[] {
  const truths = groundTruthsOf(list.directory, root);
  const problems = new Problems([], MOST_LISTED, 'more labels');
  for (const { path, label } of list.files()) {
    const name = stem(path);
    const named = /^(n\d{8})_/.exec(name)?.[1];
    if (named !== undefined && named !== wnids[label]) {
      problems.add(`${list.directory}/${path}: of class ${named} by its name, of ${wnids[label]} by its folder`);
    }
    for (const { file, labels } of truths) {
      const other = labels.get(name);
      if (other === undefined || other === label) continue;
      problems.add(`${list.directory}/${path}: of class ${wnids[label]}, but of ${wnids[other]} by ${file}`);
    }
  }
  return problems.lines();
}
