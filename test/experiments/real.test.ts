import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { experimentNames, loadDefinition } from '../../src/experiment/load.js';
import { resolveExperiment } from '../../src/experiment/resolve.js';
import { paperAnalyses, paperExperiments } from '../../src/paper/index.js';
import { silent } from '../../src/progress.js';
import { runDocument } from '../../src/run/record.js';
import { runExperiment } from '../../src/run/run.js';
import type { AnalysisContext, RunOutcome } from '../../src/run/stages.js';
import { Store } from '../../src/store/store.js';
import { real } from '../cli/cli.js';
import { checkFindings } from './findings.js';

// Every experiment with a network that ships, preset smoke, on real images; from an empty cache.
describe('the experiments on CIFAR-10, preset smoke', () => {
  let folder: string;
  let context: AnalysisContext;

  before(async function () {
    if (!real.hasData) this.skip();
    folder = await mkdtemp(join(tmpdir(), 'dgate-smoke-'));
    context = {
      store: new Store(join(folder, 'results')),
      dataRoot: real.data,
      modelsRoot: join(folder, 'models'),
      resultsRoot: join(folder, 'tables'),
      analyses: paperAnalyses,
      progress: silent,
      download: () => Promise.reject(new Error('nothing to download')),
    };
  });
  after(() => folder && rm(folder, { recursive: true, force: true }));

  const outcomeOf = async (name: string): Promise<RunOutcome> => {
    const { exported, where } = await loadDefinition(name);
    return runExperiment(context, resolveExperiment(exported, where, 'smoke', [], paperExperiments));
  };

  it('are known: a new one is added here', async () => {
    expect(await experimentNames()).to.include.members([...tables, ...figures]);
  });

  const tables = ['table1', 'table2'];
  const figures = ['figure1', 'figure4', 'figure5', 'figure6', 'figure7', 'figure8', 'imagenet'];

  for (const name of tables) {
    it(`${name}: margins cost accuracy, and the paper's thresholds stand beside its rows`, async () => {
      const outcome = await outcomeOf(name);
      const { rows, original, published } = outcome;
      const claims = runDocument(outcome, 'laptop').claims!;
      // What the run does not measure (times) has no trace.
      const files = claims.filter(({ trace }) => trace.file !== '').map(({ trace }) => trace.file);
      expect([...new Set(files)]).to.deep.equal(['table.csv']);
      expect(claims.map(({ id }) => id)).to.include.members([`${name}-row1-joint`, `${name}-row4-fixed`]);
      expect(published).to.have.length(5);
      expect(rows.filter(({ kind }) => kind === 'fixed')).to.have.length(4);
      expect(original.accuracy).to.be.above(0.85);
      const [first] = rows;
      expect(first!.evaluation.flops).to.be.below(original.flops);
    });
  }

  for (const name of figures) {
    it(`${name}: findings that can be drawn, printed and traced`, async () => {
      const outcome = await outcomeOf(name);
      expect(outcome.original).to.deep.include({ count: 500 });
      checkFindings(outcome);
    });
  }

  it('figure1: more errors than chance stay within animals and vehicles', async () => {
    const outcome = await outcomeOf('figure1');
    expect(runDocument(outcome, 'laptop').claims![0]!.verdict).to.equal('holds');
    expect(runDocument(outcome, 'smoke').claims![0]!.verdict).to.equal('cannot be checked here');
  });
});
