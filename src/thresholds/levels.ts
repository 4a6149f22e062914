/**
 * Candidate thresholds of a gate: Infinity (closed) first, then confidences of images, descending. All thresholds
 * between two neighbouring confidences select the same images, so the confidences themselves are enough.
 */
export type Levels = Float64Array;

/** Every distinct threshold on these images: closed, and each distinct confidence. */
export function achievableLevels(confidences: Float32Array, images: ArrayLike<number>): Levels {
  const values = new Float32Array(images.length);
  for (let i = 0; i < values.length; i++) values[i] = confidences[images[i]!]!;
  values.sort(); // numbers ascending, NaN last: NaN never reaches a threshold
  const levels = new Float64Array(values.length + 1);
  levels[0] = Number.POSITIVE_INFINITY;
  let last = 0;
  for (let i = values.length - 1; i >= 0; i--) {
    const value = values[i]!;
    if (!Number.isNaN(value) && value < levels[last]!) levels[++last] = value;
  }
  return levels.slice(0, last + 1);
}

/**
 * At most `count` levels that represent all of them: closed, the lowest (all images leave), and quantiles between.
 *
 * @param all the result of `achievableLevels`
 * @param count at least 2
 */
export function quantileLevels(all: Levels, count: number): Levels {
  if (all.length <= count) return all;
  return Float64Array.from({ length: count }, (_, i) => all[Math.round((i * (all.length - 1)) / (count - 1))]!);
}

/**
 * At most `count` levels within `reach` positions of a threshold, the threshold included.
 *
 * @param all the result of `achievableLevels`
 */
export function levelsAround(all: Levels, threshold: number, reach: number, count: number): Levels {
  const centre = Math.min(levelOf(all, threshold), all.length - 1);
  const step = Math.max(1, Math.ceil((2 * reach) / (count - 1)));
  const steps = Math.floor((count - 1) / 2);
  const positions = Array.from({ length: 2 * steps + 1 }, (_, i) => centre + (i - steps) * step);
  return Float64Array.from(positions.filter((p) => p >= 0 && p < all.length).map((p) => all[p]!));
}

/** The level that each of these images reaches, [images]. */
export function levelsOf(levels: Levels, confidences: Float32Array, images: ArrayLike<number>): Int32Array {
  const reached = new Int32Array(images.length); // a plain loop: `from` takes ten times as long
  for (let i = 0; i < reached.length; i++) reached[i] = levelOf(levels, confidences[images[i]!]!);
  return reached;
}

/** The first (highest) level that a confidence reaches; the number of levels if it reaches none. */
export function levelOf(levels: Levels, confidence: number): number {
  let [low, high] = [0, levels.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (confidence >= levels[middle]!) high = middle;
    else low = middle + 1;
  }
  return low;
}
