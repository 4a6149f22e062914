import { expect } from 'chai';
import { withinColumns } from '../../src/progress.js';
import { gigaFlops, renderColumns } from '../../src/report/findings.js';
import { areasOf, modelName, type TableRow } from '../../src/report/rows.js';
import { renderTable, tableCells } from '../../src/report/table.js';
import { tableRows } from '../../src/run/rows.js';
import type { RunOutcome } from '../../src/run/stages.js';
import { original, row } from './rows.js';

/** Cells of each line between the borders, without the padding. */
const cellsOf = (text: string): string[][] =>
  text
    .split('\n')
    .filter((line) => line.startsWith('│'))
    .map((line) =>
      line
        .slice(1, -1)
        .split('│')
        .map((cell) => cell.trim()),
    );

/** Headings and lines, as the console and the page have them. */
const table = (...rows: TableRow[]): (readonly string[])[] => {
  const { head, lines } = tableCells(rows);
  return [head, ...lines.map(({ cells }) => cells)];
};

describe('renderTable', () => {
  it("has the paper's columns, then the exits; the original has no reduction", () => {
    expect(table(row(), original)).to.deep.equal([
      ['Model', 'ACC.', 'Drop', 'FLOPs (G)', 'FLOPs Reduction', 'Exits 1, 2, last (%)'],
      ['dg(1.25, 2.00)', '92.51%', '0.88%', '1.23', '75.40%', '50.0 25.0 25.0'],
      ['Original', '93.39%', '', '5.02', '', ' 0.0  0.0 100.0'],
    ]);
  });

  it('has half of the interval beside differences from the original', () => {
    const fixed = { accuracy: [0.92, 0.93], flops: [1e9, 1.1e9] } as const;
    const intervals = { ...fixed, accuracyDrop: [0.0068, 0.0108], flopsReduction: [0.748, 0.761] } as const;
    const [, shown] = table(row({ intervals }), { ...original, intervals });
    expect([shown![2], shown![4]]).to.deep.equal(['0.88 ±0.20%', '75.40 ±0.65%']);
  });

  it('names the search of a row if there are two, and its guarantee', () => {
    const guarantee = { drop: 0.005, confidence: 0.95, parts: [] };
    const rows = [
      row({ margin: 0.017, search: 'sequential' }),
      row({ margin: 0.017, search: 'joint' }),
      row({ guarantee }),
    ];
    expect(table(...rows, original).map((cells) => cells[1])).to.deep.equal([
      'Margin',
      '1.7% seq.',
      '1.7% joint',
      '<=0.5% at 95%',
      '',
    ]);
    expect(table(rows[1]!, original)[1]![1]).to.equal('1.7%');
  });

  it('shows how accuracies of several seeds differ', () => {
    const accuracy = { lowest: 0.919, highest: 0.9305, deviation: 0.005 };
    const spread = { accuracy, accuracyDrop: accuracy, flops: accuracy, flopsReduction: accuracy };
    const [head, shown, last] = table(row({ spread, seeds: [0, 1] }), original);
    expect([head![2], shown![2], last![2]]).to.deep.equal(['of seeds', '91.90..93.05%', '']);
  });

  it('has a column of margins if thresholds were searched', () => {
    const [head, searched, fixed, last] = table(row({ margin: 0.005 }), row(), original);
    expect(head!.slice(0, 3)).to.deep.equal(['Model', 'Margin', 'ACC.']);
    expect([searched![1], fixed![1], last![1]]).to.deep.equal(['0.5%', '', '']);
    expect(table(row({ margin: 0 }), original)[1]![1]).to.equal('0.0%');
  });

  it('has columns of speed if it was measured', () => {
    const [head, timed, last] = table(row({ speedMs: 8.125, speedUp: 0.61 }), { ...original, speedMs: 36 });
    expect(head!.slice(4, 7)).to.deep.equal(['FLOPs Reduction', 'Speed (ms)', 'Speed-up']);
    expect(timed!.slice(5, 7)).to.deep.equal(['8.13', '61.00%']);
    expect(last!.slice(5, 7)).to.deep.equal(['36.00', '']);
  });

  it('shows gates that cost more than they save', () => {
    expect(table(row({ flopsReduction: -0.012 }), original)[1]![4]).to.equal('-1.20%');
  });

  it('aligns its columns: text left, numbers right', () => {
    const lines = renderTable([row(), original]).split('\n');
    expect(new Set(lines.map((line) => line.length)).size).to.equal(1);
    expect(lines.find((line) => line.includes('Original'))).to.match(/^│ Original +│ 93\.39% │ +│ +5\.02 │/);
  });
});

