import { expect } from 'chai';
import { lbfgs, type Point } from '../../src/gates/lbfgs.js';

/** sum_i scale_i cosh(x_i - target_i): convex, its second derivatives grow away from the target. */
const scales = [1, 10, 100, 1000];
const target = [1, -2, 0.5, 3];
const lowest = 1111;

function coshAt(x: Float64Array): Point {
  const value = scales.reduce((sum, scale, i) => sum + scale * Math.cosh(x[i]! - target[i]!), 0);
  return { x, value, gradient: x.map((place, i) => scales[i]! * Math.sinh(place - target[i]!)) };
}

/** Counts evaluations and keeps their values. */
function watched() {
  const values: number[] = [];
  const evaluate = async (x: Float64Array): Promise<Point> => {
    const point = coshAt(x);
    values.push(point.value);
    return point;
  };
  return { values, evaluate };
}

const plain = async (vector: Float64Array): Promise<Float64Array> => vector;
const fitting = async (vector: Float64Array): Promise<Float64Array> => vector.map((value, i) => value / scales[i]!);
const never = (): boolean => false;
const start = coshAt(new Float64Array(4));

describe('lbfgs', () => {
  for (const [name, metric, most] of [
    ['a metric that fits', fitting, 10],
    ['the identity for a metric', plain, 40],
  ] as const) {
    it(`finds the minimum with ${name}`, async () => {
      const { values, evaluate } = watched();
      const found = await lbfgs(start, evaluate, { metric, firstFactor: 1e-3, mostEvaluations: 100, isEnough: never });
      expect(found.value / lowest).to.be.within(1, 1 + 1e-6);
      for (const [i, x] of found.x.entries()) expect(x).to.be.closeTo(target[i]!, 0.1);
      expect(values.length, 'stops where nothing is to be gained').to.be.at.most(most);
    });
  }

  it('shortens a step that leads too far', async () => {
    const { values, evaluate } = watched();
    const found = await lbfgs(start, evaluate, {
      metric: fitting,
      firstFactor: 30,
      mostEvaluations: 100,
      isEnough: never,
    });
    expect(values[0], 'the first step').to.be.above(start.value);
    expect(found.value / lowest).to.be.within(1, 1 + 1e-6);
  });

  it('keeps the limit of evaluations, and returns the best point evaluated', async () => {
    for (const mostEvaluations of [0, 1, 2, 3, 5]) {
      const { values, evaluate } = watched();
      const found = await lbfgs(start, evaluate, { metric: plain, firstFactor: 1, mostEvaluations, isEnough: never });
      expect(values).to.have.length(mostEvaluations);
      expect(found.value).to.equal(Math.min(start.value, ...values));
      expect(found).to.deep.equal(coshAt(found.x));
    }
  });

  it('stops at the first point that is enough', async () => {
    const { values, evaluate } = watched();
    const isEnough = ({ value }: Point): boolean => value < 1.5 * lowest;
    const found = await lbfgs(start, evaluate, { metric: plain, firstFactor: 1e-3, mostEvaluations: 100, isEnough });
    expect(found.value).to.be.below(1.5 * lowest);
    expect(values.slice(0, -1).every((value) => value >= 1.5 * lowest)).to.equal(true);
  });

  it('stays at a minimum', async () => {
    const { values, evaluate } = watched();
    const there = coshAt(Float64Array.from(target));
    expect(
      await lbfgs(there, evaluate, { metric: plain, firstFactor: 1, mostEvaluations: 10, isEnough: never }),
    ).to.equal(there);
    expect(values).to.have.length(0);
  });
});
