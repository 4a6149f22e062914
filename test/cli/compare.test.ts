import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { compareRuns, openRun } from '../../src/batch/compare.js';

import { captioned, comparisonCsv, comparisonText, renderComparison } from '../../src/cli/comparison.js';
import { InputError } from '../../src/errors.js';
import { pairedInterval } from '../../src/statistics/intervals.js';
import { writeSealed } from '../../src/store/files.js';
import { rejection } from '../data/smallCifar10.js';

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

  it('keeps rows apart whose thresholds are the same in two digits, with their seeds, and time budgets by their milliseconds', async () => {
    const rowsOf = (name: string, seed: number, ...accuracies: readonly number[]) => {
      const fixed = accuracies.map((accuracy) => row({ model: 'dg(0.70)', accuracy }));
      const timed = row({ model: `dg(${seed})`, latencyMs: 2, accuracy: 0.5 + seed / 10 });
      return write(`mine/x-${name}${seed}`, { ...record('hinge', seed, 0), rows: [...fixed, timed] });
    };
    for (const seed of [0, 1]) {
      await rowsOf('a', seed, 0.7, 0.9);
      await rowsOf('b', seed, 0.7, 0.9 + (seed + 1) / 100);
    }
    const [a, b] = await Promise.all(
      ['a', 'b'].map(async (name) => {
        const runs = [0, 1].map((seed) => `mine/x-${name}${seed}`);
        await write(`mine/x-seeds-${name}`, { ...record('', 0, 0), seeds: [0, 1], runs });
        return openRun(`mine/x-seeds-${name}`, results);
      }),
    );
    const { results: found, equalRows } = compareRuns(a!, b!);
    expect(equalRows).to.equal(2);
    expect(found.map(({ row, difference }) => [row, difference?.toFixed(3)])).to.deep.equal([
      ['dg(0.70), number 2', '0.015'],
    ]);
    expect(found[0]!.interval![0]).to.be.closeTo(pairedInterval([0.01, 0.02]).low, 1e-9);
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
    expect(await problem('mine')).to.match(/^mine: 14 runs; valid: mine\/smoke-a0, /);
  });

  it('compares several with the first, row by row, in one table', async () => {
    const runs = await Promise.all(
      ['mine/smoke-a0', 'mine/smoke-b0', 'mine/smoke-b1'].map((name) => openRun(name, results)),
    );
    const comparisons = runs.slice(1).map((other) => compareRuns(runs[0]!, other));
    const lines = comparisonText(comparisons, results, 'markdown').split('\n');
    expect(lines[0]).to.equal('A: mine/smoke-a0, B: mine/smoke-b0, C: mine/smoke-b1');
    expect(lines).to.include('| definition.gates.loss | hinge | cross-entropy | cross-entropy |');
    expect(lines).to.include('| margin 0.01, joint | accuracy (%) | 80.00 | 83.00 (+3.00) | 84.00 (+4.00) |');
    const csv = comparisonCsv(comparisons).split('\n');
    expect(csv[0]).to.match(/^b_run,kind,/);
    expect(csv.slice(1).every((line) => line === '' || /smoke-b[01],/.test(line))).to.equal(true);
  });

  it('compares a run by its table.csv alone, rows by margin and search, across tables', async () => {
    await mkdir(join(results, 'committed/laptop-1'), { recursive: true });
    const head =
      'model,margin_fraction,search,guaranteed_drop_fraction,guarantee_confidence_fraction,accuracy_fraction,accuracy_drop_fraction,flops_per_image,flops_reduction_fraction,speed_ms,exit1_fraction,exit2_fraction';
    const table = [
      head,
      'cascade(0.9),0.01,joint,,,0.85,0,100,0,,0.5,0.5',
      'cascade(0.9),0.02,joint,,,0.8,0.1,50,0.5,,0.9,0.1',
      'Original,,,,,0.9,0,100,0,,0,1',
    ];
    await writeFile(join(results, 'committed/laptop-1/table.csv'), table.join('\n'));
    const comparison = compareRuns(await openRun('mine/smoke-a0', results), await openRun('committed', results));
    expect(comparison.basisUnknown).to.equal(true);
    const both = comparison.results.filter(({ a, b }) => a !== null && b !== null);
    expect(both.map(({ row: name, quantity, a, b }) => [name, quantity, a, b])).to.deep.equal([
      ['margin 0.01, joint', 'accuracy_fraction', 0.8, 0.85],
    ]);
    const text = comparisonText([comparison], results, 'table');
    expect(text).to.contain('in B, not in A: margin 0.02, joint').and.to.contain('table.csv alone');
    await writeFile(join(results, 'committed/laptop-1/table.csv'), 'notes\n');
    const problem = await rejection(openRun('committed', results));
    expect(problem.message).to.match(/table\.csv: no rows of models; valid: a run's table\.csv$/);
    await rm(join(results, 'committed'), { recursive: true });
  });

  it('compares rows of one time, and without labels the answers that differ', async () => {
    const budgeted = (accuracy: number | null, disagreement: number) => {
      return { ...record('hinge', 0, 0), rows: [row({ latencyMs: 2, accuracy, accuracyDrop: null, disagreement })] };
    };
    const pair = async (accuracy: number | null) => {
      await write('timed/smoke-1', budgeted(accuracy, 0.1));
      await write('timed/smoke-2', budgeted(accuracy, 0.25));
      const [a, b] = [await openRun('timed/smoke-1', results), await openRun('timed/smoke-2', results)];
      return compareRuns(a, b).results.map(({ row: name, quantity, difference }) => [name, quantity, difference]);
    };
    expect(await pair(null)).to.deep.equal([['at most 2 ms', 'disagreement_fraction', 0.15]]);
    expect(await pair(0.9)).to.deep.equal([]);
  });

  it('a table of its own: caption and cells that no format takes for its own signs', () => {
    const [head, rows] = [['Row', 'A'], [['a|b_c<i>', '5 ±1%']]];
    expect(captioned('50 % & more', head, rows, 'latex'))
      .to.contain('\\caption{50 \\% \\& more}')
      .and.contain('a\\textbar{}b\\_c\\textless{}i');
    expect(captioned('<b>', head, rows, 'html'))
      .to.contain('<caption>&lt;b&gt;</caption>')
      .and.contain('<td>a|b_c&lt;i&gt;</td>');
    expect(captioned('x', head, rows, 'markdown')).to.contain('| a\\|b_c\\<i\\> | 5 ±1% |');
  });

  it('its LaTeX compiles (needs pdflatex)', async function () {
    if (spawnSync('pdflatex', ['--version']).status !== 0) return this.skip();
    const rows = [['dg(1.00 | closed)', '≤0.5% at 95%'.replace('≤', '<='), '5.00 ±0.10%']];
    const table = captioned('Rows of a_b & c, 95 %', ['Model', 'Margin', 'Drop'], rows, 'latex');
    const text = `\\documentclass{article}\\begin{document}\n${table}\n\\end{document}\n`;
    await writeFile(join(results, 'table.tex'), text);
    const run = spawnSync('pdflatex', ['-halt-on-error', 'table.tex'], { cwd: results, encoding: 'utf8' });
    expect(run.status, run.stdout).to.equal(0);
  });

  it('prints Markdown and LaTeX that hold what a table would break on', () => {
    const tables = [{ title: 'What', head: ['Row', 'A'], rows: [['a|b_c', '5 %']] }];
    expect(renderComparison({ title: 'A, B', tables, notes: [] }, 'markdown')).to.include('| a\\|b_c | 5 % |');
    expect(renderComparison({ title: 'A, B', tables, notes: [] }, 'latex')).to.include(
      'a\\textbar{}b\\_c & 5 \\% \\\\',
    );
  });
});
