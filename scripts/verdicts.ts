// Derives every verdict of results/reference/README.md again, from claims.csv and the CSV files of the runs on record alone, and
// replaces that part of the file: `npx tsx scripts/verdicts.ts [--check]`. --check changes nothing and exits with 1 where
// the text differs from what the CSV files say.
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { claimsOnRecord, runsOnRecord } from '../src/paper/index.js';
import { renderVerdicts, VERDICTS } from '../src/report/claims.js';

const results = fileURLToPath(new URL('../results/reference', import.meta.url));

/** results/reference/README.md as it is, and as the CSV files say. */
export async function derived(): Promise<{ path: string; before: string; after: string }> {
  const path = `${results}/README.md`;
  const before = await readFile(path, 'utf8');
  const header = before.split(VERDICTS)[0]!;
  const claims = await claimsOnRecord(results, await runsOnRecord(results, ['laptop', 'paper']));
  return { path, before, after: `${header}${renderVerdicts(claims)}` };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { path, before, after } = await derived();
  if (!process.argv.includes('--check')) await writeFile(path, after);
  else if (before !== after) {
    console.error(`${path}: differs from the CSV files; npx tsx scripts/verdicts.ts writes it again`);
    process.exitCode = 1;
  }
}
