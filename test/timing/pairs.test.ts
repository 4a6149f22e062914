import { expect } from 'chai';
import {
  batchesPerTurn,
  chosenPairs,
  exactly,
  measurePairs,
  mlperf,
  type Rule,
  type TimedBatch,
  type TimingProgress,
  warmUp,
} from '../../src/timing/pairs.js';
import { fakeClock } from './fakeClock.js';

const bounds = { window: 5, leastWindow: 2, tolerance: 0.05, maxRuns: 100, maxMs: 10_000 };

describe('warm-up', () => {
  /** Works whose n-th run takes the n-th of `times`. */
  function works(...times: ((run: number) => number)[]) {
    const { clock, pass } = fakeClock();
    const order: number[] = [];
    const list = times.map((ms, index) => {
      let run = 0;
      return async () => {
        order.push(index);
        pass(ms(run++));
      };
    });
    return { clock, list, order };
  }

  it('ends when the medians of two windows agree, at the earliest after two windows', async () => {
    const { clock, list } = works(() => 4);
    expect(await warmUp(clock, list, bounds)).to.deep.equal({ runs: 10, ms: 40, stable: true, medianMs: [4] });
  });

  it('continues while the first runs are slower', async () => {
    // Medians of windows of 5: 50, 20 and 4 are none like the one before; then 4 again.
    const { clock, list } = works((run) => (run < 5 ? 50 : run < 10 ? 20 : 4));
    const { runs, stable, medianMs } = await warmUp(clock, list, bounds);
    expect([runs, stable, medianMs]).to.deep.equal([20, true, [4]]);
  });

  it('waits for every work, a window of each in turn', async () => {
    const { clock, list, order } = works(
      () => 2,
      (run) => (run < 5 ? 9 : 3),
    );
    const { runs, stable, medianMs } = await warmUp(clock, list, bounds);
    expect([runs, stable, medianMs]).to.deep.equal([15, true, [2, 3]]);
    expect(order.join('')).to.equal('000001111100000111110000011111');
  });

  it('is not prolonged by a single outlier', async () => {
    const { clock, list } = works((run) => (run === 7 ? 500 : 4));
    expect(await warmUp(clock, list, bounds)).to.include({ runs: 10, stable: true });
  });

  it('ends unstable at the bound of its runs', async () => {
    const { clock, list } = works((run) => 1 + run);
    expect(await warmUp(clock, list, { ...bounds, tolerance: 0.01, maxRuns: 30 })).to.include({
      runs: 30,
      stable: false,
    });
  });

  it('takes smaller windows if two of the usual size do not fit into its time', async () => {
    // Two windows of 3 runs of each of two works: 9.6 s. The first run, which compiles, does not count.
    const { clock, list, order } = works(
      (run) => (run === 0 ? 1400 : 800),
      () => 700,
    );
    const { runs, stable, medianMs } = await warmUp(clock, list, bounds);
    expect([runs, stable, medianMs]).to.deep.equal([6, true, [800, 700]]);
    expect(order.join('')).to.equal('000111000111');
  });

  it('does not count the time of first runs that open sessions and compile', async () => {
    const { clock, list } = works(
      (run) => (run === 0 ? 3500 : 800),
      (run) => (run === 0 ? 4000 : 700),
    );
    expect(await warmUp(clock, list, bounds)).to.deep.equal({
      runs: 6,
      ms: 15_000,
      stable: true,
      medianMs: [800, 700],
    });
  });

  it('takes no window below the minimum, and longer for slow works', async () => {
    for (const ms of [2400, 2600, 9900]) {
      const { clock, list } = works(() => ms);
      expect(await warmUp(clock, list, bounds), `${ms} ms`).to.include({ runs: 4, stable: true });
    }
    // Six works of 900 ms, as the paper's networks at batch 32: 21.6 s for two windows.
    const many = works(...new Array<() => number>(6).fill(() => 900));
    expect(await warmUp(many.clock, many.list, bounds)).to.include({ runs: 4, ms: 21_600, stable: true });
    // One window more where the first was slower.
    const settling = works((run) => (run < 2 ? 9000 : 8000));
    expect(await warmUp(settling.clock, settling.list, bounds)).to.include({ runs: 6, stable: true });
  });

  it('ends unstable if times are NaN', async () => {
    const { clock, list } = works(() => Number.NaN);
    expect(await warmUp(clock, list, bounds)).to.include({ runs: 1, stable: false });
  });

  it('ends unstable at the bound of its time, but never without a run', async () => {
    const slow = works(() => 16_000);
    expect(await warmUp(slow.clock, slow.list, bounds)).to.include({ runs: 1, stable: false });
    const slower = works(
      () => 60_000,
      () => 30_000,
    );
    const { runs, medianMs, stable } = await warmUp(slower.clock, slower.list, bounds);
    expect([runs, medianMs, stable]).to.deep.equal([1, [60_000, 30_000], false]);
  });
});

