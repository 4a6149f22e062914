import { expect } from 'chai';
import { byExit, type ClassCounts, countByClass, extremesTable } from '../../src/paper/classDistribution.js';
import type { Scores } from '../../src/thresholds/evaluate.js';

describe('images of each class by gate (Figures 6, 7, 8)', () => {
  // Class 0: images 0, 1, 2; class 1: images 3, 4; class 2: none.
  const scores: Scores = {
    count: 5,
    labels: Int32Array.of(0, 0, 0, 1, 1),
    original: Int32Array.of(0, 0, 0, 1, 0),
    classes: [Int32Array.of(0, 0, 1, 1, 1), Int32Array.of(0, 0, 0, 1, 1)],
    confidences: [Float32Array.of(1, 0.9, 2, 0.5, 0.2), Float32Array.of(1.5, 1, 1, 0.9, 0.8)],
  };
  const counts = countByClass(scores, 3, 1);

  it('are counted where the gate is right with at least the distance, reached or not', () => {
    expect(counts[0]!.able).to.deep.equal([1, 3]);
    expect(counts[1]!.able).to.deep.equal([0, 0]);
  });

  it('leave at the first confident gate, right or wrong', () => {
    // Image 0 leaves at gate 1, image 1 at gate 2, image 2 at gate 1 with the wrong class.
    expect(counts[0]).to.deep.include({ images: 3, taken: [1, 1, 0], wrong: 1, exit: 0 });
    expect(counts[0]!.earlyShare).to.be.closeTo(1 / 3, 1e-12);
    expect(counts[1]).to.deep.include({ images: 2, taken: [0, 0, 1], wrong: 1, exit: 2, earlyShare: 0 });
    expect(counts[2]).to.deep.include({ images: 0, taken: [0, 0, 0], wrong: 0, exit: 3, earlyShare: 0 });
  });

  it('count a thousand classes as ten', () => {
    const many = countByClass({ ...scores, labels: Int32Array.of(999, 0, 0, 1, 1) }, 1000, 1);
    expect(many).to.have.length(1000);
    expect(many[999]).to.deep.include({ images: 1, able: [0, 0], wrong: 1 });
  });

  const row = (label: number, exit: number, earlyShare: number, able = [50, 50]): ClassCounts => {
    return { label, images: 100, able, taken: [], wrong: 0, exit, earlyShare };
  };

  it('are sorted by exit, then by early share', () => {
    const sorted = byExit([row(0, 2, 0.1), row(1, 0, 0.5), row(2, 0, 0.9), row(3, 2, 0.1)]);
    expect(sorted.map(({ label }) => label)).to.deep.equal([2, 1, 0, 3]);
  });

  it('have a table of the first and the last to leave; images that leave wrong do not count as last', () => {
    const late = { ...row(3, 2, 0), wrong: 10 };
    const never = { ...row(1, 3, 0), wrong: 100 };
    const { rows, columns } = extremesTable([row(2, 0, 0.9), row(0, 0, 0.5), late, never], {
      classes: ['a', 'b', 'c', 'd'],
    });
    const cells = (name: string) => rows.map((cell) => cell[columns.indexOf(name)]);
    expect(cells('leaves')).to.deep.equal(['first', 'first', 'last', 'last']);
    expect(cells('class')).to.deep.equal(['c', 'a', 'd', 'b']);
    expect(cells('main_exit')).to.deep.equal(['gate 1', 'gate 1', 'original', 'none']);
  });
});
