/**
 * Cross-entropy gates and LogisticRegression on the features of the real ResNet-56. Objectives of both are computed here by
 * the same few lines, in double precision. Two times of scikit-learn stand against ours: with its default settings, which is
 * what it takes to get its objective, and with just so many iterations that it comes as near.
 */
import type { GateTrainer } from '../../src/gates/contracts.js';
import { type TrainedGate, trainGate } from '../../src/gates/train.js';
import { silent } from '../../src/progress.js';
import { gateTrainer } from '../../src/run/train.js';
import { median } from '../../src/statistics/intervals.js';
import { inTurn, ratioOf } from '../runner/pairs.js';
import type { Bench, Benchmark, Ratio } from '../runner/types.js';
import {
  type Fit,
  fewest,
  forGates,
  type LinearPeer,
  l2,
  objectiveOf,
  objectiveOfFit,
  type Subject,
} from './linear-gates.js';

const NAME = 'LogisticRegression';
/** Its iterations: by default, and a guess of how many come near. */
const [DEFAULT_ITERATIONS, GUESS] = [100, 16];
const [BATCH_SIZE, DEFAULT_EPOCHS] = [512, 20];
const MOST_EPOCHS = 96;
/** How near to scikit-learn's objective counts as being there, in percent above it. */
const PERCENT = 0.5;
const NEAR = 1 + PERCENT / 100;
const LEAST_ROUNDS = 3;
/** A tolerance that nothing reaches: the number of iterations decides. */
const TIGHT = 1e-12;

export const benchmark: Benchmark = {
  name: 'cross-entropy',
  title: 'cross-entropy gates on features of the real ResNet-56: seconds, and the objective that is reached',
  peers: ['sklearn'],
  run: async (bench) => {
    if (!bench.has('sklearn')) return [];
    const engine = await gateTrainer.create();
    return forGates('resnet56', 'laptop', (subject, peer) => compare(bench, subject, peer, engine));
  },
};

async function compare(bench: Bench, subject: Subject, peer: LinearPeer, engine: GateTrainer): Promise<Ratio[]> {
  const ask = (iterations: number, tolerance: number | null): Promise<Fit> =>
    peer.fit({ loss: 'cross-entropy', precision: 'float32', iterations, tolerance });
  const train = (epochs: number): Promise<Trained> => trainTimed(subject, epochs, engine);
  const against = `scikit-learn ${peer.version}, ${NAME}`;
  const about = `${subject.data.features} features`;
  const say = (line: string): void => bench.say(`${about}: ${line}`);
  say(`${NAME} with its default settings`);
  const whole = await ask(DEFAULT_ITERATIONS, null);
  const reached = objectiveOfFit('cross-entropy', subject, whole);
  const end = whole.iterations < DEFAULT_ITERATIONS ? 'converged' : 'stopped by its limit';
  say(`${NAME}: ${reached.toFixed(5)}, ${end} after ${whole.iterations} iterations, ${whole.seconds.toFixed(1)} s`);
  const level = NEAR * reached;
  const iterations = await fewest(GUESS, DEFAULT_ITERATIONS, async (count) => {
    const part = await ask(count, TIGHT);
    const objective = objectiveOfFit('cross-entropy', subject, part);
    say(`${NAME} after ${count} iterations, ${part.seconds.toFixed(1)} s: ${objective.toFixed(5)}`);
    return objective <= level;
  });
  const epochs = await fewest(6, MOST_EPOCHS, async (count) => {
    const { objective, seconds } = await train(count);
    say(`ours after ${count} epochs, ${seconds.toFixed(1)} s: ${objective.toFixed(5)}`);
    return objective <= level;
  });
  const trained = await train(DEFAULT_EPOCHS);
  const rows = [
    ratioOf([{ ours: trained.objective, peer: reached }], {
      what: `${about}: objective after ${DEFAULT_EPOCHS} epochs`,
      against: `${against}, default settings`,
      unit: '',
      target: { atMost: 1.002 },
      note:
        `ours ${above(trained.objective, reached)} after ${trained.seconds.toFixed(1)} s; the other ` +
        `${whole.seconds.toFixed(1)} s, ${end} after ${whole.iterations} iterations`,
    }),
  ];
  if (epochs === undefined || iterations === undefined) {
    say(`not within ${PERCENT} % of ${reached.toFixed(5)}: ${epochs === undefined ? 'ours' : NAME}`);
    return rows;
  }
  const pairs = await inTurn(
    async () => (await train(epochs)).seconds,
    async () => (await ask(iterations, TIGHT)).seconds,
    { rounds: LEAST_ROUNDS, seconds: 15 },
  );
  const near = `${about}: time to within ${PERCENT} % of its objective`;
  const alone = { ours: median(pairs.map(({ ours }) => ours)), peer: whole.seconds };
  return [
    ratioOf([alone], {
      what: near,
      against: `${against}, default settings`,
      unit: 's',
      target: { atMost: 0.25 },
      note: `ours ${epochs} epochs`,
    }),
    ratioOf(pairs, {
      what: near,
      against: `${against}, stopped there`,
      unit: 's',
      note: `ours ${epochs} epochs; the other the fewest iterations that get there, ${iterations}, known before`,
    }),
    ...rows,
  ];
}

function above(ours: number, theirs: number): string {
  const percent = 100 * (ours / theirs - 1);
  return `${Math.abs(percent).toFixed(3)} % ${percent < 0 ? 'below' : 'above'}`;
}

interface Trained {
  readonly seconds: number;
  readonly objective: number;
}

async function trainTimed(subject: Subject, epochs: number, engine: GateTrainer): Promise<Trained> {
  const solver = 'optimum';
  const training = { loss: 'cross-entropy', l2, solver, gap: 1e-9, epochs, batchSize: BATCH_SIZE, seed: 0 } as const;
  const start = performance.now();
  const trained = await trainGate(subject.data, training, engine, silent, 'gate');
  const seconds = (performance.now() - start) / 1000;
  return { seconds, objective: objectiveOfGate(subject, trained) };
}

/** Of a gate as it was trained, its scaling taken out again. */
function objectiveOfGate(subject: Subject, { gate }: TrainedGate): number {
  const { features, classes, weights, bias } = gate;
  const { mean, inverse } = subject.scaling;
  const v = new Float64Array(features * classes);
  const a = Float64Array.from(bias);
  for (let f = 0; f < features; f++) {
    for (let c = 0; c < classes; c++) {
      const w = weights[f * classes + c]!;
      if (inverse[f] !== 0) v[c * features + f] = w / inverse[f]!;
      a[c]! -= w * mean[f]!;
    }
  }
  return objectiveOf('cross-entropy', subject, v, a);
}
