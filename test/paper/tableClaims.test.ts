import { expect } from 'chai';
import { compareToPrinted, type TableRun, tableClaims } from '../../src/paper/tableClaims.js';
import { original, row } from '../report/rows.js';

const printed = {
  model: 'dg(1.0, 0.6,1.5)',
  accuracy: 0.9199,
  flops: 2.22e9,
  flopsReduction: 0.5577,
  speedMs: 6.39,
  speedUp: 0.5571,
};
const printedOriginal = {
  model: 'Original',
  accuracy: 0.9471,
  flops: 5.02e9,
  flopsReduction: null,
  speedMs: 14.43,
  speedUp: null,
};

/** A row searched for the printed margin of 2.7 points. */
function searched(drop: [number, number, number], reduction: [number, number, number]) {
  return row({
    margin: 0.027,
    accuracyDrop: drop[1],
    flopsReduction: reduction[1],
    intervals: {
      accuracy: [0, 1],
      accuracyDrop: [drop[0], drop[2]],
      flops: [0, 1],
      flopsReduction: [reduction[0], reduction[2]],
    },
    published: printed,
  });
}

const run = (...rows: TableRun['rows']): TableRun => ({
  name: 'table1',
  rows: [...rows, { ...original, published: printedOriginal }],
  network: 'resnet101-cifar10',
  texts: [
    {
      id: 'table1-abstract-flops',
      source: 'abstract',
      network: 'resnet101-cifar10',
      statement: 'FLOPs are reduced',
      printed: '44 %',
      quantity: 'flops_reduction_fraction',
      value: 0.44,
      tableRow: 1,
    },
  ],
});

const verdicts = (of: TableRun) => Object.fromEntries(tableClaims(of).map(({ id, verdict }) => [id, verdict]));

describe('tableClaims', () => {
  it('holds if no more is lost and as much is saved, throughout the intervals', () => {
    const found = verdicts(run(searched([0.02, 0.022, 0.025], [0.56, 0.57, 0.58])));
    expect(found).to.include({ 'table1-row1-searched': 'holds', 'table1-abstract-flops': 'holds' });
  });

  it('does not hold if either is missed throughout', () => {
    const dear = run(searched([0.02, 0.022, 0.025], [0.48, 0.49, 0.5]));
    expect(verdicts(dear)).to.include({ 'table1-row1-searched': 'does not hold', 'table1-abstract-flops': 'holds' });
    expect(tableClaims(dear)[0]!.why).to.match(/early gates/);
    const lossy = run(searched([0.03, 0.035, 0.04], [0.56, 0.57, 0.58]));
    expect(tableClaims(lossy)[0]).to.include({ verdict: 'does not hold' });
    expect(tableClaims(lossy)[0]!.why).to.match(/lose more on the test images/);
  });

  it('is undecided if an interval straddles the printed value', () => {
    const found = verdicts(run(searched([0.02, 0.022, 0.03], [0.56, 0.57, 0.58])));
    expect(found['table1-row1-searched']).to.equal('undecided');
  });

  it('judges the published thresholds, unchanged, and the searched ones', () => {
    const fixed = { ...searched([0.1, 0.11, 0.12], [0.6, 0.61, 0.62]), margin: null, model: 'dg(1.00, 0.60, 1.50)' };
    const [claim] = tableClaims(run(fixed));
    expect(claim).to.include({ id: 'table1-row1-fixed', verdict: 'does not hold' });
    expect(claim!.trace).to.deep.equal({ file: 'table.csv', row: 'dg(1.00, 0.60, 1.50)' });
    expect(claim!.measured).to.contain('61.00 % [60.00, 62.00] fewer FLOPs at 11.00 points [10.00, 12.00]');
  });

  it('leaves out rows of other margins than the published ones', () => {
    const other = { ...searched([0, 0.001, 0.002], [0.1, 0.1, 0.1]), margin: 0.001 };
    expect(Object.keys(verdicts(run(other)))).to.deep.equal(['table1-original']);
  });

  it("names another network than the paper's, and does not judge its accuracy", () => {
    const narrow = {
      ...run(searched([0.02, 0.022, 0.025], [0.56, 0.57, 0.58])),
      network: 'resnet101-width0.25-cifar10',
    };
    const claims = tableClaims(narrow);
    for (const { id, why } of claims) {
      expect(why, id).to.match(/resnet101-width0\.25-cifar10.*(not the paper's|another network)/);
    }
    expect(claims.find(({ id }) => id === 'table1-original')!.verdict).to.equal('cannot be checked here');
  });

  it('leaves claims about time to the speeds of the table', () => {
    const claim = tableClaims(run(searched([0, 0, 0], [1, 1, 1]))).find(({ id }) => id === 'table1-row1-speed')!;
    expect(claim.speed).to.deep.equal({ speedUp: 0.5571, model: 'dg(1.25, 2.00)' });
  });

  it('takes printed values as rounded to 0.01 %', () => {
    expect(compareToPrinted([0.5577, 0.56], 'at least', 0.5577)).to.equal('holds');
    expect(compareToPrinted([0.55766, 0.56], 'at least', 0.5577)).to.equal('holds');
    expect(compareToPrinted([0.5576, 0.56], 'at least', 0.5577)).to.equal('undecided');
    expect(compareToPrinted([0.02, 0.0279], 'at most', 0.027)).to.equal('undecided');
  });

  it('is empty for an experiment that reproduces no table', () => {
    expect(tableClaims({ ...run(), rows: [row(), original] })).to.deep.equal([]);
  });
});
