import { expect } from 'chai';
import {
  type ConfidenceKind,
  confidenceKinds,
  confidenceOf,
  confidences,
  decide,
  looksBack,
  unfitted,
} from '../../src/gates/confidence.js';
import { calibrationError, fitConfidence, fitLogOdds, fitTemperature } from '../../src/gates/fit.js';
import { type Loss, losses, lossNamed, lossNames } from '../../src/gates/loss.js';
import { Random } from '../../src/random.js';
import { decideInTurn } from '../onnx/gated-networks.js';

/** Straight from the definitions, without shifts or shared terms, at the first exit. */
const definitions: Readonly<Record<ConfidenceKind, (row: readonly number[]) => number>> = {
  max: (row) => Math.max(...row),
  softmax: (row) => Math.max(...probabilities(row)),
  entropy: (row) => probabilities(row).reduce((sum, p) => sum + p * Math.log(p), 0),
  difference: (row) => {
    const [first, second] = row.toSorted((a, b) => b - a);
    return first! - second!;
  },
  patience: (row) => 1 + Math.max(...probabilities(row)),
  average: (row) => Math.max(...probabilities(row)),
  failure: (row) => Math.max(...probabilities(row)),
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
      { winner: 0, confidence: 2 },
      { winner: 0, confidence: 1 },
      { winner: 0, confidence: 1 },
    ]);
    expect(decide(new Float32Array(), 3, 'max').classes).to.have.length(0);
  });
});

