import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { parseCsv } from '../../src/csv.js';
import { InputError } from '../../src/errors.js';
import { type Override, resolveExperiment } from '../../src/experiment/resolve.js';
import { plannedStages } from '../../src/run/dry-run.js';
import { chooseLambdas } from '../../src/run/score.js';
import { openStages } from '../../src/run/stages.js';
import { untrainedGates } from '../../src/run/train.js';
import type { Scores } from '../../src/thresholds/evaluate.js';
import { refusal } from '../checkpoints/helpers.js';
import { makeWorkplace, run, tinyExperiment, type Workplace, workplaceAt, writeTinyCheckpoint } from './workplace.js';

const set = (path: string, value: unknown): Override => ({ path, value });

describe('the choice of lambda from a list', () => {
  /** A gate whose answers are right for so many of ten images. */
  type Candidate = { readonly network: number; readonly l2: number; readonly right: number };
  const labels = new Int32Array(10);
  const answers = (right: number) => labels.map((_, i) => Number(i >= right));
  /** Scores as a cascade has them: each network's gates, then its own last exit, which is never right here. */
  const scoresOf = async (gates: readonly Candidate[]): Promise<Scores> => {
    const exits = [0, 1].flatMap((network) => [
      ...gates.filter((gate) => gate.network === network).map(({ right }) => right),
      0,
    ]);
    const classes = exits.slice(0, -1).map(answers);
    const confidences = classes.map(() => new Float32Array(10));
    return { count: 10, classes, confidences, original: answers(0), labels };
  };
  const gate = (network: number, ...tried: [l2: number, right: number][]): Candidate[] =>
    tried.map(([l2, right]) => ({ network, l2, right }));

  it('takes the most accurate of each gate, of equal ones the largest, in each network of a cascade', async () => {
    const gates = [
      gate(0, [0.1, 7], [0.01, 7], [0.001, 6]),
      gate(0, [0.1, 3], [0.01, 4]),
      gate(1, [0.5, 9]),
      gate(1, [0.1, 1], [0.01, 2], [0.001, 8]),
    ];
    const found = (await chooseLambdas(gates, scoresOf))!;
    expect(found.map(({ l2 }) => l2)).to.deep.equal([0.1, 0.01, 0.5, 0.001]);
    expect(found[3]!.tried.map(({ gate: { l2 }, accuracy }) => [l2, accuracy])).to.deep.equal([
      [0.1, 0.1],
      [0.01, 0.2],
      [0.001, 0.8],
    ]);
  });

  it('asks for no scores where nothing is chosen, and gives none where they are not known', async () => {
    const never = () => Promise.reject(new Error('asked'));
    expect((await chooseLambdas([gate(0, [0.1, 7])], never))!.map(({ l2 }) => l2)).to.deep.equal([0.1]);
    expect(await chooseLambdas([], never)).to.deep.equal([]);
    expect(await chooseLambdas([gate(0, [0.1, 7], [0.01, 7])], async () => undefined)).to.equal(undefined);
  });
});

