import { join } from 'node:path';
import { InputError } from '../errors.js';
import { renderColumns } from '../report/columns.js';
import { verifyAll } from '../run/verify-cache.js';
import { exists } from '../store/files.js';
import { type PruneLimits, prune } from '../store/prune.js';
import { CorruptEntryError, Store } from '../store/store.js';
import { cacheFolder, type GlobalOptions } from './context.js';
import { print, printJson } from './output.js';
import { consoleProgress } from './progress.js';

type CacheOptions = GlobalOptions & { readonly json: boolean };

/** The folder of a cache that is there. @throws InputError */
async function existingCache(options: GlobalOptions): Promise<string> {
  const cache = cacheFolder(options);
  if (!(await exists(cache))) throw new InputError(`${cache}: no such folder; valid: a cache (--cache or DGATE_CACHE)`);
  return cache;
}

const storeIn = (cache: string): Store => new Store(join(cache, 'results'));

/** `dgate cache list` */
export async function listCache(options: CacheOptions): Promise<void> {
  const store = storeIn(await existingCache(options));
  const rows = [];
  for (const entry of await store.list()) {
    const manifest = await entry.manifest().catch((error: unknown) => {
      if (error instanceof CorruptEntryError) return 'damaged' as const;
      throw error;
    });
    const { bytes, lastUsedMs } = await entry.usage();
    rows.push({
      stage: entry.stage,
      key: entry.key,
      state:
        manifest === 'damaged' ? manifest : manifest === undefined ? ('unfinished' as const) : ('complete' as const),
      complete: manifest !== undefined && manifest !== 'damaged',
      files: manifest === 'damaged' ? 0 : (await entry.names()).length,
      bytes,
      used: new Date(lastUsedMs).toISOString(),
      inputs: (manifest !== 'damaged' && manifest?.inputs) || null,
    });
  }
  if (options.json) {
    printJson(rows);
    return;
  }
  const shown = rows.map(({ stage, key, state, files, bytes, used }) => {
    return [stage, key, state, String(files), (bytes / 1e6).toFixed(2), used.slice(0, 16).replace('T', ' ')];
  });
  print(`${store.root}\n${renderColumns(['Stage', 'Key', 'State', 'Files', 'MB', 'Last used'], shown)}\n`);
}

/** `dgate cache verify`: damaged files are named on stdout; a run that needs one makes it again. */
export async function verifyCache(options: CacheOptions): Promise<void> {
  const cache = await existingCache(options);
  const { files, damaged, notRead } = await verifyAll(cache, storeIn(cache), consoleProgress());
  if (options.json) printJson({ files, damaged, notRead });
  else {
    const summary = `${files} files checked, ${damaged.length} damaged`;
    print([...damaged, ...notRead, summary].join('\n'));
  }
  if (damaged.length > 0) process.exitCode = 1;
}

type PruneOptions = CacheOptions & {
  readonly olderThan?: string;
  readonly keepBytes?: string;
  readonly dryRun: boolean;
};

/** `dgate cache prune` */
export async function pruneCache(options: PruneOptions): Promise<void> {
  const limits = limitsOf(options);
  const cache = await existingCache(options);
  const pruned = await prune(cache, storeIn(cache), limits, options.dryRun);
  if (options.json) {
    printJson(pruned);
    return;
  }
  const { removed, temporary, kept } = pruned;
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(2);
  const lines = removed.map(({ stage, key, bytes, used }) => {
    return `${stage}/${key}: ${megabytes(bytes)} MB, last used ${used.slice(0, 16).replace('T', ' ')}`;
  });
  const would = options.dryRun ? 'would be ' : '';
  const freed = [...removed, ...temporary].reduce((sum, { bytes }) => sum + bytes, 0);
  print(
    `${[...lines, ...temporary.map(({ path, bytes }) => `${path}: ${megabytes(bytes)} MB, left by an interrupted command`)].join('\n')}` +
      `${removed.length + temporary.length > 0 ? '\n' : ''}` +
      `${removed.length} results and ${temporary.length} left-over files ${would}removed, ${megabytes(freed)} MB; ` +
      `${kept.entries} results kept, ${megabytes(kept.bytes)} MB, ${kept.inUse} of them in use\n`,
  );
}

const units = {
  m: 60e3,
  h: 3600e3,
  d: 24 * 3600e3,
  w: 7 * 24 * 3600e3,
} as const;

function limitsOf({ olderThan, keepBytes }: PruneOptions): PruneLimits {
  if (olderThan === undefined && keepBytes === undefined) {
    throw new InputError('cache prune: nothing to go by; valid: --older-than 30d, --keep-bytes 5GB, or both');
  }
  return {
    ...(olderThan !== undefined && { olderThanMs: parseAge(olderThan) }),
    ...(keepBytes !== undefined && { keepBytes: parseBytes(keepBytes) }),
  };
}

/** `30d` in milliseconds. @throws InputError */
export function parseAge(text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)([mhdw])$/.exec(text) ?? [];
  if (number === undefined) throw new InputError(`--older-than ${text}; valid: a number with m, h, d or w: 30d, 12h`);
  return Number(number) * units[unit as keyof typeof units];
}

/** `5GB` in bytes, decimal units. @throws InputError */
export function parseBytes(text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)\s*(B|kB|KB|MB|GB|TB)?$/.exec(text) ?? [];
  if (number === undefined)
    throw new InputError(`--keep-bytes ${text}; valid: bytes, or a number with kB, MB, GB or TB`);
  return Math.floor(Number(number) * 1000 ** ['B', 'KB', 'MB', 'GB', 'TB'].indexOf((unit ?? 'B').toUpperCase()));
}
