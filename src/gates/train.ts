import { InputError } from '../errors.js';
import type { Progress, ProgressTask } from '../progress.js';
import { type Certificate, certifyGate, type DualPoint } from './certificate.js';
import type { GateTrainer, LinearGradientResult, Scaling, TrainingData } from './contracts.js';
import type { Gate } from './gate.js';
import { HINGE_CURVATURE, HingeOptimum } from './hinge.js';
import type { Loss, Solver } from './loss.js';
import { preconditioner, ScalingAccumulator } from './precondition.js';
import { type Parameters, type Refinement, softmaxOptimum } from './softmax.js';

/** Options of gate training; part of the cache key. */
export interface GateTraining {
  readonly loss: Loss;
  /** lambda of the L2 term lambda/2 (|W|^2 + |b|^2); in liblinear's terms 1 / (C n). */
  readonly l2: number;
  readonly solver: Solver;
  /** Relative duality gap that `optimum` ends at. */
  readonly gap: number;
  /** Passes over the images: of `sgd`, so many; of `optimum`, at most. */
  readonly epochs: number;
  readonly batchSize: number;
  readonly seed: number;
}

export interface TrainedGate extends Certificate {
  readonly gate: Gate;
}

/** Share of the gap that training aims at: the gate that is stored is rounded to single precision. */
const ROUNDING = 0.9;
/** Images times classes whose margins are held in memory; with more, gates stay as stochastic steps leave them. */
const MOST_MARGINS = 2 ** 26;
/** How often training to the optimum goes on where the gate that is stored is not as near as its rounded margins said. */
const MOST_ROUNDS = 4;

/** Steps of full length, before the length decreases as 1/t. */
const FULL_STEPS = 50;

/**
 * Trains one d-gate on all training data, the network frozen (paper, sections 2.2 and 3.1, "Training Setup").
 *
 * Minimises (1/n) sum_i loss(x_i) + lambda/2 (|V|^2 + |a|^2) by mini-batch (sub-)gradient descent on standardised
 * features, and folds the scaling back: W = V / std, b = a + W . mean. The paper prints the regulariser as
 * "- lambda |w|"; the convex form, which its reference [26] (Pegasos) minimises, is + lambda/2 |w|^2. The bias is
 * regularised with the weights, as in liblinear, which makes the objective strongly convex.
 *
 * The objective is convex and has one minimum. The solver `optimum` comes to it by a duality gap, so that the gate depends
 * on nothing else but by that gap: the hinge by the method of multipliers (`hinge.ts`), cross-entropy by L-BFGS after a
 * pass of stochastic steps (`softmax.ts`). The solver `sgd` takes stochastic steps only; no gap is known then.
 *
 * Their step length decreases as 1/t, as in Pegasos; steps are preconditioned by the inverse feature covariance
 * (`precondition.ts`). The result is the average of the iterates, weighted by t (Lacoste-Julien et al. 2012), which
 * removes the noise of the last batches.
 *
 * @throws InputError if features or loss are not finite
 */
