import { rename, rm } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { InputError } from '../errors.js';
import { networkByName } from '../networks/catalogue.js';
import { networkFlops } from '../networks/network.js';
import type { Progress } from '../progress.js';
import { asFileProblem, exists, hashFile, readSealed, writeFileAtomic, writeSealed } from '../store/files.js';
import { readInput } from '../store/input.js';
import { locked, lockedUnlessDone, sweep } from '../store/lock.js';
import type { KnownCheckpoint } from './known.js';
import { fileSize, type Transfer, transfer } from './transfer.js';

export interface DownloadOptions {
  /** Mirrors of one file, tried in order. */
  readonly urls: readonly string[];
  /** Where the file goes. `<to>.part` and `<to>.part.json` hold an unfinished download, `<to>.json` the file's record. */
  readonly to: string;
  /** Full sha256 in hex, or its first digits (PyTorch's file names have eight). Nothing is checked without it. */
  readonly sha256?: string | undefined;
  /** Size in bytes, if known. */
  readonly sizeBytes?: number | undefined;
  /** Largest valid size of a file of unknown size; 1 GB if absent. */
  readonly mostBytes?: number | undefined;
  /** Name in the progress line; the file's name if absent. */
  readonly label?: string;
  readonly progress: Progress;
  /** Attempts per mirror without a new byte, 4 if absent. */
  readonly attempts?: number;
  /** Wait before the second attempt, doubled each time, 1000 if absent. */
  readonly backoffMs?: number;
  /** Longest time without a byte, 30,000 if absent. */
  readonly stallMs?: number;
}

export interface Downloaded {
  readonly path: string;
  /** Full sha256 of the file, in hex. */
  readonly sha256: string;
  readonly bytes: number;
  /** Whether the hash was compared with a known one. */
  readonly verified: boolean;
  /** Whether the file existed before. */
  readonly cached: boolean;
}

/**
 * Downloads a file, or keeps an intact one. Resumes an interrupted download (HTTP Range) if the server's ETag or date shows the
 * same file, retries stalls and errors with growing pauses, and renames the file into place after checking size and hash. An
 * unknown hash is recorded in `<to>.json` for the next time.
 *
 * @throws InputError if no mirror has it (a line each), or its content is not the expected one
 */
export async function download(options: DownloadOptions): Promise<Downloaded> {
  const { to } = options;
  return lockedUnlessDone(
    `${to}.lock`,
    () => keepPresent(options),
    (holder) => options.progress.note(`${to}: waiting for ${holder}, which downloads it`),
    () => fromMirrors(options),
  );
}

async function fromMirrors(options: DownloadOptions): Promise<Downloaded> {
  await sweep(dirname(options.to));
  const failures: string[] = [];
  for (const url of options.urls) {
    const outcome = await fromMirror(url, options);
    if (typeof outcome !== 'string') return outcome;
    failures.push(`${url}: ${outcome}`);
  }
  throw new InputError([
    ...failures,
    `${options.to}: could not be downloaded; valid: a network connection, or the file put there by other means`,
  ]);
}

/** Path of a fetched checkpoint. @param folder of all checkpoints */
export const checkpointPath = ({ id, urls }: KnownCheckpoint, folder: string): string =>
  join(folder, `${id}${extname(new URL(urls[0]!).pathname)}`);

/** Fetches a known checkpoint into a folder, as `<id>.<extension>`. @throws InputError as {@link download} */
export const fetchCheckpoint = (known: KnownCheckpoint, folder: string, progress: Progress): Promise<Downloaded> =>
  download(downloadOf(known, folder, progress));

/** Installs a known checkpoint from a local file. @throws InputError if its size or hash differs */
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
    return finish(file, options, `valid: the file that ${known.id} names`);
  });
}

function downloadOf(known: KnownCheckpoint, folder: string, progress: Progress): DownloadOptions {
  const { id, urls, sha256, sizeBytes } = known;
  const to = checkpointPath(known, folder);
  return { urls, to, sha256, sizeBytes, mostBytes: mostBytesOf(known), label: id, progress };
}

/** Weights of 4 bytes; an optimiser's state, averaged weights and double precision at most quadruple that. */
function mostBytesOf({ network }: KnownCheckpoint): number {
  return 10e6 + 16 * networkFlops(networkByName(network)).parameters;
}

