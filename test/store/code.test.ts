import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { expect } from 'chai';
import { buildSync } from 'esbuild';
import { listEngines } from '../../src/engines/registry.js';
import { networkByName } from '../../src/networks/catalogue.js';
import { silent } from '../../src/progress.js';
import { runModules } from '../../src/run/record.js';
import { openNetwork } from '../../src/run/source.js';
import { codeOf, hashesIn, installedVersion, reachedFrom, readModules } from '../../src/store/code.js';

describe('the identity of code', () => {
  it('stands for all that computes, and for nothing that only carries results', async () => {
    const network = networkByName('resnet101-width0.25-blocks1.1.7.1-cifar10');
    const { modules } = await openNetwork(network, undefined, tmpdir(), silent);
    const features = reachedFrom(['run/extract', ...modules]);
    expect(features.modules).to.include.members([
      'run/batches',
      'pickle/reader',
      'networks/lower',
      'data/image-folder/decode',
      'data/resample',
      'data/preprocess',
      'data/registry', // how many bytes of a record are labels
      'data/records/layout',
      'data/imagenet/layout',
    ]);
    expect(features.modules).not.to.include('data/records/fetch');
    const gates = reachedFrom(['run/train', 'engines/onnxruntime/engine']);
    expect(gates.modules).to.include.members(['gates/train', 'gates/lbfgs', 'gates/loss', 'onnx/linear']);
    expect(gates.modules).to.include('engines/onnxruntime/isolated-child'); // a process of its own
    expect(gates.packages).to.include('onnxruntime-node');
    const rows = reachedFrom(runModules);
    expect(rows.modules).to.include.members(['thresholds/frontier', 'run/search', 'paper/lossCurves', 'run/rows']);
    expect(rows.modules).to.include.members(['paper/published', 'paper/figureEvidence', 'paper/claims']);
    for (const reached of [features, gates, rows]) {
      expect(
        reached.modules.filter((id) => /^store\/|^cli\/|^report\/html|progress|^engines\/tfjs/.test(id)),
      ).to.deep.equal([]);
    }
  });

  it('has a module for each engine, and other identities for engines of other code', () => {
    const identities = listEngines().map(({ module }) => codeOf('run/train', module));
    expect(new Set(identities).size).to.equal(new Set(listEngines().map(({ module }) => module)).size);
    for (const identity of identities) expect(identity).to.match(/^[0-9a-f]{16}$/);
    expect(reachedFrom(['engines/tfjs/engine']).packages).to.include('@tensorflow/tfjs');
  });

  it('misses no import that a bundler finds', () => {
    const modules = readModules('.');
    const { metafile } = buildSync({
      entryPoints: ['src/cli/main.ts', 'src/index.ts'],
      bundle: true,
      write: false,
      metafile: true,
      packages: 'external',
      format: 'esm',
      platform: 'node',
      outdir: 'nowhere',
      tsconfigRaw: {}, // types alone are no import
    });
    const idOf = (path: string): string => relative('src', path).replace(/\.ts$/, '');
    const sources = Object.entries(metafile.inputs).filter(([path]) => path.endsWith('.ts')); // the others are data
    for (const [path, { imports }] of sources) {
      const found = modules[idOf(path)]!.imports;
      for (const { path: target, external } of imports) {
        if (target.startsWith('node:') || target.endsWith('.json')) continue;
        const isFound = external
          ? found.some((name) => `${target}/`.startsWith(`${name}/`))
          : found.includes(`./${idOf(target)}`);
        expect(isFound, `${path}: ${target}`).to.equal(true);
      }
    }
    expect(Object.keys(metafile.inputs).length).to.be.greaterThan(200);
  });

  it('knows the published numbers that ship with the code', () => {
    const hashes = hashesIn('results/published');
    expect(hashes).to.include.keys('claims.csv', 'table1.csv');
    expect(new Set(Object.values(hashes)).size).to.equal(Object.keys(hashes).length);
    expect(hashesIn('no/such/folder')).to.deep.equal({});
  });

  it('knows the versions of packages without loading them', () => {
    expect(installedVersion('onnxruntime-node')).to.match(/^\d+\.\d+\.\d+/);
    expect(installedVersion('no-such-package')).to.equal(null);
  });

  describe('read from sources', () => {
    let root: string;
    const file = async (path: string, text: string): Promise<void> => {
      await mkdir(dirname(join(root, path)), { recursive: true });
      await writeFile(join(root, path), text);
    };
    beforeEach(async () => {
      root = await mkdtemp(join(tmpdir(), 'dgate-code-'));
    });
    afterEach(() => rm(root, { recursive: true }));

    it('takes every form of import but those of types', async () => {
      await file(
        'src/a/one.ts',
        [
          "import type { T } from './types.js';",
          "import { join } from 'node:path';",
          "import sharp from 'sharp';",
          "import * as tf from '@tensorflow/tfjs/dist/index.js';",
          'import {',
          '  type U,',
          '  two,',
          "} from './two.js';",
          "import './effects.js';",
          "export { three } from '../three.js';",
          "const later = () => import('./later.js');",
          'const last = () => import(',
          "  './last.js'",
          ');',
          "const child = new URL('./child.js', import.meta.url);",
          'const other = new URL(`./other-child$' + '{extname(here)}`, import.meta.url);',
          "export const words = 'import from here';",
        ].join('\n'),
      );
      expect(readModules(root)['a/one']!.imports).to.deep.equal([
        './a/child',
        './a/effects',
        './a/last',
        './a/later',
        './a/other-child',
        './a/two',
        './three',
        '@tensorflow/tfjs',
        'sharp',
      ]);
    });

    it('changes with every letter of a module', async () => {
      await file('src/one.ts', 'export const a = 1;');
      const before = readModules(root)['one']!.sha256;
      await file('src/one.ts', 'export const a = 2;');
      expect(readModules(root)['one']!.sha256).not.to.equal(before);
    });
  });
});
