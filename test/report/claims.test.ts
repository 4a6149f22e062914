import { expect } from 'chai';
import {
  briefClaimLines,
  type ClaimOnRecord,
  claimLines,
  type ExperimentSummary,
  renderReadme,
  renderSummary,
} from '../../src/report/claims.js';
import { type Claim, cellText, heading } from '../../src/report/findings.js';

const claim = (change: Partial<Claim> = {}): Claim => ({
  id: 'figure5-flops',
  source: 'Figure 5',
  statement: 'Thresholds (0, 0) divide the FLOPs',
  printed: '6 x',
  rule: 'at least 6.00 x',
  measured: '2.2 x | [2.1, 2.3]',
  verdict: 'holds',
  chance: 0.025,
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
    expect(cells[1]).to.deep.equal(['', 'figure5', 'done', '1', '1', '', '2.3', 'figure5/laptop-12ab', '']);
    expect(cells[2]).to.deep.equal(['', 'imagenet', 'failed', '', '', '1', '0.1', '', '']);
    expect(lines.slice(lines.indexOf('Failed'))).to.deep.equal([
      'Failed',
      'imagenet: no checkpoint',
      'What differs from the paper',
      'does not hold  Figure 5: Nothing is lost; paper: 6 x; here: 2.2 x | [2.1, 2.3]; a narrow network',
      'more claims of the paper, in the report.html of each run: 1 that cannot be checked here',
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
  const onRecord = (change: Partial<ClaimOnRecord> = {}): ClaimOnRecord => {
    return { ...claim(), experiment: 'figure5', folder: 'figure5/laptop-12ab', isPaper: false, ...change };
  };
  const lineOf = (...claims: ClaimOnRecord[]): string =>
    renderReadme(results, claims, origin)
      .split('\n')
      .filter((line) => line.startsWith('| Figure'))
      .join('\n');

  it('has a line for each claim: the rule, and what the runs of either kind of network decide', () => {
    expect(lineOf(onRecord())).to.equal(
      '| Figure 5 | Thresholds (0, 0) divide the FLOPs | 6 x | at least 6.00 x | no run on record | ' +
        '**cannot be checked here** | 2.2 x \\| \\[2.1, 2.3\\] ([claims.csv](figure5/laptop-12ab/claims.csv), ' +
        't1 = 0, t2 = 0) | **holds** |',
    );
    const paper = onRecord({ isPaper: true, folder: 'figure5/paper-1', verdict: 'does not hold', why: 'missed' });
    expect(lineOf(onRecord(), paper)).to.match(/\| \*\*does not hold\*\*: missed \| .*\| \*\*holds\*\* \|$/);
  });

  it("is undecided where runs of the paper's network disagree; one that cannot check has no say", () => {
    const paper = (verdict: ClaimOnRecord['verdict']) =>
      onRecord({ isPaper: true, verdict, folder: `f/${verdict[0]}` });
    expect(lineOf(paper('holds'), paper('does not hold'))).to.contain('| **undecided** |');
    expect(lineOf(paper('holds'), paper('cannot be checked here'))).to.contain('| **holds** |');
  });

  it('names command, machine, versions and date, counts verdicts and those wrong by chance, and lists failures', () => {
    const text = renderReadme(
      results,
      [onRecord(), onRecord({ id: 'other', verdict: 'undecided', chance: 0 })],
      origin,
    );
    for (const value of ['`dgate run all --preset laptop`', '2026-11-22', 'AMD EPYC, 2 cores', 'dgate 0.1.0']) {
      expect(text).to.contain(`| ${value} |`);
    }
    expect(text).to.contain('| On small networks | 1 holds, 0 does not hold, 1 undecided, 0 cannot be checked here |');
    expect(text).to.match(/Wrong by chance \| at most 0\.0 and 0\.0 of these/);
    expect(text).to.contain('**imagenet failed:** no checkpoint\n');
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
    const unchecked = claim({ verdict: 'cannot be checked here' });
    expect(claimLines([claim(), unchecked])).to.have.length(2);
    expect(briefClaimLines([claim(), ...Array(1001).fill(unchecked)])).to.deep.equal([
      ...claimLines([claim()]),
      'more claims of the paper, in report.html and table.txt: 1,001 that cannot be checked here',
    ]);
    expect(briefClaimLines([claim()])).to.deep.equal(claimLines([claim()]));
    const many = briefClaimLines([...Array(9).fill(claim()), unchecked]);
    expect(many.slice(0, -1)).to.deep.equal(claimLines(Array(6).fill(claim())));
    expect(many.at(-1)).to.match(/more claims of the paper, .*: 3, and 1 that cannot be checked here$/);
    expect(claimLines([claim(), claim({ verdict: 'does not hold' })])[0]).to.equal(
      'holds          Figure 5: Thresholds (0, 0) divide the FLOPs; paper: 6 x; here: 2.2 x | [2.1, 2.3]',
    );
  });
});
