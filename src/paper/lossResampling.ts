import { Random } from '../random.js';
import type { ExitCosts, Scores } from '../thresholds/evaluate.js';
import { choosePoint, gridFrontier } from '../thresholds/frontier.js';
import { makeGrid, savingOf } from '../thresholds/grid.js';
import { achievableLevels, levelOf, quantileLevels } from '../thresholds/levels.js';
import { curveOf, type ScoredGates, type Tested, testChoice } from './lossCurves.js';

/** Resamples of the images that choose, and of the test images for each of them. */
const CHOOSING = 200;
const TESTING = 50;
/** Thresholds of each gate that are chosen among. */
const LEVELS = 64;

/** Curves to resample. */
export interface Resampled {
  /** Per variant, its gates with each seed. */
  readonly variants: readonly (readonly ScoredGates[])[];
  /** Positions of the two variants of each comparison. */
  readonly pairs: readonly (readonly [number, number])[];
  readonly costs: ExitCosts;
  /** FLOPs of the original network. */
  readonly total: number;
  /** Shares of FLOPs to save that thresholds are chosen for. */
  readonly budgets: readonly number[];
  /** Shares of FLOPs saved at which curves are compared. */
  readonly reductions: readonly number[];
}

/**
 * How differences of two curves vary with the images, by a bootstrap in two steps: 200 times the images that choose are
 * drawn with replacement and all thresholds chosen again, among 64 of each gate; for each of these choices the test
 * images are drawn 50 times. All variants and seeds see the same draws, so differences stay paired.
 *
 * @returns per comparison, deviations from the difference that the images themselves give, [10,000, reductions] row-major
 */
export function resampleDifferences(curves: Resampled, seed: number): Float64Array[] {
  const { variants, pairs, reductions } = curves;
  const gates = variants.map((seeds) => seeds.map((scored) => new GridChoices(scored, curves)));
  const { held, test } = variants[0]![0]!;
  const [choosing, testing] = [new Random(seed, 'choosing'), new Random(seed, 'bootstrap')];
  const all = Int32Array.from({ length: held.count }, (_, i) => i);
  const columns = pairs.length * reductions.length;
  const differencesOf = (images: Int32Array): Sparse[] => {
    const right = gates.map((seeds) =>
      curveOf(
        seeds.map((of) => of.choose(images)),
        reductions,
      ),
    );
    return pairs.flatMap(([a, b]) =>
      reductions.map((_, at) => sparseDifference(right[a]![at]!.right, right[b]![at]!.right)),
    );
  };
  const centre = differencesOf(all).map(({ values }) => sumOf(values) / test.count);
  const deviations = pairs.map(() => new Float64Array(CHOOSING * TESTING * reductions.length));
  const weights = new Uint16Array(test.count);
  for (let choice = 0; choice < CHOOSING; choice++) {
    const sparse = differencesOf(all.map(() => choosing.below(held.count)));
    for (let draw = 0; draw < TESTING; draw++) {
      weights.fill(0);
      for (let i = 0; i < test.count; i++) weights[testing.below(test.count)]!++;
      const row = (choice * TESTING + draw) * reductions.length;
      for (let column = 0; column < columns; column++) {
        const { positions, values } = sparse[column]!;
        let sum = 0;
        for (let i = 0; i < positions.length; i++) sum += weights[positions[i]!]! * values[i]!;
        const at = column % reductions.length;
        deviations[(column - at) / reductions.length]![row + at] = sum / test.count - centre[column]!;
      }
    }
  }
  return deviations;
}

/** The images on which two variants differ, which are few, and by how much. */
interface Sparse {
  readonly positions: Int32Array;
  readonly values: Float64Array;
}

function sparseDifference(a: Float32Array, b: Float32Array): Sparse {
  const [positions, values] = [new Int32Array(a.length), new Float64Array(a.length)];
  let count = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = a[i]! - b[i]!;
    if (difference === 0) continue;
    positions[count] = i;
    values[count++] = difference;
  }
  return { positions: positions.slice(0, count), values: values.slice(0, count) };
}

const sumOf = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0);

/** Choices of thresholds for all budgets on any images of those that choose, among a grid of thresholds. */
class GridChoices {
  readonly #scored: ScoredGates;
  readonly #curves: Resampled;
  readonly #levels: readonly Float64Array[];
  readonly #grid: ReturnType<typeof makeGrid>;
  /** FLOPs saved on all test images by each combination of levels. */
  readonly #saved: Float64Array;
  /** By combination. */
  readonly #tested = new Map<number, Tested>();

  constructor(scored: ScoredGates, curves: Resampled) {
    const { held, test } = scored;
    const every = ({ count }: Scores): Int32Array => Int32Array.from({ length: count }, (_, i) => i);
    this.#scored = scored;
    this.#curves = curves;
    this.#levels = curves.costs
      .slice(1)
      .map((_, gate) => quantileLevels(achievableLevels(held.confidences[gate]!, every(held)), LEVELS));
    this.#grid = makeGrid(test, every(test), this.#levels);
    this.#saved = this.#grid.sum((gate) => savingOf(curves.costs, gate));
  }

  /** @param images positions, with repetitions */
  choose(images: Int32Array): Tested[] {
    const { costs, total, budgets } = this.#curves;
    const { points, count } = gridFrontier(this.#scored.held, costs, images, this.#levels);
    const combinations = budgets.map((share) => {
      const point = choosePoint(points, count, { kind: 'flops', budget: (1 - share) * total }, costs);
      return this.#combinationOf((point ?? points.at(-1)!).thresholds); // the cheapest where none keeps the budget
    });
    const tested = [...new Set(combinations)].map((combination) => this.#test(combination));
    const last = tested.reduce((a, b) => (b.reduction > a.reduction ? b : a));
    // Beyond the last choice the curve is constant: no resample is without a share that the curves are compared at.
    return [...tested, withAnswers(Number.POSITIVE_INFINITY, () => last.right)];
  }

  #combinationOf(thresholds: readonly number[]): number {
    return this.#levels.reduce((sum, levels, gate) => sum * levels.length + levelOf(levels, thresholds[gate]!), 0);
  }

  /** The answers on the test images are computed where a curve needs them: few of the choices lie beside a share. */
  #test(combination: number): Tested {
    const known = this.#tested.get(combination);
    if (known !== undefined) return known;
    const { costs, total } = this.#curves;
    const { test } = this.#scored;
    const thresholds = this.#grid.thresholds(combination);
    const reduction = 1 - (costs.at(-1)! - this.#saved[combination]! / test.count) / total;
    const tested = withAnswers(
      reduction,
      () => testChoice(test, costs, total, { budget: 0, thresholds, accuracy: 0 }).right,
    );
    this.#tested.set(combination, tested);
    return tested;
  }
}

/** A choice whose answers are computed when they are first asked for. */
function withAnswers(reduction: number, answers: () => Uint8Array): Tested {
  let known: Uint8Array | undefined;
  return {
    ...{ budget: 0, thresholds: [], accuracy: 0, reduction },
    get right() {
      known ??= answers();
      return known;
    },
  };
}
