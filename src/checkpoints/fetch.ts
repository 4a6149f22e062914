import { rename, rm, stat } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { InputError } from '../errors.js';
import { networkByName } from '../networks/catalogue.js';
import { networkFlops } from '../networks/network.js';
import { type Progress, silent } from '../progress.js';
import { asFileProblem, exists, hashFile, readTextIfThere, writeFileAtomic } from '../store/files.js';
import { readInput } from '../store/input.js';
import { locked, sweep } from '../store/lock.js';
import { seal, unseal } from '../store/text.js';
import type { KnownCheckpoint } from './known.js';
import { fileSize, type Transfer, transfer } from './transfer.js';

export interface DownloadOptions {
  /** Mirrors of one file, tried in order. */
  readonly urls: readonly string[];
  /** Where the file goes. `<to>.part` and `<to>.part.json` hold an unfinished download, `<to>.json` what is known. */
  readonly to: string;
  /** Full sha256 in hex, or the first digits of it (PyTorch's file names carry eight). Without it nothing is checked. */
  readonly sha256?: string | undefined;
  /** Size in bytes, where known; another size is an error before the hash is looked at. */
  readonly sizeBytes?: number | undefined;
  /** Most bytes of a file of unknown size; 1 GB if absent. */
  readonly mostBytes?: number | undefined;
  /** What the progress line calls it; the file's name if absent. */
  readonly label?: string;
  readonly progress?: Progress;
  /** Attempts per mirror that bring no new byte, 4 if absent. */
  readonly attempts?: number;
  /** Wait before the second attempt, doubled each time, 1000 if absent. */
  readonly backoffMs?: number;
  /** Longest time without a byte, 30,000 if absent. */
  readonly stallMs?: number;
}

const MOST_BYTES = 1e9;

export interface Downloaded {
  readonly path: string;
  /** Full sha256 of the file, in hex. */
  readonly sha256: string;
  readonly bytes: number;
  /** Whether the hash was compared with one that was known before. */
  readonly verified: boolean;
  /** Whether the file existed before. */
  readonly cached: boolean;
}

/**
 * Downloads a file. Keeps an intact file that exists. Resumes an interrupted download (HTTP Range) if the server's ETag or
 * date shows the same file. Retries stalls and errors with growing pauses. Renames the file into place only after its size
 * and hash are checked.
 *
 * A file without a known hash is accepted; its hash is reported, and recorded in `<to>.json` for the next time.
 *
 * @throws InputError where no mirror has it (a line for each), or its content is not the expected one
 */
export async function download(options: DownloadOptions): Promise<Downloaded> {
  const progress = options.progress ?? silent;
  const present = await keepPresent(options, progress);
  if (present !== undefined) return present;
  let waited = false;
  const onWait = (holder: string): void => {
    waited = true;
    progress.note(`${options.to}: waiting for ${holder}, which downloads it`);
  };
  return locked(`${options.to}.lock`, onWait, async () => {
    await sweep(dirname(options.to));
    const meanwhile = waited ? await keepPresent(options, progress) : undefined;
    return meanwhile ?? (await fromMirrors(options, progress));
  });
}

async function fromMirrors(options: DownloadOptions, progress: Progress): Promise<Downloaded> {
  const failures: string[] = [];
  for (const url of options.urls) {
    const outcome = await fromMirror(url, options, progress);
    if (typeof outcome !== 'string') return outcome;
    failures.push(`${url}: ${outcome}`);
  }
  throw new InputError([
    ...failures,
    `${options.to}: could not be downloaded; valid: a network connection, or the file fetched by other means and put there`,
  ]);
}

/** Path of a fetched checkpoint. @param folder of all checkpoints */
export const checkpointPath = ({ id, urls }: KnownCheckpoint, folder: string): string =>
  join(folder, `${id}${extname(new URL(urls[0]!).pathname)}`);

/**
 * Fetches a known checkpoint into a folder, as `<id>.<extension>`.
 *
 * @throws InputError as {@link download} does
 */
export async function fetchCheckpoint(known: KnownCheckpoint, folder: string, progress: Progress): Promise<Downloaded> {
  return download(downloadOf(known, folder, progress));
}

/**
 * Installs a known checkpoint from a local file, as if it had been fetched.
 *
 * @throws InputError where it is not that file, by its size or hash
 */
export async function takeCheckpoint(
  known: KnownCheckpoint,
  file: string,
  folder: string,
  progress: Progress,
): Promise<Downloaded> {
  if (known.shipped !== undefined) throw new InputError(`--from: ${known.id} ships with dgate; valid: without --from`);
  const bytes = await readInput(file, mostBytesOf(known));
  const options = downloadOf(known, folder, progress);
  const onWait = (holder: string): void => progress.note(`${options.to}: waiting for ${holder}, which fetches it`);
  return locked(`${options.to}.lock`, onWait, async () => {
    const part = `${options.to}.part`;
    await rm(`${part}.json`, { force: true });
    await writeFileAtomic(part, bytes);
    return finish(file, part, options, progress, `valid: the file that ${known.id} names`);
  });
}

function downloadOf(known: KnownCheckpoint, folder: string, progress: Progress): DownloadOptions {
  const { id, urls, sha256, sizeBytes } = known;
  const to = checkpointPath(known, folder);
  return { urls, to, sha256, sizeBytes, mostBytes: mostBytesOf(known), label: id, progress };
}

