import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { againstTheOrder, circles, importsOf, occurrences, rooms, sourcesOf } from '../scripts/house.js';

/** Besides `store/input.ts`: what opens files of dgate itself, of installed packages, of the system, or to write. */
const openers = [
  'src/checkpoints/transfer.ts',
  'src/data/records/fetch.ts',
  'src/data/records/sources.ts',
  'src/engines/onnxruntime/engine.ts',
  'src/engines/onnxruntime/setup.ts',
  'src/engines/setup.ts',
  'src/engines/tfjs/setup/index.ts',
  'src/engines/tfjs/setup/index.ts',
  'src/engines/tfjs/backend.ts',
  'src/engines/onnxruntime/isolated-child.ts',
  'src/experiment/load.ts',
  'src/project.ts',
  'src/report/explorer.ts',
  'src/report/theme.ts',
  'src/store/code.ts',
  'src/store/files.ts',
  'src/store/input.ts',
  'src/store/processes.ts',
  'src/store/processes.ts',
  'src/timing/record.ts',
];

describe('the structure of the sources', () => {
  const root = fileURLToPath(new URL('..', import.meta.url));
  const sources = sourcesOf(root);

  it('has imports that point down the order of rooms only', () => {
    expect(sources.length).to.be.greaterThan(100);
    const wrong = againstTheOrder(importsOf(sources)).map(({ from, to }) => `${from} -> ${to}`);
    expect(wrong).to.deep.equal([]);
  });

  it('has one door to the analyses of the paper', () => {
    const inside = (path: string): boolean => path.startsWith('src/paper/');
    const entered = importsOf(sources).filter(({ from, to }) => inside(to) && !inside(from));
    expect([...new Set(entered.map(({ to }) => to))]).to.deep.equal(['src/paper/index.ts']);
  });

  it('is noticed where an import points up, or a room has no place', () => {
    const up = { from: 'src/gates/gate.ts', to: 'src/engines/engine.ts' };
    const unknown = { from: 'src/pipeline/run.ts', to: 'src/errors.ts' };
    const down = { from: 'src/engines/engine.ts', to: 'src/gates/gate.ts' };
    expect(againstTheOrder([up, unknown, down])).to.deep.equal([up, unknown]);
  });

  it('loads each native library and framework in one room only', () => {
    const importers = (pattern: RegExp): string[] =>
      sources.filter(({ text }) => pattern.test(text)).map(({ path }) => path.split('/').slice(0, 3).join('/'));
    expect([...new Set(importers(/(?:from|import\() ?'onnxruntime-node'/))]).to.deep.equal(['src/engines/onnxruntime']);
    expect([...new Set(importers(/(?:from|import\() ?'@tensorflow\//))]).to.deep.equal(['src/engines/tfjs']);
  });

  it('opens files of others in one place only', () => {
    const opens = /\b(?:readFile|readFileSync|createReadStream|openSync|open|copyFile)\b[^;]*? from 'node:fs/;
    const found = sources.filter(({ text }) => opens.test(text)).map(({ path }) => path);
    expect(found.filter((path) => !openers.includes(path))).to.deep.equal([]);
  });

  it('takes no error of the system for a file that is not there', () => {
    const looks =
      /\b(?:l?stat|readdir|read(?:File|Regular|Text|Input|Json))\((?:[^()]|\([^()]*\))*\)\s*\.catch\(\(\) =>/;
    const found = sources.filter(({ text }) => looks.test(text)).map(({ path }) => path);
    // A process whose start cannot be read counts as an old one; writing reports other problems; a system may not say what its machine is like.
    expect(found).to.deep.equal(['src/store/input.ts', 'src/store/store.ts', 'src/timing/record.ts']);
    expect(looks.test("(await stat(join(a, 'b')).catch(() => undefined))")).to.equal(true);
  });

  it('writes to the terminal in one place only', () => {
    const writers = sources.filter(({ text }) => /process\.(?:stdout|stderr)\.write\(|console\.\w+\(/.test(text));
    // The others run before anything else is loaded, as the program ends, or as a program of their own.
    expect(writers.map(({ path }) => path)).to.deep.equal([
      'bin/dgate.ts',
      'src/cli/output.ts',
      'src/engines/tfjs/setup/index.ts',
      'src/experiment/load.ts',
    ]);
  });

  it('copies no list for every item that the list gains: that is quadratic', () => {
    const copies = /\[\s*\.\.\.\([^\]]*\.get\([^\]]*\?\? \[\]\s*\)|\((\w+), \w+\) =>\s*\[\s*\.\.\.\1,/;
    expect(sources.filter(({ text }) => copies.test(text)).map(({ path }) => path)).to.deep.equal([]);
    expect(copies.test('of.set(label, [...(of.get(label) ?? []), image])')).to.equal(true);
    expect(copies.test('items.reduce((all, item) => [...all, item], [])')).to.equal(true);
  });

  it('names its rooms in the documentation, in their order', () => {
    const page = readFileSync(new URL('../docs/architecture.md', import.meta.url), 'utf8');
    const named = [...page.matchAll(/^\| `([a-z]+)(?:\/|\.ts)?` \|/gm)].map(([, room]) => room);
    expect(named).to.deep.equal([...rooms]);
  });

  it('has no test that bounds the time of the clock: that of mocha is for what hangs', () => {
    const tests = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.test.ts') && !path.startsWith('faults/'))
      .map((path) => ({ path, text: readFileSync(join(root, 'test', path), 'utf8') }));
    expect(tests.length).to.be.greaterThan(100);
    const timed = /\.timeout\([1-9]|(?:performance|Date)\.now\(\)(?! - (?:1000|hours) \* )/;
    expect(tests.filter(({ text }) => timed.test(text)).map(({ path }) => path)).to.deep.equal([]);
  });

  it('has no type that switches the checks off', () => {
    expect(occurrences(sources, /\bas any\b|\bas never\b|: any\b|<any>|@ts-ignore|@ts-expect-error/g)).to.equal(0);
  });

  it('has no files that import each other', () => {
    expect(circles(importsOf(sources))).to.deep.equal([]);
    const [a, b] = [
      { from: 'a', to: 'b' },
      { from: 'b', to: 'a' },
    ];
    expect(circles([a, b])[0]).to.have.members(['a', 'b']); // one would be noticed
  });
});
