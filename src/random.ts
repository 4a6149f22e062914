const mask64 = (1n << 64n) - 1n;

/** State of a xoshiro128** generator: four unsigned 32-bit words, not all zero. */
export type RandomState = readonly [number, number, number, number];

/**
 * Seeded random numbers: xoshiro128** 1.1 (Blackman and Vigna, https://prng.di.unimi.it/xoshiro128starstar.c), seeded by
 * splitmix64. The same seed and stream give the same numbers on every machine; streams ("folds", "shuffle") are independent.
 */
export class Random {
  readonly #state: Uint32Array;

  /** @throws RangeError if the seed is not a whole number between -(2^53 - 1) and 2^53 - 1 */
  constructor(seed: number, stream = '') {
    if (!Number.isSafeInteger(seed)) throw new RangeError(`seed ${seed}: not a whole number`);
    const next = splitmix64(BigInt(seed) ^ (stream === '' ? 0n : fnv1a64(stream)));
    const words = [next(), next()].flatMap((word) => [Number(word & 0xffffffffn), Number(word >> 32n)]);
    this.#state = Uint32Array.from(words);
  }

  /** A generator with a given state, for tests against reference values. */
  static fromState(state: RandomState): Random {
    const random = new Random(0);
    random.#state.set(state);
    return random;
  }

  /** A whole number in [0, 2^32). */
  uint32(): number {
    const s = this.#state;
    const [a, b, c, d] = [s[0]!, s[1]!, s[2]!, s[3]!];
    const result = Math.imul(rotateLeft(Math.imul(b, 5), 7), 9) >>> 0;
    s[2] = c ^ a;
    s[3] = d ^ b;
    s[1] = b ^ s[2]!;
    s[0] = a ^ s[3]!;
    s[2] = s[2]! ^ (b << 9);
    s[3] = rotateLeft(s[3]!, 11);
    return result;
  }

  /** A number in [0, 1) with 53 random bits. */
  uniform(): number {
    const high = this.uint32() >>> 5;
    const low = this.uint32() >>> 6;
    return (high * 0x4000000 + low) / 2 ** 53;
  }

  /** A whole number in [0, limit), each equally likely. @param limit 1 to 2^32 */
  below(limit: number): number {
    if (!Number.isInteger(limit) || limit < 1 || limit > 2 ** 32) throw new RangeError(`no number below ${limit}`);
    // Numbers of the incomplete last cycle of `limit` would favour small results: draw again.
    const usable = 2 ** 32 - (2 ** 32 % limit);
    let drawn = this.uint32();
    while (drawn >= usable) drawn = this.uint32();
    return drawn % limit;
  }

  /** Shuffles in place (Fisher-Yates) and returns the same array. */
  shuffle<T extends { readonly length: number; [index: number]: unknown }>(items: T): T {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const kept = items[i];
      items[i] = items[j];
      items[j] = kept;
    }
    return items;
  }
}

/** A function that gives the next normal number (mean 0) at each call, by Box and Muller (1958). */
export function normals(random: Random, deviation = 1): () => number {
  let spare: number | undefined;
  return () => {
    const kept = spare;
    spare = undefined;
    if (kept !== undefined) return kept;
    const radius = deviation * Math.sqrt(-2 * Math.log(1 - random.uniform()));
    const angle = 2 * Math.PI * random.uniform();
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
}

/** Splitmix64 (https://prng.di.unimi.it/splitmix64.c): the next unsigned 64-bit number at each call. @param seed modulo 2^64 */
export function splitmix64(seed: bigint): () => bigint {
  let state = seed & mask64;
  return () => {
    state = (state + 0x9e3779b97f4a7c15n) & mask64;
    let z = state;
    z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & mask64;
    z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & mask64;
    return z ^ (z >> 31n);
  };
}

/** 64-bit FNV-1a hash of a text's UTF-8 bytes (http://www.isthe.com/chongo/tech/comp/fnv/). */
export function fnv1a64(text: string): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & mask64;
  return hash;
}

function rotateLeft(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}
