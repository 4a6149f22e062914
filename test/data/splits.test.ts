import { expect } from 'chai';
import { classCounts, holdOut, stratifiedFolds, stratifiedSubset } from '../../src/data/dataset.js';
import { InputError } from '../../src/errors.js';
import { Random } from '../../src/random.js';

const random = new Random(11);
/** As CIFAR-10's test images: 100 of each of ten classes, mixed. */
const balanced = random.shuffle(Int32Array.from({ length: 1000 }, (_, i) => i % 10));
/** 60, 30 and 13 of three classes; a fourth has none. */
const uneven = random.shuffle(Int32Array.from({ length: 103 }, (_, i) => (i < 60 ? 0 : i < 90 ? 1 : 2)));

const pick = (labels: Int32Array, indices: Int32Array) => indices.map((index) => labels[index]!);
const isAscending = (indices: Int32Array) => indices.every((index, i) => i === 0 || indices[i - 1]! < index);
const everyIndex = (count: number) => Array.from({ length: count }, (_, i) => i);

describe('stratifiedFolds', () => {
  it('halves the test images, and every class', () => {
    const folds = stratifiedFolds(balanced, 10, 2, 0);
    expect(folds.map((fold) => fold.length)).to.deep.equal([500, 500]);
    for (const fold of folds) {
      expect(classCounts(pick(balanced, fold), 10)).to.deep.equal(Array(10).fill(50));
      expect(isAscending(fold)).to.equal(true);
    }
    expect(folds.flatMap((fold) => [...fold]).sort((a, b) => a - b)).to.deep.equal(everyIndex(1000));
  });

  it('differs by at most one where it does not come out even', () => {
    const folds = stratifiedFolds(uneven, 4, 4, 1);
    expect(folds.map((fold) => fold.length).sort()).to.deep.equal([25, 26, 26, 26]);
    for (const [label, total] of [60, 30, 13, 0].entries()) {
      for (const fold of folds) {
        expect(classCounts(pick(uneven, fold), 4)[label]).to.be.within(Math.floor(total / 4), Math.ceil(total / 4));
      }
    }
  });

  it('depends on the seed and on nothing else', () => {
    expect(stratifiedFolds(balanced, 10, 2, 5)).to.deep.equal(stratifiedFolds(balanced, 10, 2, 5));
    expect(stratifiedFolds(balanced, 10, 2, 5)).not.to.deep.equal(stratifiedFolds(balanced, 10, 2, 6));
    // Written down: a new version of dgate must divide as the one that made the cached results.
    expect([...stratifiedFolds(Int32Array.of(0, 1, 0, 1, 0, 1, 0, 1), 2, 2, 0)[0]!]).to.deep.equal([0, 1, 4, 5]);
    const even = Int32Array.of(0, 1, 0, 1, 0, 1, 0, 1);
    expect([...stratifiedSubset(even, 2, 4, 0)]).to.deep.equal([0, 1, 3, 6]);
    expect([...holdOut(even, 2, 4, 0).held]).to.deep.equal([0, 3, 5, 6]);
  });

  it('refuses folds that cannot be and labels that are no class', () => {
    for (const folds of [0, 1.5, 104])
      expect(() => stratifiedFolds(uneven, 3, folds, 0)).to.throw(InputError, 'valid: 1 to 103');
    expect(() => stratifiedFolds(uneven, 2, 2, 0)).to.throw(RangeError, 'label 2 of 2 classes');
  });
});

describe('holdOut', () => {
  it('sets the asked number aside, with every class', () => {
    const { rest, held } = holdOut(balanced, 10, 100, 0);
    expect(classCounts(pick(balanced, held), 10)).to.deep.equal(Array(10).fill(10));
    expect(isAscending(held) && isAscending(rest)).to.equal(true);
    expect([...held, ...rest].sort((a, b) => a - b)).to.deep.equal(everyIndex(1000));
  });

  it('takes none or all', () => {
    expect(holdOut(uneven, 4, 0, 0).held.length).to.equal(0);
    expect(holdOut(uneven, 4, 103, 0).rest.length).to.equal(0);
    expect(() => holdOut(uneven, 4, 104, 0)).to.throw(InputError, '104 images asked for; valid: 0 to 103');
  });

  it('is another choice than the subset of the same seed', () => {
    expect([...holdOut(balanced, 10, 100, 0).held]).not.to.deep.equal([...stratifiedSubset(balanced, 10, 100, 0)]);
  });
});

describe('stratifiedSubset', () => {
  it('gives every class its share, rounded by the largest remainder', () => {
    // 60, 30, 13 of 103 x 10 = 5.83, 2.91, 1.26
    expect(classCounts(pick(uneven, stratifiedSubset(uneven, 4, 10, 0)), 4)).to.deep.equal([6, 3, 1, 0]);
    for (const count of [1, 7, 50, 102, 103]) {
      const chosen = stratifiedSubset(uneven, 4, count, 3);
      expect(chosen.length).to.equal(count);
      expect(isAscending(chosen)).to.equal(true);
    }
  });

  it('is part of every larger choice of the same seed', () => {
    let smaller = stratifiedSubset(balanced, 10, 1, 4);
    for (const count of [3, 10, 25, 96, 500, 1000]) {
      const larger = new Set(stratifiedSubset(balanced, 10, count, 4));
      expect(smaller.every((index) => larger.has(index))).to.equal(true);
      smaller = Int32Array.from(larger);
    }
  });

  it('refuses more images than there are', () => {
    for (const count of [0, 1001, 2.5, Number.NaN]) {
      expect(() => stratifiedSubset(balanced, 10, count, 0)).to.throw(InputError, 'valid: 1 to 1000');
    }
  });
});
