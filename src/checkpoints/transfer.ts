import { mkdir, open, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf, systemCode } from '../errors.js';
import { wholeNumber } from '../json.js';
import { asFileProblem, readJson, writeFileAtomic } from '../store/files.js';

/** Outcome of an attempt; after `failed` a retry may help, after `refused` it will not. */
export type Transfer = { readonly kind: 'whole' } | { readonly kind: 'failed' | 'refused'; readonly reason: string };

interface TransferOptions {
  /** Longest time without a byte. */
  readonly stallMs: number;
  /** The file's size, if known; a server that announces another size is refused. */
  readonly sizeBytes: number | undefined;
  /** Limits what a server can write to the disk. */
  readonly mostBytes: number;
  readonly onResume: (bytes: number) => void;
  readonly onBytes: (done: number, total: number | undefined) => void;
}

/** One HTTP request that starts or resumes `part`. Returns network errors. @throws InputError if the file cannot be written */
export async function transfer(url: string, part: string, options: TransferOptions): Promise<Transfer> {
  const stalled = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => stalled.abort(), options.stallMs);
  };
  try {
    alive();
    const record = await resumable(url, part);
    const range = record === undefined ? {} : { range: `bytes=${record.have}-`, 'if-range': record.validator };
    const headers = { 'accept-encoding': 'identity', ...range };
    const response = await fetch(url, { headers, signal: stalled.signal });
    alive();
    const plan = planOf(response, record, options);
    if ('kind' in plan) {
      await response.body?.cancel();
      if (record !== undefined && plan.kind !== 'whole' && response.status < 500) await rm(part, { force: true });
      return plan;
    }
    if (plan.start > 0) options.onResume(plan.start);
    else await begin(url, part, response);
    const done = await append(response, part, plan, alive, options);
    const most = plan.total ?? options.mostBytes;
    if (done > most) {
      await Promise.all([part, `${part}.json`].map((path) => rm(path, { force: true })));
      const which = plan.total === undefined ? 'of the limit for this file' : 'that it announces';
      return { kind: 'refused', reason: `sends more than the ${most} bytes ${which}` };
    }
    if (plan.total === undefined || done === plan.total) return { kind: 'whole' };
    return { kind: 'failed', reason: `connection closed after ${done} of ${plan.total} bytes` };
  } catch (error) {
    if (error instanceof Error && error.name === 'InputError') throw error;
    if (stalled.signal.aborted) return { kind: 'failed', reason: `no data for ${options.stallMs / 1000} s` };
    return { kind: 'failed', reason: causeOf(error) };
  } finally {
    clearTimeout(timer);
  }
}

type Part = Awaited<ReturnType<typeof resumable>>;

interface Plan {
  /** Byte of the file at which the response's body begins. */
  readonly start: number;
  /** Size of the whole file, if the server states it. */
  readonly total: number | undefined;
}

/** How to use the response. 200 to a Range request starts over: the file changed, or ranges are not supported. */
function planOf(
  response: Response,
  record: Part,
  { sizeBytes, mostBytes }: Pick<TransferOptions, 'sizeBytes' | 'mostBytes'>,
): Plan | Transfer {
  const { status, headers } = response;
  const [, from, size] = /^bytes (?:(\d+)-\d+|\*)\/(\d+)$/.exec(headers.get('content-range') ?? '') ?? [];
  if (status === 416 && record !== undefined && Number(size) === record.have) return { kind: 'whole' };
  if (status === 408 || status === 416 || status === 429 || status >= 500) {
    return { kind: 'failed', reason: `HTTP ${status}` };
  }
  if (status !== 200 && status !== 206) return { kind: 'refused', reason: `HTTP ${status}` };
  if (status === 206) {
    const etag = headers.get('etag');
    const changed = etag !== null && record?.validator.startsWith('"') && etag !== record.validator;
    if (changed || record === undefined || Number(from) !== record.have) {
      return { kind: 'failed', reason: 'the file changed, or the server sent another range than requested' };
    }
  }
  const length = headers.get('content-length');
  const total = status === 206 ? Number(size) : length === null ? sizeBytes : wholeNumber(length);
  if (sizeBytes !== undefined && total !== undefined && total !== sizeBytes) {
    return { kind: 'refused', reason: `is ${total} bytes, expected ${sizeBytes}` };
  }
  if (total !== undefined && total > mostBytes) {
    return { kind: 'refused', reason: `is ${total} bytes; valid: at most ${mostBytes}` };
  }
  return { start: status === 206 ? record!.have : 0, total };
}

/** How many bytes an earlier attempt left, and the file's ETag or date for If-Range, if there is a record of their file. */
async function resumable(url: string, part: string) {
  const record = (await readJson(`${part}.json`).catch((error: unknown) => {
    if (systemCode(error) !== undefined) throw error; // a damaged record counts as missing
  })) as { url?: unknown; validator?: unknown } | undefined;
  const have = await fileSize(part);
  if (have === 0 || record?.url !== url || typeof record.validator !== 'string') return undefined;
  return { have, validator: record.validator };
}

/** Deletes an old part and records which file the new one is of; without a strong validator it cannot be resumed. */
async function begin(url: string, part: string, response: Response): Promise<void> {
  await rm(part, { force: true });
  await rm(`${part}.json`, { force: true });
  const etag = response.headers.get('etag');
  const validator = etag !== null && !etag.startsWith('W/') ? etag : response.headers.get('last-modified');
  if (validator !== null) await writeFileAtomic(`${part}.json`, JSON.stringify({ url, validator }));
}

/** Appends the body to the part. @returns the part's size */
async function append(
  response: Response,
  part: string,
  plan: Plan,
  alive: () => void,
  options: TransferOptions,
): Promise<number> {
  await mkdir(dirname(part), { recursive: true });
  const file = await open(part, plan.start > 0 ? 'r+' : 'w').catch((error: unknown) => {
    throw asFileProblem(error, part);
  });
  try {
    let done = plan.start;
    for await (const chunk of response.body ?? []) {
      alive();
      // Otherwise an endless response would fill the disk.
      if (done + chunk.byteLength > (plan.total ?? options.mostBytes)) return done + chunk.byteLength;
      await file.write(chunk as Uint8Array, 0, chunk.byteLength, done).catch((error: unknown) => {
        throw asFileProblem(error, part);
      });
      done += chunk.byteLength;
      options.onBytes(done, plan.total);
    }
    return done;
  } finally {
    await file.close();
  }
}

/** Size of a file in bytes; 0 if it does not exist. */
export const fileSize = (path: string): Promise<number> =>
  stat(path).then(
    ({ size }) => size,
    () => 0,
  );

/** The cause behind `fetch failed`, which is more specific. */
function causeOf(error: unknown): string {
  return error instanceof Error && error.cause !== undefined ? messageOf(error.cause) : messageOf(error);
}
