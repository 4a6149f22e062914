import { parseJson } from '../../json.js';
import { wholeNumber } from '../../numbers.js';
import { readIfThere, sha256, writeFileAtomic } from '../../store/files.js';
import { FileList, type ListedFile } from '../image-folder/listing.js';
import type { Scan } from './layout.js';

interface Header {
  readonly directory: string;
  readonly count: number;
  readonly sha256: string;
  readonly folders: Scan['folders'];
}

/** A stored list of files, and the folders that it was made from. */
export interface StoredList {
  readonly list: FileList;
  readonly folders: Scan['folders'];
}

/** Stores a list: a header as JSON, then `label bytes path` a line, in order. */
export async function writeList(path: string, list: FileList, folders: Scan['folders']): Promise<void> {
  const { directory, count, sha256 } = list;
  const header: Header = { directory, count, sha256, folders };
  await writeFileAtomic(path, textOf(header, list));
}

/** Hash of the header; the lines have their own. */
function sealOf({ directory, count, sha256: hash, folders }: Header): string {
  return sha256(JSON.stringify([directory, count, hash, folders]));
}

function* textOf(header: Header, list: FileList): Generator<string> {
  yield `${JSON.stringify({ ...header, seal: sealOf(header) })}\n`;
  let lines: string[] = [];
  for (const { label, bytes, path } of list.files()) {
    lines.push(`${label} ${bytes} ${path}\n`);
    if (lines.length === 10_000) {
      yield lines.join('');
      lines = [];
    }
  }
  yield lines.join('');
}

/** Reads a stored list; undefined if it is missing or damaged. */
export async function readList(path: string): Promise<StoredList | undefined> {
  const bytes = await readIfThere(path);
  const end = bytes?.indexOf(10) ?? -1;
  if (bytes === undefined || end < 0) return undefined;
  try {
    const { seal, ...header } = parseJson(bytes.toString('utf8', 0, end), path) as Header & { seal: unknown };
    if (seal !== sealOf(header)) return undefined;
    const list = FileList.inOrder(header.directory, header.count, filesIn(bytes, end + 1));
    return list.sha256 === header.sha256 ? { list, folders: header.folders } : undefined;
  } catch {
    return undefined; // damaged: it is made again
  }
}

function* filesIn(bytes: Buffer, start: number): Generator<ListedFile> {
  for (let at = start; at < bytes.length; ) {
    const end = bytes.indexOf(10, at);
    const line = bytes.toString('utf8', at, end < 0 ? bytes.length : end);
    const first = line.indexOf(' ');
    const second = line.indexOf(' ', first + 1);
    yield {
      label: wholeNumber(line.slice(0, first)) ?? Number.NaN,
      bytes: wholeNumber(line.slice(first + 1, second)) ?? Number.NaN,
      path: line.slice(second + 1),
    };
    at = end < 0 ? bytes.length : end + 1;
  }
}