export async function trainGate(
  data: TrainingData,
  training: GateTraining,
  engine: GateTrainer,
  progress: Progress,
  label: string,
): Promise<TrainedGate> {
  const { loss, l2, epochs, solver } = training;
  const isTooLarge = solver !== 'sgd' && loss === 'hinge' && data.count * data.classes > MOST_MARGINS;
  if (isTooLarge) {
    progress.note(
      `${label}: ${data.count} images x ${data.classes} classes: above ${MOST_MARGINS} the hinge takes ` +
        'stochastic steps alone, and no gap is known',
    );
  }
  const isPlain = solver === 'sgd' || isTooLarge;
  const task = progress.begin(label, epochs, isPlain ? 'epochs' : 'passes');
  const scaling = await standardise(data);
  if (![...scaling.mean, ...scaling.inverse].every(Number.isFinite)) {
    throw new InputError(`${label}: the features are not finite`);
  }
  const curvature = loss === 'hinge' && !isPlain ? HINGE_CURVATURE : 1;
  const metric = await preconditioner(data, scaling, { l2, curvature }, engine);
  const onPass: Refinement['onPass'] = (pass, note, expected = epochs) =>
    task.update(Math.min(epochs, pass), note, Math.min(epochs, expected));
  const gap = ROUNDING * training.gap;
  const problem = { data, engine, scaling, metric, l2, gap, passes: epochs, onPass, label };
  if (isPlain) {
    const found = await descend(problem, training, task);
    const objective = (await meanLoss(problem, training, found)) + penalty(found, l2);
    task.end(`${label}: ${loss} objective ${objective.toFixed(5)} after ${epochs} epochs`);
    return { gate: foldScaling(found, scaling), objective };
  }
  const trained = await (loss === 'hinge' ? trainHinge(problem, training) : trainSoftmax(problem, training, task));
  task.end(`${label}: ${loss} objective ${trained.objective.toFixed(5)}, gap ${trained.worstGap.toExponential(1)}`);
  return trained;
}

async function trainHinge(problem: Refinement, training: GateTraining): Promise<Required<TrainedGate>> {
  const hinges = new HingeOptimum(problem);
  for (let round = 1; ; round++) {
    const trained = await certified(await hinges.solve(), problem, training, hinges.dualOf);
    if (trained.worstGap <= training.gap || hinges.isSpent || round === MOST_ROUNDS) return trained;
    await hinges.refresh(trained.gate);
  }
}

/** A pass of stochastic steps, then passes of L-BFGS. */
async function trainSoftmax(
  problem: Refinement,
  training: GateTraining,
  task: ProgressTask,
): Promise<Required<TrainedGate>> {
  const start = await descend(problem, { ...training, epochs: 1 }, task);
  const onPass = (pass: number, note: string): void => problem.onPass(1 + pass, note);
  const rest = { ...problem, passes: problem.passes - 1, onPass };
  const found = rest.passes === 0 ? start : await softmaxOptimum(start, rest);
  return certified(found, problem, training, () => 0);
}

async function certified(
  found: Parameters,
  { data, scaling }: Refinement,
  training: GateTraining,
  dualOf: DualPoint,
): Promise<Required<TrainedGate>> {
  const gate = foldScaling(found, scaling);
  return { gate, ...(await certifyGate(data, gate, scaling, training, dualOf)) };
}

/** Epochs of stochastic steps; returns the average of the iterates. */
async function descend(
  { data, engine, scaling, metric, label }: Refinement,
  { loss, l2, epochs, batchSize, seed }: GateTraining,
  task: ProgressTask,
): Promise<Parameters> {
  const { features, classes } = data;
  const gradient = await engine.loadLinearGradient({ features, classes, loss, scaling, preconditioner: metric.blocks });
  try {
    const descent = new AveragedDescent(features, classes, l2);
    for (let epoch = 0; epoch < epochs; epoch++) {
      let total = 0;
      let seen = 0;
      for await (const { x, labels, probabilities } of data.batches(batchSize, seed + epoch)) {
        const target = probabilities ?? labels;
        const result = await gradient.run(x, target, descent.weights, descent.bias, l2 * labels.length);
        if (!Number.isFinite(result.loss))
          throw new InputError(`${label}: the loss is not finite in epoch ${epoch + 1}`);
        descent.step(result, labels.length);
        total += result.loss;
        seen += labels.length;
        task.update(epoch + seen / data.count);
      }
      task.update(epoch + 1, `loss ${(total / data.count).toFixed(4)}`);
    }
    return descent.average();
  } finally {
    await gradient.close();
  }
}

/**
 * Positions of training images, each as often as it is likely to reach a gate, as many as there are: systematic resampling, so that
 * what is trained and certified is the loss of these images. An image stays at a gate before with the share of the images there
 * (each as likely as it gets there) that are more confident than it: the chance of a threshold drawn among them.
 *
 * @param confidences at each gate before, [images]
 */
