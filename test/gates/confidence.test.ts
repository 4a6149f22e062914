import { expect } from 'chai';
import { type ConfidenceKind, confidenceKinds, confidenceOf, confidences, decide } from '../../src/gates/confidence.js';
import { type Loss, losses, lossNamed, lossNames } from '../../src/gates/loss.js';
import { Random } from '../../src/random.js';

/** Straight from the definitions, without shifts or shared terms. */
const definitions: Readonly<Record<ConfidenceKind, (row: readonly number[]) => number>> = {
  max: (row) => Math.max(...row),
  softmax: (row) => Math.max(...probabilities(row)),
  entropy: (row) => probabilities(row).reduce((sum, p) => sum + p * Math.log(p), 0),
  difference: (row) => {
    const [first, second] = row.toSorted((a, b) => b - a);
    return first! - second!;
  },
};

function probabilities(row: readonly number[]): number[] {
  const powers = row.map(Math.exp);
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

const one = (row: readonly number[], kind: ConfidenceKind): { winner: number; confidence: number } => {
  const { classes, confidences } = decide(Float32Array.from(row), row.length, kind);
  return { winner: classes[0]!, confidence: confidences[0]! };
};

describe('decide', () => {
  for (const kind of confidenceKinds) {
    it(`${kind}: as its definition says, for every image of a batch`, () => {
      const random = new Random(4, kind);
      const [count, classes] = [50, 7];
      const distances = Float32Array.from({ length: count * classes }, () => 10 * random.uniform() - 5);
      const decisions = decide(distances, classes, kind);
      expect([decisions.classes.length, decisions.confidences.length]).to.deep.equal([count, count]);
      for (let image = 0; image < count; image++) {
        const row = [...distances.subarray(image * classes, (image + 1) * classes)];
        expect(decisions.classes[image]).to.equal(row.indexOf(Math.max(...row)));
        expect(decisions.confidences[image]).to.be.closeTo(definitions[kind](row), 1e-5);
      }
    });
  }

  it('ignores numbers between the distances of two images', () => {
    for (const kind of confidenceKinds) {
      const apart = decide(Float32Array.of(1, 3, 99, -1, -4, 99), 2, kind, 3);
      expect(apart, kind).to.deep.equal(decide(Float32Array.of(1, 3, -1, -4), 2, kind));
    }
  });

  it('chooses the first class of equal distances', () => {
    for (const kind of confidenceKinds) {
      expect(one([-1, 2, 2, 0], kind).winner, kind).to.equal(1);
      expect(one([-3, -3, -3], kind).winner, kind).to.equal(0);
      expect(one([0, 1, 2], kind).winner, kind).to.equal(2);
    }
    expect(one([-1, 2, 2, 0], 'difference').confidence).to.equal(0);
  });

  it('is larger for a clearer winner, in every kind', () => {
    for (const kind of confidenceKinds) {
      expect(one([3, 0, 0], kind).confidence, kind).to.be.above(one([1, 0, 0], kind).confidence);
    }
    expect(one([0, 0, 0, 0], 'softmax').confidence).to.equal(0.25);
    expect(one([0, 0, 0, 0], 'entropy').confidence).to.be.closeTo(-Math.log(4), 1e-6);
    expect(one([-2, -5], 'max').confidence).to.equal(-2);
    expect(one([-2, -5], 'difference').confidence).to.equal(3);
  });

  it('stays finite for distances whose exponentials are not', () => {
    expect(one([1000, -1000], 'softmax').confidence).to.equal(1);
    expect(one([1000, -1000], 'entropy').confidence).to.equal(0);
    expect(one([1000, 1000], 'entropy').confidence).to.be.closeTo(-Math.LN2, 1e-6);
    expect(one([-1000, -1001], 'softmax').confidence).to.be.closeTo(1 / (1 + Math.exp(-1)), 1e-6);
  });

  it('answers for a single class, and for no images with nothing', () => {
    expect(confidenceKinds.map((kind) => one([-4], kind))).to.deep.equal([
      { winner: 0, confidence: -4 },
      { winner: 0, confidence: 1 },
      { winner: 0, confidence: 0 },
      { winner: 0, confidence: -4 },
    ]);
    expect(decide(new Float32Array(), 3, 'max').classes).to.have.length(0);
  });
});

describe('registries of gates', () => {
  it('have unique names, and refuse unknown ones', () => {
    expect(new Set(confidenceKinds).size).to.equal(confidences.length);
    expect(new Set(lossNames).size).to.equal(losses.length);
    expect(() => confidenceOf('margin' as ConfidenceKind)).to.throw('confidence margin: unknown; valid: max');
    expect(() => lossNamed('squares' as Loss)).to.throw('loss squares: unknown; valid: hinge');
  });
});
