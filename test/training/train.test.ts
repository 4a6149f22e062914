import { expect } from 'chai';
import { trainingFiles } from '../../src/cli/train-network.js';
import { checkTrainingEngine } from '../../src/engines/registry.js';
import { InputError } from '../../src/errors.js';
import { networkByName } from '../../src/networks/catalogue.js';
import { networkTensors } from '../../src/networks/network.js';
import { learningRateAt, recipes } from '../../src/training/recipe.js';
import type { Recipe } from '../../src/training/state.js';
import { checkResumed, initialTensors, planTraining } from '../../src/training/train.js';

describe('an untrained network', () => {
  const network = networkByName('resnet50-width0.25-cifar10');
  const tensors = initialTensors(network, 1, true);

  it("has convolutions of variance 2 / fan-in, and PyTorch's classifier", () => {
    for (const { name, shape, count } of networkTensors(network)) {
      const { data } = tensors.get(name)!;
      expect(data.every(Number.isFinite), name).to.equal(true);
      if (shape.length !== 4 || count < 4000) continue;
      const mean = data.reduce((sum, value) => sum + value, 0) / count;
      const variance = data.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count;
      const expected = 2 / (count / shape[0]!);
      expect(mean / Math.sqrt(expected), name).to.be.closeTo(0, 0.06);
      expect(variance / expected, name).to.be.closeTo(1, 0.1);
    }
    const limit = 1 / Math.sqrt(network.classifier.in);
    for (const name of ['linear.weight', 'linear.bias']) {
      const largest = Math.max(...tensors.get(name)!.data.map(Math.abs));
      expect(largest, name).to.be.within(0.7 * limit, limit);
    }
  });

  it('has batch norms that change nothing but the ends of residual blocks', () => {
    const value = (name: string): number[] => [...new Set(tensors.get(name)!.data)];
    expect(value('layer2.1.bn1.weight')).to.deep.equal([1]);
    expect(value('layer2.1.bn3.weight')).to.deep.equal([0]);
    expect(value('layer2.0.shortcut.1.weight')).to.deep.equal([1]);
    expect(value('bn1.bias')).to.deep.equal([0]);
    expect(value('bn1.running_mean')).to.deep.equal([0]);
    expect(value('bn1.running_var')).to.deep.equal([1]);
    expect([...new Set(initialTensors(network, 1, false).get('layer2.1.bn3.weight')!.data)]).to.deep.equal([1]);
  });

  it('is the same for the same seed', () => {
    expect(initialTensors(network, 1, true)).to.deep.equal(tensors);
    expect(initialTensors(network, 2, true).get('conv1.weight')).not.to.deep.equal(tensors.get('conv1.weight'));
  });
});

