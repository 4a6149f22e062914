import { expect } from 'chai';
import { scoresOf } from '../../src/paper/analysis.js';
import { axisOf, measureThresholds, planeOf, stepTable } from '../../src/paper/thresholdPlane.js';
import type { Scores } from '../../src/thresholds/evaluate.js';

// Four images of class 0; the first gate is right on images 0 and 1, the second on 0, 1 and 2, the original on all but 3.
const scores: Scores = {
  count: 4,
  labels: Int32Array.of(0, 0, 0, 0),
  original: Int32Array.of(0, 0, 0, 1),
  classes: [Int32Array.of(0, 0, 1, 1), Int32Array.of(0, 0, 0, 1), Int32Array.of(1, 1, 1, 1)],
  confidences: [Float32Array.of(2, 1, 0, -1), Float32Array.of(3, 2, 1, 0), Float32Array.of(9, 9, 9, 9)],
};
const costs = [10, 20, 40];

describe('the plane of two thresholds (Figure 5)', () => {
  it('has both ends and exact decimals', () => {
    const axis = axisOf(-1, 3.5, 0.1);
    expect(axis).to.have.length(46);
    expect(axis).to.include.members([-1, -0.1, 0, 0.3, 2, 3.5]);
    expect(Object.is(axis[10], 0)).to.equal(true);
    expect(axisOf(0, 1, 0.4)).to.deep.equal([0, 0.4, 0.8]);
  });

  it('evaluates each pair by Algorithm 1, with the chosen gates only', () => {
    const two = scoresOf(scores, [0, 1]);
    const plane = planeOf(two, costs, [0, 2]);
    expect(plane.map(({ t1, t2 }) => [t1, t2])).to.deep.equal([
      [0, 0],
      [0, 2],
      [2, 0],
      [2, 2],
    ]);
    // (0, 0): images 0-2 leave at gate 1 (two right), image 3 at gate 2 (wrong).
    expect(plane[0]).to.deep.include({ accuracy: 0.5, flops: (3 * 10 + 20) / 4, exits: [0.75, 0.25, 0] });
    // (2, 2): image 0 at gate 1, image 1 at gate 2, the others at the end (one right).
    expect(plane[3]).to.deep.include({ accuracy: 0.75, flops: (10 + 20 + 80) / 4, exits: [0.25, 0.25, 0.5] });
  });

  it('measures FLOPs and loss at a point with intervals', () => {
    const found = measureThresholds(scoresOf(scores, [0, 1]), [0, 0], costs, 40);
    expect(found.flops).to.equal(12.5);
    // Image 2 is lost, image 3 was wrong before: drops 0, 0, 1, 0.
    expect(found.drop).to.equal(0.25);
    expect(found.dropInterval.low).to.be.closeTo(0.25 - 1.959964 * 0.25, 1e-6);
    expect(found.saved).to.equal(1 - 12.5 / 40);
  });

  it('counts falls of FLOPs and accuracy towards higher thresholds; the interval of the largest is of all steps', () => {
    const point = (t1: number, t2: number, accuracy: number, flops: number) => {
      return { t1, t2, accuracy, flops, exits: [1 - t1 / 10, t1 / 10] };
    };
    const plane = [point(0, 0, 0.5, 10), point(0, 1, 0.6, 20), point(1, 0, 0.4, 5), point(1, 1, 0.6, 30)];
    const stepsOf = (of: typeof plane, images: number) => stepTable(of, images).rows[0] as number[];
    const [steps, flopsFalls, falls, worst, low, high] = stepsOf(plane, 1600);
    expect([steps, flopsFalls, falls]).to.deep.equal([4, 0.25, 0.25]);
    expect(worst).to.be.closeTo(0.1, 1e-12);
    // A tenth of the images move: 4 standard deviations are 4 sqrt(0.1 / 1600).
    expect(low).to.be.closeTo(0.1 - 4 * Math.sqrt(0.1 / 1600), 1e-12);
    expect(high).to.be.closeTo(0.1 + 4 * Math.sqrt(0.1 / 1600), 1e-12);
    // NaN counts as a fall.
    const broken = plane.map((at, i) => (i === 3 ? { ...at, flops: Number.NaN } : at));
    expect(stepsOf(broken, 1000)[1]).to.equal(0.75);
  });
});
