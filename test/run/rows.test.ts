import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { readSafetensors } from '../../src/checkpoints/load.js';
import type { PublishedSplit } from '../../src/data/dataset.js';
import { InputError } from '../../src/errors.js';
import type { Override } from '../../src/experiment/resolve.js';
import { Random } from '../../src/random.js';
import { thresholdFacts } from '../../src/run/facts.js';
import { searchTables, tableRows } from '../../src/run/rows.js';
import { originalAccuracy, partsOf, searchAndEvaluate, withChosenAgain } from '../../src/run/search.js';
import { evaluate, type Scores } from '../../src/thresholds/evaluate.js';
import { rejection } from '../data/smallCifar10.js';
import {
  type Finished,
  filesBelow,
  makeWorkplace,
  run,
  tinyExperiment,
  type Workplace,
  writeTinyCheckpoint,
} from './workplace.js';

const set = (path: string, value: unknown): Override => ({ path, value });
const heldOut = set('thresholds.validation', { kind: 'held-out' as const });

/** Three gates' worth of scores that know nothing of each other. */
function randomScores(count: number, gates = 2): Scores {
  const random = new Random(1, 'scores');
  const classes = () => Int32Array.from({ length: count }, () => random.below(10));
  return {
    count,
    classes: Array.from({ length: gates }, classes),
    confidences: Array.from({ length: gates }, () => Float32Array.from({ length: count }, () => random.uniform())),
    original: classes(),
    labels: classes(),
  };
}