describe('a training plan', () => {
  it('is the recipe with what the command line changes', () => {
    const { preset, recipe, seed } = planTraining({ epochs: 3, trainImages: 100, seed: 7 });
    expect([preset, seed]).to.deep.equal(['laptop', 7]);
    expect(recipe).to.deep.equal({ ...recipes.laptop, epochs: 3, trainImages: 100 });
    expect(planTraining({ preset: 'paper' }).recipe).to.deep.equal(recipes.paper);
  });

  it('names every value that makes no sense at once', () => {
    const problems = problemsOf(() =>
      planTraining({ epochs: 0, batchSize: 1, learningRate: Number.NaN, trainImages: 2.5 }),
    );
    expect(problems).to.have.length(4);
    expect(problems[0]).to.match(/^--epochs 0; valid: a whole number from 1/);
    expect(problems[2]).to.equal('--learning-rate NaN; valid: a number above 0');
    expect(problemsOf(() => planTraining({ seed: 1.5 }))).to.deep.equal(['--seed 1.5; valid: a whole number from 0']);
  });

  it('goes on only with what was begun; what is not given is as it was', () => {
    const begun = {
      network: 'n',
      preset: 'paper',
      recipe: recipes.paper,
      seed: 1,
      engine: 'tfjs-node',
      dataSha256: 'a',
    } as const;
    const same = { network: 'n', engine: 'auto', dataSha256: 'a' };
    checkResumed(begun, same, 'F');
    checkResumed(begun, { ...same, engine: 'tfjs-node', preset: 'paper', epochs: 200, batchSize: 128 }, 'F');
    const other = {
      ...same,
      network: 'm',
      engine: 'tfjs-cpu',
      preset: 'laptop',
      trainImages: 5,
      dataSha256: 'b',
    } as const;
    const problems = problemsOf(() => checkResumed(begun, other, 'F'));
    expect(problems).to.have.length(5);
    expect(problems[0]).to.equal('F: was started with network n, not m; valid: the same, or another --out');
    expect(problems[2]).to.contain('--train-images all, not 5');
  });

  it('refuses engines that cannot train, with those that can', () => {
    expect(checkTrainingEngine('auto')).to.equal('auto');
    const refusal = (id: string): string => problemsOf(() => checkTrainingEngine(id))[0]!;
    expect(refusal('tfjs-wasm')).to.match(
      /^engine tfjs-wasm: cannot train: .*Conv2DBackpropFilter.*; valid: auto, tfjs-node/,
    );
    expect(refusal('ort-cpu')).to.match(/^engine ort-cpu: cannot train: /);
    expect(refusal('gpu')).to.equal('engine gpu: unknown; valid: auto, tfjs-node, tfjs-webgpu, tfjs-cpu');
  });

  it('keeps its files beside the checkpoint', () => {
    expect(trainingFiles('a/b.safetensors')).to.deep.equal({
      checkpoint: 'a/b.safetensors',
      lock: 'a/b.lock',
      state: 'a/b.state.safetensors',
      curve: 'a/b.csv',
    });
    for (const out of ['model.bin', '.safetensors', 'a/.safetensors']) {
      expect(problemsOf(() => trainingFiles(out))[0]).to.match(/valid: a file whose name ends in \.safetensors$/);
    }
  });
});

describe('the learning rate', () => {
  const rates = (recipe: Recipe, total: number) =>
    Array.from({ length: total }, (_, step) => learningRateAt(recipe, step, total));

  it('falls down half a cosine', () => {
    const all = rates({ ...recipes.paper, warmUpFraction: 0 }, 200);
    expect(all[0]).to.equal(0.1);
    expect(all[100]).to.be.closeTo(0.05, 1e-12);
    expect(all[150]).to.be.closeTo(0.05 * (1 - Math.SQRT1_2), 1e-12);
    expect(all[199]).to.be.within(1e-6, 1e-4);
  });

  it('rises before that in a straight line, its first step above 0', () => {
    const all = rates(recipes.laptop, 100);
    expect(all[0]).to.be.closeTo(0.01, 1e-12);
    expect(all[9]).to.be.closeTo(0.1, 1e-12);
    expect(Math.max(...all)).to.be.closeTo(0.2, 1e-12);
    expect(all.indexOf(Math.max(...all))).to.equal(19);
    for (let step = 21; step < 100; step++) expect(all[step]).to.be.below(all[step - 1]!);
  });

  it("of the paper's networks is at its highest after 5 of 200 epochs, and 0.05 in the middle of the rest", () => {
    const steps = 351; // of an epoch: 45,000 images in batches of 128
    const all = rates(recipes.paper, 200 * steps);
    expect(all[0]).to.be.closeTo(0.1 / (5 * steps), 1e-12);
    expect(all.indexOf(Math.max(...all))).to.be.oneOf([5 * steps - 1, 5 * steps]);
    expect(Math.max(...all)).to.be.closeTo(0.1, 1e-12);
    expect(all[2.5 * steps - 0.5]).to.be.closeTo(0.05, 1e-4);
    expect(all[102.5 * steps - 0.5]).to.be.closeTo(0.05, 1e-4);
  });

  it('is positive and finite in a training of one step', () => {
    for (const recipe of Object.values(recipes)) expect(rates(recipe, 1)[0]).to.be.within(1e-9, 0.2000001);
  });
});

function problemsOf(work: () => unknown): readonly string[] {
  try {
    work();
  } catch (error) {
    if (error instanceof InputError) return error.problems;
    throw error;
  }
  throw new Error('no problem was found');
}
