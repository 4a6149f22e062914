import { renderColumns } from '../report/columns.js';
import { type GlobalOptions, openContext } from './context.js';

type CacheOptions = GlobalOptions & { readonly json: boolean };

/** `dgate cache list` */
export async function listCache(options: CacheOptions): Promise<void> {
  const { store } = await openContext(options);
  const rows = [];
  for (const entry of await store.list()) {
    const manifest = await entry.manifest();
    rows.push({
      stage: entry.stage,
      key: entry.key,
      complete: manifest?.complete === true,
      files: Object.keys(manifest?.files ?? {}).length,
      bytes: await entry.bytes(),
      inputs: manifest?.inputs ?? null,
    });
  }
  if (options.json) {
    process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
    return;
  }
  const shown = rows.map((row) => [
    row.stage,
    row.key,
    row.complete ? 'complete' : 'unfinished',
    String(row.files),
    (row.bytes / 1e6).toFixed(2),
  ]);
  process.stdout.write(`${store.root}\n${renderColumns(['Stage', 'Key', 'State', 'Files', 'MB'], shown)}\n`);
}

/** `dgate cache verify`: damaged files are named on stdout; a run that needs one makes it again. */
export async function verifyCache(options: CacheOptions): Promise<void> {
  const { store } = await openContext(options);
  const damaged: string[] = [];
  let files = 0;
  for (const entry of await store.list()) {
    const manifest = await entry.manifest();
    if (manifest === undefined) damaged.push(`${entry.directory}/entry.json: is missing or not a manifest`);
    for (const name of Object.keys(manifest?.files ?? {})) {
      files++;
      await entry.read(name).catch((error: Error) => damaged.push(error.message));
    }
  }
  if (options.json) process.stdout.write(`${JSON.stringify({ files, damaged }, null, 2)}\n`);
  else process.stdout.write(`${[...damaged, `${files} files checked, ${damaged.length} damaged`].join('\n')}\n`);
  if (damaged.length > 0) process.exitCode = 1;
}
