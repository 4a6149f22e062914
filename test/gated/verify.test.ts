import { expect } from 'chai';
import { compareBatch, emptyVerification } from '../../src/gated/open.js';
import type { Scores } from '../../src/thresholds/evaluate.js';

describe('answers against the cached evaluation', () => {
  const scores: Scores = {
    count: 2,
    labels: Int32Array.of(0, 1),
    original: Int32Array.of(0, 1),
    classes: [Int32Array.of(0, 0)],
    confidences: [Float32Array.of(2, -2)],
  };
  const answers = (confidence: number) => {
    const found = emptyVerification();
    compareBatch(found, scores, [1], Int32Array.of(0, 1), {
      classes: Int32Array.of(0, 1),
      exits: Int32Array.of(0, 1),
      confidences: Float32Array.of(confidence, 5),
    });
    return found;
  };

  it('are the same where class and exit are', () => {
    expect(answers(2)).to.deep.include({ images: 2, same: 2, different: [] });
  });

  it('are different where the confidence at a gate is not a number', () => {
    expect(answers(Number.NaN)).to.deep.include({ images: 2, same: 1, near: 0, different: [0] });
  });
});