/** Its weights are 4 bytes each; an optimiser's state, averaged weights and double precision make it four times that at most. */
function mostBytesOf({ network }: KnownCheckpoint): number {
  return 10e6 + 16 * networkFlops(networkByName(network)).parameters;
}

interface DownloadRecord {
  readonly url?: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** Records, beside a downloaded file, where it came from and its hash. */
async function writeRecord(path: string, record: DownloadRecord): Promise<void> {
  await writeFileAtomic(`${path}.json`, seal(record));
}

/** The whole sha256 of a downloaded file as it was recorded; undefined where none was. */
export async function recordedHash(path: string): Promise<string | 'damaged' | undefined> {
  const text = await readTextIfThere(`${path}.json`);
  if (text === undefined) return undefined;
  const record = unseal(text) as Partial<DownloadRecord> | undefined;
  return typeof record?.sha256 === 'string' ? record.sha256 : 'damaged';
}

/** The present file, if it is intact; a damaged one is reported and fetched again. */
async function keepPresent(options: DownloadOptions, progress: Progress): Promise<Downloaded | undefined> {
  if (!(await exists(options.to))) return undefined;
  const record = await recordedHash(options.to);
  if (record === 'damaged' && options.sha256 === undefined) {
    progress.warn(`${options.to}.json: damaged; fetching ${options.to} again`);
    return undefined;
  }
  const known = record === 'damaged' ? undefined : record;
  // The record has the whole hash; a registry may have a part of it only.
  const expected = known?.startsWith(options.sha256 ?? '') === false ? options.sha256 : (known ?? options.sha256);
  const hash = await hashFile(options.to);
  if (record === 'damaged' && hash.startsWith(options.sha256 ?? '')) {
    progress.warn(`${options.to}.json: damaged; written again`);
    await writeRecord(options.to, { bytes: (await stat(options.to)).size, sha256: hash }).catch(() => {});
  }
  const bytes = (await stat(options.to)).size;
  if (expected === undefined || hash.startsWith(expected)) {
    progress.note(
      `${options.to}: already there, sha256 ${hash}${expected === undefined ? ' (nothing to check it with)' : ''}`,
    );
    return { path: options.to, sha256: hash, bytes, verified: expected !== undefined, cached: true };
  }
  progress.warn(`${options.to}: sha256 is ${hash}, expected ${expected}; fetching it again`);
  return undefined;
}

/** Downloads from one mirror, with retries. @returns why it failed, as text */
async function fromMirror(url: string, options: DownloadOptions, progress: Progress): Promise<Downloaded | string> {
  const part = `${options.to}.part`;
  const most = options.attempts ?? 4;
  let reason = '';
  let before = await fileSize(part);
  for (let failed = 0; failed < most; ) {
    const outcome = await attempt(url, part, options, progress);
    if (outcome.kind === 'whole') return finish(url, part, options, progress);
    reason = outcome.reason;
    if (outcome.kind === 'refused') return reason;
    const size = await fileSize(part);
    failed = size > before ? 1 : failed + 1;
    before = Math.max(before, size);
    if (failed >= most) break;
    const waitMs = (options.backoffMs ?? 1000) * 2 ** (failed - 1);
    progress.warn(`${url}: ${reason}; trying again in ${(waitMs / 1000).toFixed(1)} s`);
    await delay(waitMs);
  }
  return reason;
}

async function attempt(url: string, part: string, options: DownloadOptions, progress: Progress): Promise<Transfer> {
  const label = options.label ?? options.to.replace(/^.*[/\\]/, '');
  let task: ReturnType<Progress['begin']> | undefined;
  const outcome = await transfer(url, part, {
    stallMs: options.stallMs ?? 30_000,
    sizeBytes: options.sizeBytes,
    mostBytes: options.sizeBytes ?? options.mostBytes ?? MOST_BYTES,
    onResume: (bytes) => progress.note(`${label}: resuming at byte ${bytes}`),
    onBytes: (done, total) => {
      task ??= progress.begin(label, (total ?? 0) / 1e6, 'MB');
      task.update(done / 1e6);
    },
  });
  task?.end();
  return outcome;
}

/** Checks the whole part and gives it its name. @throws InputError where it is not the expected file */
async function finish(
  from: string,
  part: string,
  options: DownloadOptions,
  progress: Progress,
  remedy = 'the download was removed: try again, or use another source',
): Promise<Downloaded> {
  const hash = await hashFile(part);
  const bytes = await fileSize(part);
  const expected = options.sha256?.toLowerCase();
  const wrong =
    options.sizeBytes !== undefined && bytes !== options.sizeBytes
      ? `size is ${bytes} bytes, expected ${options.sizeBytes}`
      : expected !== undefined && !hash.startsWith(expected)
        ? `sha256 is ${hash}, expected ${expected}${expected.length < 64 ? '...' : ''}`
        : undefined;
  await rm(`${part}.json`, { force: true });
  if (wrong !== undefined) {
    await rm(part, { force: true });
    throw new InputError(`${from}: ${wrong}; ${remedy}`);
  }
  try {
    await writeRecord(options.to, { url: from, bytes, sha256: hash });
    await rename(part, options.to);
  } catch (error) {
    throw asFileProblem(error, options.to);
  }
  const checked = expected === undefined ? 'no hash known to check it with; recorded' : 'as expected';
  progress.note(`${options.to}: ${bytes} bytes, sha256 ${hash} (${checked})`);
  return { path: options.to, sha256: hash, bytes, verified: expected !== undefined, cached: false };
}
