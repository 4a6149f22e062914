import { expect } from 'chai';
import type { Engine, FeatureBatch } from '../../src/engines/engine.js';
import { createEngine } from '../../src/engines/registry.js';
import { loadTensorFlow, type TfjsId, tfjsIds } from '../../src/engines/tfjs/backend.js';
import { lowerNetwork } from '../../src/networks/lower.js';
import type { Layer, Network } from '../../src/networks/network.js';
import type { GatePlace } from '../../src/networks/onnx.js';
import { Random } from '../../src/random.js';
import { randomTensors } from '../networks/direct.js';
import { engineOrSkip, testedEngines } from './available.js';

const TOLERANCE = 1e-5; // of the norm of a vector
const IMAGES = 3;

const conv = (name: string, input: number, output: number, kernel: number, stride = 1): Layer => ({
  op: 'conv',
  name,
  in: input,
  out: output,
  kernel,
  stride,
  padding: (kernel - 1) / 2,
});
const norm = (name: string, channels: number): Layer => ({ op: 'batchNorm', name, channels });
const relu: Layer = { op: 'relu' };

/** Every layer that the families have; higher than wide, so that rows and columns cannot be taken for one another. */
const network: Network = {
  name: 'every-layer-cifar10',
  dataset: 'cifar10',
  input: { channels: 3, height: 48, width: 32 },
  stem: [conv('stem', 3, 4, 7, 2), norm('stemNorm', 4), relu, { op: 'maxPool', kernel: 3, stride: 2, padding: 1 }],
  stages: [
    {
      name: 'residual',
      layers: [
        { op: 'residual', body: [conv('a1', 4, 4, 3), norm('a2', 4), relu, conv('a3', 4, 4, 3)], shortcut: [] },
        relu,
        {
          op: 'residual',
          body: [conv('b1', 4, 7, 3, 2), norm('b2', 7)],
          shortcut: [{ op: 'subsamplePad', stride: 2, before: 1, after: 2 }],
        },
        { op: 'residual', body: [conv('c1', 7, 6, 3)], shortcut: [conv('c2', 7, 6, 1), norm('c3', 6)] },
        relu,
      ],
      transition: [],
    },
    {
      name: 'dense',
      layers: [
        { op: 'denseConcat', first: 'input', body: [norm('d1', 6), relu, conv('d2', 6, 3, 3)] },
        { op: 'denseConcat', first: 'new', body: [norm('e1', 9), conv('e2', 9, 3, 1)] },
      ],
      transition: [norm('f1', 12), relu, conv('f2', 12, 5, 1), { op: 'avgPool', kernel: 2, stride: 2, padding: 0 }],
    },
    { name: 'last', layers: [conv('g', 5, 8, 3, 2)], transition: [] },
  ],
  classifier: { head: [norm('h', 8), relu], name: 'linear', in: 8, out: 4 },
};
const places: readonly GatePlace[] = [
  { stage: 1, pooling: { kind: 'grid', size: 2 } },
  { stage: 2, pooling: { kind: 'gap' } },
];

const random = new Random(5, 'engines');
const floats = (length: number): Float32Array => Float32Array.from({ length }, () => 2 * random.uniform() - 1);
const lowered = lowerNetwork(network, randomTensors(network, random));
const images = floats(IMAGES * 3 * 48 * 32);
/** Every vector that an engine computes from the inputs above. */
async function everything(engine: Engine): Promise<Map<string, Float32Array>> {
  const found = new Map<string, Float32Array>();
  const loaded = await engine.loadFeatures(lowered, places);
  const { features, logits }: FeatureBatch = await loaded.run(images, IMAGES);
  await loaded.close();
  const short = await engine.loadFeatures(lowered, places, 'features');
  const alone = await short.run(images, IMAGES);
  await short.close();
  expect(alone.logits).to.be.empty;
  for (const [gate, values] of alone.features.entries()) found.set(`features of gate ${gate + 1} alone`, values);
  found.set('logits', logits);
  for (const [gate, values] of features.entries()) found.set(`features of gate ${gate + 1}`, values);
  return found;
}

for (const { id } of testedEngines().filter((engine) => engine.id !== 'ort-cpu')) {
  describe(`${id} agrees with ort-cpu`, () => {
    let engine: Engine;
    before(async function () {
      engine = await engineOrSkip(this, id);
    });

    it('on features and logits', async () => {
      const expected = await everything(await createEngine('ort-cpu'));
      const found = await everything(engine);
      expect([...found.keys()]).to.deep.equal([...expected.keys()]);
      for (const [what, values] of found) {
        const reference = expected.get(what)!;
        expect(values, what).to.be.instanceOf(Float32Array);
        expect(values.length, what).to.equal(reference.length);
        const difference = Math.hypot(...values.map((value, i) => value - reference[i]!));
        expect(difference, what).to.be.at.most(TOLERANCE * Math.hypot(...reference));
      }
    });

    if ((tfjsIds as readonly string[]).includes(id)) {
      it('keeps its number of tensors over batches, and none after closing', async () => {
        const { tf } = await loadTensorFlow(id as TfjsId);
        const before = tf.memory().numTensors;
        const features = await engine.loadFeatures(lowered, places);
        const loaded = tf.memory().numTensors;
        for (let batch = 0; batch < 3; batch++) {
          await features.run(images, IMAGES);
          expect(tf.memory().numTensors).to.equal(loaded);
        }
        await features.close();
        expect(tf.memory().numTensors).to.equal(before);
      });
    }
  });
}
