import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { mergeDocuments, mergeRows, perSeed, renderSeeds, writeSeeds } from '../../src/batch/grid.js';
import { seedsFrom } from '../../src/cli/options.js';
import { InputError } from '../../src/errors.js';
import type { RunDocument } from '../../src/run/record.js';
import { original, row } from '../report/rows.js';
import { filesBelow, makeWorkplace, tinyExperiment, type Workplace } from '../run/workplace.js';

const intervals = (low: number, high: number) => {
  const both = [low, high] as const;
  return { accuracy: both, accuracyDrop: both, flops: both, flopsReduction: both };
};
const tables = [
  [
    row({
      model: 'dg(1.00, 2.00)',
      thresholds: [[1, 2]],
      accuracy: 0.9,
      flops: 100,
      intervals: intervals(1, 3),
      seeds: [0],
    }),
  ],
  [
    row({
      model: 'dg(1.50, 2.00)',
      thresholds: [[1.5, 2]],
      accuracy: 0.94,
      flops: 200,
      intervals: intervals(2, 5),
      seeds: [4],
    }),
  ],
].map((rows, i) => [...rows, { ...original, seeds: [i === 0 ? 0 : 4] }]);

describe('several seeds', () => {
  it('are one row of means, of how they differ, and of intervals that hold those of each', () => {
    const [merged, last] = mergeRows(tables);
    expect(merged).to.deep.include({ seeds: [0, 4], flops: 150, intervals: intervals(1, 5), speedMs: null });
    expect(merged!.accuracy).to.be.closeTo(0.92, 1e-12);
    expect(merged!.model).to.equal('dg(1.00..1.50, 2.00)');
    expect(merged!.thresholds).to.deep.equal([
      [1, 2],
      [1.5, 2],
    ]);
    expect(merged!.spread!.flops).to.deep.equal({ lowest: 100, highest: 200, deviation: Math.sqrt(5000) });
    expect(last).to.deep.include({ model: 'Original', thresholds: [], seeds: [0, 4] });
    expect(last!.accuracy).to.be.closeTo(original.accuracy!, 1e-12);
  });

  it('are each run as if alone; one seed is left as it is', () => {
    const experiment = { ...tinyExperiment({ checkpoint: 'unused' } as Workplace), seeds: [2, 0, 2] };
    expect(perSeed(experiment).map(({ seed }) => seed)).to.deep.equal([2, 0]);
    expect(perSeed(experiment)[0]).not.to.have.property('seeds');
    expect(mergeRows(tables.slice(0, 1))).to.deep.equal(tables[0]);
    expect(() => mergeRows([tables[0]!, []])).to.throw(/different rows/);
  });

  it('are named by a range or a list', () => {
    expect(seedsFrom('0..4')).to.deep.equal([0, 1, 2, 3, 4]);
    expect(seedsFrom('7,2,7')).to.deep.equal([7, 2]);
    for (const wrong of ['4..0', '0..', 'a', '', '1,', '0..1000']) {
      expect(() => seedsFrom(wrong), wrong).to.throw(InputError, /valid: a range such as 0\.\.4/);
    }
  });

  it('have a folder of their own, which names those of each', async () => {
    const workplace = await makeWorkplace({ train: 10, test: 10 });
    const documents = tables.map((rows, i) => {
      const splits = { train: 1, validation: '', test: 1 };
      return { experiment: 'tiny', preset: 'laptop', engine: 'ort-cpu', seeds: [4 * i], splits, rows } as RunDocument;
    });
    const merged = mergeDocuments(documents);
    const folders = ['laptop-1', 'laptop-2'].map((name) => join(workplace.folder, 'tiny', name));
    const folder = await writeSeeds(merged, 'Two seeds', folders, workplace.folder);
    expect(await filesBelow(folder)).to.deep.equal(['record.json', 'table.csv', 'table.txt']);
    const record = JSON.parse(await readFile(join(folder, 'record.json'), 'utf8'));
    expect(record).to.deep.include({ seeds: [0, 4], runs: ['tiny/laptop-1', 'tiny/laptop-2'] });
    expect(await readFile(join(folder, 'table.csv'), 'utf8')).to.match(
      /^model,.*,t1_seed0,t2_seed0,t1_seed4,t2_seed4,/,
    );
    expect(renderSeeds(merged, 'Two seeds')).to.match(/^Two seeds \[tiny, preset laptop, seeds 0, 4\]\n/);
    expect(renderSeeds(merged, 'Two seeds')).not.to.contain('Promises');
    const part = { open: true, pValue: 0.01, testedOn: 70 };
    const promise = { guarantee: { drop: 0.01, confidence: 0.95, parts: [part, part] } };
    const promised = documents.map((one) => ({
      ...one,
      rows: one.rows.map((row, i) => (i === 0 ? { ...row, ...promise } : row)),
    }));
    expect(renderSeeds(mergeDocuments(promised), 'Two seeds')).to.match(
      /\nPromises {4}one for each seed and fold: all 4 of them together with 80 % confidence, and so the best of them\n/,
    );
    await workplace.remove();
  });
});
