import { expect } from 'chai';
import { measurePairs, type TimedBatch, type TimingProgress } from '../../src/timing/pairs.js';
import { chosenPairs, exactly, mlperf, type Rule } from '../../src/timing/rules.js';
import { fakeClock } from './fakeClock.js';

describe('how long a row is timed', () => {
  it('fits pairs into about 15 s', () => {
    const rule = chosenPairs(1, 10, 10_000);
    expect(rule.description).to.equal('1,500 pairs (about 15 s)');
    expect(rule.isEnough(having(1499))).to.equal(false);
    expect(rule.isEnough(having(1500))).to.equal(true);
    expect(rule.done(having(750))).to.equal(0.5);
  });

  it('repeats no image if there are enough', () => {
    expect(chosenPairs(1, 0.5, 10_000).description).to.equal('10,000 pairs (every image once)');
    expect(chosenPairs(32, 1, 312).description).to.equal('312 pairs (every image once)');
  });

  it('never takes fewer than an estimate needs', () => {
    expect(chosenPairs(1, 500, 10_000).description).to.equal('400 pairs (the fewest for an estimate)');
    expect(chosenPairs(32, 2000, 312).description).to.equal('60 pairs (the fewest for an estimate)');
    expect(chosenPairs(32, 1, 15).description).to.equal('60 pairs (the fewest for an estimate)');
    expect(chosenPairs(1, Number.NaN, 10_000).description).to.equal('400 pairs (the fewest for an estimate)');
  });

  it('takes the requested number', () => {
    expect(exactly(1).isEnough(having(1))).to.equal(true);
    expect(exactly(2).isEnough(having(1))).to.equal(false);
  });
});

describe('the rules of MLPerf', () => {
  const batches = (size: number) =>
    async function* (): AsyncGenerator<TimedBatch> {
      const images = new Int32Array(size);
      for (;;) yield { images, input: new Float32Array(0), thresholds: [] };
    };

  /** Pairs until the rule ends the timing, with networks of these times. */
  async function count(rule: Rule, size: number, originalMs: number, gatedMs: number): Promise<number> {
    const { clock, pass } = fakeClock();
    const contest = { original: async () => pass(originalMs), gated: async () => pass(gatedMs), rest: async () => {} };
    let pairs = 0;
    for await (const _ of measurePairs(clock, contest, batches(size)(), 1, rule.isEnough)) pairs++;
    return pairs;
  }

  it('single-stream: at least 600 s of each network, so the faster one decides', async () => {
    expect(await count(mlperf(1), 1, 200, 100)).to.equal(6000);
    expect(await count(mlperf(1), 1, 50, 100)).to.equal(12_000);
  });

  it('single-stream: at least 1,024 queries, however long each takes', async () => {
    expect(await count(mlperf(1), 1, 3000, 1000)).to.equal(1024);
  });

  it('offline: at least 24,576 images', async () => {
    expect(await count(mlperf(32), 32, 3000, 1500)).to.equal(768);
    expect(await count(mlperf(64), 64, 3000, 1800)).to.equal(384);
    expect(await count(mlperf(100), 100, 60_000, 60_000)).to.equal(246); // 245 would be 24,500
  });

  it('offline: and at least 600 s', async () => {
    expect(await count(mlperf(32), 32, 200, 300)).to.equal(3000);
  });

  it('describes its requirement and its progress', () => {
    expect(mlperf(1).description).to.equal('MLPerf single-stream: at least 1,024 queries and 600 s of each network');
    expect(mlperf(32).description).to.equal('MLPerf offline: at least 24,576 images and 600 s of each network');
    expect(mlperf(1).done({ pairs: 512, images: 512, originalMs: 1e6, gatedMs: 450_000 })).to.equal(0.5);
    expect(mlperf(1).done({ pairs: 2048, images: 2048, originalMs: 1e6, gatedMs: 450_000 })).to.equal(0.75);
  });
});

function having(pairs: number): TimingProgress {
  return { pairs, images: pairs, originalMs: pairs, gatedMs: pairs };
}
