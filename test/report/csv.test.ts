import { expect } from 'chai';
import { renderCsv, type TableRow } from '../../src/report/rows.js';

import { original, row } from './rows.js';

/** Records by column name. Cells may be quoted, as the commas of a model's name make them; none holds a line break. */
function parse(rows: readonly TableRow[]): { header: string[]; records: Record<string, string>[] } {
  const text = renderCsv(rows);
  expect(text.endsWith('\n')).to.equal(true);
  const [header, ...records] = text
    .slice(0, -1)
    .split('\n')
    .map((line) =>
      [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map((m) => m[1]?.replaceAll('""', '"') ?? m[2]!),
    );
  for (const record of records) expect(record).to.have.length(header!.length);
  return { header: header!, records: records.map((cells) => Object.fromEntries(cells.map((c, i) => [header![i], c]))) };
}

describe('renderCsv', () => {
  it('has columns in a fixed order, with units', () => {
    expect(parse([row(), original]).header).to.deep.equal([
      'model',
      'margin_fraction',
      'search',
      'guaranteed_drop_fraction',
      'guarantee_confidence_fraction',
      't1',
      't2',
      'accuracy_fraction',
      'accuracy_drop_fraction',
      'flops_per_image',
      'flops_reduction_fraction',
      'speed_ms',
      'speed_up_fraction',
      'efficiency_fraction',
      'exit1_fraction',
      'exit2_fraction',
      'exit3_fraction',
      'accuracy_low_fraction',
      'accuracy_high_fraction',
      'accuracy_drop_low_fraction',
      'accuracy_drop_high_fraction',
      'flops_low_per_image',
      'flops_high_per_image',
      'flops_reduction_low_fraction',
      'flops_reduction_high_fraction',
      'seeds',
      'budget_fraction',
      'latency_budget_ms',
      'allowed_disagreement_fraction',
      'guarantee_of',
      'disagreement_fraction',
      'worst_class_drop_fraction',
    ]);
  });

  it('has plain numbers to the last digit, and empty cells for values that were not measured', () => {
    const precise = row({
      margin: 0.005,
      search: 'joint',
      guarantee: { drop: 0.007, confidence: 0.95, parts: [] },
      thresholds: [[Math.fround(1.1), -0.3333333432674408]],
      accuracy: 0.1 + 0.2,
      accuracyDrop: -1 / 3,
      flops: 43_974_656.123456,
      flopsReduction: 2 / 3,
      speedMs: 12.345678,
      speedUp: -0.05,
      efficiency: 0.875,
      exits: [1 / 3, 1 / 7, 1 - 1 / 3 - 1 / 7],
      intervals: { accuracy: [0.1, 0.2], accuracyDrop: [-0.5, 1 / 9], flops: [3, 4.5], flopsReduction: [0.25, 0.75] },
      seeds: [5],
      budget: 0.5,
    });
    const [first, last] = parse([precise, original]).records;
    const { model, search, guarantee_of: of, ...numbers } = first!;
    expect(of).to.equal('accuracy');
    expect(search).to.equal('joint');
    expect(model).to.equal('dg(1.25, 2.00)');
    expect(Object.values(numbers).map(Number)).to.deep.equal([
      0.005,
      0.007,
      0.95,
      Math.fround(1.1),
      -0.3333333432674408,
      0.1 + 0.2,
      -1 / 3,
      43_974_656.123456,
      2 / 3,
      12.345678,
      -0.05,
      0.875,
      ...precise.exits,
      ...[0.1, 0.2, -0.5, 1 / 9, 3, 4.5, 0.25, 0.75],
      5,
      0.5,
      0,
      0,
      0.03,
      0.02,
    ]);
    expect(last).to.deep.equal({
      model: 'Original',
      margin_fraction: '',
      search: '',
      guaranteed_drop_fraction: '',
      guarantee_confidence_fraction: '',
      t1: '',
      t2: '',
      accuracy_fraction: '0.9339',
      accuracy_drop_fraction: '0',
      flops_per_image: '5019967488',
      flops_reduction_fraction: '0',
      speed_ms: '',
      speed_up_fraction: '',
      efficiency_fraction: '',
      exit1_fraction: '0',
      exit2_fraction: '0',
      exit3_fraction: '1',
      accuracy_low_fraction: '',
      accuracy_high_fraction: '',
      accuracy_drop_low_fraction: '',
      accuracy_drop_high_fraction: '',
      flops_low_per_image: '',
      flops_high_per_image: '',
      flops_reduction_low_fraction: '',
      flops_reduction_high_fraction: '',
      seeds: '0',
      budget_fraction: '',
      latency_budget_ms: '',
      allowed_disagreement_fraction: '',
      guarantee_of: '',
      disagreement_fraction: '0',
      worst_class_drop_fraction: '0',
    });
  });

  it('writes Infinity for a gate that is closed, 0 for a threshold of 0', () => {
    const [closed, zero] = parse([row({ thresholds: [[null, 0.5]] }), row({ thresholds: [[0, 0]] }), original]).records;
    expect([closed!['t1'], closed!['t2']]).to.deep.equal(['Infinity', '0.5']);
    expect([zero!['t1'], zero!['t2']]).to.deep.equal(['0', '0']);
  });

  it('has a column for each gate of each fold', () => {
    const folds = [
      [1, 2],
      [3, null],
      [5, 6],
    ];
    const { header, records } = parse([row({ thresholds: folds }), original]);
    const names = [1, 2, 3].flatMap((fold) => [`t1_fold${fold}`, `t2_fold${fold}`]);
    expect(header.slice(5, 11)).to.deep.equal(names);
    expect(header[11]).to.equal('accuracy_fraction');
    expect(names.map((name) => records[0]![name])).to.deep.equal(['1', '2', '3', 'Infinity', '5', '6']);
    expect(names.map((name) => records[1]![name])).to.deep.equal(['', '', '', '', '', '']);
  });

  it('names the seed of thresholds and has columns for their spread, with several seeds', () => {
    const accuracy = { lowest: 0.5, highest: 0.75, deviation: 0.125 };
    const spread = { accuracy, accuracyDrop: accuracy, flops: accuracy, flopsReduction: accuracy };
    const thresholds = [
      [1, 2],
      [3, 4],
      [5, 6],
      [7, 8],
    ];
    const { header, records } = parse([row({ thresholds, spread, seeds: [0, 3] }), { ...original, seeds: [0, 3] }]);
    expect(header.slice(5, 13)).to.deep.equal(
      ['_seed0_fold1', '_seed0_fold2', '_seed3_fold1', '_seed3_fold2'].flatMap((part) => [`t1${part}`, `t2${part}`]),
    );
    expect(records[0]).to.include({ t2_seed3_fold1: '6', seeds: '0 3', accuracy_seeds_highest_fraction: '0.75' });
    expect(records[1]!['flops_seeds_deviation_per_image']).to.equal('');
  });

  it('is a header alone without rows', () => {
    expect(parse([]).records).to.deep.equal([]);
  });
});
