import type { LinearGradient, LinearGradientResult, Loss } from '../engines/engine.js';
import type { Progress } from '../progress.js';
import type { Gate } from './gate.js';
import { type Scaling, ScalingAccumulator } from './standardise.js';

/** How gates are trained. Part of the cache key. */
export interface GateTraining {
  readonly loss: Loss;
  /** lambda of the L2 term lambda/2 (|W|^2 + |b|^2); 1 / (C n) in the terms of liblinear. */
  readonly l2: number;
  readonly epochs: number;
  readonly batchSize: number;
  readonly seed: number;
}

/** Features and labels for training, batch by batch, so that they need not be in memory all at once. */
export interface TrainingData {
  readonly count: number;
  readonly features: number;
  readonly classes: number;
  /**
   * One pass over all images. `order` absent: as they come; else shuffled by that seed.
   * A batch's arrays may be overwritten once the next is asked for.
   */
  batches(size: number, order?: number): AsyncIterable<TrainingBatch>;
}

export interface TrainingBatch {
  /** [count, features] row-major */
  readonly x: Float32Array;
  readonly labels: Int32Array;
}

export interface TrainedGate {
  readonly gate: Gate;
  /** Objective over all training images: mean loss + lambda/2 (|W|^2 + |b|^2), in standardised features. */
  readonly objective: number;
  /** Share of training images whose largest distance is their own class's. */
  readonly epochs: number;
}

/**
 * Trains one d-gate on all training data, the network frozen (paper, sections 2.2 and 3.1, "Training Setup").
 *
 * Minimises (1/n) sum_i loss(x_i) + lambda/2 (|W|^2 + |b|^2) by mini-batch (sub-)gradient descent. The paper prints the
 * regulariser as "- lambda |w|"; what is convex, and what its reference [26] (Pegasos) minimises, is + lambda/2 |w|^2.
 * The bias is regularised with the weights, as in liblinear, which makes the objective strongly convex.
 *
 * Steps are Pegasos', eta_t = 1 / (lambda (t + t_0)), with t_0 such that the first is no longer than the data allow;
 * the answer is the average of the iterates, weighted by t (Lacoste-Julien et al. 2012), which removes the noise of the
 * last batches. Features are standardised without being touched: W = inverse * V and b = a + mean . W turn the
 * standardised parameters (V, a) into those of the features as they come, and gradients go back by the chain rule.
 *
 * @throws Error where the loss is not finite
 */
export async function trainGate(
  data: TrainingData,
  training: GateTraining,
  gradient: LinearGradient,
  progress: Progress,
  label: string,
): Promise<TrainedGate> {
  const scaling = await standardise(data);
  const state = new AveragedDescent(data.features, data.classes, training.l2, scaling);
  const task = progress.begin(label, training.epochs, 'epochs');
  for (let epoch = 0; epoch < training.epochs; epoch++) {
    let loss = 0;
    for await (const { x, labels } of data.batches(training.batchSize, training.seed + epoch)) {
      const { weights, bias } = state.gate();
      const result = await gradient.run(x, labels, weights, bias);
      if (!Number.isFinite(result.loss)) throw new Error(`${label}: the loss is not finite in epoch ${epoch + 1}`);
      state.step(result, labels.length);
      loss += result.loss;
    }
    task.update(epoch + 1, `loss ${(loss / data.count).toFixed(4)}`);
  }
  const gate = state.averagedGate();
  const objective = (await meanLoss(data, gate, gradient, training.batchSize)) + state.penalty();
  task.end(`${label}: ${training.loss} objective ${objective.toFixed(5)} after ${training.epochs} epochs`);
  return { gate, objective, epochs: training.epochs };
}

async function standardise(data: TrainingData): Promise<Scaling> {
  const accumulator = new ScalingAccumulator(data.features);
  for await (const { x } of data.batches(4096)) accumulator.add(x);
  return accumulator.result();
}

async function meanLoss(data: TrainingData, gate: Gate, gradient: LinearGradient, batchSize: number): Promise<number> {
  let loss = 0;
  for await (const { x, labels } of data.batches(Math.max(batchSize, 1024))) {
    loss += (await gradient.run(x, labels, gate.weights, gate.bias)).loss;
  }
  return loss / data.count;
}

/** Pegasos with weighted averaging, on standardised parameters V [features, classes] and a [classes]. */
class AveragedDescent {
  readonly #v: Float64Array;
  readonly #a: Float64Array;
  readonly #averageV: Float64Array;
  readonly #averageA: Float64Array;
  readonly #offset: number;
  #t = 0;

  constructor(
    readonly features: number,
    readonly classes: number,
    readonly l2: number,
    readonly scaling: Scaling,
  ) {
    this.#v = new Float64Array(features * classes);
    this.#a = new Float64Array(classes);
    this.#averageV = new Float64Array(features * classes);
    this.#averageA = new Float64Array(classes);
    // Standardised features have |x|^2 = features on average, so a step of 1/features changes a distance by about 1.
    this.#offset = (features + 1) / l2;
  }

  /** Takes one step along the gradient of a batch of `count` images, given in the features as they come. */
  step(result: LinearGradientResult, count: number): void {
    const { features, classes, l2 } = this;
    const { mean, inverse } = this.scaling;
    this.#t++;
    const eta = 1 / (l2 * (this.#t + this.#offset));
    const keep = 1 - eta * l2;
    const rate = eta / count;
    const average = 2 / (this.#t + 1);
    for (let f = 0; f < features; f++) {
      const scale = inverse[f]! * rate;
      const shift = mean[f]!;
      for (let c = 0; c < classes; c++) {
        const i = f * classes + c;
        // dLoss/dV = inverse (dLoss/dW + mean dLoss/db), since dd/db = -1.
        const v = keep * this.#v[i]! - scale * (result.weights[i]! + shift * result.bias[c]!);
        this.#v[i] = v;
        this.#averageV[i]! += average * (v - this.#averageV[i]!);
      }
    }
    for (let c = 0; c < classes; c++) {
      const a = keep * this.#a[c]! - rate * result.bias[c]!;
      this.#a[c] = a;
      this.#averageA[c]! += average * (a - this.#averageA[c]!);
    }
  }

  /** The current iterate for features as they come. */
  gate(): Gate {
    return this.#fold(this.#v, this.#a);
  }

  averagedGate(): Gate {
    return this.#fold(this.#averageV, this.#averageA);
  }

  /** lambda/2 (|V|^2 + |a|^2) of the average. */
  penalty(): number {
    let squares = 0;
    for (const v of this.#averageV) squares += v * v;
    for (const a of this.#averageA) squares += a * a;
    return (this.l2 / 2) * squares;
  }

  #fold(v: Float64Array, a: Float64Array): Gate {
    const { features, classes } = this;
    const { mean, inverse } = this.scaling;
    const weights = new Float32Array(features * classes);
    const bias = Float64Array.from(a);
    for (let f = 0; f < features; f++) {
      for (let c = 0; c < classes; c++) {
        const w = v[f * classes + c]! * inverse[f]!;
        weights[f * classes + c] = w;
        bias[c]! += w * mean[f]!;
      }
    }
    return { features, classes, weights, bias: Float32Array.from(bias) };
  }
}
