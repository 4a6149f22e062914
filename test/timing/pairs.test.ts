import { expect } from 'chai';
import { batchesPerTurn, measurePairs, type TimedBatch } from '../../src/timing/pairs.js';
import { exactly } from '../../src/timing/rules.js';
import { fakeClock } from './fakeClock.js';

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
