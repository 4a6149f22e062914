import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { asFileProblem } from '../../store/files.js';
import { compareText, type ListedFile } from './listing.js';

/** Extensions of torchvision's ImageFolder that are decoded here, and GIF. */
const imageFile = /\.(jpe?g|png|tiff?|webp|gif)$/i;

/** Pictures in other formats: they are counted and left out. */
const otherPicture = /\.(ppm|bmp|pgm|pbm|avif|heic|jxl|jp2|svg)$/i;

/** What macOS's archiver adds beside a folder: no pictures, with the same names. */
export const MACOSX = '__MACOSX';

/** Folders in each other that are looked into: links may lead in a circle. */
const DEEPEST = 8;

/** Names of the folders in a folder (links followed), sorted, without hidden ones. @throws InputError */
export function foldersIn(directory: string): string[] {
  return entriesOf(directory, (path, entry) => entry.isDirectory() || (entry.isSymbolicLink() && isFolder(path)));
}

/** Names of the image files in a folder, sorted, without hidden ones (macOS puts some beside images), pipes and devices. */
export function imagesIn(directory: string): string[] {
  return entriesOf(
    directory,
    (path, entry) => imageFile.test(entry.name) && (entry.isFile() || leadsToFile(path, entry)),
  );
}

/** Paths of the image files in a folder and in all folders below it, as torchvision walks it. */
export function imagesBelow(directory: string, depth = 0): string[] {
  const below = depth < DEEPEST ? foldersIn(directory).filter((name) => name !== MACOSX) : [];
  return [
    ...imagesIn(directory),
    ...below.flatMap((name) => imagesBelow(join(directory, name), depth + 1).map((path) => `${name}/${path}`)),
  ];
}

/** Number of pictures in a folder whose format is not decoded here. */
export function otherPicturesIn(directory: string): number {
  return entriesOf(directory, (_, entry) => otherPicture.test(entry.name)).length;
}

/** Whether this is a file, or a link to one. */
export function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

/** Whether this is a folder, or a link to one. */
export function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Whether this is a link to a file, or a broken one, which is reported when it is read. */
function leadsToFile(path: string, entry: Entry): boolean {
  return entry.isSymbolicLink() && statSync(path, { throwIfNoEntry: false })?.isFile() !== false;
}

type Entry = ReturnType<typeof readEntries>[number];

function entriesOf(directory: string, wanted: (path: string, entry: Entry) => boolean): string[] {
  const entries = readEntries(directory).filter(
    (entry) => !entry.name.startsWith('.') && wanted(join(directory, entry.name), entry),
  );
  return entries.map((entry) => entry.name).sort(compareText);
}

function readEntries(directory: string) {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    throw asFileProblem(error, directory);
  }
}

/**
 * The images of class folders and of folders below them, with their sizes; a broken link has size 0, so that it is reported
 * later.
 *
 * @param folders names of the class folders below `directory`, and the class of each
 * @param onFolder called after every folder with the number of files so far
 */
export async function scanClassFolders(
  directory: string,
  folders: readonly { readonly name: string; readonly label: number }[],
  onFolder: (files: number) => void = () => {},
): Promise<ListedFile[]> {
  const files: ListedFile[] = [];
  for (const { name, label } of folders) {
    for (const image of imagesBelow(join(directory, name))) {
      files.push({ path: `${name}/${image}`, label, bytes: sizeOf(join(directory, name, image)) });
    }
    onFolder(files.length);
    await setImmediate(); // one thousand folders of a thousand files: let Ctrl-C and progress through
  }
  return files;
}

/** Size of a file in bytes, 2^32 - 1 where it is larger; 0 if it does not exist. */
export function sizeOf(path: string): number {
  return Math.min(statSync(path, { throwIfNoEntry: false })?.size ?? 0, 2 ** 32 - 1);
}
