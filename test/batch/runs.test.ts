import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { filterRuns, type ListedRun, listRuns, paretoRows, runOrders, runsTable } from '../../src/batch/runs.js';
import { InputError } from '../../src/errors.js';
import type { TableRow } from '../../src/report/rows.js';
import { writeSealed } from '../../src/store/files.js';

const row = (own: Partial<TableRow>): TableRow =>
  ({ model: 'dg(1)', margin: null, accuracy: 0.9, flops: 100, flopsReduction: 0, ...own }) as TableRow;

const original = row({ model: 'Original' });

const record = (loss: string, date: string, rows: readonly TableRow[]) => ({
  experiment: 'mine',
  preset: 'smoke',
  engine: 'ort-cpu',
  seeds: [0],
  command: `dgate run mine --preset smoke --set gates.loss=${loss}`,
  definition: { gates: { loss } },
  images: { test: 'a'.repeat(64) },
  seconds: { extract: 2, train: 1.5 },
  date,
  rows: [...rows, original],
});

describe('the list of runs', () => {
  let root: string;

  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'dgate-runs-'));
    const searched = [
      row({ model: 'dear', margin: 0.01, flops: 60, accuracy: 0.893 }),
      row({ model: 'cheap', margin: 0.01, flops: 50, accuracy: 0.891 }),
      row({ model: 'cheapest', margin: 0.05, flops: 20, accuracy: 0.85 }),
    ];
    await writeSealed(join(root, 'mine/smoke-1/record.json'), record('hinge', '2026-01-01T00:00:00Z', searched));
    await writeSealed(join(root, 'mine/smoke-2/record.json'), record('cross-entropy', '2026-01-02T00:00:00Z', []));
    await mkdir(join(root, 'mine/empty'));
    await mkdir(join(root, 'mine/edited'));
    await writeFile(join(root, 'mine/edited/record.json'), '{}');
  });
  after(() => rm(root, { recursive: true, force: true }));

  it('has the newest first, each with its cheapest row within the margin, or the original', async () => {
    const warnings: string[] = [];
    const runs = await listRuns(root, 0.01, (message) => warnings.push(message));
    expect(runs.map(({ run, given, best, seconds }) => [run, given, best.model, seconds])).to.deep.equal([
      ['mine/smoke-2', '--set gates.loss=cross-entropy', 'Original', 3.5],
      ['mine/smoke-1', '--set gates.loss=hinge', 'cheap', 3.5],
    ]);
    expect(warnings).to.have.length(1);
    expect(warnings[0]).to.match(/edited.record\.json: not as dgate wrote it.*; left out$/);
    const [, one] = await listRuns(root, 0.05, () => {});
    expect(one!.best.model).to.equal('cheapest');
    expect(runsTable(runs).rows[0]).to.have.length(runsTable(runs).columns.length);
  });

  it('is empty where there is no folder', async () => {
    expect(await listRuns(join(root, 'none'), 0.01, () => {})).to.deep.equal([]);
  });

  it('keeps what a filter names, and refuses one that names nothing', async () => {
    const runs = await listRuns(root, 0.01, () => {});
    const kept = (...filters: string[]): string[] => filterRuns(runs, filters).map(({ run }) => run);
    expect(kept('gates.loss=hinge')).to.deep.equal(['mine/smoke-1']);
    expect(kept('preset=smoke', 'gates.loss=cross-entropy')).to.deep.equal(['mine/smoke-2']);
    expect(kept('gates.loss=squared')).to.deep.equal([]);
    expect(() => kept('gates.los=hinge')).to.throw(InputError, 'no run has gates.los; valid: engine, experiment');
    expect(() => kept('hinge')).to.throw(InputError, 'not path=value');
    expect([...runs].sort(runOrders.flops).map(({ run }) => run)).to.deep.equal(['mine/smoke-1', 'mine/smoke-2']);
  });

  it('knows the rows that no other row beats, as pairwise comparison finds them', () => {
    let seed = 1;
    const random = (): number => {
      seed = (seed * 16807) % 2147483647;
      return Math.floor((seed / 2147483647) * 12);
    };
    for (let round = 0; round < 200; round++) {
      const rows = Array.from({ length: 8 }, () => row({ accuracy: random() / 12, flops: random() }));
      const found = paretoRows([{ run: 'a', rows } as unknown as ListedRun]).map(({ row: { accuracy, flops } }) => [
        flops,
        accuracy,
      ]);
      const beaten = (one: TableRow): boolean =>
        rows.some(
          (two) =>
            two.flops <= one.flops &&
            two.accuracy! >= one.accuracy! &&
            (two.flops < one.flops || two.accuracy! > one.accuracy!),
        );
      const wanted = rows.filter((one) => !beaten(one)).map(({ flops, accuracy }) => [flops, accuracy] as const);
      const unique = [...new Map(wanted.map((pair) => [pair.join(), pair])).values()].sort((a, b) => a[0] - b[0]);
      expect(found).to.deep.equal(unique);
    }
  });
});
