// The last step of `npm run build`: yargs' forty-five modules as one file, and the command line told to take that one.
// Finding and loading them one by one takes a fifth of the time of `dgate --help`; nothing else of dgate is bundled.
import { readFile, writeFile } from 'node:fs/promises';
import { build } from 'esbuild';

await build({
  entryPoints: ['yargs'],
  outfile: 'dist/vendor/yargs.js',
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  legalComments: 'inline',
});
const main = 'dist/src/cli/main.js';
const compiled = await readFile(main, 'utf8');
const bundled = compiled.replace("from 'yargs'", "from '../../vendor/yargs.js'");
if (bundled === compiled) throw new Error(`${main}: does not import yargs`);
await writeFile(main, bundled);

// What each module is, so that compiled code and sources find each other's cached results: src/store/code.ts.
const { readModules } = await import('../dist/src/store/code.js');
await writeFile('dist/code.json', `${JSON.stringify(readModules('.'))}\n`);
