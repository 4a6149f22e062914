// The last step of `npm run build`: yargs' forty-five modules as one file, and the command line told to take that one.
// Finding and loading them one by one takes a fifth of the time of `dgate --help`; nothing else of dgate is bundled.
import { execFileSync } from 'node:child_process';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';

const { metafile } = await build({
  metafile: true,
  entryPoints: ['yargs'],
  outfile: 'dist/vendor/yargs.js',
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  legalComments: 'inline',
});

// Their licences ask that the notices go with the code. (Packages that `npm pack` carries whole have theirs inside.)
const packages = new Set(
  Object.keys(metafile.inputs).flatMap((file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file) ?? []),
);
if (packages.size === 0) throw new Error('no package of yargs.js is known: whose licences go with it?');
const notices = [];
for (const folder of [...packages].sort()) {
  const { name, version, license } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
  const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
  if (file === undefined) throw new Error(`${folder}: no licence file`);
  notices.push(`${name} ${version} (${license})\n\n${(await readFile(join(folder, file), 'utf8')).trim()}\n`);
}
await writeFile(
  'dist/vendor/LICENSES.txt',
  `yargs.js holds code of these packages.\n\n${notices.join(`\n${'-'.repeat(72)}\n\n`)}`,
);

const main = 'dist/src/cli/main.js';
const compiled = await readFile(main, 'utf8');
const bundled = compiled.replace("from 'yargs'", "from '../../vendor/yargs.js'");
if (bundled === compiled) throw new Error(`${main}: does not import yargs`);
await writeFile(main, bundled);

// The script of a run's page.
const { bundleExplorer } = await import('../dist/src/report/explorer.js');
await writeFile('dist/vendor/explorer.js', await bundleExplorer());

// What each module is, so that compiled code and sources find each other's cached results: src/store/code.ts.
const { readModules } = await import('../dist/src/store/code.js');
await writeFile('dist/code.json', `${JSON.stringify(readModules('.'))}\n`);

// The commit, for `dgate --version`; `+` where files differ from it. Without git (an unpacked archive) there is none.
await rm('dist/commit.txt', { force: true });
try {
  const git = (...args) => execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  if (git('rev-parse', '--show-cdup') !== '') throw new Error('the repository of another project');
  const changed = git('status', '--porcelain', '--untracked-files=no') === '' ? '' : '+';
  await writeFile('dist/commit.txt', `${git('rev-parse', '--short', 'HEAD')}${changed}\n`);
} catch {}
