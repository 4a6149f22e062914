import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import type { GateTraining, TrainedGate } from '../../src/gates/train.js';
import { trainGate } from '../../src/gates/train.js';
import { silent } from '../../src/progress.js';
import { Random } from '../../src/random.js';
import { inMemory } from '../../src/run/train.js';
import { directEngine } from './linear.js';

/** Problems and their lowest objectives by scikit-learn; `optima.py` made them. */
interface Problem {
  readonly name: string;
  readonly features: number;
  readonly x: readonly number[];
  readonly labels: readonly number[];
  readonly l2: number;
  readonly optima: { readonly hinge: number; readonly 'cross-entropy': number | null };
}
const fixture = new URL('../fixtures/gates/optima.json', import.meta.url);
const problems = JSON.parse(readFileSync(fixture, 'utf8')) as Problem[];

const settings: Omit<GateTraining, 'loss' | 'l2'> = {
  solver: 'optimum',
  gap: 1e-3,
  epochs: 400,
  batchSize: 16,
  seed: 0,
};

async function train(
  problem: Problem,
  change: Partial<GateTraining>,
  order?: Int32Array,
): Promise<Required<TrainedGate>> {
  const { features, l2 } = problem;
  const images = order ?? Int32Array.from(problem.labels.keys());
  const x = Float32Array.from([...images].flatMap((i) => problem.x.slice(i * features, (i + 1) * features)));
  const labels = Int32Array.from(images, (i) => problem.labels[i]!);
  const training = { ...settings, loss: 'hinge', l2, ...change } as const;
  const trained = await trainGate(inMemory(x, labels, 3), training, directEngine(), silent, 'gate 1');
  return trained as Required<TrainedGate>;
}

/** Solves a problem of three classes that a line hardly tells apart to a gap, and counts its passes. */
function noisy(count: number, features: number, l2 = 0.002) {
  const random = new Random(1, 'wide');
  const labels = Int32Array.from({ length: count }, () => random.below(3));
  const x = Float32Array.from({ length: count * features }, (_, i) => {
    const isOwn = (i % features) % 3 === labels[Math.floor(i / features)];
    return random.uniform() + random.uniform() - 1 + (isOwn ? 0.1 : 0);
  });
  return async (gap: number): Promise<Required<TrainedGate> & { passes: number; expected: number[] }> => {
    let passes = 0;
    const expected: number[] = [];
    const update = (pass: number, _note?: string, total = 0): void => {
      passes = pass;
      expected[pass] = total;
    };
    const counting = { ...silent, begin: () => ({ update, end() {} }) };
    const training = { ...settings, loss: 'hinge', l2, epochs: 3000, gap } as const;
    const trained = await trainGate(inMemory(x, labels, 3), training, directEngine(), counting, 'gate 1');
    return { ...(trained as Required<TrainedGate>), passes, expected };
  };
}

describe('gates at their optimum', () => {
  it('are not claimed by stochastic steps alone', async () => {
    expect(await train(problems[0]!, { solver: 'sgd', epochs: 2 })).to.have.all.keys('gate', 'objective');
  });

  it('says half way about how many passes there will be', async () => {
    const { passes, expected } = await noisy(2000, 40)(1e-3);
    expect(expected[Math.ceil(passes / 2)]).to.be.within(0.6 * passes, 1.6 * passes);
  });

  for (const loss of ['hinge', 'cross-entropy'] as const) {
    for (const problem of problems) {
      const lowest = problem.optima[loss];
      if (lowest === null) continue;
      it(`${loss}, ${problem.name}: as near to scikit-learn's as the gap says`, async () => {
        for (const gap of [1e-2, 1e-3]) {
          const trained = await train(problem, { loss, gap });
          expect(trained.worstGap, 'what was asked').to.be.at.most(gap);
          expect(trained.gap).to.be.at.most(trained.worstGap + 1e-12);
          expect(trained.objective / lowest).to.be.within(1 - 1e-4, 1 + trained.gap + 1e-4);
        }
      });
    }

    it(`${loss}: the gap bounds what is missing after few passes too, and is not reached then`, async () => {
      for (const problem of problems.slice(0, 2)) {
        for (const change of [{ epochs: 1 }, { epochs: 12 }] as const) {
          const { objective, gap, worstGap } = await train(problem, { loss, gap: 1e-9, ...change });
          expect(worstGap, problem.name).to.be.above(1e-9);
          expect(objective - problem.optima[loss]!).to.be.within(-1e-5, gap * objective + 1e-5);
        }
      }
    });
  }

  it('hinge: with fewer images than features the same lowest objective, in half the passes that a narrow smoothing takes', async () => {
    // 387, 397 and 571 passes with the width that suits many images.
    for (const [count, features, most] of [
      [60, 80, 200],
      [100, 200, 200],
      [300, 330, 280],
    ] as const) {
      const solve = noisy(count, features);
      const { objective, worstGap, passes } = await solve(1e-3);
      expect(worstGap, `${count} images`).to.be.at.most(1e-3);
      expect(passes, `${count} images`).to.be.at.most(most);
      if (count > 100) continue;
      const nearest = await solve(1e-4);
      expect(nearest.worstGap, `${count} images`).to.be.at.most(1e-4);
      expect(objective / nearest.objective).to.be.within(1 - 1e-4, 1 + 1e-3);
    }
  });

  it('hinge: with many images fewer passes than from duals of 0', async () => {
    // 17 and 11 passes from duals of 0.
    for (const [count, features, most] of [
      [3000, 60, 13],
      [4000, 30, 9],
    ] as const) {
      const { worstGap, passes } = await noisy(count, features, 0.02)(1e-3);
      expect(worstGap, `${count} images`).to.be.at.most(1e-3);
      expect(passes, `${count} images`).to.be.at.most(most);
    }
  });

  it('hinge: other seeds give the same gate bit for bit, features another processor rounds otherwise one within the gap', async () => {
    const problem = problems[0]!;
    const first = await train(problem, {});
    expect(await train(problem, { seed: 7, batchSize: 3 })).to.deep.equal(first);
    const random = new Random(5, 'perturb');
    const moved = { ...problem, x: problem.x.map((value) => value * (1 + 2e-6 * (random.uniform() - 0.5))) };
    const other = await train(moved, {});
    expect(other.objective / first.objective).to.be.closeTo(1, 1e-3);
    const most = 4 * Math.sqrt((2 * 1e-3 * first.objective) / problem.l2);
    const apart = Math.hypot(...first.gate.weights.map((w, i) => w - other.gate.weights[i]!));
    expect(apart).to.be.at.most(most);
  });

  it('hinge: another seed or order of the images changes no more than the gap allows', async () => {
    const problem = problems[0]!;
    const order = new Random(3, 'order').shuffle(Int32Array.from(problem.labels.keys()));
    const first = await train(problem, { gap: 1e-6 });
    for (const other of [await train(problem, { gap: 1e-6, seed: 1 }), await train(problem, { gap: 1e-6 }, order)]) {
      expect(other.objective / first.objective).to.be.closeTo(1, 1e-6);
      // |V - V*|^2 <= 2 gap objective / lambda
      const most = 2 * Math.sqrt((2 * 1e-6 * first.objective) / problem.l2);
      const distance = Math.hypot(...first.gate.weights.map((w, i) => w - other.gate.weights[i]!));
      expect(distance).to.be.at.most(2 * most);
    }
  });
});
