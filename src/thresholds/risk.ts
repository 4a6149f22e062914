import { binomialCdf, binomialMass, upperLimit } from '../statistics/intervals.js';

/** Points at which the tail probability is maximised. */
const NUISANCE_POINTS = 40;
/** Share of the level spent on bounding the share of images whose answer changes. */
const NUISANCE_SHARE = 0.05;

/**
 * p-value of the hypothesis that the expected accuracy drop is more than `drop`, from a sample of `count` images of
 * which `lost` changed from right to wrong and `gained` from wrong to right.
 *
 * The number of trials of the difference T = lost - gained is the number of images whose answer changed; their expected
 * share q is a nuisance parameter. After Berger and Boos (JASA 1994): the largest probability, over all q up to its
 * upper confidence limit (Clopper and Pearson), of a T at most as large as the observed one if the expected drop is
 * exactly `drop`; plus the probability that the limit fails. There is no normal approximation: P(p <= level) <= level
 * for any number of images, as far as 40 points of q find the maximum of a smooth function.
 *
 * @param level that the p-value is compared with
 * @returns a number from 0 to 1, never NaN
 * @throws RangeError where the counts or shares are invalid
 */
export function dropPValue(lost: number, gained: number, count: number, drop: number, level: number): number {
  const isSample =
    [lost, gained, count].every(Number.isSafeInteger) && lost >= 0 && gained >= 0 && lost + gained <= count;
  if (!isSample || !(drop >= 0 && drop < 1) || !(level > 0 && level < 1)) {
    throw new RangeError(`${lost} lost and ${gained} gained of ${count}, drop ${drop}, level ${level}: not a sample`);
  }
  const spent = NUISANCE_SHARE * level;
  const most = upperLimit(lost + gained, count, spent);
  // With an expected drop of `drop`, at least that share of the answers changes.
  if (most <= drop) return spent;
  let largest = 0;
  for (let i = 0; i < NUISANCE_POINTS; i++) {
    const changed = drop + ((most - drop) * (i + 1)) / NUISANCE_POINTS;
    largest = Math.max(largest, differenceCdf(lost - gained, count, changed, drop));
  }
  return Math.min(1, largest + spent);
}

/**
 * P(lost - gained <= t) where an image is lost with probability (changed + drop) / 2 and gained with (changed - drop) /
 * 2. The number of changed images is binomial, and so is the number of lost ones among them. The sum runs over the
 * former; the distribution function of the latter is updated from term to term.
 */
export function differenceCdf(t: number, count: number, changed: number, drop: number): number {
  const share = (1 + drop / changed) / 2; // of lost images among the changed
  if (share >= 1) return binomialCdf(t, count, changed); // every change is a loss
  // Every answer changes: the difference is 2 lost - count. (The sum below would multiply 0 by infinity.)
  if (changed >= 1) return binomialCdf(Math.floor((t + count) / 2), count, share);
  const spread = Math.sqrt(count * changed * (1 - changed));
  const first = Math.max(Math.abs(t), Math.floor(count * changed - 9 * spread - 9), 0);
  // With fewer changes than `first` the difference is at most t (t >= 0), or they are too rare to matter.
  let sum = t < 0 && first === -t ? 0 : binomialCdf(first - 1, count, changed);
  let k = Math.floor((t + first) / 2); // most lost images for a difference of at most t
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

/**
 * p-value of the hypothesis that the expected loss is `drop` or more, by betting against it (Waudby-Smith and Ramdas 2024,
 * JRSS B 86, section 4; predictable plug-in bets): one over the largest capital on the way, by Ville's inequality.
 *
 * @param losses of the images in a random order, -1, 0 or 1 each
 * @param level that the p-value is compared with: the bets are made for it
 */
export function bettingPValue(losses: Int8Array, drop: number, level: number): number {
  // Losses and their bound from -1 .. 1 to 0 .. 1.
  const bound = (drop + 1) / 2;
  const most = 0.75 / (1 - bound); // a bet that no loss can ruin
  let [logCapital, largest, sum, squares] = [0, 0, 0.5, 0.25];
  losses.forEach((loss, i) => {
    const bet = Math.min(most, Math.sqrt((2 * Math.log(1 / level) * (i + 1)) / (losses.length * squares)));
    const value = (loss + 1) / 2;
    logCapital += Math.log1p(bet * (bound - value));
    largest = Math.max(largest, logCapital);
    sum += value;
    squares += (value - sum / (i + 2)) ** 2;
  });
  return Math.exp(-largest);
}
