import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { documents, pageText, schemaText } from '../scripts/json-schema.js';
import * as dgate from '../src/index.js';
import { runCli } from './cli/cli.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const here = (path: string): string => join(root, path);

describe('dgate as a library', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dgate-library-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('exports what the page names, and nothing else by any path', async () => {
    const functions = ['certify', 'evaluate', 'loadScores', 'openPredictor', 'runExperiment', 'searchThresholds'];
    const definitions = ['cascade', 'defineExperiment', 'imageFolder', 'onnxNetwork', 'scores'];
    expect(Object.keys(dgate)).to.have.members([...functions, ...definitions, 'InputError']);
    const { exports } = JSON.parse(await readFile(here('package.json'), 'utf8')) as { exports: object };
    expect(Object.keys(exports)).to.deep.equal(['.', './schema.json', './package.json']);
  });

  it('declares its types by packages that are installed with it, or bring types of their own', () => {
    const tsc = here('node_modules/typescript/bin/tsc');
    execFileSync('node', [tsc, '-p', here('tsconfig.build.json'), '--emitDeclarationOnly', '--outDir', folder]);
    const [seen, packages] = [new Set<string>(), new Set<string>()];
    const visit = (path: string): void => {
      if (seen.has(path)) return;
      seen.add(path);
      for (const [, from] of readFileSync(path, 'utf8').matchAll(/(?:from|import\()\s*'([^']+)'/g)) {
        if (from!.startsWith('.')) visit(join(dirname(path), from!.replace(/\.js$/, '.d.ts')));
        else packages.add(from!);
      }
    };
    visit(join(folder, 'src/index.d.ts'));
    expect(packages).to.include('vega-lite');
    const { devDependencies } = JSON.parse(readFileSync(here('package.json'), 'utf8')) as { devDependencies: object };
    expect([...packages].filter((name) => `@types/${name}` in devDependencies)).to.deep.equal([]);
  });

  it('runs the examples of its page as they stand', async () => {
    const page = await readFile(here('docs/library.md'), 'utf8');
    const blocks = [...page.matchAll(/^```ts\n(.*?)^```/gms)].map(([, code]) => code!);
    const runnable = blocks.slice(0, -1).join(''); // the last one needs a file of dgate export: predict.test.ts
    const said: unknown[] = [];
    const code = runnable
      .replace("'dgate'", JSON.stringify(pathToFileURL(here('src/index.ts')).href))
      .replaceAll("'test/fixtures", `'${root}test/fixtures`)
      .replaceAll('console.log(', 'said.push(');
    const path = join(folder, 'example.mts');
    await writeFile(path, `${code.replace(/^(import .*)$/m, '$1\nexport const said: unknown[] = [];')}`);
    const module = (await import(pathToFileURL(path).href)) as { said: unknown[] };
    said.push(...module.said);
    const [found, rows] = said as [
      { thresholds: number[]; accuracy: number; saved: number; promised: boolean },
      { model: string }[],
    ];
    expect(found.thresholds).to.have.length(2);
    expect(found.accuracy).to.be.within(0.85, 0.96);
    expect(found.saved).to.be.within(0.3, 0.8);
    expect(rows).to.have.length(3);
  });

  it('refuses a definition with a line for each problem', async () => {
    const wrong = {
      name: 'x',
      title: 'x',
      network: { kind: 'scores', file: '/nowhere.npz' },
      thresholds: {},
      seed: -1,
    };
    const error: unknown = await dgate.runExperiment(wrong as dgate.ExperimentDefinition).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect((error as dgate.InputError).problems).to.have.length(2);
  });

  it('refuses arguments that do not fit, a line for each', async () => {
    const file = await dgate.loadScores(here('test/fixtures/scores/branchy.safetensors'));
    const { scores, costs } = file;
    const positions = 'valid: positions from 0 to 599';
    const margin = 'valid: a share of accuracy from -0.5 to 0.5: 0.01 is one point, so 1 % is 0.01, not 1';
    const share = 'valid: a share between 0 and 1: 0.005 is half a point';
    const three = 'valid: 2 numbers, one for each exit but the last';
    const cases: [() => unknown, string[]][] = [
      [() => dgate.evaluate(scores, [0.5], costs), [`thresholds: [0.5]; ${three}`]],
      [() => dgate.evaluate(scores, [0.5, Number.NaN], costs), [`thresholds: [0.5, NaN]; ${three}`]],
      [
        () => dgate.evaluate(scores, [1, 1], [1], [-1]),
        ['costs: 1 given; valid: 3, one for each exit', `images: -1; ${positions}`],
      ],
      [
        () => dgate.searchThresholds(file, { margin: 1 }, [0, 600]),
        [`margin: 1; ${margin}`, `images: 600; ${positions}`],
      ],
      [
        () => dgate.searchThresholds(file, { margin: Number.NaN }, []),
        [`margin: NaN; ${margin}`, `images: none; ${positions}`],
      ],
      [
        () => dgate.searchThresholds(file, { margin: 0, search: 'all' as 'joint' }),
        ['search: "all"; valid: sequential, lookahead, coordinate, joint'],
      ],
      [
        () => dgate.certify(file, { drop: Number.NaN, confidence: 2, method: 'x' as 'exact' }, [0.5]),
        [
          `drop: NaN; ${share}`,
          'confidence: 2; valid: a number from 0.5 to 0.9999',
          'method: "x"; valid: exact, betting, conformal',
          `images: 0.5; ${positions}`,
        ],
      ],
      [() => dgate.certify(file, { disagreement: 0.1 } as unknown as { drop: number }), [`drop: NaN; ${share}`]],
    ];
    for (const [call, problems] of cases) {
      expect(call).to.throw(dgate.InputError).with.property('problems').that.deep.equals(problems);
    }
    const unknown = await dgate.loadScores(file.path, 'sure' as 'max').catch((error: unknown) => error);
    expect((unknown as dgate.InputError).problems).to.have.length(1);
  });

  it('certifies with the seed and the images given', async () => {
    const file = await dgate.loadScores(here('test/fixtures/scores/branchy.safetensors'));
    const images = Int32Array.from({ length: 300 }, (_, i) => i);
    const certified = dgate.certify(file, { drop: 0.2, seed: 3 }, images);
    expect(certified.open).to.equal(true);
    expect(certified.testedOn + certified.proposedOn).to.equal(300);
  });
});

describe('what --json prints', () => {
  it('is described by the schema that ships and by its page, as they were written', async () => {
    const again = 'npm run docs';
    expect(await readFile(here('schema.json'), 'utf8'), again).to.equal(schemaText());
    expect(await readFile(here('docs/json.md'), 'utf8'), again).to.equal(pageText());
  });

  it('fits: runs, comparisons, costs', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'dgate-json-'));
    const json = async (...args: string[]): Promise<unknown> => {
      const { stdout, stderr } = await runCli([...args, '--json', '--results', folder, '--cache', folder]);
      expect(stdout, stderr).to.match(/^\{\n {2}"version": 1,|^\[/);
      return JSON.parse(stdout);
    };
    const files = ['two-exits.npz', 'branchy.safetensors'].map((name) => here(`test/fixtures/scores/${name}`));
    const runs = (await json('run', '--scores', files[0]!, '--scores', files[1]!)) as unknown[];
    for (const one of runs) documents.run.of.parse(one);
    documents.compare.of.parse(await json('compare', 'scores-two-exits', 'scores-branchy'));
    documents.compare.of.parse(await json('rerun', 'scores-branchy'));
    documents.flops.of.parse(await json('flops', 'resnet20-cifar10'));
    await rm(folder, { recursive: true, force: true });
  });
});
