import { expect } from 'chai';
import { OnnxRuntimeCpu } from '../../src/engines/onnxruntime/engine.js';
import type { GateTrainer, TrainingData } from '../../src/gates/contracts.js';
import { distances } from '../../src/gates/gate.js';
import { type Loss, lossNames } from '../../src/gates/loss.js';
import { type GateTraining, survivors, type TrainedGate, trainGate } from '../../src/gates/train.js';
import { silent } from '../../src/progress.js';
import { Random } from '../../src/random.js';
import { inMemory } from '../../src/run/train.js';
import { directEngine, distancesOf, logSumExp, lossOf } from './linear.js';

const COUNT = 400;
const FEATURES = 6;
const CLASSES = 3;

interface Images {
  readonly x: Float32Array;
  readonly labels: Int32Array;
}

/** Overlapping clouds, one per class; features of very different place and spread. */
function clouds(seed: number): Images {
  const random = new Random(seed, 'clouds');
  const labels = Int32Array.from({ length: COUNT }, () => random.below(CLASSES));
  const x = new Float32Array(COUNT * FEATURES);
  for (let i = 0; i < x.length; i++) {
    const f = i % FEATURES;
    const label = labels[Math.floor(i / FEATURES)]!;
    const noise = random.uniform() + random.uniform() + random.uniform() - 1.5;
    x[i] = 4 ** f * (f + noise + (f % CLASSES === label ? 0.7 : 0));
  }
  return { x, labels };
}

/** Features of mean 0 and deviation 1, found in two passes over each. */
function standardised({ x, labels }: Images): Images & { mean: Float64Array; deviation: Float64Array } {
  const mean = new Float64Array(FEATURES);
  const deviation = new Float64Array(FEATURES);
  for (let i = 0; i < x.length; i++) mean[i % FEATURES]! += x[i]! / COUNT;
  for (let i = 0; i < x.length; i++) deviation[i % FEATURES]! += (x[i]! - mean[i % FEATURES]!) ** 2 / COUNT;
  for (let f = 0; f < FEATURES; f++) deviation[f] = Math.sqrt(deviation[f]!);
  return { x: x.map((value, i) => (value - mean[i % FEATURES]!) / deviation[i % FEATURES]!), labels, mean, deviation };
}

const data = ({ x, labels }: Images): TrainingData => inMemory(x, labels, CLASSES);
const settings = (loss: Loss, change: Partial<GateTraining> = {}): GateTraining => ({
  loss,
  l2: 0.02,
  solver: loss === 'hinge' ? 'sgd' : 'optimum',
  gap: 1e-6,
  epochs: 60,
  batchSize: 20,
  seed: 5,
  ...change,
});
const train = (images: Images, training: GateTraining, engine: GateTrainer = directEngine()): Promise<TrainedGate> =>
  trainGate(data(images), training, engine, silent, 'gate 1');

/**
 * Lowest objective by another algorithm, and an upper bound of its distance to the minimum.
 *
 * Hinge: dual coordinate descent class by class (Hsieh et al. 2008, liblinear's L1-loss SVM with C = 1 / (lambda n) and
 * the bias as a weight of a feature -1); the gap is that between primal and dual.
 */
function hingeOptimum({ x, labels }: Images, l2: number): { objective: number; gap: number } {
  const width = FEATURES + 1;
  const row = (i: number, f: number): number => (f < FEATURES ? x[i * FEATURES + f]! : -1);
  let [primal, dual] = [0, 0];
  for (let c = 0; c < CLASSES; c++) {
    const alpha = new Float64Array(COUNT); // 0 .. 1, w = sum alpha y x / (lambda n)
    const w = new Float64Array(width);
    const margin = (i: number): number => {
      let d = 0;
      for (let f = 0; f < width; f++) d += w[f]! * row(i, f);
      return (labels[i] === c ? 1 : -1) * d;
    };
    const squares = Float64Array.from(labels, (_, i) => {
      let sum = 0;
      for (let f = 0; f < width; f++) sum += row(i, f) ** 2;
      return sum;
    });
    let moved = 1;
    for (let pass = 0; moved > 1e-4 && pass < 1500; pass++) {
      moved = 0;
      for (let i = 0; i < COUNT; i++) {
        const wanted = alpha[i]! + ((1 - margin(i)) * l2 * COUNT) / squares[i]!;
        const change = Math.min(1, Math.max(0, wanted)) - alpha[i]!;
        alpha[i]! += change;
        moved += Math.abs(change);
        const y = labels[i] === c ? 1 : -1;
        for (let f = 0; f < width; f++) w[f]! += (change * y * row(i, f)) / (l2 * COUNT);
      }
    }
    const penalty = (l2 / 2) * w.reduce((sum, value) => sum + value * value, 0);
    for (let i = 0; i < COUNT; i++) primal += Math.max(0, 1 - margin(i)) / COUNT;
    primal += penalty;
    dual += alpha.reduce((sum, value) => sum + value, 0) / COUNT - penalty;
  }
  return { objective: primal, gap: primal - dual };
}

