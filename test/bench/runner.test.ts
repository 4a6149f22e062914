import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { parse } from 'csv-parse/sync';
import { type Conditions, saveRatios } from '../../bench/runner/csv.js';
import { allInTurn, inTurn, quantile, ratioOf } from '../../bench/runner/pairs.js';
import { peerVersions } from '../../bench/runner/peers.js';
import { partsOf } from '../../bench/runner/profile.js';
import { isMet, renderRatios } from '../../bench/runner/table.js';
import type { Ratio } from '../../bench/runner/types.js';
import { fewest } from '../../bench/suite/linear-gates.js';
import { InputError } from '../../src/errors.js';

const ratio = (what: string, more: Partial<Ratio> = {}): Ratio => ({
  what,
  against: 'limit',
  ours: 1,
  peer: 2,
  unit: 's',
  ratio: 0.5,
  low: 0.4,
  high: 0.6,
  rounds: 3,
  note: '',
  ...more,
});

describe('the fewest iterations that are enough', () => {
  const found = async (guess: number, least: number, last = 1000) => {
    const tried: number[] = [];
    const enough = async (count: number) => {
      tried.push(count);
      return count >= least ? true : count >= last ? undefined : false;
    };
    return { fewest: await fewest(guess, 1000, enough), tried };
  };

  it('are found to a tenth, by doubling and halving', async () => {
    for (const [guess, least] of [
      [40, 1],
      [40, 300],
      [40, 1000],
      [2000, 999],
    ] as const) {
      expect((await found(guess, least)).fewest, `${least} from ${guess}`).to.be.within(least, 1.1 * least + 1);
    }
  });

  it('are not found where the most are not enough, or more are not to be tried', async () => {
    expect(await found(40, 2000)).to.deep.equal({ fewest: undefined, tried: [40, 80, 160, 320, 640, 1000] });
    expect(await found(40, 2000, 100)).to.deep.equal({ fewest: undefined, tried: [40, 80, 160] });
  });
});

describe('rounds of a benchmark', () => {
  it('run in turn, one of each untimed before, forwards and backwards', async () => {
    const order: string[] = [];
    let calls = 0;
    const works = ['a', 'b', 'c'].map((name) => () => {
      order.push(name);
      return calls++;
    });
    const found = await allInTurn(works, { rounds: 2, restMs: 0 });
    expect(order.join('')).to.equal('abc' + 'abc' + 'cba');
    expect(found).to.deep.equal([
      [3, 8],
      [4, 7],
      [5, 6],
    ]);
  });

  it('go on until the seconds are over', async () => {
    const pairs = await inTurn(
      () => 1,
      () => 2,
      { rounds: 1, seconds: 0.05, restMs: 5 },
    );
    expect(pairs.length).to.be.greaterThan(1);
  });

  it('give the median of the ratios, not the ratio of the medians, and its quartiles', () => {
    const pairs = [
      { ours: 1, peer: 1 },
      { ours: 2, peer: 10 },
      { ours: 10, peer: 2 },
      { ours: 3, peer: 4 },
      { ours: 8, peer: 2 },
    ];
    const { ours, peer, ratio, low, high, rounds } = ratioOf(pairs, { what: 'x', against: 'y', unit: 'ms' });
    expect([ours, peer, ratio, low, high, rounds]).to.deep.equal([3, 2, 1, 0.75, 4, 5]);
    expect(quantile([1, 2, 3, 4], 0.25)).to.equal(1.75); // R: quantile(1:4, 0.25)
  });
});

describe('the table of ratios', () => {
  it('says whether a target is met, and nothing where there is none', () => {
    expect(isMet(ratio('a', { target: { atLeast: 0.5 } }))).to.equal(true);
    expect(isMet(ratio('a', { target: { atLeast: 0.51 } }))).to.equal(false);
    expect(isMet(ratio('a', { target: { atMost: 0.49 } }))).to.equal(false);
    expect(isMet(ratio('a'))).to.equal(undefined);
    const text = renderRatios([ratio('one', { target: { atMost: 0.1 }, note: 'why' }), ratio('two')]);
    expect(text).to.match(/one .*0\.500 \(0\.400-0\.600\).*<= 0\.1 .*NO/);
    expect(text).to.match(/two [^\n]*3 │\s+│\s+│/);
    expect(text.split('\n').at(-1)).to.equal('one: why');
  });
});