describe('paired measurement', () => {
  /** Three images a batch, two values an image; the values say which image it is. */
  function setting() {
    const { clock, pass } = fakeClock();
    const calls: string[] = [];
    async function* batches(count = Number.POSITIVE_INFINITY): AsyncGenerator<TimedBatch> {
      for (let i = 0; i < count; i++) {
        pass(1000); // preparing images must not be timed
        const images = Int32Array.of(3 * i, 3 * i + 1, 3 * i + 2);
        yield { images, input: Float32Array.from([...images].flatMap((image) => [image, image])), thresholds: [i] };
      }
    }
    const call = (network: string, { images, input }: TimedBatch): void => {
      calls.push(`${network} ${images.join('+')}`);
      expect([...input]).to.deep.equal([...images].flatMap((image) => [image, image]));
    };
    const contest = {
      original: async (batch: TimedBatch) => {
        call('original', batch);
        pass(5 * batch.images.length);
      },
      gated: async (batch: TimedBatch) => {
        call('gated', batch);
        pass(1);
        await new Promise((resolve) => setImmediate(resolve)); // the device works on
        pass(2 + batch.images[0]!);
        return `thresholds ${batch.thresholds.join()}`;
      },
      rest: async () => {
        calls.push('rest');
        pass(100);
      },
    };
    return { clock, calls, batches, contest };
  }
  const isWhole = (line: string): boolean => line.split('+').length === 3;

  it('runs both on the same images in turn; which one goes first alternates', async () => {
    const { clock, calls, batches, contest } = setting();
    const pairs = await collect(measurePairs(clock, contest, batches(), 1, exactly(3).isEnough));
    const whole = calls.filter(isWhole);
    expect(whole).to.deep.equal([
      ...['original 0+1+2', 'gated 0+1+2', 'gated 3+4+5', 'original 3+4+5'],
      ...['original 6+7+8', 'gated 6+7+8'],
    ]);
    expect(pairs.map(({ first }) => first)).to.deep.equal(['original', 'gated', 'original']);
  });

  // A single image may take another path through an engine than a batch.
  it('waits for the threads of the other network and runs once, untimed, on the first two images', async () => {
    const { clock, calls, batches, contest } = setting();
    await collect(measurePairs(clock, contest, batches(), 1, exactly(2).isEnough));
    expect(calls).to.deep.equal([
      ...['rest', 'original 0+1', 'original 0+1+2', 'rest', 'gated 0+1', 'gated 0+1+2'],
      ...['rest', 'gated 3+4', 'gated 3+4+5', 'rest', 'original 3+4', 'original 3+4+5'],
    ]);
  });

  it('gives every run, the untimed ones too, all that belongs to its batch', async () => {
    const { clock, batches, contest } = setting();
    const seen: TimedBatch[] = [];
    const none = { factors: new Float32Array(), offsets: new Float32Array() };
    const fitAt = (temperature: number) => ({ temperature, ...none });
    const gated = (batch: TimedBatch) => contest.gated(batch).finally(() => seen.push(batch));
    async function* calibrated() {
      for await (const batch of batches(2)) yield { ...batch, fitted: [2, 3].map(fitAt) };
    }
    await collect(measurePairs(clock, { ...contest, gated }, calibrated(), 1, exactly(2).isEnough));
    expect(seen.map(({ fitted }) => fitted?.map(({ temperature }) => temperature))).to.deep.equal(
      new Array(4).fill([2, 3]),
    );
  });

  it('times each run to its end, and nothing in between', async () => {
    const { clock, batches, contest } = setting();
    const pairs = await collect(measurePairs(clock, contest, batches(), 1, exactly(3).isEnough));
    expect(pairs.map(({ originalMs }) => originalMs)).to.deep.equal([15, 15, 15]);
    expect(pairs.map(({ gatedMs }) => gatedMs)).to.deep.equal([3, 6, 9]);
    expect(pairs.map(({ result }) => result)).to.deep.equal(['thresholds 0', 'thresholds 1', 'thresholds 2']);
  });

  it('runs the batches of a turn back to back before the other network runs the same ones', async () => {
    const { clock, calls, batches, contest } = setting();
    const pairs = await collect(measurePairs(clock, contest, batches(), 2, exactly(3).isEnough));
    expect(calls).to.deep.equal([
      ...['rest', 'original 0+1', 'original 0+1+2', 'original 3+4+5'],
      ...['rest', 'gated 0+1', 'gated 0+1+2', 'gated 3+4+5'],
      ...['rest', 'gated 6+7', 'gated 6+7+8', 'gated 9+10+11'],
      ...['rest', 'original 6+7', 'original 6+7+8', 'original 9+10+11'],
    ]);
    expect(pairs.map(({ turn, first }) => `${turn} ${first}`)).to.deep.equal(['0 original', '0 original', '1 gated']);
    expect(pairs.map(({ batch, gatedMs }) => [batch.images[0], gatedMs])).to.deep.equal([
      [0, 3],
      [3, 6],
      [6, 9],
    ]);
    expect(pairs.map(({ result }) => result)).to.deep.equal(['thresholds 0', 'thresholds 1', 'thresholds 2']);
  });

  it('makes the turns of a fast network longer, but never too few', () => {
    expect(batchesPerTurn(1, 5000)).to.equal(50);
    expect(batchesPerTurn(0.1, 5000)).to.equal(64);
    expect(batchesPerTurn(0.1, 400)).to.equal(20);
    expect(batchesPerTurn(20, 400)).to.equal(3);
    expect(batchesPerTurn(1000, 60)).to.equal(1);
    expect(batchesPerTurn(0.1, 5)).to.equal(1);
  });

  it('asks after every pair whether it is enough, with the totals so far', async () => {
    const { clock, batches, contest } = setting();
    const asked: unknown[] = [];
    const isEnough = (soFar: object): boolean => asked.push(soFar) === 2;
    await collect(measurePairs(clock, contest, batches(), 1, isEnough));
    expect(asked).to.deep.equal([
      { pairs: 1, images: 3, originalMs: 15, gatedMs: 3 },
      { pairs: 2, images: 6, originalMs: 30, gatedMs: 9 },
    ]);
  });

  it('prepares no unneeded images, and reports too few', async () => {
    const { clock, calls, batches, contest } = setting();
    const pairs = measurePairs(clock, contest, batches(2), 1, exactly(2).isEnough);
    expect(await collect(pairs)).to.have.length(2);
    expect(calls.filter(isWhole)).to.have.length(4);
    const failed = await collect(measurePairs(clock, contest, batches(2), 1, exactly(3).isEnough)).catch(String);
    expect(failed).to.contain('the images ended after 2 pairs');
  });
});

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

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