/** Softmax: gradient descent on all images at once; |gradient|^2 / (2 lambda) bounds what is left. */
function softmaxOptimum({ x, labels }: Images, l2: number): { objective: number; gap: number } {
  const weights = new Float64Array(FEATURES * CLASSES);
  const bias = new Float64Array(CLASSES);
  const problem = { x, labels, weights, bias, features: FEATURES, classes: CLASSES };
  let gap = Number.POSITIVE_INFINITY;
  for (let pass = 0; gap > 1e-7 && pass < 5000; pass++) {
    const slopes = [weights.map((w) => l2 * w), bias.map((b) => l2 * b)] as const;
    for (let i = 0; i < COUNT; i++) {
      const d = distancesOf(problem, i);
      const all = logSumExp(d);
      for (let c = 0; c < CLASSES; c++) {
        const slope = (Math.exp(d[c]! - all) - (labels[i] === c ? 1 : 0)) / COUNT;
        slopes[1][c]! -= slope;
        for (let f = 0; f < FEATURES; f++) slopes[0][f * CLASSES + c]! += slope * x[i * FEATURES + f]!;
      }
    }
    const squares = [...slopes[0], ...slopes[1]].reduce((sum, slope) => sum + slope * slope, 0);
    gap = squares / (2 * l2);
    for (let i = 0; i < weights.length; i++) weights[i]! -= slopes[0][i]! / (1 + l2);
    for (let c = 0; c < CLASSES; c++) bias[c]! -= slopes[1][c]! / (1 + l2);
  }
  const penalty = (l2 / 2) * [...weights, ...bias].reduce((sum, value) => sum + value * value, 0);
  return { objective: lossOf(problem, 'cross-entropy') / COUNT + penalty, gap };
}

/** Mean loss + lambda/2 (|V|^2 + |a|^2), the gate's weights taken back to standardised features. */
function objectiveOf({ gate }: TrainedGate, images: Images, training: GateTraining): number {
  const { mean, deviation } = standardised(images);
  let squares = 0;
  for (let c = 0; c < CLASSES; c++) {
    let a = gate.bias[c]!;
    for (let f = 0; f < FEATURES; f++) {
      const w = gate.weights[f * CLASSES + c]!;
      a -= w * mean[f]!;
      squares += (w * deviation[f]!) ** 2;
    }
    squares += a * a;
  }
  return lossOf({ ...gate, ...images }, training.loss) / COUNT + (training.l2 / 2) * squares;
}

