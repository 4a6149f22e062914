import { expect } from 'chai';
import { Random } from '../../src/random.js';
import { tableCells } from '../../src/report/table.js';
import { originalSpeed, speedOf } from '../../src/run/rows.js';
import type { TimingRecord } from '../../src/timing/record.js';
import { original, row } from '../report/rows.js';

describe('the Speed column', () => {
  it('can be compared with its Original row: the ratio of the printed times is the printed speed-up', () => {
    const random = new Random(7, 'speeds');
    for (let trial = 0; trial < 200; trial++) {
      // The machine's pace changes from row to row, by up to a factor of two.
      const rows = Array.from({ length: 1 + random.below(8) }, (_, i) => {
        const [t0, share] = [1 + 40 * random.uniform(), 0.2 + random.uniform()];
        const timed = { originalMs: { mean: t0 }, gatedMs: { mean: t0 * share }, speedUp: 1 - share };
        return { ...timed, thresholds: [[i, 1]], efficiency: 1 };
      });
      const timing = { batches: [{ batch: 1, rows }] } as unknown as TimingRecord;
      const table = [
        ...rows.map(({ thresholds }) => row({ ...speedOf(timing, thresholds), thresholds })),
        { ...original, ...originalSpeed(timing) },
      ];
      const { head, lines } = tableCells(table);
      const cell = (line: number, name: string): number =>
        Number.parseFloat(lines.at(line)!.cells[head.indexOf(name)]!);
      const t0 = cell(-1, 'Speed (ms)');
      for (const line of rows.keys()) {
        const ratio = cell(line, 'Speed (ms)') / t0;
        const rounding = 0.005 / t0 + (0.005 * ratio) / t0 + 0.00005;
        expect(100 * (1 - ratio)).to.be.closeTo(cell(line, 'Speed-up'), 100 * rounding + 1e-9);
      }
    }
  });
});
