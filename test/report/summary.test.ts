import { expect } from 'chai';
import { claimLines, judgeSpeeds } from '../../src/report/claims.js';
import type { Claim } from '../../src/report/findings.js';
import { cellText, heading } from '../../src/report/format.js';
import { renderReadme } from '../../src/report/readme.js';
import { type ExperimentSummary, renderSummary } from '../../src/report/summary.js';
import { original, row } from './rows.js';

const claim = (change: Partial<Claim> = {}): Claim => ({
  id: 'figure5-flops',
  source: 'Figure 5',
  statement: 'Thresholds (0, 0) divide the FLOPs',
  printed: '6 x',
  measured: '2.2 x | [2.1, 2.3]',
  verdict: 'holds',
  trace: { file: 'claims.csv', row: 't1 = 0, t2 = 0' },
  ...change,
});

const results: ExperimentSummary[] = [
  {
    state: 'done',
    experiment: 'figure5',
    command: 'dgate run figure5 --preset laptop',
    folder: 'figure5/laptop-12ab',
    seconds: 2.25,
    claims: [claim(), claim({ verdict: 'does not hold', statement: 'Nothing is lost', why: 'a narrow network' })],
  },
  {
    state: 'failed',
    experiment: 'imagenet',
    command: 'dgate run imagenet --preset laptop',
    problem: 'no checkpoint',
    seconds: 0.05,
    claims: [claim({ verdict: 'cannot be checked here', measured: '', why: 'no checkpoint', source: 'abstract' })],
  },
];

describe('renderSummary', () => {
  it('lists results with their folders, failures with their reasons, and differences from the paper', () => {
    const lines = renderSummary(results, '/results').split('\n');
    expect(lines[0]).to.equal('Summary: 1 of 2 experiments done in 2.3 s; folders below /results');
    const cells = lines
      .filter((line) => line.startsWith('│'))
      .map((line) => line.split('│').map((cell) => cell.trim()));
    expect(cells[1]).to.deep.equal(['', 'figure5', 'done', '1', '1', '', '', '2.3', 'figure5/laptop-12ab', '']);
    expect(cells[2]).to.deep.equal(['', 'imagenet', 'failed', '', '', '', '1', '0.1', '', '']);
    expect(lines.slice(lines.indexOf('Failed'))).to.deep.equal([
      'Failed',
      'imagenet: no checkpoint',
      'What differs from the paper',
      'does not hold  Figure 5: Nothing is lost; paper: 6 x; here: 2.2 x | [2.1, 2.3]; a narrow network',
    ]);
  });
});

describe('renderReadme', () => {
  const origin = {
    command: 'dgate run all --preset laptop',
    preset: 'laptop',
    date: '2026-11-22',
    machine: 'AMD EPYC, 2 cores',
    versions: 'dgate 0.1.0',
  };

  it('has a row for each claim with the CSV row and the command that its value comes from', () => {
    const text = renderReadme(results, origin);
    const table = text.split('\n').filter((line) => line.startsWith('| Figure') || line.startsWith('| abstract'));
    expect(table).to.have.length(3);
    expect(table[0]).to.equal(
      '| Figure 5 | Thresholds (0, 0) divide the FLOPs | 6 x | 2.2 x \\| \\[2.1, 2.3\\] | **holds** | ' +
        '[claims.csv](figure5/laptop-12ab/claims.csv), t1 = 0, t2 = 0; `dgate run figure5 --preset laptop` |',
    );
    expect(table[1]).to.contain('**does not hold**: a narrow network');
    expect(table[2]).to.contain('**cannot be checked here**: no checkpoint | `dgate run imagenet --preset laptop` |');
  });

  it('names command, machine, versions and date, counts verdicts, and lists failures', () => {
    const text = renderReadme(results, origin);
    for (const value of ['`dgate run all --preset laptop`', '2026-11-22', 'AMD EPYC, 2 cores', 'dgate 0.1.0']) {
      expect(text).to.contain(`| ${value} |`);
    }
    expect(text).to.contain('1 holds, 1 does not hold, 0 undecided, 1 cannot be checked here');
    expect(text).to.contain('**imagenet failed:** no checkpoint\n');
    expect(renderReadme(results, origin)).to.equal(text);
  });
});

describe('judgeSpeeds', () => {
  const speed = { speedUp: 0.4, model: 'dg(1.25, 2.00)' };
  const judged = (speedUp: number | null) =>
    judgeSpeeds([claim({ speed, why: 'another network' }), claim()], [row({ speedUp }), original], 'table1');

  it('judges a claim about time by the speed in the table, and no other claim', () => {
    const [fast, other] = judged(0.41);
    expect(fast).to.include({ verdict: 'holds', measured: '41.0 % speed-up' });
    expect(fast!.why).to.match(/this machine.*; another network$/);
    expect(other).to.deep.equal(claim());
    expect(judged(0.2)[0]!.verdict).to.equal('does not hold');
  });

  it('names the command that times an untimed run', () => {
    expect(judged(null)[0]).to.include({
      verdict: 'cannot be checked here',
      measured: 'not timed',
      why: 'the run is not timed; to time it: dgate time table1; another network',
    });
  });
});

describe('findings for people', () => {
  it('have units in the headings and numbers in those units', () => {
    const read = (column: string, value: number) => `${heading(column)}: ${cellText(column, value)}`;
    expect(read('accuracy_drop_fraction', 0.01234)).to.equal('accuracy drop (%): 1.23');
    expect(read('flops_per_image', 2.22e9)).to.equal('FLOPs per image (G): 2.22');
    expect(read('speed_ms', 6.3912)).to.equal('speed (ms): 6.391');
    expect(read('gate1_right_images', 1450)).to.equal('gate1 right (images): 1,450');
    expect(read('images', 10000)).to.equal('images: 10,000');
    expect(read('t1', -0.1)).to.equal('t1: -0.1');
    expect(read('t1', Number.POSITIVE_INFINITY)).to.equal('t1: Infinity');
    expect(cellText('accuracy_fraction', null)).to.equal('');
  });

  it('have a line for each claim', () => {
    expect(claimLines([claim(), claim({ verdict: 'does not hold' })])[0]).to.equal(
      'holds          Figure 5: Thresholds (0, 0) divide the FLOPs; paper: 6 x; here: 2.2 x | [2.1, 2.3]',
    );
  });
});