describe('confidences that look back', () => {
  const rows = [
    [2, 0, 1],
    [3, 0, 1],
    [0, 1, 5],
    [0, 2, 9],
  ].map((row) => Float32Array.from(row));
  const confidencesOf = (kind: ConfidenceKind) => decideInTurn(rows, 3, kind).map(({ confidences }) => confidences[0]!);
  const own = (exit: number, c: number): number => probabilities([...rows[exit]!])[c]!;

  it('patience counts the exits in a row with this answer, then the softmax', () => {
    const expected = [1 + own(0, 0), 2 + own(1, 0), 1 + own(2, 2), 2 + own(3, 2)];
    for (const [exit, value] of confidencesOf('patience').entries()) expect(value).to.be.closeTo(expected[exit]!, 1e-6);
  });

  it('average is the mean of the probabilities of the answer at the exits so far', () => {
    for (const [exit, value] of confidencesOf('average').entries()) {
      const answer = exit < 2 ? 0 : 2;
      const all = rows.slice(0, exit + 1).map((_, before) => own(before, answer));
      expect(value).to.be.closeTo(all.reduce((a, b) => a + b) / all.length, 1e-6);
    }
  });

  it('are the only ones that take something along', () => {
    for (const kind of confidenceKinds) {
      expect(decideInTurn(rows, 3, kind)[0]!.carried !== undefined, kind).to.equal(looksBack(kind));
    }
    expect(confidenceKinds.filter(looksBack)).to.deep.equal(['patience', 'average']);
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

describe('temperatures', () => {
  const [count, classes] = [4000, 5];
  const random = new Random(9, 'temperatures');
  const logits = Float32Array.from({ length: count * classes }, () => 6 * random.uniform());
  // Labels drawn from the softmax of the logits: their temperature is 1.
  const labels = Int32Array.from({ length: count }, (_, image) => {
    const shares = probabilities([...logits.subarray(image * classes, (image + 1) * classes)]);
    const drawn = random.uniform();
    const within = shares.findIndex((_, c) => shares.slice(0, c + 1).reduce((a, b) => a + b) > drawn);
    return Math.max(0, within);
  });
  const every = Int32Array.from({ length: count }, (_, i) => i);
  const scaled = (factor: number) => ({ numbers: logits.map((value) => factor * value), labels, classes });

  it('are those of the lowest negative log-likelihood, on the images that are given', () => {
    for (const factor of [0.2, 1, 7]) {
      expect(fitTemperature(scaled(factor), every) / factor, String(factor)).to.be.closeTo(1, 0.05);
    }
    const few = every.subarray(0, 50);
    const loss = (temperature: number): number =>
      few.reduce((sum, image) => {
        const row = [...logits.subarray(image * classes, (image + 1) * classes)].map((value) => value / temperature);
        return sum - Math.log(probabilities(row)[labels[image]!]!);
      }, 0);
    const fitted = fitTemperature(scaled(1), few);
    for (const other of [0.98, 1.02]) expect(loss(fitted)).to.be.below(loss(other * fitted));
    expect(Math.fround(fitted)).to.equal(fitted);
  });

  it('stay finite where every answer is right, all are wrong, or all classes are equally likely', () => {
    const best = decide(logits, classes, 'max').classes;
    const wrong = best.map((label) => (label + 1) % classes);
    expect(fitTemperature({ ...scaled(1), labels: best }, every)).to.be.within(0.01, 0.02);
    expect(fitTemperature({ ...scaled(1), labels: wrong }, every)).to.be.within(1, 100);
    expect(fitTemperature({ numbers: new Float32Array(20), labels, classes }, every.subarray(0, 4))).to.equal(1);
  });

  it('bring the expected calibration error down, which is that of its definition', () => {
    // Two images in one bin: sure of 0.9 each, one right; one in another, sure of 0.6, right.
    const numbers = Float32Array.from([0.9, 0.1, 0.1, 0.9, 0.6, 0.4], Math.log);
    const judged = { numbers, labels: Int32Array.of(0, 0, 0), classes: 2 };
    const error = (2 / 3) * 0.4 + (1 / 3) * 0.4;
    expect(calibrationError(judged, Int32Array.of(0, 1, 2), 1)).to.be.closeTo(error, 1e-6);
    expect(calibrationError(judged, Int32Array.of(0), 1)).to.be.closeTo(0.1, 1e-6);
    const before = calibrationError(scaled(3), every, 1);
    expect(before).to.be.above(0.1);
    expect(calibrationError(scaled(3), every, fitTemperature(scaled(3), every))).to.be.below(0.02);
  });
});

describe('failure prediction and offsets by class', () => {
  const random = new Random(3, 'failure');
  const count = 6000;
  const every = Int32Array.from({ length: count }, (_, i) => i);
  const answers = Int32Array.from({ length: count }, () => random.below(4));
  const numbers = Array.from({ length: count }, () => [100 + 20 * random.uniform(), random.uniform()]);
  const own = [1, -1, 0, 0];
  const isRight = numbers.map(([a, b], i) => {
    const odds = 0.2 * (a! - 110) + 2 * b! - 0.5 + own[answers[i]!]!;
    return random.uniform() < 1 / (1 + Math.exp(-odds));
  });

  const flat = Float32Array.from(numbers.flat());
  const fitted = (right: readonly boolean[], byClass: boolean, of = flat) =>
    fitLogOdds(of, answers, right, [2, 4], byClass);

  it('finds the factors and offsets that the labels were drawn by', async () => {
    const { factors, offsets } = await fitted(isRight, true);
    expect(factors[0]).to.be.closeTo(0.2, 0.03);
    expect(factors[1]).to.be.closeTo(2, 0.4);
    for (const [c, offset] of offsets.entries()) expect(offset - offsets[3]!).to.be.closeTo(own[c]!, 0.35);
    const plain = await fitted(isRight, false);
    expect([...plain.offsets]).to.deep.equal([0, 0, 0, 0]);
    // At the optimum as many right answers are predicted as there are.
    const odds = (i: number): number => plain.factors.reduce((sum, f, k) => sum + f * numbers[i]![k]!, plain.constant);
    const predicted = numbers.reduce((sum, _, i) => sum + 1 / (1 + Math.exp(-odds(i))), 0);
    expect(predicted / count).to.be.closeTo(isRight.filter(Boolean).length / count, 1e-3);
  });

  it('is finite where all answers are right, all wrong, or there is none', async () => {
    for (const right of [true, false]) {
      const { factors, constant, offsets } = await fitted(
        isRight.map(() => right),
        true,
      );
      expect([...factors, constant, ...offsets].every(Number.isFinite)).to.equal(true);
      expect(Math.sign(constant + offsets[0]! + 110 * factors[0]! + factors[1]! / 2)).to.equal(right ? 1 : -1);
    }
    expect([...(await fitted([], true, new Float32Array())).factors]).to.deep.equal([0, 0]);
  });

  it('ignores images that the network itself gets wrong, and keeps the unit of the confidence', async () => {
    const logits = Float32Array.from({ length: 4 * count }, () => 4 * random.uniform());
    const decisions = decide(logits, 4, 'difference');
    const original = Int32Array.from(every, () => random.below(4));
    // Answers of class 0 are right half as often as the others of the same confidence.
    const labels = original.map((answer, i) => {
      const isLost = decisions.classes[i] === 0 && random.uniform() < 0.6;
      return isLost ? answer : decisions.classes[i]!;
    });
    const judged = { numbers: logits, labels, classes: 4 };
    const fitFor = (kind: ConfidenceKind, original: Int32Array, byClass: boolean) =>
      fitConfidence(judged, kind, { fitted: unfitted(4) }, original, every, byClass);
    const { offsets } = await fitFor('difference', labels, true);
    expect(Math.max(...offsets.slice(1).map((value) => offsets[0]! - value))).to.be.below(0);
    // None of these images is one that the network answers right.
    const wrong = labels.map((label) => (label + 1) % 4);
    expect([...(await fitFor('difference', wrong, true)).offsets]).to.deep.equal([0, 0, 0, 0]);
    const failure = await fitFor('failure', labels, false);
    expect(failure.factors).to.have.length(4);
    expect(new Set(failure.offsets).size).to.equal(1);
  });
});
