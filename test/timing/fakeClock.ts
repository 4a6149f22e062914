import type { Clock } from '../../src/timing/clock.js';

/** A clock that stands still but where somebody works. */
export interface FakeClock {
  readonly clock: Clock;
  /** Lets so many milliseconds pass. */
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
