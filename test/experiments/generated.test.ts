import { join } from 'node:path';
import { expect } from 'chai';
import { experimentNames, loadDefinition } from '../../src/experiment/load.js';
import { type Override, resolveExperiment } from '../../src/experiment/resolve.js';
import { paperExperiments } from '../../src/paper/index.js';
import { runDocument } from '../../src/run/record.js';
import { runExperiment } from '../../src/run/run.js';
import type { RunOutcome } from '../../src/run/stages.js';
import { rejection } from '../data/smallCifar10.js';
import { makeWorkplace, tinyNetwork, type Workplace, writeTinyCheckpoint } from '../run/workplace.js';
import { checkFindings } from './findings.js';

const figures = ['figure1', 'figure4', 'figure5', 'figure6', 'figure7', 'figure8', 'imagenet'];

// Every figure's own definition, on a tiny network and generated images.
describe('the figures on generated images', () => {
  let workplace: Workplace;
  let checkpoint: string;
  const outcomes = new Map<string, RunOutcome>();

  before(async () => {
    workplace = await makeWorkplace({ train: 600, test: 200 });
    checkpoint = join(workplace.folder, 'held-out.safetensors');
    await writeTinyCheckpoint(checkpoint, { heldOut: Array.from({ length: 200 }, (_, i) => 3 * i) });
  });
  after(() => workplace.remove());

  const outcomeOf = async (name: string, ...more: Override[]): Promise<RunOutcome> => {
    const { exported, where } = await loadDefinition(name);
    const overrides: Override[] = [
      { path: 'network', value: tinyNetwork },
      { path: 'checkpoint', value: checkpoint },
      { path: 'gates.after', value: [1, 2] },
      { path: 'trainImages', value: 400 },
      { path: 'testImages', value: 200 },
      ...more,
    ];
    return runExperiment(workplace.context, resolveExperiment(exported, where, 'smoke', overrides, paperExperiments));
  };

  it('are all there', async () => {
    expect(await experimentNames()).to.include.members(['table1', 'table2', ...figures]);
  });

  for (const name of figures) {
    it(`${name}: findings that can be drawn, printed and traced`, async () => {
      const outcome = await outcomeOf(name);
      outcomes.set(name, outcome);
      checkFindings(outcome);
      const claims = runDocument(outcome, 'smoke').claims!;
      expect(new Set(claims.map(({ verdict }) => verdict))).to.deep.equal(new Set(['cannot be checked here']));
      expect(outcome.seconds).to.include.keys('analyse');
    });
  }

  it('share features, gates and scores: each is computed once', () => {
    const computed = workplace.notes.filter((note) => note.includes('not in the cache'));
    expect(
      computed.filter((note) => note.startsWith('features')),
      computed.join('\n'),
    ).to.have.length(3);
    expect(computed.filter((note) => note.startsWith('gate'))).to.have.length(2);
    expect(computed.filter((note) => note.startsWith('scores'))).to.have.length(2);
  });

  it('figure1: counts every test image once, and shows what it says', () => {
    const { tables, sheets } = outcomes.get('figure1')!.findings;
    const [errors, confusion] = tables;
    const all = errors!.rows[0]!;
    expect(all.slice(0, 2)).to.deep.equal(['all', 200]);
    const sum = confusion!.rows.flatMap((row) => row.slice(1) as number[]).reduce((a, b) => a + b, 0);
    expect(sum).to.equal(200);
    const right = confusion!.rows.reduce((total, row, label) => total + (row[label + 1] as number), 0);
    expect(all[2]).to.equal(200 - right);
    for (const row of sheets[0]!.rows) {
      const [name] = row.label.split(', ');
      for (const { caption, tone } of row.images) expect(caption === name).to.equal(tone === 'right');
    }
  });

  it('figure4: six variants, differences of each confidence, thresholds from validation', () => {
    const { tables } = outcomes.get('figure4')!.findings;
    const named = new Map(tables.map((table) => [table.name, table]));
    const chosen = named.get('regularisation')!.rows.filter((row) => row[4] === 'yes');
    expect(chosen.map(([loss, confidence]) => `${loss} ${confidence}`)).to.deep.equal([
      'hinge max',
      'hinge difference',
      'cross-entropy max',
      'cross-entropy softmax',
      'cross-entropy entropy',
      'cross-entropy difference',
    ]);
    expect(named.get('differences')!.rows).to.have.length.at.most(2 * 4 * 6);
    expect(new Set(named.get('thresholds')!.rows.map((row) => row[3]))).to.deep.equal(new Set([0, 1, 2]));
    expect(runDocument(outcomes.get('figure4')!, 'laptop').claims).to.have.length(8);
    // The curve never claims more than its neighbours: accuracy lies between the least and the most of the seeds.
    for (const row of named.get('curves')!.rows) {
      const [accuracy, least, most] = [row[5], row[8], row[9]] as number[];
      expect(accuracy).to.be.within(least! - 1e-6, most! + 1e-6);
    }
  });

  it('figure5: the plane agrees with Algorithm 1 in its corners', () => {
    const { tables } = outcomes.get('figure5')!.findings;
    const [points, steps, plane] = tables;
    expect(steps!.rows[0]!.slice(0, 2)).to.deep.equal([180, 0]);
    const rows = plane!.rows as number[][];
    expect(rows).to.have.length(100);
    expect(points!.rows.map(([t1, t2]) => [t1, t2])).to.deep.equal([
      [0, 0],
      [2, 2],
    ]);
    for (const row of rows) expect(row[6]! + row[7]! + row[8]!).to.be.closeTo(1, 1e-12);
    const at = (t1: number, t2: number) => rows.find((row) => row[0] === t1 && row[1] === t2)!;
    for (const [t1, t2, flops] of points!.rows as number[][]) expect(at(t1!, t2!)[4]).to.be.closeTo(flops!, 1);
    expect(at(3.5, 3.5)[4]).to.be.at.least(at(-1, -1)[4]!);
  });

  it('figures 6 to 8: classes add up to the test images', () => {
    for (const name of ['figure6', 'figure7', 'figure8']) {
      const { tables } = outcomes.get(name)!.findings;
      const { columns, rows } = tables[0]!;
      const total = (column: string) => rows.reduce((sum, row) => sum + (row[columns.indexOf(column)] as number), 0);
      expect(total('images')).to.equal(200);
      const leave = columns.filter((column) => column.startsWith('leave_') && column.endsWith('_images'));
      expect(leave.reduce((sum, column) => sum + total(column), 0)).to.equal(200);
    }
    expect(outcomes.get('figure7')!.findings.figures).to.have.length(1);
    expect(outcomes.get('figure6')!.findings.sheets).to.have.length(1);
  });

  it('imagenet: on another dataset nothing is concluded about the published numbers', () => {
    const { tables } = outcomes.get('imagenet')!.findings;
    const claims = runDocument(outcomes.get('imagenet')!, 'laptop').claims!;
    expect(claims.map(({ verdict }) => verdict)).to.deep.equal(['cannot be checked here', 'cannot be checked here']);
    expect(claims[0]!.why).to.contain('a claim about imagenet, measured on cifar10');
    const comparison = tables.find(({ name }) => name === 'comparison')!;
    expect(comparison.title).to.contain('not comparable');
    expect(comparison.rows.map(([method]) => method)).to.include.members(['ACT', 'SACT', 'BlockDrop', 'd-gate']);
  });

  it('take a network with one gate, and one gate of many', async () => {
    const one = { path: 'gates.after', value: [1] };
    const { findings } = await outcomeOf('figure8', one);
    expect(findings.tables[0]!.columns).to.include.members(['gate1_right_with_distance_images', 'main_exit']);
    checkFindings(await outcomeOf('figure1', { path: 'analysis.gate', value: 2 }));
  });

  it('refuse classes that the dataset does not have, by name', async () => {
    const groups = { path: 'analysis.groups', value: { animal: ['cow'] } };
    const { message } = await rejection(outcomeOf('figure8', groups));
    expect(message).to.contain('"cow" is not a class; valid: airplane, automobile');
  });
});
