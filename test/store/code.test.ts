import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { listEngines } from '../../src/engines/registry.js';
import { codeOf, installedVersion, reachedFrom, readModules } from '../../src/store/code.js';

describe('the identity of code', () => {
  it('stands for all that computes, and for nothing that only carries results', () => {
    const features = reachedFrom(['run/extract', 'checkpoints/load', 'networks/lower', 'data/image-folder/source']);
    expect(features.modules).to.include.members([
      'run/shards',
      'checkpoints/pickle',
      'networks/lower',
      'data/image-folder/decode',
      'data/image-folder/resample',
      'data/preprocess',
    ]);
    const gates = reachedFrom(['run/train', 'engines/onnxruntime/engine']);
    expect(gates.modules).to.include.members(['gates/train', 'gates/lbfgs', 'gates/losses/hinge', 'onnx/linear']);
    expect(gates.packages).to.include('onnxruntime-node');
    const rows = reachedFrom(['run/run', 'paper/analyse']);
    expect(rows.modules).to.include.members(['thresholds/frontier', 'run/search', 'paper/lossCurves', 'run/rows']);
    for (const { modules } of [features, gates, rows]) {
      expect(modules.filter((id) => /^store\/|^cli\/|^report\/html|progress|^engines\/tfjs/.test(id))).to.deep.equal(
        [],
      );
    }
  });

  it('has a module for each engine, and other identities for engines of other code', () => {
    const identities = listEngines().map(({ module }) => codeOf('run/train', module));
    expect(new Set(identities).size).to.equal(new Set(listEngines().map(({ module }) => module)).size);
    for (const identity of identities) expect(identity).to.match(/^[0-9a-f]{16}$/);
    expect(reachedFrom(['engines/tfjs/engine']).packages).to.include('@tensorflow/tfjs');
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
          "const child = new URL('./child.js', import.meta.url);",
          "export const words = 'import from here';",
        ].join('\n'),
      );
      expect(readModules(root)['a/one']!.imports).to.deep.equal([
        './a/child',
        './a/effects',
        './a/later',
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
