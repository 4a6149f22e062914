import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { OnnxRuntimeCpu } from '../../src/engines/onnxruntime/engine.js';
import { loadTensorFlow, type TfjsId } from '../../src/engines/tfjs/backend.js';
import { tfjsTraining } from '../../src/engines/tfjs/training/trainer.js';
import { InputError } from '../../src/errors.js';
import { lowerNetwork } from '../../src/networks/lower.js';
import { networkTensors } from '../../src/networks/network.js';
import type { TensorMap } from '../../src/tensor.js';
import type { Trainer, TrainingEngine } from '../../src/training/state.js';
import { initialTensors } from '../../src/training/train.js';
import { IMAGES, LEARNING_RATES, type TrainingCase, trainingCases } from './cases.js';

interface Reference {
  /** The first three values and the norm of each tensor after the last step. */
  readonly cases: readonly { network: string; losses: number[]; tensors: Record<string, number[]> }[];
}

const reference = JSON.parse(
  readFileSync(new URL('../fixtures/training/reference.json', import.meta.url), 'utf8'),
) as Reference;

/** Relative to a tensor's norm: three steps in float32 through batch norms of a few values. */
const TOLERANCE = 1e-3;

async function load(engine: TrainingEngine, { network, recipe, weights }: TrainingCase): Promise<Trainer> {
  return engine.load(network, recipe, { weights, momenta: new Map() });
}

for (const id of ['tfjs-cpu', 'tfjs-node', 'tfjs-webgpu'] as const satisfies readonly TfjsId[]) {
  describe(`training on ${id}`, () => {
    let engine: TrainingEngine;
    let tensorCount: () => number;

    before(async function () {
      try {
        const loaded = await loadTensorFlow(id);
        engine = tfjsTraining(loaded);
        tensorCount = () => loaded.tf.memory().numTensors;
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        console.log(`      skipped: ${error.message}`);
        this.skip(); // does not work here
      }
    });

    for (const [index, training] of trainingCases().entries()) {
      // A software Vulkan driver needs ten seconds for each.
      if (id === 'tfjs-webgpu' && index % 4 !== 0) continue;
      it(`does what PyTorch does, and ONNX Runtime runs the outcome: ${training.network.name}`, async () => {
        const expected = reference.cases[index]!;
        expect(expected.network).to.equal(training.network.name);
        const trainer = await load(engine, training);
        const counts: number[] = [];
        for (const [step, rate] of LEARNING_RATES.entries()) {
          const { loss } = await trainer.step(training.images[step]!, training.labels[step]!, rate);
          expect(loss, `loss of step ${step + 1}`).to.be.closeTo(expected.losses[step]!, 1e-3);
          counts.push(tensorCount());
        }
        expect(counts[2], 'tensors in memory').to.equal(counts[1]);
        const { weights, momenta } = await trainer.tensors();
        for (const { name, trainable } of networkTensors(training.network)) {
          const [a, b, c, norm] = expected.tensors[name] as [number, number, number, number];
          const { data } = weights.get(name)!;
          const allowed = TOLERANCE * norm + 1e-6;
          expect(Math.hypot(...data), `norm of ${name}`).to.be.closeTo(norm, allowed);
          [a, b, c].slice(0, data.length).forEach((value, i) => {
            expect(data[i], `${name}[${i}]`).to.be.closeTo(value, allowed);
          });
          expect(momenta.has(name), `momentum of ${name}`).to.equal(trainable);
        }
        const logits = await trainer.logits(training.images[0]!, IMAGES);
        await trainer.close();
        await expectOnnxAgrees(training, weights, logits);
      });
    }

    it('leaves nothing in memory, and what it gives out goes in again bit for bit', async () => {
      const training = trainingCases()[1]!;
      const before = tensorCount();
      const trainer = await load(engine, training);
      await trainer.step(training.images[0]!, training.labels[0]!, 0.1);
      const given = await trainer.tensors();
      await trainer.step(training.images[1]!, training.labels[1]!, 0.1);
      const straight = await trainer.tensors();
      await trainer.close();
      const again = await engine.load(training.network, training.recipe, given);
      await again.step(training.images[1]!, training.labels[1]!, 0.1);
      const resumed = await again.tensors();
      await again.close();
      expect(tensorCount()).to.equal(before);
      for (const part of ['weights', 'momenta'] as const) {
        for (const [name, { data }] of straight[part]) expect(resumed[part].get(name)!.data, name).to.deep.equal(data);
      }
    });

    it('learns a handful of images', async () => {
      const { network, recipe, images, labels } = trainingCases()[0]!;
      const weights = initialTensors(network, 1, true);
      const trainer = await engine.load(network, recipe, { weights, momenta: new Map() });
      const losses: number[] = [];
      for (let step = 0; step < 10; step++) {
        const { loss } = await trainer.step(images[0]!, labels[0]!, 0.05);
        losses.push(loss);
      }
      await trainer.close();
      expect(losses[0]).to.be.within(1.8, 3);
      expect(losses.at(-1)).to.be.below(losses[0]! - 0.2);
    });
  });
}

/** The trained weights, batch norm folded, give the same logits in ONNX Runtime. */
async function expectOnnxAgrees({ network, images }: TrainingCase, weights: TensorMap, logits: Float32Array) {
  const engine = await OnnxRuntimeCpu.create(1);
  const loaded = await engine.loadFeatures(lowerNetwork(network, weights), []);
  const { logits: expected } = await loaded.run(images[0]!, IMAGES);
  await loaded.close();
  const scale = Math.max(1, ...expected.map(Math.abs));
  logits.forEach((value, i) => {
    expect(value, `logit ${i}`).to.be.closeTo(expected[i]!, 1e-4 * scale);
  });
}
