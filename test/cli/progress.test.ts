import { expect } from 'chai';
import { consoleProgress, describeProgress, duration, fitted } from '../../src/cli/context.js';

describe('progress in a log', () => {
  /** What a piece of work writes to a stderr that is no terminal, the clock in seconds. */
  function written(
    work: (progress: ReturnType<typeof consoleProgress>, at: (seconds: number) => void) => void,
  ): string {
    let now = 0;
    let text = '';
    const { isTTY, write } = process.stderr;
    process.stderr.isTTY = false;
    process.stderr.write = (chunk: string | Uint8Array): boolean => {
      text += String(chunk);
      return true;
    };
    try {
      work(
        consoleProgress(() => now),
        (seconds) => {
          now = 1000 * seconds;
        },
      );
    } finally {
      process.stderr.write = write;
      process.stderr.isTTY = isTTY;
    }
    return text;
  }

  it('is a line every ten seconds at most', () => {
    const text = written((progress, at) => {
      const task = progress.begin('features', 100, 'images');
      for (const second of [3, 9.9, 10, 12, 19, 21]) {
        at(second);
        task.update(2 * second);
      }
      at(50);
      task.end();
    });
    expect(text.split('\n')).to.deep.equal([
      'features: 20 of 100 images (20 %), 2.0 images/s, 40 s left',
      'features: 42 of 100 images (42 %), 2.0 images/s, 29 s left',
      'features: done in 50.0 s',
      '',
    ]);
  });

  it('tells the time left by the pace of the last minute', () => {
    const text = written((progress, at) => {
      const task = progress.begin('features', 10_000, 'images');
      for (let second = 10; second <= 200; second += 10) {
        at(second);
        task.update(second <= 100 ? 50 * second : 5000 + 5 * (second - 100)); // ten times slower from then on
      }
    });
    const lines = text.trim().split('\n');
    expect(lines[9]).to.match(/^features: 5,000 .*50 images\/s, 1 min 40 s left$/);
    expect(lines.at(-1)).to.match(/^features: 5,500 .*5\.0 images\/s, 15 min 0 s left$/);
  });

  it('ends with one line: that it is done', () => {
    const text = written((progress, at) => {
      const task = progress.begin('features', 100, 'images');
      at(30);
      task.update(100);
      task.end('features of 100 images');
    });
    expect(text).to.equal('features of 100 images: done in 30.0 s\n');
  });

  it('goes on where the total is unknown', () => {
    const text = written((progress, at) => {
      const task = progress.begin('images', 0, 'images');
      at(10);
      task.update(100);
    });
    expect(text).to.equal('images: 100 images, 10 images/s\n');
  });
});

describe('describeProgress', () => {
  it('has rate, time left and a detail', () => {
    expect(describeProgress('training', 0, 10, 'images', 0)).to.contain('time left unknown');
    expect(describeProgress('gate 1', 1, 1000, 'passes', 20)).to.contain('time left unknown');
    expect(describeProgress('training', 2048, 10_000, 'images', 5, 'loss 1')).to.equal(
      'training: 2,048 of 10,000 images (20 %), 410 images/s, 20 s left, loss 1',
    );
  });

  it('fits the terminal by its label, so that the time left stays', () => {
    const label = 'features of 45,000 training images';
    const describe = (name: string): string => describeProgress(name, 2048, 45_000, 'images', 5);
    const whole = describe(label);
    expect(fitted(label, describe, whole.length)).to.equal(whole);
    for (const columns of [whole.length - 1, whole.length - 20]) {
      const text = fitted(label, describe, columns);
      expect(text).to.have.length(columns);
      expect(text).to.match(/^features.*…: 2,048 of 45,000 images \(4 %\), 410 images\/s, 1 min 45 s left$/);
    }
    expect(fitted(label, describe, 30)).to.match(/^features…: 2,048 of 45,000 im…$/);
  });

  it('has durations in the largest two units', () => {
    expect([0.2, 59.1, 190, 7500].map(duration)).to.deep.equal(['1 s', '1 min 0 s', '3 min 10 s', '2 h 5 min']);
  });
});
