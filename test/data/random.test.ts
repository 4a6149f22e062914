import { expect } from 'chai';
import { fnv1a64, Random, splitmix64 } from '../../src/random.js';

describe('random numbers', () => {
  it("are those of the authors' xoshiro128starstar.c", () => {
    // State {1, 2, 3, 4}; the same ten numbers stand in the tests of Rust's rand_xoshiro.
    const random = Random.fromState([1, 2, 3, 4]);
    expect(Array.from({ length: 10 }, () => random.uint32())).to.deep.equal([
      11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804,
    ]);
  });

  it('are seeded by splitmix64.c', () => {
    const next = splitmix64(1234567n);
    expect([next(), next(), next(), next(), next()]).to.deep.equal([
      6457827717110365317n,
      3203168211198807973n,
      9817491932198370423n,
      4593380528125082431n,
      16408922859458223821n,
    ]);
    const next2 = splitmix64(42n);
    const words = [next2(), next2()].flatMap((word) => [Number(word & 0xffffffffn), Number(word >> 32n)]);
    const expected = Random.fromState(words as [number, number, number, number]);
    const random = new Random(42);
    for (let i = 0; i < 5; i++) expect(random.uint32()).to.equal(expected.uint32());
  });

  it('have streams named by 64-bit FNV-1a', () => {
    expect([fnv1a64(''), fnv1a64('a'), fnv1a64('foobar')]).to.deep.equal([
      0xcbf29ce484222325n,
      0xaf63dc4c8601ec8cn,
      0x85944171f73967e8n,
    ]);
    const first = ['', 'folds', 'subset'].map((stream) => new Random(1, stream).uint32());
    expect(new Set(first).size).to.equal(3);
  });

  it('need a whole seed, which may be negative', () => {
    for (const seed of [0.5, Number.NaN, 2 ** 53]) expect(() => new Random(seed)).to.throw(RangeError, 'seed');
    expect(new Random(-1).uint32()).not.to.equal(new Random(1).uint32());
  });

  it('are uniform in [0, 1) and below a limit', () => {
    const random = new Random(7);
    const numbers = Array.from({ length: 20_000 }, () => random.uniform());
    expect(Math.min(...numbers)).to.be.within(0, 0.001);
    expect(Math.max(...numbers)).to.be.within(0.999, 1);
    expect(numbers.reduce((sum, x) => sum + x) / numbers.length).to.be.closeTo(0.5, 0.01);
    const counts = new Array<number>(6).fill(0);
    for (let i = 0; i < 60_000; i++) counts[random.below(6)]!++;
    for (const count of counts) expect(count).to.be.closeTo(10_000, 400);
    for (const limit of [0, 1.5, 2 ** 32 + 1]) expect(() => random.below(limit)).to.throw(RangeError);
    expect(random.below(1)).to.equal(0);
  });

  it('shuffle into every order equally often', () => {
    const random = new Random(3);
    const counts = new Map<string, number>();
    for (let i = 0; i < 12_000; i++) {
      const order = random.shuffle([0, 1, 2, 3]).join('');
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).to.equal(24);
    for (const count of counts.values()) expect(count).to.be.closeTo(500, 110);
    const array = Int32Array.of(1, 2, 3);
    expect(random.shuffle(array)).to.equal(array);
  });
});