describe('tableRows', () => {
  // The parts of an outcome that rows are made from.
  const intervals = {
    accuracy: { low: 0.91, high: 0.93 },
    accuracyDrop: { low: 0, high: 0.02 },
    flops: { low: 200, high: 300 },
  };
  const outcome = {
    experiment: { network: 'resnet20-cifar10', seed: 4, thresholds: { margins: [0.01], search: ['joint'] } },
    original: { accuracy: 0.93, flops: 1000, count: 200 },
    published: [],
    exitCosts: [100, 400, 1010],
    rows: [
      {
        kind: 'margin',
        margin: 0.01,
        search: 'joint',
        intervals,
        thresholds: [
          [1.25, Infinity],
          [1.5, 2],
        ],
        evaluation: { accuracy: 0.92, flops: 250, exits: [100, 60, 40], correct: 184, count: 200 },
      },
      {
        kind: 'fixed',
        intervals,
        thresholds: [
          [0, 0],
          [0, 0],
        ],
        evaluation: { accuracy: 0.94, flops: 1010, exits: [0, 0, 200], correct: 188, count: 200 },
      },
    ],
  } as unknown as RunOutcome;
  const [searched, fixed, last] = tableRows(outcome);

  it('are fractions of the images and of the original', () => {
    expect(searched).to.deep.include({ margin: 0.01, accuracy: 0.92, flops: 250, flopsReduction: 0.75 });
    expect(searched!.accuracyDrop).to.be.closeTo(0.01, 1e-12);
    expect(searched!.exits).to.deep.equal([0.5, 0.3, 0.2]);
    expect(fixed!.margin).to.equal(null);
    expect(fixed!.accuracyDrop).to.be.closeTo(-0.01, 1e-12);
    expect(fixed!.flopsReduction).to.be.closeTo(-0.01, 1e-12);
  });

  it('have null, which JSON can hold, for a gate that is closed', () => {
    expect(searched!.thresholds).to.deep.equal([
      [1.25, null],
      [1.5, 2],
    ]);
    expect(searched!.model).to.equal('dg(1.25, closed | 1.50, 2.00)');
  });

  it('end with the original, which uses the last exit and no gates', () => {
    const { intervals: found, ...rest } = last!;
    const { intervals: _, ...plain } = original;
    expect(rest).to.deep.equal({ ...plain, accuracy: 0.93, flops: 1000, seeds: [4] });
    expect(found).to.deep.include({ accuracyDrop: [0, 0], flops: [1000, 1000], flopsReduction: [0, 0] });
    const [low, high] = found!.accuracy!; // 186 of 200: about 2 standard errors of 1.8 points
    expect(low).to.be.within(0.88, 0.91);
    expect(high).to.be.within(0.95, 0.98);
  });

  it('have the ends of intervals, how they were searched and the seed', () => {
    expect(searched!.intervals).to.deep.equal({
      accuracy: [0.91, 0.93],
      accuracyDrop: [0, 0.02],
      flops: [200, 300],
      flopsReduction: [0.7, 0.8],
    });
    expect([searched!.search, fixed!.search, searched!.seeds, searched!.guarantee]).to.deep.equal([
      'joint',
      null,
      [4],
      null,
    ]);
  });
});

