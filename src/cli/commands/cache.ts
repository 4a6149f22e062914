import { join } from 'node:path';
import { InputError } from '../../errors.js';
import type { Pruned, PruneLimits, Store } from '../../store/store.js';
import { cacheFolder, defineCommand, defineGroup, type GlobalOptions, option } from '../command.js';
import { print, printEither, printJson } from '../output.js';

const listCommand = defineCommand({
  command: 'list',
  describe: 'every cached result, what it was made from and its size',
  options: { json: option.flag('as JSON') },
  examples: { '$0 cache list --json': 'also what each result was made from' },
  run: async (options) => {
    const { store } = await openCache(options);
    const rows = await rowsOf(store);
    if (options.json) return printJson(rows);
    const { renderColumns } = await import('../../report/findings.js');
    const shown = rows.map(({ stage, key, state, files, bytes, used }) => {
      return [stage, key, state, String(files), megabytes(bytes), minutesOf(used)];
    });
    print(() => `${store.root}\n${renderColumns(['Stage', 'Key', 'State', 'Files', 'MB', 'Last used'], shown)}\n`);
  },
});

const verifyCommand = defineCommand({
  command: 'verify',
  describe: 'read every file of results, data and checkpoints and check its hash; exit status 1 if one is damaged',
  options: { json: option.flag('as JSON') },
  examples: { '$0 cache verify': 'afterwards a run recomputes damaged results' },
  run: async (options) => {
    const { verifyAll } = await import('../../run/context.js');
    const { consoleProgress } = await import('../context.js');
    const { cache, store } = await openCache(options);
    const { files, damaged, notRead } = await verifyAll(cache, store, consoleProgress());
    const lines = [...damaged, ...notRead, `${files} files checked, ${damaged.length} damaged`];
    printEither(options.json, { files, damaged, notRead }, lines.join('\n'));
    if (damaged.length > 0) process.exitCode = 1;
  },
});

const pruneCommand = defineCommand({
  command: 'prune',
  describe: 'remove results unused for a time, or beyond a size; never data, checkpoints, or what is in use',
  options: {
    'older-than': option.text('remove results unused for this long: 30d, 12h'),
    'keep-bytes': option.text('remove the least recently used results until the rest takes at most this: 5GB'),
    'dry-run': option.flag('only print what would be removed'),
    json: option.flag('as JSON'),
  },
  examples: {
    '$0 cache prune --older-than 30d --dry-run': 'results unused for a month',
    '$0 cache prune --keep-bytes 5GB': 'keep the most recently used 5 GB',
  },
  run: async ({ olderThan, keepBytes, dryRun, json, ...options }) => {
    const limits = limitsOf(olderThan, keepBytes);
    const { prune } = await import('../../store/store.js');
    const { cache, store } = await openCache(options);
    const pruned = await prune(cache, store, limits, dryRun);
    printEither(json, pruned, renderPruned(pruned, dryRun));
  },
});

export const cacheCommand = defineGroup(
  'cache',
  'list, verify and prune cached results',
  [listCommand, verifyCommand, pruneCommand],
  {
    '$0 cache list': 'all cached results',
    '$0 cache verify': 'check that no file was changed',
  },
);

/** The cache. @throws InputError if it does not exist */
async function openCache(options: GlobalOptions): Promise<{ readonly cache: string; readonly store: Store }> {
  const { exists } = await import('../../store/files.js');
  const { Store } = await import('../../store/store.js');
  const cache = cacheFolder(options);
  if (!(await exists(cache))) throw new InputError(`${cache}: no such folder; valid: a cache (--cache or DGATE_CACHE)`);
  return { cache, store: new Store(join(cache, 'results')) };
}

async function rowsOf(store: Store) {
  const { CorruptEntryError } = await import('../../store/store.js');
  const rows = [];
  for (const entry of await store.list()) {
    const manifest = await entry.manifest().catch((error: unknown) => {
      if (error instanceof CorruptEntryError) return 'damaged' as const;
      throw error;
    });
    const { bytes, lastUsedMs } = await entry.usage();
    const complete = manifest !== undefined && manifest !== 'damaged';
    const { stage, key } = entry;
    const state = manifest === 'damaged' ? manifest : complete ? 'complete' : 'unfinished';
    const files = manifest === 'damaged' ? 0 : (await entry.names()).length;
    const used = new Date(lastUsedMs).toISOString();
    rows.push({ stage, key, state, complete, files, bytes, used, inputs: (complete && manifest.inputs) || null });
  }
  return rows;
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(2);
/** `2026-11-28 09:10` */
const minutesOf = (time: string): string => time.slice(0, 16).replace('T', ' ');

function renderPruned({ removed, temporary, kept }: Pruned, dryRun: boolean): string {
  const freed = [...removed, ...temporary].reduce((sum, { bytes }) => sum + bytes, 0);
  return [
    ...removed.map(({ stage, key, bytes, used }) => {
      return `${stage}/${key}: ${megabytes(bytes)} MB, last used ${minutesOf(used)}`;
    }),
    ...temporary.map(({ path, bytes }) => `${path}: ${megabytes(bytes)} MB, left by an interrupted command`),
    `${removed.length} results and ${temporary.length} left-over files ${dryRun ? 'would be ' : ''}removed, ` +
      `${megabytes(freed)} MB; ${kept.entries} results kept, ${megabytes(kept.bytes)} MB, ${kept.inUse} of them in use`,
  ].join('\n');
}

/** In milliseconds. */
const ages = { m: 60e3, h: 3600e3, d: 24 * 3600e3, w: 7 * 24 * 3600e3 };
const sizes = { '': 1, B: 1, kB: 1e3, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 };

function limitsOf(olderThan: string | undefined, keepBytes: string | undefined): PruneLimits {
  if (olderThan === undefined && keepBytes === undefined) {
    throw new InputError('cache prune: no limit; valid: --older-than 30d, --keep-bytes 5GB, or both');
  }
  return {
    olderThanMs: amountFrom('older-than', olderThan, ages, 'a number with m, h, d or w: 30d, 12h'),
    keepBytes: amountFrom('keep-bytes', keepBytes, sizes, 'bytes, or a number with kB, MB, GB or TB'),
  };
}

/** `30d`, `5GB`: a number times its unit. @throws InputError */
function amountFrom(name: string, text: string | undefined, units: Readonly<Record<string, number>>, valid: string) {
  if (text === undefined) return undefined;
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)\s*([A-Za-z]{0,2})$/.exec(text) ?? [];
  if (number === '' || units[unit] === undefined) throw new InputError(`--${name} ${text}; valid: ${valid}`);
  return Math.floor(Number(number) * units[unit]);
}
