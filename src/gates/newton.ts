import { InputError } from '../errors.js';
import { along, BinaryHinge } from './binary-hinge.js';
import type { DualPoint } from './certificate.js';
import type { Parameters, Refinement } from './refine.js';

/** Images of a batch. */
const BATCH_IMAGES = 4096;
/** Width of the smoothing to begin with; margins are 1. */
const FIRST_WIDTH = 0.1;
/** Share of the gap that the smoothing may take, and how fast its width falls at most and at least. */
const [SHARE, FASTEST, SLOWEST] = [0.7, 0.25, 0.85];
/** Bytes of rows that are held at a time, by classes that step together; a single class may take more. */
const ROW_BYTES = 2 ** 28;

/** Parameters and their dual point. */
interface Solved extends Parameters {
  readonly dualOf: DualPoint;
}

/**
 * Lowers the one-vs-all hinge objective to a duality gap, each class on its own, by semismooth Newton steps on the hinge
 * smoothed over a width g: max over 0 <= a <= 1 of a (1 - m) - g/2 a^2 with m = y d. Its slope a = clip((1 - m) / g, 0, 1)
 * is a point of the dual problem, so that the objective is at most
 *
 *   mean(max(0, 1 - m) - a (1 - m)) + |gradient of the smoothed objective|^2 / (2 lambda)
 *
 * above the lowest. The first part falls as g^2; g is lowered as soon as the second is smaller. The second derivative,
 * lambda I + s^T s / (n g) over the few images within the width, is never formed: conjugate gradients need its products
 * only. Step lengths are exact. Everything is in double precision and by no engine.
 *
 * @throws InputError if the distances are not finite
 */
export async function newtonHinge(start: Parameters, problem: Refinement): Promise<Solved> {
  const { data, l2 } = problem;
  const { features, classes, count } = data;
  const hinges = Array.from({ length: classes }, (_, c) => {
    const column = Float64Array.from({ length: features }, (__, f) => start.weights[f * classes + c]!);
    return new BinaryHinge(c, Float64Array.from([...column, start.bias[c]!]), count, l2, FIRST_WIDTH);
  });
  await new Newton(hinges, problem).solve();
  const weights = new Float32Array(features * classes);
  for (const [c, hinge] of hinges.entries()) {
    for (let f = 0; f < features; f++) weights[f * classes + c] = hinge.weights[f]!;
  }
  const bias = Float32Array.from(hinges, (hinge) => hinge.weights[features]!);
  return { weights, bias, dualOf: (image, c) => hinges[c]!.duals[image]! };
}

class Newton {
  #passes = 0;

  constructor(
    readonly hinges: readonly BinaryHinge[],
    readonly problem: Refinement,
  ) {}