describe('trainGate', () => {
  const optima = { hinge: hingeOptimum, 'cross-entropy': softmaxOptimum };
  for (const loss of lossNames) {
    it(`${loss}: reaches the optimum within half a per cent, and returns its objective`, async () => {
      const images = clouds(1);
      for (const l2 of [4, 0.1, 0.01]) {
        const training = settings(loss, { l2 });
        const optimum = optima[loss](standardised(images), l2);
        expect(optimum.gap, 'the reference is at its optimum').to.be.within(-1e-12, 1e-4 * optimum.objective);
        const trained = await train(images, training);
        expect(trained.objective / optimum.objective, `lambda ${l2}`).to.be.within(0.9999, 1.005);
        expect(trained.objective / objectiveOf(trained, images, training)).to.be.closeTo(1, 1e-4);
      }
    });

    it(`${loss}: folds the scaling exactly: the gate applies to unscaled features`, async () => {
      const images = clouds(2);
      const scaled = standardised(images);
      const [raw, other] = [await train(images, settings(loss)), await train(scaled, settings(loss))];
      const found = distances(raw.gate, images.x);
      const expected = distances(other.gate, scaled.x);
      expect(Math.max(...expected.map(Math.abs))).to.be.above(1);
      for (let i = 0; i < expected.length; i++) expect(found[i]).to.be.closeTo(expected[i]!, 2e-3);
      expect(raw.objective / other.objective).to.be.closeTo(1, 1e-4);
    });
  }

  it('cross-entropy: 20 epochs come within 0.01 per cent of the optimum, and within the returned gap', async () => {
    const images = clouds(9);
    for (const l2 of [4, 0.1, 0.01]) {
      const optimum = softmaxOptimum(standardised(images), l2);
      const { objective, gap } = await train(images, settings('cross-entropy', { l2, epochs: 20 }));
      expect(objective / optimum.objective, `lambda ${l2}`).to.be.within(0.9999, 1.0001);
      expect(objective / optimum.objective - 1).to.be.at.most(gap! + 1e-6);
      const early = await train(images, settings('cross-entropy', { l2, epochs: 5 }));
      expect(early.objective / optimum.objective - 1).to.be.within(-1e-6, early.gap! + 1e-6);
    }
  });

  it('cross-entropy: sees every image once in an epoch, whether in steps or in passes', async () => {
    const images = clouds(10);
    for (const epochs of [1, 4, 6]) {
      let seen = 0;
      const sound = directEngine();
      const counting: GateTrainer = {
        ...sound,
        loadLinearGradient: async (problem) => {
          const { run, close } = await sound.loadLinearGradient(problem);
          return {
            close,
            run: (...inputs) => {
              seen += inputs[1].length;
              return run(...inputs);
            },
          };
        },
      };
      await train(images, settings('cross-entropy', { epochs, l2: 1e-4 }), counting);
      expect(seen).to.equal(epochs * COUNT);
    }
  });

  it('cross-entropy: stops in a pass where the loss is not finite', async () => {
    const { engine: failing, counts } = failingAfter(COUNT / 20 + 1, Number.NaN);
    const training = train(clouds(7), settings('cross-entropy'), failing);
    await expectFailure(training, 'gate 1: the loss is not finite');
    expect(counts.closed, 'what was loaded is closed').to.equal(2);
  });

  describe('with ONNX Runtime', () => {
    let engine: GateTrainer;
    before(async () => {
      engine = await OnnxRuntimeCpu.create(1);
    });

    it('gives the same weights bit for bit from the same seed, others from another', async () => {
      const images = clouds(3);
      const training = settings('hinge', { epochs: 3 });
      const first = await train(images, training, engine);
      expect(await train(images, training, engine)).to.deep.equal(first);
      const other = await train(images, { ...training, seed: 6 }, engine);
      expect([...other.gate.weights]).not.to.deep.equal([...first.gate.weights]);
    });

    it('reaches the result of the formulas', async () => {
      const images = clouds(3);
      const [found, expected] = [
        await train(images, settings('hinge'), engine),
        await train(images, settings('hinge')),
      ];
      expect(found.objective / expected.objective).to.be.closeTo(1, 1e-3);
    });
  });

  it('ignores constant features of any size', async () => {
    const { x, labels } = clouds(4);
    const flat = x.map((value, i) => (i % FEATURES === 1 ? 0 : i % FEATURES === 4 ? 1e4 : value));
    const { gate } = await train({ x: flat, labels }, settings('hinge', { epochs: 5 }));
    const row = (f: number): number[] => [...gate.weights.subarray(f * CLASSES, (f + 1) * CLASSES)];
    expect([...row(1), ...row(4)]).to.deep.equal(Array(6).fill(0));
    expect(row(0).every((weight) => weight !== 0)).to.equal(true);
  });

  it('learns the same with a smaller last batch', async () => {
    const images = clouds(5);
    const { objective } = hingeOptimum(standardised(images), 0.02);
    for (const batchSize of [7, COUNT, 10 * COUNT]) {
      const trained = await train(images, settings('hinge', { batchSize, epochs: batchSize < COUNT ? 20 : 200 }));
      expect(trained.objective / objective, `batches of ${batchSize}`).to.be.within(0.9999, 1.01);
    }
  });

  it('regularises: the stronger, the smaller the weights', async () => {
    const images = clouds(6);
    const { deviation } = standardised(images);
    const norm = async (l2: number): Promise<number> => {
      const { weights } = (await train(images, settings('cross-entropy', { l2 }))).gate;
      return Math.hypot(...weights.map((w, i) => w * deviation[Math.floor(i / CLASSES)]!));
    };
    const norms = [await norm(0.001), await norm(0.1), await norm(10)];
    expect(norms[0]).to.be.above(2 * norms[1]!);
    expect(norms[1]).to.be.above(10 * norms[2]!);
  });

  it('returns the average of its iterates, weighted by their number', async () => {
    const images = standardised(clouds(8)); // whose scaling is none, so that weights can be compared
    const sound = directEngine();
    const steps = (2 * COUNT) / 20;
    const iterates: Float32Array[] = [];
    const watching: GateTrainer = {
      ...sound,
      loadLinearGradient: async (problem) => {
        const { run, close } = await sound.loadLinearGradient(problem);
        return {
          close,
          run: async (x, labels, weights, bias, ridge) => {
            iterates.push(weights.slice());
            const result = await run(x, labels, weights, bias, ridge);
            // The last step goes nowhere: the iterate after it is known.
            return iterates.length === steps ? { ...result, weights: new Float32Array(weights.length) } : result;
          },
        };
      },
    };
    const { gate } = await train(images, settings('hinge', { epochs: 2 }), watching);
    const visited = [...iterates.slice(1, steps), iterates[steps - 1]!];
    const total = (steps * (steps + 1)) / 2;
    for (let i = 0; i < gate.weights.length; i++) {
      const average = visited.reduce((sum, weights, t) => sum + ((t + 1) / total) * weights[i]!, 0);
      expect(gate.weights[i]).to.be.closeTo(average, 1e-5);
    }
  });

  it('names gate and epoch if features or loss are not finite', async () => {
    const { x, labels } = clouds(7);
    for (const poison of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const poisoned = x.slice();
      poisoned[3 * FEATURES + 2] = poison;
      await expectFailure(train({ x: poisoned, labels }, settings('hinge')), 'gate 1: the features are not finite');
    }
    const steps = COUNT / 20;
    const { engine: failing, counts } = failingAfter(steps, Number.POSITIVE_INFINITY);
    await expectFailure(train({ x, labels }, settings('hinge'), failing), 'gate 1: the loss is not finite in epoch 2');
    expect(counts).to.deep.equal({ calls: steps + 1, closed: 1 });
  });
});