describe('a run with a list of lambdas', () => {
  const small = { train: 300, test: 100 };
  const lambdas = [1e-4, 10, 0.01, 10];
  let place: Workplace;
  let overrides: Override[];

  before(async () => {
    place = await makeWorkplace(small);
    await writeTinyCheckpoint(place.checkpoint, { heldOut: Array.from({ length: 100 }, (_, i) => 3 * i) });
    overrides = [set('thresholds.validation', { kind: 'held-out' })];
  });
  after(() => place.remove());

  it('trains each gate once with each, and takes the gates of the runs with these lambdas alone', async () => {
    const { folder, outcome } = await run(place, ...overrides, set('gates.l2', lambdas));
    expect(place.notes.filter((note) => /^gate 1 .*not in the cache/.test(note))).to.have.length(3);
    const before = place.notes.length;
    const alone = [];
    for (const l2 of [10, 0.01, 1e-4]) alone.push((await run(place, ...overrides, set('gates.l2', l2))).outcome);
    expect(
      place.notes.slice(before).filter((note) => /training on/.test(note)),
      'nothing twice',
    ).to.deep.equal([]);
    for (const [i, { l2, tried, objective }] of outcome.gates.entries()) {
      expect(tried!.map((one) => [one.l2, one.objective])).to.deep.equal(
        alone.map(({ gates }) => [gates[i]!.l2, gates[i]!.objective]),
      );
      const best = Math.max(...tried!.map(({ accuracy }) => accuracy));
      const [first] = tried!.filter(({ accuracy }) => accuracy === best); // the largest comes first
      expect([l2, objective]).to.deep.equal([first!.l2, first!.objective]);
    }
    const rows = parseCsv(await readFile(join(folder, 'gates.csv'), 'utf8'), 'gates.csv');
    expect(rows.map(({ gate, lambda }) => [gate, lambda])).to.deep.equal(
      ['1', '2'].flatMap((gate) => ['10', '0.01', '0.0001'].map((lambda) => [gate, lambda])),
    );
    for (const [i, { l2 }] of outcome.gates.entries()) {
      const chosen = rows.filter((row) => row['gate'] === String(i + 1) && row['chosen'] === 'yes');
      expect(chosen.map((row) => Number(row['lambda']))).to.deep.equal([l2]);
    }
    const said = `lambda ${outcome.gates.map(({ l2 }) => l2).join(', ')} of 0.0001, 10, 0.01, 10 by accuracy`;
    const text = await readFile(join(folder, 'table.txt'), 'utf8');
    expect(text.replace(/\s+/g, ' ')).to.include(said);
    const record = JSON.parse(await readFile(join(folder, 'record.json'), 'utf8'));
    expect(record.gates[0].l2).to.equal(outcome.gates[0]!.l2);
    expect(record.gates[0].tried).to.have.length(3);
  });

  it('needs no features again where gates and scores are there, and says so before', async () => {
    const experiment = tinyExperiment(place, ...overrides, set('gates.l2', lambdas));
    await rm(join(place.folder, 'results', 'features'), { recursive: true });
    const later = workplaceAt(place.folder, small);
    const planned = await plannedStages(later.context, experiment);
    expect(planned.filter(({ stage, cached }) => !cached && !stage.startsWith('features'))).to.deep.equal([]);
    expect(planned.map(({ stage }) => stage)).to.include('gate 2 (stage 2), lambda 0.01');
    await run(later, ...overrides, set('gates.l2', lambdas));
    expect(later.notes[0]).to.equal('features: not cached, and not needed: gates and scores are');
  });

  it('says before what it cannot know: which scores follow from a choice', async () => {
    const other = tinyExperiment(place, ...overrides, set('gates.l2', [0.5, 0.6]));
    const planned = await plannedStages(place.context, other);
    expect(planned.at(-1)).to.deep.include({ stage: 'scores', key: null, why: 'lambda of each gate is chosen first' });
    const { sets } = await openStages(place.context, other);
    const training = sets.map(({ train }) => train);
    expect(await untrainedGates(place.context, other, training)).to.deep.equal([0, 1]);
  });

  it('is refused where the images that choose are reported, or certify', async () => {
    const from = set('gates.l2', [0.1, 0.01]);
    const guarantee = set('thresholds.guarantee', { drop: 0.1 });
    const problem = (...more: Override[]) => refusal(async () => void (await run(place, from, ...more)), wanted);
    const wanted =
      /gates\.l2: \[0\.1,0\.01\]; valid: one number, as 0\.002; a list with thresholds\.validation: \{ kind: 'held-out' \}, and w/;
    await problem();
    await problem(...overrides, guarantee);
    await problem(...overrides, set('analysis', { kind: 'frontier' })); // its promise is tested on the choosing images, too
    const networks = ['resnet20-cifar10', 'resnet56-cifar10'].map((network) => ({
      network,
      gates: { after: [1], l2: [0.1, 0.01] },
    }));
    const cascade = { name: 'c', title: 'A cascade', network: { kind: 'cascade', networks } };
    const resolve = (thresholds: object) => resolveExperiment({ ...cascade, thresholds }, 'c', 'laptop');
    for (const i of [0, 1]) {
      const problem = new RegExp(`network\\.networks\\.${i}\\.gates\\.l2: .*held-out`);
      expect(() => resolve({ margins: [0] })).to.throw(InputError, problem);
    }
    resolve({ margins: [0], validation: { kind: 'held-out' } });
    tinyExperiment(place, set('gates.l2', [0.1, 0.1]), guarantee); // chooses nothing
  });
});
