import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { compareRuns } from '../../src/batch/compare.js';
import { openRun } from '../../src/batch/compare-runs.js';
import { renderComparison } from '../../src/cli/comparison.js';
import { InputError } from '../../src/errors.js';
import { pairedInterval } from '../../src/statistics/intervals.js';
import { writeSealed } from '../../src/store/files.js';

/** A run's record, as far as a comparison reads it. */
const record = (loss: string, seed: number, accuracy: number) => ({
  experiment: 'mine',
  preset: 'smoke',
  engine: 'ort-cpu',
  seeds: [seed],
  definition: { name: 'mine', title: 'Mine', gates: { loss, epochs: 5 }, seed },
  checkpoint: { sha256: 'a'.repeat(64) },
  rows: [
    row({ margin: 0.01, search: 'joint', accuracy }),
    row({ model: 'Original', accuracy: 0.9, exits: [0, 1], thresholds: [] }),
  ],
});

const row = (own: object) => ({
  model: `dg(${JSON.stringify(own).length})`, // found, so not what tells rows apart
  margin: null,
  search: null,
  guarantee: null,
  thresholds: [[1]],
  accuracyDrop: 0,
  flops: 100,
  flopsReduction: 0,
  speedMs: null,
  exits: [0.5, 0.5],
  ...own,
});

describe('dgate compare', () => {
  let results: string;

  const write = async (folder: string, content: object): Promise<void> => {
    await writeSealed(join(results, folder, 'record.json'), content);
  };

  before(async () => {
    results = await mkdtemp(join(tmpdir(), 'dgate-compare-'));
    for (const seed of [0, 1, 2]) {
      await write(`mine/smoke-a${seed}`, record('hinge', seed, 0.8 + seed / 100));
      await write(`mine/smoke-b${seed}`, record('cross-entropy', seed, 0.83 + (seed === 2 ? 0.03 : seed / 100)));
    }
    for (const name of ['a', 'b']) {
      const runs = [0, 1, 2].map((seed) => `mine/smoke-${name}${seed}`);
      await write(`mine/smoke-seeds-${name}`, { ...record('', 0, 0), seeds: [0, 1, 2], runs });
    }
    await write('other/smoke-1', record('hinge', 0, 0.8));
  });
  after(() => rm(results, { recursive: true, force: true }));

  it('finds only what differs, in the definition and in the results', async () => {
    const {
      basis,
      results: found,
      equalRows,
      intervals,
    } = compareRuns(await openRun('mine/smoke-a0', results), await openRun(join(results, 'mine/smoke-b0'), results));
    expect(basis).to.deep.equal([{ path: 'definition.gates.loss', a: 'hinge', b: 'cross-entropy' }]);
    expect(found.map(({ row: name, quantity, a, b }) => [name, quantity, a, b])).to.deep.equal([
      ['margin 0.01, joint', 'accuracy_fraction', 0.8, 0.83],
    ]);
    expect(equalRows).to.equal(1);
    expect(intervals).to.equal(undefined);
  });

  it('finds nothing between a run and itself, by its folder or by the name of its experiment', async () => {
    const same = compareRuns(await openRun('other', results), await openRun('other/smoke-1', results));
    expect(same.basis).to.deep.equal([]);
    expect(same.results).to.deep.equal([]);
  });

  it('pairs the seeds that both have: the interval is that of the differences', async () => {
    const a = await openRun('mine/smoke-seeds-a', results);
    const b = await openRun('mine/smoke-seeds-b', results);
    const comparison = compareRuns(a, b);
    expect(comparison.intervals).to.equal('paired');
    const [{ difference, interval }] = comparison.results as [(typeof comparison.results)[number]];
    expect(difference).to.be.closeTo((0.03 + 0.03 + 0.04) / 3, 1e-12);
    const { low, high } = pairedInterval([0.03, 0.03, 0.04]);
    expect(interval![0]).to.be.closeTo(low, 1e-9);
    expect(interval![1]).to.be.closeTo(high, 1e-9);
  });

  it('says what there is where a name is none, or stands for several', async () => {
    const problem = async (name: string): Promise<string> => {
      const error = await openRun(name, results).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(error).to.be.instanceOf(InputError);
      return (error as InputError).message;
    };
    await mkdir(join(results, 'baseline')); // no run: not offered
    expect(await problem('nobody')).to.match(/^nobody: no run; valid: .*; runs there: mine, other$/);
    expect(await problem('mine')).to.match(/^mine: 8 runs; valid: mine\/smoke-a0, /);
  });

  it('prints Markdown and LaTeX that hold what a table would break on', () => {
    const tables = [{ title: 'What', head: ['Row', 'A'], rows: [['a|b_c', '5 %']] }];
    expect(renderComparison({ title: 'A, B', tables, notes: [] }, 'markdown')).to.include('| a\\|b_c | 5 % |');
    expect(renderComparison({ title: 'A, B', tables, notes: [] }, 'latex')).to.include('a|b\\_c & 5 \\% \\\\');
  });
});