/** An engine whose losses are sound so many times and then this one; counts its runs, and what was closed. */
function failingAfter(sound: number, loss: number) {
  const direct = directEngine();
  const counts = { calls: 0, closed: 0 };
  const engine: GateTrainer = {
    ...direct,
    loadLinearGradient: async (problem) => {
      const gradient = await direct.loadLinearGradient(problem);
      return {
        run: async (...inputs) => {
          const result = await gradient.run(...inputs);
          return ++counts.calls > sound ? { ...result, loss } : result;
        },
        close: async () => void counts.closed++,
      };
    },
  };
  return { engine, counts };
}

async function expectFailure(work: Promise<unknown>, message: string): Promise<void> {
  const outcome = await work.then(
    () => 'it went on',
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
  expect(outcome).to.equal(message);
}

describe('survivors', () => {
  const countsOf = (confidences: readonly number[][]): number[] => {
    const images = survivors(confidences.map((of) => Float32Array.from(of)));
    return confidences[0]!.map((_, image) => images.filter((drawn) => drawn === image).length);
  };

  it('are as many images, each as often as its chance to stay at all gates before, to one', () => {
    const random = new Random(8, 'survivors');
    const confidences = [1, 2].map(() => Array.from({ length: 500 }, () => random.uniform()));
    const chances = new Array<number>(500).fill(1);
    for (const own of confidences) {
      // The share of those there that are more confident: a definition, image by image.
      const before = [...chances];
      const all = before.reduce((a, b) => a + b);
      for (const [i, value] of own.entries()) {
        const above = before.reduce((sum, chance, j) => sum + (own[j]! > value ? chance : 0), before[i]! / 2);
        chances[i]! *= above / all;
      }
    }
    const counts = countsOf(confidences);
    expect(counts.reduce((a, b) => a + b)).to.equal(500);
    const all = chances.reduce((a, b) => a + b);
    for (const [i, count] of counts.entries()) expect(count).to.be.closeTo((500 * chances[i]!) / all, 1);
    expect(Math.max(...counts)).to.be.greaterThan(1);
  });

  it('are all images where none is more confident than another in the sum, and one image where there is one', () => {
    expect(countsOf([[5]])).to.deep.equal([1]);
    expect(
      countsOf([
        [0, 9],
        [9, 0],
      ]),
    ).to.deep.equal([1, 1]);
  });
});