export function survivors(confidences: readonly Float32Array[]): Int32Array {
  const reaching = new Float64Array(confidences[0]!.length).fill(1);
  let all = reaching.length;
  for (const own of confidences) {
    let [below, next] = [0, 0];
    for (const image of Int32Array.from(own.keys()).sort((a, b) => own[a]! - own[b]!)) {
      const chance = reaching[image]!;
      next += reaching[image]! *= 1 - (below + chance / 2) / all;
      below += chance;
    }
    all = next;
  }
  let [image, passed] = [0, reaching[0]!];
  return Int32Array.from(reaching, (_, i) => {
    while (passed < ((i + 0.5) / reaching.length) * all) passed += reaching[++image]!;
    return image;
  });
}

async function standardise(data: TrainingData): Promise<Scaling> {
  const accumulator = new ScalingAccumulator(data.features);
  for await (const { x } of data.batches(4096)) accumulator.add(x);
  return accumulator.result();
}

async function meanLoss(
  { data, engine, scaling }: Refinement,
  { loss, batchSize }: GateTraining,
  { weights, bias }: Parameters,
): Promise<number> {
  const { features, classes } = data;
  const gradient = await engine.loadLinearGradient({ features, classes, loss, scaling, preconditioner: [] });
  try {
    let total = 0;
    for await (const { x, labels, probabilities } of data.batches(Math.max(1024, batchSize)))
      total += (await gradient.run(x, probabilities ?? labels, weights, bias, 0)).loss;
    return total / data.count;
  } finally {
    await gradient.close();
  }
}

/** lambda/2 (|V|^2 + |a|^2) */
function penalty({ weights, bias }: Parameters, l2: number): number {
  let squares = 0;
  for (const v of weights) squares += v * v;
  for (const a of bias) squares += a * a;
  return (l2 / 2) * squares;
}

/** The gate on unscaled features, from parameters V [features, classes] and a [classes] on scaled features. */
function foldScaling({ weights: v, bias: a }: Parameters, { mean, inverse }: Scaling): Gate {
  const [features, classes] = [mean.length, a.length];
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

/** Descent on V [features, classes] and a [classes], and the weighted average of its iterates. */
class AveragedDescent {
  /** The current iterate. */
  readonly weights: Float32Array;
  readonly bias: Float32Array;
  readonly #averageWeights: Float64Array;
  readonly #averageBias: Float64Array;
  #t = 0;

  constructor(
    features: number,
    classes: number,
    readonly l2: number,
  ) {
    this.weights = new Float32Array(features * classes);
    this.bias = new Float32Array(classes);
    this.#averageWeights = new Float64Array(features * classes);
    this.#averageBias = new Float64Array(classes);
  }

  /** One step along the gradient of a batch of `count` images. */
  step(result: LinearGradientResult, count: number): void {
    const { weights, bias, l2 } = this;
    const averageWeights = this.#averageWeights;
    const gradient = result.weights;
    this.#t++;
    const rate = 1 / (1 + this.#t / FULL_STEPS);
    const share = 2 / (this.#t + 1);
    for (let i = 0; i < weights.length; i++) {
      const v = weights[i]! - (rate / count) * gradient[i]!;
      weights[i] = v;
      averageWeights[i]! += share * (v - averageWeights[i]!);
    }
    // The bias is the weight of a constant feature -1, whose S + lambda is 1 + lambda.
    for (let c = 0; c < bias.length; c++) {
      const a = bias[c]! - (rate / (1 + l2)) * (l2 * bias[c]! + result.bias[c]! / count);
      bias[c] = a;
      this.#averageBias[c]! += share * (a - this.#averageBias[c]!);
    }
  }

  average(): Parameters {
    return { weights: Float32Array.from(this.#averageWeights), bias: Float32Array.from(this.#averageBias) };
  }
}
