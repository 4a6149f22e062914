import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { makeWorkplace, run, type Workplace } from '../run/workplace.js';

describe('accuracy against FLOPs', () => {
  let workplace: Workplace;
  before(async () => {
    workplace = await makeWorkplace({ train: 300, test: 400 });
  });
  after(() => workplace.remove());

  it('has a point for each share that thresholds can save, evaluated on other images than the selection', async () => {
    const reductions = [0.05, 0.2, 0.5, 0.6, 0.98];
    const { outcome, folder } = await run(workplace, {
      path: 'analysis',
      value: { kind: 'accuracy-flops', reductions },
    });
    const [curve] = outcome.findings.tables.filter(({ name }) => name === 'curve');
    const column = (name: string): number[] => curve!.rows.map((row) => Number(row[curve!.columns.indexOf(name)]));
    // A fifth ends in the thresholds of a twentieth; all leaving at the first gate costs more than a fiftieth.
    const asked = column('asked_fraction');
    expect(asked).to.deep.equal([0.05, 0.5, 0.6]);
    column('flops_reduction_fraction').forEach((saved, i) => {
      expect(saved).to.be.above(asked[i]! - 0.05);
    });
    const drops = column('accuracy_drop_fraction');
    column('accuracy_fraction').forEach((accuracy, i) => {
      expect(accuracy).to.be.closeTo(outcome.original.accuracy - drops[i]!, 1e-12);
      expect(accuracy).to.be.within(column('accuracy_low_fraction')[i]!, column('accuracy_high_fraction')[i]!);
      const exits = ['exit_1_fraction', 'exit_2_fraction', 'exit_last_fraction'].map((name) => column(name)[i]!);
      expect(exits.reduce((sum, share) => sum + share, 0)).to.be.closeTo(1, 1e-12);
      const flops = exits.reduce((sum, share, exit) => sum + share * outcome.exitCosts[exit]!, 0);
      expect(column('flops_per_image')[i]).to.be.closeTo(flops, 1e-6 * flops);
    });
    expect(await readFile(join(folder, 'curve.svg'), 'utf8')).to.contain('Accuracy against FLOPs');
  });
});
