import { join } from 'node:path';
import { expect } from 'chai';
import type { Experiment } from '../../src/experiment/schema.js';
import { networkByName } from '../../src/networks/catalogue.js';
import { networkTensors } from '../../src/networks/network.js';
import { renderRun } from '../../src/run/report.js';
import { runExperiment } from '../../src/run/run.js';
import type { Row } from '../../src/run/search.js';
import { openStages } from '../../src/run/stages.js';
import { runsBeside, withTiming } from '../../src/run/systems.js';
import { evaluate } from '../../src/thresholds/evaluate.js';
import type { TimingRecord } from '../../src/timing/record.js';
import { makeWorkplace, tinyExperiment, tinyNetwork, type Workplace, writeTinyCheckpoint } from './workplace.js';

describe('the systems beside the rows of a run', () => {
  const other = 'resnet20-width0.5-cifar10';
  let place: Workplace;
  before(async () => {
    place = await makeWorkplace({ train: 200, test: 100 });
    await writeTinyCheckpoint(join(place.folder, 'other'), { network: other, mean: 0.4 });
  });
  after(() => place.remove());

  const systemsOf = async (baselines: unknown) => {
    const experiment = tinyExperiment(
      place,
      ...(baselines === undefined ? [] : [{ path: 'baselines', value: baselines }]),
    );
    const { findings } = await runExperiment(place.context, experiment);
    return findings.tables.find(({ name }) => name === 'systems');
  };

  it('are absent where nobody asks for them', async () => {
    expect(await systemsOf(undefined)).to.equal(undefined);
  });

  it('are every row, the network cut off at each gate, the original, and other networks, the cheapest first', async () => {
    const table = (await systemsOf([{ network: other, checkpoint: join(place.folder, 'other') }]))!;
    const flops = table.rows.map((row) => row[7] as number);
    expect(flops).to.deep.equal(flops.toSorted((a, b) => a - b));
    const names = table.rows.map(([name]) => name as string);
    expect(names).to.include.members(['cut at gate 1', 'cut at gate 2', 'Original', other]);
    expect(names.filter((name) => name.startsWith('dg('))).to.have.length(3);
    const stages = await openStages(place.context, tinyExperiment(place));
    const { test } = await stages.score(await stages.train(), 'max');
    const right = [...test.classes[1]!].filter((answer, i) => answer === test.labels[i]).length;
    const cut = table.rows[names.indexOf('cut at gate 2')]!;
    // Only its own gate, not the one before.
    expect([cut[2], cut[7]]).to.deep.equal([right / 100, stages.plan.costsOf([1])[0]]);
    expect(cut[7]).to.be.below(stages.plan.costs[1]!);
  });

  it('list a network of the experiment itself once, and weigh a network that is cut off up to its gate', async () => {
    const table = (await systemsOf([{ network: tinyNetwork, checkpoint: place.checkpoint }]))!;
    const names = table.rows.map(([name]) => name as string);
    expect(names.filter((name) => !name.startsWith('dg('))).to.have.members([
      'cut at gate 1',
      'cut at gate 2',
      'Original',
    ]);
    const tensors = networkTensors(networkByName(tinyNetwork));
    const weights = (name: string) => table.rows[names.indexOf(name)]![table.columns.indexOf('weights_bytes')];
    for (const [gate, channels] of [4, 8].entries()) {
      const end = tensors.findIndex(({ name }) => name.startsWith(`layer${gate + 2}.`));
      const before = tensors.slice(0, end).reduce((sum, { trainable, count }) => sum + (trainable ? count : 0), 0);
      expect(weights(`cut at gate ${gate + 1}`)).to.equal(4 * (before + (channels * 16 + 1) * 10));
    }
    const other = join(place.folder, 'same network, other weights');
    await writeTinyCheckpoint(other, { mean: 0.3 });
    expect((await systemsOf([{ network: tinyNetwork, checkpoint: other }]))!.rows).to.have.length(names.length + 1);
  });

  it('have the time of their exits where that is on record; rows can be asked for by it', async () => {
    const exitMs = [1, 2, 5];
    const timed = { ...place.context, exitTimes: async () => exitMs };
    const settings = [
      { path: 'baselines', value: [] },
      { path: 'thresholds.margins', value: [] },
      { path: 'thresholds.latencyMs', value: [1, 3, 5] },
    ];
    const outcome = await runExperiment(timed, tinyExperiment(place, ...settings));
    const { rows, findings, parts } = outcome;
    expect(rows.map(({ kind }) => kind)).to.deep.equal(['latency', 'latency', 'latency', 'fixed']);
    const msOf = (row: Row, part: 'selection' | 'evaluation') =>
      parts.map((of, i) => {
        const { scores, images } = of[part];
        return evaluate(scores, row.thresholds[i]!, exitMs, images).flops;
      });
    for (const [i, budget] of [1, 3, 5].entries()) {
      for (const ms of msOf(rows[i]!, 'selection')) expect(ms).to.be.at.most(budget);
      expect(rows[i]!.latencyMs).to.equal(budget);
    }
    for (const ms of msOf(rows[0]!, 'evaluation')) expect(ms).to.be.within(1, 1.2);
    const accuracies = rows.slice(0, 3).map(({ validation }) => validation!.accuracy);
    expect(accuracies).to.deep.equal(accuracies.toSorted((a, b) => a - b));
    const table = findings.tables.find(({ name }) => name === 'systems')!;
    const column = table.rows.map((row) => row[table.columns.indexOf('by_exit_times_ms')]);
    expect(column.filter((ms) => ms !== null)).to.have.length(4);
    expect(column.every((ms) => ms === null || ((ms as number) >= 1 && (ms as number) <= 5))).to.equal(true);
    const text = renderRun(outcome, 'laptop');
    expect(text)
      .to.match(/<=3 ms/)
      .and.to.match(/by the times of the exits that dgate time measured: 1.00, 2.00, 5.00/);
    const none = await runExperiment(place.context, tinyExperiment(place, ...settings)).catch(String);
    // What the message says to run first.
    const first = [{ path: 'thresholds.latencyMs', value: [] }];
    expect((await runExperiment(place.context, tinyExperiment(place, ...first))).rows).to.have.length(3);
    expect(none).to.match(
      /thresholds.latencyMs: no times of the exits are on record here; run first: dgate time on this experiment with --set /,
    );
    const little = tinyExperiment(place, { path: 'thresholds.latencyMs', value: [0.5] });
    expect(await runExperiment(timed, little).catch(String)).to.match(
      /thresholds.latencyMs: 0.5: the first exit alone costs 1 ms; try more/,
    );
  });

  it('have what a timing has measured, a line for what is not timed, and a picture by time', async () => {
    const overrides = [
      { path: 'baselines', value: [{ network: other, checkpoint: join(place.folder, 'other') }] },
      { path: 'analysis', value: { kind: 'frontier', margins: [0.1] } },
      { path: 'thresholds.guarantee', value: { drop: 0.1 } },
    ];
    const run = await runExperiment(place.context, tinyExperiment(place, ...overrides));
    const beside = new Map(runsBeside(run));
    expect([...beside.keys()].slice(0, 3)).to.deep.equal(['cut at gate 1', 'cut at gate 2', 'Original']);
    const [alone] = [...beside.values()].filter((of) => 'network' in of);
    const { guarantee, margins, fixed } = (alone as Experiment).thresholds; // of one row
    expect([guarantee, margins, fixed]).to.deep.equal([undefined, [], [[]]]);
    const timed = (model: string, speedUp: number, thresholds: unknown = []) =>
      ({ model, thresholds, speedUp, originalMs: { mean: 10 }, fileBytes: 7000, peakBytes: 1000 * speedUp }) as unknown;
    const recordOf = (rows: unknown[]) => ({ batches: [{ batch: 1, rows }] }) as unknown as TimingRecord;
    const lines = [
      ...[...beside.keys()].map((name, i) => timed(name, 0.1 * (i + 1))),
      ...run.rows.map(({ thresholds }) => timed('dg', 0.9, thresholds)),
    ];
    const all = withTiming(run, recordOf(lines)).findings;
    for (const name of ['systems', 'frontier']) {
      const before = run.findings.tables.find((table) => table.name === name)!;
      const table = all.tables.find((one) => one.name === name)!;
      expect(before.title).to.match(/\(times, memory and file sizes: dgate time on this experiment\)$/);
      expect(table.title).to.not.contain('dgate time');
      for (const { title } of all.figures) expect(title).to.not.contain('dgate time');
      const column = (of: string) => table.rows.map((row) => row[table.columns.indexOf(of)]);
      const cut = column('system').indexOf('cut at gate 2');
      const found = ['speed_ms', 'file_bytes', 'peak_memory_bytes'].map((of) => column(of)[cut] as number);
      expect(found[0]).to.be.closeTo(8, 1e-9); // of the mean t0
      expect(found.slice(1)).to.deep.equal([7000, 200]);
      expect(column('speed_ms').includes(null)).to.equal(false);
      const [times, right, fewer] = ['speed_ms', 'accuracy_fraction', 'dominated_by_time'].map(column);
      for (const [i, by] of fewer!.entries()) {
        const better = [...times!.keys()].filter(
          (k) =>
            right![k]! >= right![i]! &&
            times![k]! <= times![i]! &&
            (right![k]! > right![i]! || times![k]! < times![i]!),
        );
        const fastest = better.toSorted((a, b) => (times![a] as number) - (times![b] as number))[0];
        if (fastest === undefined) expect(by).to.equal(null);
        else expect(times![column('system').indexOf(by!)]).to.equal(times![fastest]);
      }
      expect(fewer!.filter((by) => by !== null)).to.not.have.length(0);
      expect(before.rows.every((row) => row[before.columns.indexOf('dominated_by_time')] === null)).to.equal(true);
      expect(all.figures.map((figure) => figure.name)).to.include.members([name, `${name}-time`]);
    }
    const some = withTiming(run, recordOf(lines.slice(1))).findings;
    const [systems] = some.tables.filter(({ name }) => name === 'systems');
    expect(systems!.title).to.contain('dgate time');
    expect(systems!.rows.filter((row) => row[systems!.columns.indexOf('speed_ms')] === null)).to.have.length(1);
    expect(new Set(some.figures.map(({ name }) => name)).size).to.equal(some.figures.length);
  });

  it('refuses networks on other classes, in a line', async () => {
    const wrong = systemsOf([{ network: 'resnet20-cifar100', checkpoint: 'x' }]).catch(String);
    expect(await wrong).to.match(
      /baselines: resnet20-cifar100 and .*100 classes of cifar100, 10 classes of cifar10; valid:/,
    );
    expect(await systemsOf([{ network: tinyNetwork, checkpoint: 'none' }]).catch(String)).to.match(
      /checkpoint none: no such file/,
    );
  });
});