/** Records a downloaded file's source and hash beside it. */
const writeRecord = (path: string, record: { url?: string; bytes: number; sha256: string }): Promise<void> =>
  writeSealed(`${path}.json`, record);

/** The recorded sha256 of a downloaded file; undefined if there is no record. */
export async function recordedHash(path: string): Promise<string | 'damaged' | undefined> {
  const record = await readSealed(`${path}.json`);
  if (record === undefined) return undefined;
  const found = 'found' in record ? (record.found as { sha256?: unknown }).sha256 : undefined;
  return typeof found === 'string' ? found : 'damaged';
}

/** The present file, if it is intact; a damaged one is reported and fetched again. */
async function keepPresent({ to, sha256, progress }: DownloadOptions): Promise<Downloaded | undefined> {
  if (!(await exists(to))) return undefined;
  const record = await recordedHash(to);
  const isDamaged = record === 'damaged';
  if (isDamaged && sha256 === undefined) {
    progress.warn(`${to}.json: damaged; fetching ${to} again`);
    return undefined;
  }
  // The record has the whole hash, a registry perhaps a part of it.
  const expected = isDamaged || record?.startsWith(sha256 ?? '') === false ? sha256 : (record ?? sha256);
  const hash = await hashFile(to);
  const bytes = await fileSize(to);
  if (isDamaged && hash.startsWith(sha256 ?? '')) {
    progress.warn(`${to}.json: damaged; written again`);
    await writeRecord(to, { bytes, sha256: hash }).catch(() => {});
  }
  const verified = expected !== undefined;
  if (!verified || hash.startsWith(expected)) {
    progress.note(`${to}: already present, sha256 ${hash}${verified ? '' : ' (no known hash to check it with)'}`);
    return { path: to, sha256: hash, bytes, verified, cached: true };
  }
  progress.warn(`${to}: sha256 is ${hash}, expected ${expected}; fetching it again`);
  return undefined;
}

/** Downloads from one mirror, with retries. @returns the reason of a failure */
async function fromMirror(url: string, options: DownloadOptions): Promise<Downloaded | string> {
  const part = `${options.to}.part`;
  const most = options.attempts ?? 4;
  let before = await fileSize(part);
  for (let failed = 0; ; ) {
    const outcome = await attempt(url, part, options);
    if (outcome.kind === 'whole') return finish(url, options);
    const { kind, reason } = outcome;
    const size = await fileSize(part);
    failed = size > before ? 1 : failed + 1;
    before = Math.max(before, size);
    if (kind === 'refused' || failed >= most) return reason;
    const waitMs = (options.backoffMs ?? 1000) * 2 ** (failed - 1);
    options.progress.warn(`${url}: ${reason}; trying again in ${(waitMs / 1000).toFixed(1)} s`);
    await delay(waitMs);
  }
}

async function attempt(url: string, part: string, options: DownloadOptions): Promise<Transfer> {
  const { progress, label = basename(options.to) } = options;
  let task: ReturnType<Progress['begin']> | undefined;
  const outcome = await transfer(url, part, {
    stallMs: options.stallMs ?? 30_000,
    sizeBytes: options.sizeBytes,
    mostBytes: options.sizeBytes ?? options.mostBytes ?? 1e9,
    onResume: (bytes) => progress.note(`${label}: resuming at byte ${bytes}`),
    onBytes: (done, total) => {
      task ??= progress.begin(label, (total ?? 0) / 1e6, 'MB');
      task.update(done / 1e6);
    },
  });
  task?.end();
  return outcome;
}

/** Checks a complete part and renames it into place. @throws InputError if it is not the expected file */
async function finish(
  from: string,
  options: DownloadOptions,
  remedy = 'the download was removed: try again, or use another source',
): Promise<Downloaded> {
  const part = `${options.to}.part`;
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
  const checked = expected === undefined ? 'no known hash to check it with; recorded' : 'as expected';
  options.progress.note(`${options.to}: ${bytes} bytes, sha256 ${hash} (${checked})`);
  return { path: options.to, sha256: hash, bytes, verified: expected !== undefined, cached: false };
}