  async solve(): Promise<void> {
    const { passes, gap, onPass } = this.problem;
    const first = await this.#along(new Map(this.hinges.map((hinge) => [hinge, hinge.weights])));
    for (const hinge of this.hinges) hinge.margins.set(first[hinge.label]!);
    for (let open = this.hinges; ; ) {
      await this.#update(open);
      const standings = new Map(open.map((hinge) => [hinge, hinge.standing()]));
      const worst = Math.max(...[...standings.values()].map((standing) => standing.gap));
      onPass(this.#passes, `gap ${worst.toExponential(1)}`);
      open = open.filter((hinge) => !(standings.get(hinge)!.gap <= gap));
      if (open.length === 0 || this.#passes >= passes) return;
      const solved = open.filter((hinge) => standings.get(hinge)!.rest <= standings.get(hinge)!.smoothing / 2);
      for (const hinge of solved) {
        const wanted = Math.sqrt((SHARE * gap) / standings.get(hinge)!.smoothing);
        hinge.width *= Math.min(SLOWEST, Math.max(FASTEST, wanted));
      }
      if (solved.length > 0) await this.#update(solved);
      const directions = await this.#directions(open);
      const found = await this.#along(directions);
      let moved = 0;
      for (const [hinge, direction] of directions) moved += hinge.advance(direction, found[hinge.label]!);
      if (moved === 0) return; // rounding hides what is left
    }
  }

  /** Newton directions of the classes, of as many as have room for their rows. */
  async #directions(open: readonly BinaryHinge[]): Promise<Map<BinaryHinge, Float64Array>> {
    const directions = new Map<BinaryHinge, Float64Array>();
    for (const hinge of await this.#read(open)) {
      directions.set(hinge, hinge.direction());
      hinge.bandRows = new Float32Array(0);
    }
    return directions;
  }

  /** Brings duals and their sums of some classes to their margins. */
  async #update(hinges: readonly BinaryHinge[]): Promise<void> {
    const { features } = this.problem.data;
    await this.#rowsWhere(
      (image) => hinges.some((hinge) => hinge.dualOf(image) !== hinge.duals[image]),
      (image, row, label) => {
        for (const hinge of hinges) {
          const change = (hinge.dualOf(image) - hinge.duals[image]!) * (label === hinge.label ? 1 : -1);
          if (change === 0) continue;
          const { sums } = hinge;
          for (let f = 0; f < features; f++) sums[f]! += change * row[f]!;
          sums[features]! -= change;
          hinge.duals[image] = hinge.dualOf(image);
        }
      },
    );
  }

  /** Reads the rows of the bands. @returns the classes that had room */
  async #read(open: readonly BinaryHinge[]): Promise<BinaryHinge[]> {
    const { features } = this.problem.data;
    const chosen: BinaryHinge[] = [];
    let bytes = 0;
    for (const hinge of open) {
      bytes += 4 * (features + 1) * hinge.bandCount();
      if (chosen.length > 0 && bytes > ROW_BYTES) break;
      const count = hinge.bandCount();
      hinge.bandRows = new Float32Array((features + 1) * (count + 3)).fill(-1, 0, (features + 1) * count);
      chosen.push(hinge);
    }
    const filled = new Map(chosen.map((hinge) => [hinge, 0]));
    await this.#rowsWhere(
      (image) => chosen.some((hinge) => hinge.isInBand(image)),
      (image, row) => {
        for (const hinge of chosen) {
          if (!hinge.isInBand(image)) continue;
          const start = filled.get(hinge)!;
          hinge.bandRows.set(row, start);
          filled.set(hinge, start + features + 1);
        }
      },
    );
    return chosen;
  }

  /** Standardised features of the images that are wanted, in order; a row is good until the next one. */
  async #rowsWhere(
    isWanted: (image: number) => boolean,
    use: (image: number, row: Float32Array, label: number) => void,
  ): Promise<void> {
    const { data, scaling } = this.problem;
    const { features } = data;
    const { mean, inverse } = scaling;
    const row = new Float32Array(features);
    let start = 0;
    for await (const { x, labels } of data.batches(BATCH_IMAGES)) {
      for (const [i, label] of labels.entries()) {
        if (!isWanted(start + i)) continue;
        for (let f = 0; f < features; f++) row[f] = Math.fround(x[i * features + f]! - mean[f]!) * inverse[f]!;
        use(start + i, row, label);
      }
      start += labels.length;
    }
    this.#passes++;
  }

  /** y s.D of every image by class, [images]. @param directions of the classes that step, [features + 1] */
  async #along(directions: ReadonlyMap<BinaryHinge, Float64Array>): Promise<Float64Array[]> {
    const { data, label: gate } = this.problem;
    const found = this.hinges.map(() => new Float64Array(data.count));
    await this.#rowsWhere(
      () => true,
      (image, row, label) => {
        for (const [hinge, direction] of directions) {
          const value = along(row, direction);
          if (!Number.isFinite(value)) throw new InputError(`${gate}: the distances are not finite`);
          found[hinge.label]![image] = label === hinge.label ? value : -value;
        }
      },
    );
    return found;
  }
}
