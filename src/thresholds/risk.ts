import { binomialCdf, binomialMass, upperLimit } from '../statistics/binomial.js';

/** Points at which the largest tail probability is looked for. */
const NUISANCE_POINTS = 40;
/** Share of the level that is spent on bounding the share of images whose answer changes. */
const NUISANCE_SHARE = 0.05;

/**
 * p-value of the hypothesis that the expected accuracy lost is more than `drop`, from a sample of `count` images of
 * which `lost` were right before and are wrong now and `gained` the other way round.
 *
 * The difference T = lost - gained has as many trials as there are images whose answer changed; their expected share q
 * is not known. After Berger and Boos (JASA 1994): the largest probability, over all q up to a confidence limit of
 * it (Clopper and Pearson), of a T as small as the one seen where the expected loss is exactly `drop`; plus the
 * probability that the limit fails. No approximation by a normal distribution: P(p <= level) <= level for any number of
 * images, as far as 40 points of q show the largest of a smooth function.
 *
 * @param level that the p-value is held against
 * @returns a number from 0 to 1, never NaN
 * @throws RangeError where the counts or the shares are none
 */
export function dropPValue(lost: number, gained: number, count: number, drop: number, level: number): number {
  const isSample =
    [lost, gained, count].every(Number.isSafeInteger) && lost >= 0 && gained >= 0 && lost + gained <= count;
  if (!isSample || !(drop >= 0 && drop < 1) || !(level > 0 && level < 1)) {
    throw new RangeError(`${lost} lost and ${gained} gained of ${count}, drop ${drop}, level ${level}: not a sample`);
  }
  const spent = NUISANCE_SHARE * level;
  const most = upperLimit(lost + gained, count, spent);
  // Losing `drop` on average, at least that share of the answers changes.
  if (most <= drop) return spent;
  let largest = 0;
  for (let i = 0; i < NUISANCE_POINTS; i++) {
    const changed = drop + ((most - drop) * (i + 1)) / NUISANCE_POINTS;
    largest = Math.max(largest, differenceCdf(lost - gained, count, changed, drop));
  }
  return Math.min(1, largest + spent);
}

/**
 * P(lost - gained <= t) where an image is lost with probability (changed + drop) / 2 and gained with (changed - drop) / 2.
 * The number of changed images is binomial, and of these the lost ones are: summed over the former, the distribution
 * function of the latter carried along from one term to the next.
 */
export function differenceCdf(t: number, count: number, changed: number, drop: number): number {
  const share = (1 + drop / changed) / 2; // of lost ones among the changed
  if (share >= 1) return binomialCdf(t, count, changed); // whatever changes is lost
  // Every answer changes: the difference is 2 lost - count. (The sum below would multiply 0 by infinity.)
  if (changed >= 1) return binomialCdf(Math.floor((t + count) / 2), count, share);
  const spread = Math.sqrt(count * changed * (1 - changed));
  const first = Math.max(Math.abs(t), Math.floor(count * changed - 9 * spread - 9), 0);
  if (first > count) return t < 0 ? 0 : 1;
  // Fewer changed ones than `first` keep the difference at most t (t >= 0), or are too rare to matter.
  let sum = t < 0 && first === -t ? 0 : binomialCdf(first - 1, count, changed);
  let k = Math.floor((t + first) / 2); // lost ones at most, for a difference of at most t
  let mass = binomialMass(first, count, changed);
  let atK = binomialMass(k, first, share);
  let upToK = binomialCdf(k, first, share);
  for (let n = first; n <= count; n++) {
    const term = mass * Math.min(1, Math.max(0, upToK));
    sum += term;
    if (n > count * changed && mass < 1e-18) break;
    mass *= ((count - n) / (n + 1)) * (changed / (1 - changed));
    upToK -= share * atK;
    atK *= ((1 - share) * (n + 1)) / (n + 1 - k);
    if ((t + n + 1) % 2 === 0) {
      atK *= ((n + 1 - k) / (k + 1)) * (share / (1 - share));
      upToK += atK;
      k++;
    }
  }
  return Math.min(1, sum);
}
