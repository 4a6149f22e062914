import { join } from 'node:path';
import { expect } from 'chai';
import { runExperiment } from '../../src/run/run.js';
import { openStages } from '../../src/run/stages.js';
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