describe('results/bench.csv', () => {
  const conditions: Conditions = { date: '2026-01-02', processor: 'P', cores: 2, system: 'S', versions: 'node 20' };
  const order = ['first', 'second'];
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dgate-bench-test-'));
    path = join(folder, 'bench.csv');
  });
  afterEach(() => rm(folder, { recursive: true }));
  const lines = async (): Promise<Record<string, string>[]> => parse(await readFile(path, 'utf8'), { columns: true });

  it('holds the lines of each benchmark in their order; a run replaces its own only', async () => {
    await saveRatios(path, 'second', [ratio('x'), ratio('y')], conditions, order);
    await saveRatios(path, 'first', [ratio('z', { target: { atMost: 1 }, note: 'a, "b"' })], conditions, order);
    await saveRatios(path, 'second', [ratio('x', { ours: 1 / 3 })], { ...conditions, date: '2026-01-03' }, order);
    const found = await lines();
    expect(found.map(({ benchmark, what, date }) => [benchmark, what, date])).to.deep.equal([
      ['first', 'z', '2026-01-02'],
      ['second', 'x', '2026-01-03'],
    ]);
    expect(found[0]).to.include({ target: '<= 1', met: 'yes', note: 'a, "b"', processor: 'P', versions: 'node 20' });
    expect(found[1]).to.include({ ours: '0.333333', target: '', met: '' });
  });

  it('keeps what a peer that is missing was measured against', async () => {
    const against = (peer: string): Ratio => ratio('x', { against: peer });
    await saveRatios(path, 'first', [against('limit'), against('PyTorch, hooks')], conditions, order);
    const later = { ...conditions, date: '2026-01-03' };
    await saveRatios(path, 'first', [against('limit')], later, order, (peer) => peer.startsWith('PyTorch'));
    const found = (await lines()).map((line) => `${line['against']} ${line['date']}`);
    expect(found.sort()).to.deep.equal(['PyTorch, hooks 2026-01-02', 'limit 2026-01-03']);
  });

  it('holds lines of AVX2 alone beside those of all that the processor has', async () => {
    const hidden = { ...conditions, processor: 'P (AVX2, all others hidden from programs by avx2.c)' };
    await saveRatios(path, 'first', [ratio('x')], conditions, order);
    await saveRatios(path, 'first', [ratio('x'), ratio('y')], hidden, order);
    await saveRatios(path, 'first', [ratio('x')], { ...hidden, date: '2026-01-03' }, order);
    const found = (await lines()).map(({ what, date }) => `${what} ${date}`);
    expect(found).to.deep.equal(['x 2026-01-02', 'AVX2 alone: x 2026-01-03']);
  });

  it('is not written over where it is something else', async () => {
    await writeFile(path, 'a,b\n1,2\n');
    let error: unknown;
    await saveRatios(path, 'first', [ratio('x')], conditions, order).catch((thrown: unknown) => {
      error = thrown;
    });
    expect(error).to.be.instanceOf(InputError);
    expect(await readFile(path, 'utf8')).to.equal('a,b\n1,2\n');
  });
});

describe('what a benchmark is run with', () => {
  it('peers that cannot be imported are not there', () => {
    expect([...peerVersions(['torch'], '/nonexistent/python')]).to.deep.equal([]);
    expect([...peerVersions(['torch'], '/bin/false')]).to.deep.equal([]);
  });

  it('time in a profile goes to the package, the folder or what Node does', () => {
    const frame = (functionName: string, url: string) => ({ functionName, url });
    const nodes = [
      { id: 1, callFrame: frame('(idle)', '') },
      { id: 2, callFrame: frame('f', 'file:///x/node_modules/@a/b/node_modules/zod/index.js') },
      { id: 3, callFrame: frame('g', 'file:///x/dist/src/gates/gate.js') },
      { id: 4, callFrame: frame('link', 'node:internal/modules/esm/loader') },
    ];
    const parts = partsOf({ nodes, samples: [1, 2, 3, 2, 4], timeDeltas: [1000, 2000, 3000, 4000, -5] });
    expect(parts).to.deep.equal([
      { name: 'zod', ms: 6 },
      { name: 'src/gates', ms: 3 },
      { name: 'waiting', ms: 1 },
      { name: 'loading modules', ms: 0 },
    ]);
  });
});

describe('npm run bench', () => {
  const main = fileURLToPath(new URL('../../bench/main.ts', import.meta.url));
  const bench = (...args: string[]) =>
    spawnSync(process.execPath, ['--import', 'tsx', main, ...args], { encoding: 'utf8' });

  it('--list has a line for every benchmark', () => {
    const { status, stdout, stderr } = bench('--list');
    expect([status, stderr]).to.deep.equal([0, '']);
    const names = stdout
      .trim()
      .split('\n')
      .map((line) => /^(\S+) +\S.{10}/.exec(line)?.[1]);
    expect(names).to.deep.equal([
      ...['extraction', 'hinge', 'cross-entropy', 'thresholds', 'dynamic', 'efficiency', 'warm', 'memory'],
      ...['cold', 'growth', 'training', 'rivals', 'disk'],
    ]);
  });

  it('an unknown name or option is one line and exit status 2', () => {
    for (const args of [['extractoin'], ['--nonsense']]) {
      const { status, stdout, stderr } = bench(...args);
      expect([status, stdout]).to.deep.equal([2, '']);
      expect(stderr).to.match(/^bench: .*(extractoin: valid: extraction, hinge|nonsense).*\n$/);
    }
  });
});