describe('the parts of a test set', () => {
  const costs = [10, 20, 30];
  const at = { checkpoint: 'unused' } as Workplace;
  const crossFit = (folds: number) => tinyExperiment(at, set('thresholds.validation', { kind: 'cross-fit', folds }));

  for (const folds of [2, 5]) {
    it(`are reported on once each and chosen on by the others (${folds} folds)`, () => {
      const parts = partsOf(crossFit(folds), randomScores(203), undefined, 10);
      expect(parts).to.have.length(folds);
      const everything = Array.from({ length: 203 }, (_, i) => i);
      const reported = parts.flatMap(({ evaluation }) => [...evaluation.images]);
      expect(reported.sort((a, b) => a - b)).to.deep.equal(everything);
      for (const { selection, evaluation } of parts) {
        const both = [...selection.images, ...evaluation.images].sort((a, b) => a - b);
        expect(both).to.deep.equal(everything);
      }
    });
  }

  it('never let an image choose the thresholds that it is reported with', () => {
    const scores = randomScores(400);
    const experiment = crossFit(2);
    const thresholds = (of: Scores) => {
      const parts = partsOf(experiment, of, undefined, 10);
      return searchAndEvaluate(experiment, parts, costs)[0]!.thresholds;
    };
    const [first] = partsOf(experiment, scores, undefined, 10);
    // The images of the first fold become certain and right at every gate.
    const changed = structuredClone(scores);
    for (const image of first!.evaluation.images) {
      for (const gate of [0, 1]) {
        changed.confidences[gate]![image] = 2 + image;
        changed.classes[gate]![image] = changed.labels[image]!;
      }
    }
    expect(thresholds(changed)[0]).to.deep.equal(thresholds(scores)[0]);
    expect(thresholds(changed)[1]).not.to.deep.equal(thresholds(scores)[1]);
  });

  it('with held-out images choose on them alone and report on every test image', () => {
    const [test, held] = [randomScores(50), randomScores(30)];
    const parts = partsOf(tinyExperiment(at, heldOut), test, held, 10);
    expect(parts).to.have.length(1);
    expect(parts[0]!.selection.scores).to.equal(held);
    expect(parts[0]!.evaluation.scores).to.equal(test);
    expect(parts[0]!.selection.images).to.have.length(30);
    expect(parts[0]!.evaluation.images).to.have.length(50);
  });

  it('are searched alone and together, the paper way first; the joint choice is never dearer where it was chosen', () => {
    const scores = randomScores(400);
    const experiment = tinyExperiment(at, set('thresholds.search', ['joint', 'sequential']));
    const parts = partsOf(experiment, scores, undefined, 10);
    const rows = searchAndEvaluate(experiment, parts, costs).filter(({ kind }) => kind === 'margin');
    expect(rows.map(({ margin, search }) => [margin, search])).to.deep.equal(
      experiment.thresholds.margins.flatMap((margin) => [
        [margin, 'sequential'],
        [margin, 'joint'],
      ]),
    );
    for (let i = 0; i < rows.length; i += 2) {
      expect(rows[i + 1]!.validation!.flops).to.be.at.most(rows[i]!.validation!.flops);
    }
    const [table] = searchTables({ rows, original: { accuracy: 0.1, flops: 30, count: 400 } });
    expect(table!.rows).to.have.length(experiment.thresholds.margins.length);
    expect(table!.rows[0]!.slice(1, 3)).to.deep.equal([rows[0]!, rows[1]!].map((r) => 1 - r.validation!.flops / 30));
    expect(searchTables({ rows: rows.slice(0, 1), original: { accuracy: 0.1, flops: 30, count: 400 } })).to.deep.equal(
      [],
    );
  });

  it('are promised something of, each on the images that choose for it, or closed and said so', () => {
    const scores = randomScores(400); // gates that know nothing: nothing can be promised
    const experiment = tinyExperiment(at, set('thresholds.guarantee', { drop: 0.01 }), set('thresholds.margins', []));
    const rows = searchAndEvaluate(experiment, partsOf(experiment, scores, undefined, 10), costs);
    expect(rows[0]!.guarantee).to.deep.include({ drop: 0.01, confidence: 0.95 });
    expect(
      rows[0]!.guarantee!.parts.map(({ open, proposedOn, testedOn }) => [open, proposedOn + testedOn]),
    ).to.deep.equal([
      [false, 200],
      [false, 200],
    ]);
    expect(rows[0]!.thresholds).to.deep.equal(Array(2).fill([Infinity, Infinity]));
    const basis = {
      rows,
      experiment,
      original: { accuracy: 0.1, flops: 29, count: 400 },
      exitCosts: costs,
      published: [],
      exitMs: undefined,
    };
    const facts = thresholdFacts(basis).map(([, fact]) => fact);
    expect(facts.join('\n')).to.match(/<= 1 points: with 95 % confidence, each fold's thresholds lose at most that/);
    expect(facts).to.include(
      'no thresholds could be certified for fold 1, 2; all gates stay closed there: 1 % needs at least 299 testing images for each',
    );
    expect(facts).to.include('all 2 folds together with 90 % confidence');
    expect(tableRows(basis)[0]!.guarantee!.parts).to.have.length(2);
  });

  it('keep to the answers of the original where that is asked for, whatever the labels are', () => {
    const scores = randomScores(600);
    // The gates know the original's answer, the surer the better.
    const random = new Random(3, 'agreement');
    const classes = scores.confidences.map((of) =>
      of.map((c, i) => (random.uniform() < c ** 0.2 ? scores.original[i]! : 9 - scores.original[i]!)),
    );
    const wanted = [set('thresholds.margins', []), set('thresholds.disagreements', [0.1])];
    const experiment = tinyExperiment(
      at,
      ...wanted,
      set('thresholds.guarantee', { disagreement: 0.2, confidence: 0.9 }),
    );
    const known = { ...scores, classes: classes.map((of) => Int32Array.from(of)) };
    const rowsOf = (labels: Int32Array) =>
      searchAndEvaluate(
        experiment,
        [{ ...all({ ...known, labels }), evaluation: all({ ...known, labels }).selection }],
        costs,
      );
    const all = (of: Scores) => ({
      selection: { scores: of, images: Int32Array.from({ length: of.count }, (_, i) => i) },
    });
    const [searched, promised] = rowsOf(known.labels).filter(({ kind }) => kind !== 'fixed');
    const shuffled = rowsOf(random.shuffle(Int32Array.from(known.labels))).slice(0, 2);
    expect(shuffled.map(({ thresholds }) => thresholds)).to.deep.equal([searched!.thresholds, promised!.thresholds]);
    expect(searched!.changes.disagreement).to.be.within(0.05, 0.1);
    expect(promised!.guarantee!.parts[0]!.open).to.equal(true);
    expect(promised!.changes.disagreement).to.be.within(0.05, 0.2);
    expect(promised!.guarantee!.of).to.equal('agreement');
  });

  it('say where the images that chose are easier or harder than the reported ones, as far as the original shows', () => {
    const experiment = tinyExperiment(at, heldOut);
    const basis = {
      rows: searchAndEvaluate(experiment, partsOf(crossFit(2), randomScores(50), undefined, 10), costs),
      experiment,
      original: { accuracy: 0.8967, flops: 29, count: 10_000 },
      exitCosts: costs,
      published: [],
      exitMs: undefined,
    };
    const said = (accuracy: number): string =>
      thresholdFacts({ ...basis, choosing: { accuracy, count: 5000 } })
        .map(([, fact]) => fact)
        .join('\n');
    // Shares of 0.9068 and 0.8967: z = 1.95; of 0.9074: 2.07.
    expect(said(0.9068)).not.to.include('not alike');
    expect(said(0.9074)).to.include(
      '90.74 % of the choosing images and 89.67 % of the reported ones (z = 2.1): they are not alike',
    );
    expect(said(0.88)).to.include('z = -3.1');
    // An analysis alone chooses on these images too.
    const alone = thresholdFacts({ ...basis, rows: [], choosing: { accuracy: 0.88, count: 5000 } });
    expect(alone.map(([name, fact]) => `${name}: ${fact}`).join()).to.match(/^Thresholds: the original .* not alike/);
    expect(thresholdFacts({ ...basis, rows: [] })).to.deep.equal([]);
  });

  it('keep a budget of FLOPs on the images that chose, with the most right answers that it allows', () => {
    const scores = randomScores(400);
    const wanted = [set('thresholds.margins', []), set('thresholds.budgets', [0.6, 1])];
    const experiment = tinyExperiment(at, ...wanted);
    const parts = partsOf(experiment, scores, undefined, 10);
    const original = 28;
    const rows = searchAndEvaluate(experiment, parts, costs, original).filter(({ kind }) => kind === 'budget');
    expect(rows.map(({ budget, search }) => [budget, search])).to.deep.equal([
      [0.6, 'joint'],
      [1, 'joint'],
    ]);
    const random = new Random(0, 'budgets');
    parts.forEach(({ selection: { images } }, part) => {
      const found = evaluate(scores, rows[0]!.thresholds[part]!, costs, images);
      expect(found.flops).to.be.at.most(0.6 * original);
      for (let i = 0; i < 300; i++) {
        const other = evaluate(scores, [random.uniform(), random.uniform()], costs, images);
        if (other.flops <= 0.6 * original) expect(other.correct).to.be.at.most(found.correct);
      }
    });
    expect(() => searchAndEvaluate(experiment, parts, [20, 25, 30], original)).to.throw(
      InputError,
      'thresholds.budgets: 0.6: the first exit alone costs 0.714 of the original; try more',
    );
  });

  for (const kind of ['cross-fit', 'held-out'] as const) {
    it(`have second intervals, of both samples drawn anew, where asked for (${kind})`, () => {
      const scores = randomScores(400);
      const wanted = [
        set('thresholds.margins', [0.02]),
        set('thresholds.fixed', [[0.5, 0.5]]),
        set('thresholds.resamples', 60),
      ];
      const experiment = tinyExperiment(at, ...wanted, set('thresholds.validation', { kind }));
      const parts = partsOf(experiment, scores, kind === 'held-out' ? randomScores(300) : undefined, 10);
      const rows = searchAndEvaluate(experiment, parts, costs, 28);
      const [searched, fixed] = withChosenAgain(rows, experiment, parts, costs, 28);
      expect(fixed!.chosenAgain).to.equal(undefined);
      const { flops, accuracyDrop } = searched!.chosenAgain!;
      expect(searched!.evaluation.flops).to.be.within(flops.low, flops.high);
      // Gates that know nothing: which thresholds are found varies far more than what one choice of them costs.
      expect(flops.high - flops.low).to.be.above(2 * (searched!.intervals.flops.high - searched!.intervals.flops.low));
      expect(accuracyDrop.high).to.be.above(accuracyDrop.low);
      expect(withChosenAgain(rows, experiment, parts, costs, 28)[0]).to.deep.equal(searched);
      const without = tinyExperiment(at, set('thresholds.margins', [0.02]));
      expect(withChosenAgain(rows, without, parts, costs, 28)).to.deep.equal(rows);
    });
  }

  it('reach the required accuracy on the images that chose', () => {
    const scores = randomScores(400);
    const experiment = crossFit(2);
    const parts = partsOf(experiment, scores, undefined, 10);
    const [row] = searchAndEvaluate(experiment, parts, costs);
    parts.forEach(({ selection }, i) => {
      const swapped = [{ selection, evaluation: selection }];
      const chosen = searchAndEvaluate(experiment, swapped, costs)[0]!;
      expect(chosen.thresholds[0]).to.deep.equal(row!.thresholds[i]);
      expect(chosen.evaluation.accuracy).to.be.at.least(originalAccuracy(scores, selection.images) - 0.01 - 1e-9);
    });
  });
});

describe('the rows of a run', () => {
  let workplace: Workplace;
  let finished: Finished;
  const asked: Record<PublishedSplit, number[]> = { train: [], test: [] };

  before(async () => {
    workplace = await makeWorkplace({
      train: 600,
      test: 300,
      onBatch: (split, positions) => {
        asked[split].push(...positions);
      },
    });
    const rows = [
      [-1e9, 0],
      [1e9, -1e9],
      [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
    ];
    finished = await run(workplace, set('thresholds.fixed', rows), set('gates.epochs', 10));
  });
  after(() => workplace.remove());

  it('follow from the exits that the images take', () => {
    const { outcome } = finished;
    const rows = tableRows(outcome);
    expect(rows).to.have.length(6); // two margins, three fixed, the original
    for (const row of rows) {
      expect(row.exits.reduce((sum, share) => sum + share, 0)).to.be.closeTo(1, 1e-12);
      expect(row.flopsReduction).to.be.closeTo(1 - row.flops / outcome.original.flops, 1e-12);
      expect(row.accuracyDrop).to.be.closeTo(outcome.original.accuracy - row.accuracy!, 1e-12);
      expect(row.accuracy! * 300).to.be.closeTo(Math.round(row.accuracy! * 300), 1e-9);
      expect([row.speedMs, row.speedUp]).to.deep.equal([null, null]);
      if (row.model === 'Original') continue;
      const flops = row.exits.reduce((sum, share, exit) => sum + share * outcome.exitCosts[exit]!, 0);
      expect(row.flops).to.be.closeTo(flops, 1e-6 * flops);
    }
    expect(rows.at(-1)).to.include({ model: 'Original', flopsReduction: 0, accuracyDrop: 0 });
    expect(rows.at(-1)!.exits).to.deep.equal([0, 0, 1]);
  });

  it('count the gates on the way, and the whole network with both where nobody leaves', () => {
    const { flops, exitCosts } = finished.outcome;
    const [one, two] = flops.stages.map((stage) => stage.cumulativeFlops);
    const gate = (features: number) => 2 * features * 10;
    expect(exitCosts).to.deep.equal([
      one! + gate(4 * 16),
      two! + gate(4 * 16) + gate(8 * 16),
      flops.flops + gate(4 * 16) + gate(8 * 16),
    ]);
    const [, , first, second, closed] = tableRows(finished.outcome);
    expect([first!.exits, second!.exits, closed!.exits]).to.deep.equal([
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ]);
    expect(closed!.accuracy).to.equal(finished.outcome.original.accuracy);
    expect(closed!.flopsReduction).to.be.below(0);
    expect(closed!.model).to.equal('dg(closed, closed)');
    expect(closed!.thresholds).to.deep.equal([
      [null, null],
      [null, null],
    ]);
  });

  it('are what Algorithm 1 gives, computed here from the cached features and gates in float64', async () => {
    const tensorsOf = async (stage: string, holds: (names: string[]) => boolean) => {
      const root = join(workplace.folder, 'results', stage);
      const found = [];
      for (const name of (await filesBelow(root)).filter((file) => file.endsWith('.safetensors'))) {
        const { tensors } = await readSafetensors(await readFile(join(root, name)), name);
        if (holds([...tensors.keys()])) found.push(tensors);
      }
      return found;
    };
    const shards = await tensorsOf('features', (names) => names.includes('labels'));
    const test = shards.find((shard) => shard.get('labels')!.data.length === 300)!;
    const gates = await tensorsOf('gates', (names) => names.includes('weights'));
    gates.sort((a, b) => a.get('weights')!.data.length - b.get('weights')!.data.length);
    expect(gates).to.have.length(2);

    const labels = test.get('labels')!.data;
    const largest = (values: readonly number[]) => {
      const confidence = Math.max(...values);
      return { confidence, label: values.indexOf(confidence) };
    };
    const gateOf = (gate: number, image: number) => {
      const { data: weights, shape } = gates[gate]!.get('weights')!;
      const bias = gates[gate]!.get('bias')!.data;
      const features = shape[0]!;
      const x = test.get(`gate${gate + 1}`)!.data.subarray(image * features, (image + 1) * features);
      const distances = Array.from(bias, (b, c) => x.reduce((sum, value, f) => sum + value * weights[f * 10 + c]!, -b));
      return largest(distances);
    };
    // Between two confidences near the middle, so that every exit is taken and rounding decides nothing.
    const decisions = [0, 1].map((gate) => Array.from({ length: 300 }, (_, image) => gateOf(gate, image)));
    const [t1, t2] = decisions.map((of) => {
      const ascending = of.map(({ confidence }) => confidence).sort((a, b) => a - b);
      return (ascending[149]! + ascending[150]!) / 2;
    });
    const exits = [0, 0, 0];
    let right = 0;
    for (let image = 0; image < 300; image++) {
      const [one, two] = [decisions[0]![image]!, decisions[1]![image]!];
      const exit = one.confidence >= t1! ? 0 : two.confidence >= t2! ? 1 : 2;
      exits[exit]!++;
      const last = largest([...test.get('logits')!.data.subarray(image * 10, (image + 1) * 10)]);
      if ([one, two, last][exit]!.label === labels[image]) right++;
    }
    expect(Math.min(...exits)).to.be.above(10);
    const { outcome } = await run(workplace, set('thresholds.fixed', [[t1, t2]]), set('gates.epochs', 10));
    expect(outcome.engine.loaded, 'other gates').to.equal(false);
    const row = tableRows(outcome)[2]!;
    expect(row.exits).to.deep.equal(exits.map((count) => count / 300));
    expect(row.accuracy).to.equal(right / 300);
  });

  it('stand in the CSV as in the document, in plain numbers', () => {
    const lines = finished.csv.trimEnd().split('\n');
    const header = lines[0]!.split(',');
    expect(header).to.deep.equal(
      (
        'model margin_fraction search guaranteed_drop_fraction guarantee_confidence_fraction ' +
        't1_fold1 t2_fold1 t1_fold2 t2_fold2 accuracy_fraction accuracy_drop_fraction flops_per_image ' +
        'flops_reduction_fraction speed_ms speed_up_fraction efficiency_fraction exit1_fraction exit2_fraction ' +
        'exit3_fraction accuracy_low_fraction accuracy_high_fraction accuracy_drop_low_fraction ' +
        'accuracy_drop_high_fraction flops_low_per_image flops_high_per_image flops_reduction_low_fraction ' +
        'flops_reduction_high_fraction seeds budget_fraction latency_budget_ms allowed_disagreement_fraction guarantee_of disagreement_fraction worst_class_drop_fraction'
      ).split(' '),
    );
    const rows = tableRows(finished.outcome);
    expect(lines).to.have.length(1 + rows.length);
    rows.forEach((row, i) => {
      const cells = lines[i + 1]!.replace(/^"[^"]*"/, row.model.replaceAll(',', ';')).split(',');
      expect(cells).to.have.length(header.length);
      expect(Number(cells[9])).to.equal(row.accuracy);
      expect(Number(cells[11])).to.equal(row.flops);
      expect(cells.slice(16, 19).map(Number)).to.deep.equal(row.exits);
      expect(cells.slice(19, 21).map(Number)).to.deep.equal(row.intervals!.accuracy);
    });
    expect(lines[5]).to.match(/^"dg\(closed, closed\)",,,,,Infinity,Infinity,Infinity,Infinity,/);
  });

  it('leave a record of all that they rest on', async () => {
    const { folder, outcome } = finished;
    expect(folder).to.match(/tables\/tiny\/laptop-[0-9a-f]{8}$/);
    expect(await filesBelow(folder)).to.deep.equal([
      'areas.csv',
      'gates.csv',
      'record.json',
      'report.html',
      'table.csv',
      'table.txt',
    ]);
    const record = JSON.parse(await readFile(join(folder, 'record.json'), 'utf8'));
    expect(record).to.include({ experiment: 'tiny', preset: 'laptop', engine: 'ort-cpu' });
    expect(record.rows).to.deep.equal(tableRows(outcome));
    expect(record.seeds).to.deep.equal([0]);
    expect(record.splits).to.deep.include({ train: 600, test: 300 });
    expect(record.splits.validation).to.match(
      /^cross-fit, 2 folds of the test images: .* chosen on the other \(seed 0\)/,
    );
    expect(record.definition.gates).to.deep.include({ epochs: 10, l2: 0.0001, loss: 'hinge' });
    expect(record.definition.thresholds.fixed[2]).to.deep.equal(['Infinity', 'Infinity']);
    expect(record.checkpoint.sha256).to.match(/^[0-9a-f]{64}$/);
    expect(record.checkpoint.preprocessing).to.deep.equal({ mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] });
    expect(Object.keys(record.images)).to.have.members(['train', 'test']);
    for (const hash of Object.values(record.images)) expect(hash).to.match(/^[0-9a-f]{64}$/);
    expect(record.versions).to.include({ node: process.versions.node });
    expect(record.versions).to.include.keys('dgate', 'onnxruntime-node');
    expect(record.machine).to.have.all.keys('system', 'processor', 'cores', 'memoryBytes');
    expect(new Date(record.date).toISOString()).to.equal(record.date);
    expect(record.seconds).to.have.all.keys('data', 'extract', 'train', 'score', 'search');
    for (const seconds of Object.values(record.seconds)) expect(seconds).to.be.at.least(0);
    expect(record.gates.map((gate: { stage: number }) => gate.stage)).to.deep.equal([1, 2]);
  });

  it('keep the versions that extracted the features when a later run writes the record again', async () => {
    const before = JSON.parse(await readFile(join(finished.folder, 'record.json'), 'utf8'));
    const again = await run(
      workplace,
      set('thresholds.fixed', before.definition.thresholds.fixed.map(asNumbers)),
      set('gates.epochs', 10),
    );
    expect(again.folder).to.equal(finished.folder);
    expect(again.outcome.engine.loaded).to.equal(false);
    const record = JSON.parse(await readFile(join(again.folder, 'record.json'), 'utf8'));
    expect(record.date).not.to.equal(before.date);
    expect(record.versions).to.deep.equal(before.versions);
  });

  it('can rest on fewer images, each class with its share', async () => {
    const before = { train: asked.train.length, test: asked.test.length };
    const { outcome } = await run(workplace, set('trainImages', 150), set('testImages', 60));
    expect(outcome.splits).to.include({ train: 150, test: 60 });
    expect(outcome.original.count).to.equal(60);
    for (const [split, count] of [
      ['train', 15],
      ['test', 6],
    ] as const) {
      // What is read first is extracted; the pictures of the page are read again.
      const chosen = asked[split].slice(before[split], before[split] + 10 * count);
      expect(chosen).to.have.length(10 * count);
      const perClass = Array.from({ length: 10 }, (_, label) => chosen.filter((position) => position % 10 === label));
      expect(perClass.map((positions) => positions.length)).to.deep.equal(Array(10).fill(count));
    }
  });

  it('can be chosen on training images that no gate has seen', async () => {
    asked.train.length = 0;
    const named = Array.from({ length: 200 }, (_, i) => 3 * i);
    const checkpoint = join(workplace.folder, 'held-out.safetensors');
    await writeTinyCheckpoint(checkpoint, { heldOut: named });
    const { outcome, folder, csv } = await run(workplace, heldOut, set('checkpoint', checkpoint));
    const [learnt, held] = [asked.train.slice(0, 400), asked.train.slice(400)];
    expect(held).to.deep.equal(named);
    expect(new Set([...learnt, ...held]).size).to.equal(600);
    expect(outcome.splits).to.deep.equal({
      train: 400,
      validation: '200 training images that the network has not learnt from, named by its checkpoint',
      test: 300,
    });
    expect(csv).to.match(
      /^model,margin_fraction,search,guaranteed_drop_fraction,guarantee_confidence_fraction,t1,t2,accuracy_fraction/,
    );
    const record = JSON.parse(await readFile(join(folder, 'record.json'), 'utf8'));
    expect(Object.keys(record.images)).to.have.members(['train', 'heldOut', 'test']);
    // The held-out images belong to the checkpoint: the seed of the run does not move them.
    asked.train.length = 0;
    await run(workplace, heldOut, set('checkpoint', checkpoint), set('seed', 9));
    expect(asked.train, 'read again').to.deep.equal([]);
  });

  it('cannot be chosen on held-out images that no checkpoint names', async () => {
    expect((await rejection(run(workplace, heldOut))).message).to.match(
      /tiny\.safetensors: does not name the images that were held out .*; valid: a checkpoint of dgate train, or/,
    );
    for (const [positions, problem] of [
      [[5, 600], /held_out names 2 images up to position 600; valid: some of the 600 training images/],
      [[5, 5], /held_out is not a list of image positions in ascending order/],
    ] as const) {
      const checkpoint = join(workplace.folder, 'bad.safetensors');
      await writeTinyCheckpoint(checkpoint, { heldOut: positions });
      expect((await rejection(run(workplace, heldOut, set('checkpoint', checkpoint)))).message).to.match(problem);
    }
  });

  it('refuse more images than there are', async () => {
    expect((await rejection(run(workplace, set('trainImages', 601)))).message).to.equal(
      'trainImages: 601; valid: 1 to 600',
    );
  });
});

const asNumbers = (row: (number | string)[]): number[] => row.map(Number);
