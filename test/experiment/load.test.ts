import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { InputError } from '../../src/errors.js';
import { experimentNames, loadDefinition } from '../../src/experiment/load.js';
import { resolveExperiment } from '../../src/experiment/resolve.js';
import { paperExperiments } from '../../src/paper/index.js';
import { plan } from '../../src/run/plan.js';
import { rejection } from '../data/smallCifar10.js';

const definition =
  "{ name: 'mine', title: 'Mine', network: 'resnet20-cifar10', gates: { after: [1] }, thresholds: { margins: [0.01] } }";

describe('loadDefinition', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dgate-experiment-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  async function write(name: string, text: string): Promise<string> {
    const path = join(folder, name);
    await writeFile(path, text);
    return path;
  }

  const forms: [string, string][] = [
    ['plain.ts', `interface Unused { readonly x: number }\nexport default ${definition};`],
    ['typed.mts', `const mine: object = ${definition};\nexport default mine;`],
    ['plain.mjs', `export default ${definition};`],
    ['common.cjs', `module.exports = ${definition};`],
    [
      'plain.json',
      JSON.stringify({
        name: 'mine',
        title: 'Mine',
        network: 'resnet20-cifar10',
        gates: { after: [1] },
        thresholds: { margins: [0.01] },
      }),
    ],
    ['with a space.ts', `export default ${definition};`],
  ];
  for (const [name, text] of forms) {
    it(`reads ${name} outside the project`, async () => {
      const path = await write(name, text);
      const { exported, where } = await loadDefinition(path);
      expect(where).to.equal(path);
      expect(resolveExperiment(exported, where, 'laptop').name).to.equal('mine');
    });
  }

  it('reads .ts and .js inside an ESM package', async () => {
    await mkdir(join(folder, 'esm'));
    await write('esm/package.json', '{ "type": "module" }');
    for (const name of ['esm/a.ts', 'esm/a.js']) {
      const path = await write(name, `export default ${definition};`);
      expect((await loadDefinition(path)).exported).to.include({ name: 'mine' });
    }
  });

  it('sees paths from the file that has them, and names the whole path that was tried', async () => {
    await mkdir(join(folder, 'deep'), { recursive: true });
    const network = {
      kind: 'cascade',
      networks: [{ network: { kind: 'onnx', file: 'a.onnx' } }, { network: 'resnet56-cifar10', checkpoint: './b.th' }],
    };
    const all = {
      name: 'mine',
      title: 'Mine',
      network,
      thresholds: { margins: [0.01] },
      baselines: [{ network: 'resnet20-cifar10', checkpoint: 'akamaster-resnet20-cifar10' }],
    };
    const { exported, where } = await loadDefinition(
      await write('deep/paths.mjs', `export default ${JSON.stringify(all)};`),
    );
    const override = {
      path: 'network.networks',
      value: [network.networks[0], { network: 'resnet56-cifar10', checkpoint: './b.th' }],
    };
    const found = JSON.parse(JSON.stringify(resolveExperiment(exported, where, 'laptop')));
    expect(found.network.networks[0].network.file).to.equal(join(folder, 'deep', 'a.onnx'));
    expect(found.network.networks[1].checkpoint).to.equal(join(folder, 'deep', 'b.th'));
    expect(found.baselines[0].checkpoint).to.equal('akamaster-resnet20-cifar10'); // a known one
    const given = JSON.parse(JSON.stringify(resolveExperiment(exported, where, 'laptop', [override])));
    expect(given.network.networks[1].checkpoint).to.equal('./b.th'); // of the command line: as seen from where it runs
    const error = await rejection(plan(resolveExperiment(exported, where, 'laptop')));
    expect(error.message).to.contain(`${join(folder, 'deep', 'a.onnx')}: no such file`);
  });

  const typed = `import { defineExperiment } from 'dgate';\nexport default defineExperiment(${definition});`;
  for (const name of ['own.ts', 'own.mts', 'own.mjs', 'esm/own.ts', 'esm/own.js']) {
    it(`${name}, which no package surrounds, may import from dgate`, async () => {
      await mkdir(join(folder, 'esm'), { recursive: true });
      await writeFile(join(folder, 'esm/package.json'), '{ "type": "module" }');
      const { exported } = await loadDefinition(await write(name, typed));
      expect(resolveExperiment(exported, name, 'laptop').name).to.equal('mine');
    });
  }

  it("reads every one of the project's experiments, and each fits its network in every preset", async () => {
    const names = await experimentNames();
    expect(names).to.include('resnet56');
    for (const name of names) {
      const { exported } = await loadDefinition(name);
      const presets = (exported as { presets?: object }).presets ?? {};
      for (const preset of ['laptop', ...Object.keys(presets)] as const) {
        const experiment = resolveExperiment(exported, name, preset as 'laptop', [], paperExperiments);
        expect(experiment.name).to.equal(name);
        await plan(experiment);
      }
    }
  });

  const refused: [string, string, RegExp][] = [
    ['throws.ts', "throw new Error('boom\\nmore');", /throws\.ts: cannot be loaded: boom$/],
    ['throws-null.mjs', 'throw null;', /throws-null\.mjs: cannot be loaded: null$/],
    ['throws-number.ts', 'throw 42;', /throws-number\.ts: cannot be loaded: 42$/],
    [
      'throws-odd.mjs',
      'throw { toString() { throw new Error("again"); } };',
      /throws-odd\.mjs: cannot be loaded: something that cannot be written as text$/,
    ],
    [
      'throws-noise.mjs',
      "throw new Error('\\u001b[2J\\u202e gone');",
      /throws-noise\.mjs: cannot be loaded: \\u001b\[2J\\u202e gone$/,
    ],
    ['rejects.mjs', "await Promise.reject(new Error('later'));", /rejects\.mjs: cannot be loaded: later$/],
    ['net.onnx', 'no text', /net\.onnx: a network; valid: mine.ts with network: onnxNetwork\('FILE\.onnx'\)/],
    ['binary.mjs', '\u0000\u0001\u0002', /binary\.mjs: cannot be loaded: /],
    ['imports.ts', "import x from './not-there.js';\nexport default x;", /imports\.ts: cannot be loaded: .*not-there/],
    ['syntax.ts', 'export default { a: ;', /syntax\.ts: cannot be loaded: .*ERROR: Unexpected ";"$/],
  ];
  for (const [name, text, expected] of refused) {
    it(`says in one line what is wrong with ${name}`, async () => {
      const error = await rejection(loadDefinition(await write(name, text)));
      expect(error).to.be.instanceOf(InputError);
      expect((error as InputError).problems).to.have.length(1);
      expect(error.message).to.match(expected).and.not.to.contain('\n');
    });
  }

  it('waits for a promise that is exported, and says why it fails', async () => {
    const path = await write('promise.mjs', `export default (async () => (${definition}))();`);
    expect(resolveExperiment((await loadDefinition(path)).exported, path, 'laptop').name).to.equal('mine');
    const failing = await write('failing.mjs', "export default (async () => { throw new Error('not today'); })();");
    const error = await rejection(loadDefinition(failing));
    expect(error).to.be.instanceOf(InputError);
    expect(error.message).to.match(/failing\.mjs: cannot be loaded: not today$/);
  });

  it('gives nothing for a file without a default export, whatever else it exports', async () => {
    for (const name of ['none.ts', 'none.mts', 'none.mjs']) {
      const path = await write(name, 'export const title = 3;');
      expect((await loadDefinition(path)).exported, name).to.equal(undefined);
    }
  });

  it('says which names and files there are instead of one that is not', async () => {
    const missing = await rejection(loadDefinition(join(folder, 'missing.ts')));
    expect(missing).to.be.instanceOf(InputError);
    expect(missing.message).to.match(/missing\.ts: no such file$/);
    const unknown = await rejection(loadDefinition('resnet57'));
    expect(unknown).to.be.instanceOf(InputError);
    expect(unknown.message).to.match(
      /^experiment resnet57: unknown; valid: .*resnet56.*, a file such as \.\/mine\.ts$/,
    );
  });
});
