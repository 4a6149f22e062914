import type { Clock } from '../../src/timing/pairs.js';

/** A clock that advances only by `pass`. */
export interface FakeClock {
  readonly clock: Clock;
  /** Advances the clock by milliseconds. */
  readonly pass: (ms: number) => void;
}

export function fakeClock(): FakeClock {
  let time = 1000;
  return {
    clock: () => time,
    pass: (ms) => {
      time += ms;
    },
  };
}
