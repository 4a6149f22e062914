import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { openRun } from '../../src/batch/compare.js';
import { finishedRun } from '../../src/batch/grid.js';
import { seal, unseal } from '../../src/json.js';
import { type RunRecord, runIdentity } from '../../src/run/record.js';
import { writeRun } from '../../src/run/report.js';
import { runExperiment } from '../../src/run/run.js';
import { rejection } from '../data/smallCifar10.js';
import { makeWorkplace, tinyExperiment, type Workplace, workplaceAt } from '../run/workplace.js';

describe('a run that was finished before', () => {
  let workplace: Workplace;
  let record: string;
  let text: string;
  before(async () => {
    workplace = await makeWorkplace();
    const outcome = await runExperiment(workplace.context, tinyExperiment(workplace));
    record = join(await writeRun(outcome, 'laptop', workplace.context.resultsRoot), 'record.json');
    text = await readFile(record, 'utf8');
  });
  afterEach(() => writeFile(record, text));
  after(() => workplace.remove());

  const look = async (...overrides: Parameters<typeof tinyExperiment>[1][]) => {
    const at = workplaceAt(workplace.folder);
    const found = await finishedRun(at.context, tinyExperiment(workplace, ...overrides), 'laptop');
    return { found, notes: at.notes, warnings: at.warnings };
  };

  it('is found, with its rows as they were', async () => {
    const { found, warnings } = await look();
    expect(found?.document.rows).to.deep.equal((unseal(text) as RunRecord).rows);
    expect(warnings).to.deep.equal([]);
  });

  it('is not found for another definition', async () => {
    expect((await look({ path: 'gates.l2', value: 0.001 })).found).to.equal(undefined);
  });

  it('is not believed where a number of its record was edited, which is said', async () => {
    const edited = text.replace(/"accuracy": 0?\.?\d+(\.\d+)?/, '"accuracy": 0.999');
    expect(edited).not.to.equal(text);
    await writeFile(record, edited);
    const { found, warnings } = await look();
    expect(found).to.equal(undefined);
    expect(warnings).to.have.length(1);
    expect(warnings[0]).to.match(/record\.json: not as dgate wrote it: .*; the run is made again$/);
    const error = await rejection(openRun(join(record, '..'), workplace.context.resultsRoot));
    expect(error.message).to.match(/record\.json: not as dgate wrote it: .*; run it again$/);
  });

  for (const part of ['code', 'inputs'] as const) {
    it(`is not taken where its ${part} were others`, async () => {
      const { seal: _, ...other } = unseal(text) as RunRecord & { seal?: string };
      await writeFile(record, seal({ ...other, identity: { ...other.identity, [part]: '0'.repeat(16) } }));
      const { found, notes } = await look();
      expect(found).to.equal(undefined);
      expect(notes.at(-1)).to.contain('made by other code or from other inputs; the run is made again');
    });
  }

  it('keeps where its features came from when they are gone', async () => {
    const before = unseal(text) as RunRecord;
    for (const entry of await workplace.context.store.list()) {
      if (entry.stage === 'features') await rm(entry.directory, { recursive: true });
    }
    const outcome = await runExperiment(workplaceAt(workplace.folder).context, tinyExperiment(workplace));
    expect(outcome.extractedOn?.id).to.equal('ort-cpu');
    expect(outcome.computedSeconds).to.deep.equal(before.secondsWhenComputed);
    expect(outcome.computedSeconds.extract).to.be.greaterThan(0);
    expect(runIdentity(outcome)).to.deep.equal(before.identity);
  });

  it('names the engine of shards that another process has extracted, and left to be finished', async () => {
    const at = workplaceAt((await makeWorkplace()).folder);
    try {
      const experiment = tinyExperiment(at);
      await runExperiment(at.context, experiment);
      for (const entry of await at.context.store.list()) {
        if (entry.stage === 'features') await entry.discard();
        if (entry.stage === 'scores') await entry.remove();
      }
      const outcome = await runExperiment(at.context, experiment);
      expect(outcome.engine.loaded).to.equal(false);
      expect(outcome.extractedOn?.id).to.equal('ort-cpu');
    } finally {
      await at.remove();
    }
  });
});
