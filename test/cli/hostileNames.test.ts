import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { parse } from 'csv-parse/sync';
import sharp from 'sharp';
import { writeSafetensors } from '../../src/checkpoints/load.js';
import { decodeModel, encodeModel } from '../../src/onnx/proto.js';
import { noCommands } from '../hostile.js';
import { residualGraph } from '../onnx/user-graphs.js';
import { makePlace, type Place, runCli } from './cli.js';

/** Names of classes, as folders. */
const classes = ['=cmd|x!A0', '@sum\u001b[2J', '<script>&amp;', "a'b\u009b31m\u202e\n|c", '-1+1 `$(touch pwned)`'];
const odd = 'evil\u001b]0;x\u0007\n\u202e$(touch pwned)';

/** The page's own data and script stand at its end, and nothing else may run. */
function expectOwnScripts(text: string, name: string): void {
  const [page, ...scripts] = text.split(/<script(?: type="application\/json" id="explorer-data")?>(?=\{|"use strict")/);
  expect(scripts.length, name).to.equal(2);
  for (const part of [page!, ...scripts]) expect(part, name).not.to.match(/<script|=cmd\|x!A0<\/title/);
  for (const script of scripts) expect(script.match(/<\/script/g), name).to.have.length(1);
}

describe('hostile names, from a folder of images and an ONNX file to everything that is written', () => {
  if (process.platform === 'win32') return;
  let place: Place;
  let folder: string;
  let onnx: string;
  before(async () => {
    place = await makePlace();
    folder = join(place.folder, odd.replaceAll('\0', ''));
    for (const [label, name] of classes.entries()) {
      await mkdir(join(folder, 'images', name), { recursive: true });
      for (let i = 0; i < 12; i++) {
        const pixels = Uint8Array.from({ length: 192 }, (_, at) => (label * 50 + i * 3 + at) % 256);
        const raw = { width: 8, height: 8, channels: 3 } as const;
        await sharp(pixels, { raw })
          .png()
          .toFile(join(folder, 'images', name, `${i}${i === 0 ? odd : ''}.png`));
      }
      await writeFile(join(folder, 'images', name, `broken${odd}.png`), 'no image');
    }
    onnx = join(folder, `${odd}.onnx`);
    await rename(await residualGraph('own').write(), onnx);
    const model = decodeModel(await readFile(onnx));
    const renamed = (name: string) => (['a', 'b', 'logits'].includes(name) ? `${name}${odd}` : name);
    for (const node of model.graph.node) {
      Object.assign(node, { input: node.input.map(renamed), output: node.output!.map(renamed) });
    }
    for (const output of model.graph.output) Object.assign(output, { name: renamed(output.name) });
    await writeFile(onnx, encodeModel(model));
    const definition = {
      name: 'own',
      title: `A title${odd.replace('\n', '')}`,
      network: { kind: 'onnx', file: onnx, gatesAfter: [`a${odd}`, `b${odd}`] },
      dataset: {
        kind: 'image-folder',
        folder: join(folder, 'images'),
        preprocess: { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25], resize: 8, crop: 8 },
        testShare: 0.4,
      },
      gates: { after: [1, 2], pooling: 'gap', epochs: 2 },
      thresholds: { margins: [0.05], fixed: [[0, 0]] },
      analysis: { kind: 'class-distribution', distance: -1000 },
    };
    await writeFile(join(place.folder, 'own.mjs'), `export default ${JSON.stringify(definition)};`);
    const stored = new Map([[`w${odd}`, { shape: [2], data: Float32Array.of(1, 2) }]]);
    await writeSafetensors(join(folder, 'w.safetensors'), stored, { [`key${odd}`]: `value${odd}` });
  });
  after(() => place.remove());

  const say = async (...args: readonly string[]) => {
    const { status, stdout, stderr } = await runCli([...args, ...place.options], { cwd: place.folder });
    expect(stdout, args[0]).to.match(noCommands);
    expect(stderr, args[0]).to.match(noCommands);
    return { status, stdout, stderr };
  };

  it('no command lets them reach the terminal as they are', async () => {
    const run = await say('run', './own.mjs');
    expect(run.status, run.stderr).to.equal(0);
    const gated = join(folder, 'gated.onnx');
    const image = join(folder, 'images', classes[3]!, `0${odd}.png`);
    const lines: readonly (readonly string[])[] = [
      ['run', './own.mjs', '--json'],
      ['export', './own.mjs', '--out', gated, '--row', '1'],
      ['predict', '--model', gated, image],
      ['predict', '--model', gated, image, '--json'],
      ['model', 'inspect', onnx],
      ['model', 'inspect', onnx, '--json'],
      ['model', 'info', join(folder, 'w.safetensors')],
      ['model', 'info', join(folder, 'w.safetensors'), '--json'],
      ['cache', 'list'],
    ];
    for (const args of lines) {
      const { status, stdout, stderr } = await say(...args);
      expect(status, `${args.join(' ')}: ${stderr}`).to.equal(0);
      if (args.includes('--json')) JSON.parse(stdout);
    }
    for (const args of [
      ['predict', '--model', gated, join(folder, odd)],
      ['run', `./${odd}.mjs`],
      ['list', odd],
      [odd],
    ]) {
      const { status, stderr } = await say(...args);
      expect(status).to.equal(2);
      expect(stderr).to.match(/^dgate: .*\\u001b.*\n$/);
    }
  });

  it('no file of a run holds a command, a formula or broken markup', async () => {
    const root = join(place.results, 'own');
    const names = (await readdir(root, { recursive: true })).filter((name) => /\.(csv|txt|svg|html|json)$/.test(name));
    expect(names.map((name) => name.split('.').at(-1))).to.include.members(['csv', 'txt', 'svg', 'html']);
    for (const name of names) {
      const text = await readFile(join(root, name), 'utf8');
      for (const line of text.split('\n')) expect(line, name).to.match(noCommands);
      if (name.endsWith('.svg')) await sharp(Buffer.from(text)).metadata();
      if (name.endsWith('.html')) expectOwnScripts(text, name);
      if (!name.endsWith('.csv')) continue;
      const cells = (parse(text) as string[][]).flat();
      for (const cell of cells) expect(/^[=+\-@\s]/.test(cell) && Number.isNaN(Number(cell)), cell).to.equal(false);
    }
  });

  it('a batch script names the program itself, not the link by which npx starts it', async () => {
    const link = join(place.folder, 'dgate');
    const program = fileURLToPath(new URL('../../bin/dgate.ts', import.meta.url));
    await symlink(program, link);
    const submit = ['submit', 'table1', '--dry-run', '--cache', place.cache];
    const script = execFileSync(process.execPath, ['--import', 'tsx', link, ...submit], { encoding: 'utf8' });
    expect(script).to.contain(`${program} task `).and.not.contain(`${link} task `);
  });

  it('a working folder is one line of a batch script, or refused', async () => {
    const submit = ['submit', 'resnet56', '--dry-run', '--cache', place.cache, '--checkpoint', 'resnet56'];
    const quoted = join(place.folder, 'a "b" \\ $(touch pwned) \' #');
    const broken = join(place.folder, 'a\ntouch pwned');
    await mkdir(quoted);
    await mkdir(broken);
    const refused = await runCli(submit, { cwd: broken });
    expect(refused.stderr).to.match(/^dgate: --chdir .*\\ntouch pwned: a control character; valid: [^\n]*\n$/);
    expect([refused.status, refused.stdout]).to.deep.equal([2, '']);
    const { status, stdout, stderr } = await runCli(submit, { cwd: quoted });
    expect(status, stderr).to.equal(0);
    const directives = stdout.split('\n').filter((line) => line.startsWith('#SBATCH --chdir'));
    expect(new Set(directives)).to.deep.equal(new Set([`#SBATCH --chdir="${quoted.replaceAll(/["\\]/g, '\\$&')}"`]));
    execFileSync('bash', ['-n', '-c', stdout]);
  });
});