describe('names and numbers', () => {
  it('gigaFlops: two decimals from 1 G on, three digits below', () => {
    const shown: [number, string][] = [
      [5_019_967_488, '5.02'],
      [2_727_777_792, '2.73'],
      [15_602_810_880, '15.60'],
      [1e9, '1.00'],
      [250_971_392, '0.251'],
      [81_102_080, '0.0811'],
      [1_234_000, '0.00123'],
    ];
    for (const [flops, text] of shown) expect(gigaFlops(flops)).to.equal(text);
  });

  it('modelName: thresholds of each fold, equal ones once', () => {
    expect(modelName([[1.25, 2]])).to.equal('dg(1.25, 2.00)');
    expect(
      modelName([
        [0, 0],
        [0, 0],
      ]),
    ).to.equal('dg(0.00, 0.00)');
    expect(
      modelName([
        [1.25, 2],
        [1.31, 1.965],
      ]),
    ).to.equal('dg(1.25, 2.00 | 1.31, 1.97)');
    expect(modelName([[Infinity, -0.5]])).to.equal('dg(closed, -0.50)');
  });

  it('tables take the width of the terminal: essential columns, then the first is cut; empty columns are left out', () => {
    const head = [
      'Model',
      'Margin',
      'ACC.',
      'Drop',
      'FLOPs\n(G)',
      'FLOPs\nReduction',
      'Speed\n(ms)',
      'Exits\n1, last (%)',
      'None',
    ];
    const rows = [
      [
        '  paper: dg(1.0, 0.6,1.5)',
        '2.7% joint',
        '87.20%',
        '2.47 ±0.48%',
        '0.193',
        '55.61 ±0.75%',
        '6.39',
        '53.3 45.7',
        '',
      ],
    ];
    const wide = renderColumns(head, rows);
    expect(wide).not.to.contain('None');
    for (const columns of [80, 100, 120]) {
      const text = withinColumns(columns, () => renderColumns(head, rows));
      const lines = text.split('\n').filter((line) => /[│┌]/.test(line));
      for (const line of lines) expect([...line].length, `${columns}`).to.be.at.most(columns);
      for (const kept of ['ACC.', 'Drop', 'Reduction']) expect(text).to.contain(kept);
      expect(text.includes('--wide')).to.equal(columns < 120);
    }
    expect(renderColumns(head, rows)).to.equal(wide); // files and pipes have everything
  });

  it('renderColumns: any table, text to the left on request', () => {
    const numbers = renderColumns(
      ['name', 'n'],
      [
        ['a', '1'],
        ['b', '100'],
      ],
    );
    expect(cellsOf(numbers)).to.deep.equal([
      ['name', 'n'],
      ['a', '1'],
      ['b', '100'],
    ]);
    expect(numbers).to.contain('│   1 │');
    expect(
      renderColumns(
        ['name', 'n'],
        [
          ['a', '1'],
          ['b', '100'],
        ],
        'text',
      ),
    ).to.contain('│ 1   │');
  });
});

describe('the area under accuracy against FLOPs', () => {
  const at = (flopsReduction: number, accuracy: number, change: Partial<TableRow>) =>
    row({ flopsReduction, accuracy, ...change });
  const sequential = { margin: 0.01, search: 'sequential' } as const;
  const joint = { margin: 0.01, search: 'joint' } as const;
  const last = row({ thresholds: [], flopsReduction: 0, accuracy: 0.9 });

  it('is the mean between the dearest of the cheapest rows and the original, by straight lines', () => {
    // Sequential from half the FLOPs, joint from a quarter: compared from half on.
    const rows = [
      at(0.5, 0.8, sequential),
      at(0.25, 0.9, sequential),
      at(0.75, 0.7, joint),
      at(0.25, 0.9, joint),
      last,
    ];
    const [first, second] = areasOf(rows);
    expect(first).to.deep.include({ rows: 'sequential', from: 0.5 });
    expect(first!.area).to.be.closeTo((0.25 * 0.85 + 0.25 * 0.9) / 0.5, 1e-12);
    expect(second).to.deep.include({ rows: 'joint', from: 0.5 });
    expect(second!.area).to.be.closeTo((0.25 * (0.8 + 0.9) * 0.5 + 0.25 * 0.9) / 0.5, 1e-12);
  });

  it('knows budgets and disagreements apart, and agreement where there are no labels', () => {
    const rows = [
      at(0.5, 0.8, { search: 'joint', budget: 0.5 }),
      at(0.25, 0.85, { search: 'joint', budget: 0.75 }),
      at(0.5, 0.8, { search: 'joint', allowedDisagreement: 0.1 }),
      last,
    ];
    expect(areasOf(rows).map((area) => area.rows)).to.deep.equal(['budget']);
    const unlabelled = [...rows.slice(0, 2), { ...last, disagreement: 0 }].map((each) => ({ ...each, accuracy: null }));
    expect(areasOf(unlabelled)[0]!.area).to.be.within(0.97, 1);
  });

  it('is not there for single rows, nor of rows as dear as the original', () => {
    expect(areasOf([at(0.5, 0.8, joint), last])).to.deep.equal([]);
    expect(areasOf([at(0, 0.9, joint), at(-0.01, 0.9, joint), last])).to.deep.equal([]);
  });
});
