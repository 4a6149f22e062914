import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import type { Engine, FeatureBatch } from '../../src/engines/engine.js';
import { networkByName } from '../../src/networks/catalogue.js';
import { lowerNetwork } from '../../src/networks/lower.js';
import { networkTensors, stageShapes } from '../../src/networks/network.js';
import { generatedImages, generatedTensors } from '../parity.js';
import { engineOrSkip, testedEngines } from './available.js';

interface ParityCase {
  network: string;
  parameters: number;
  tensors: number;
  firstNames: string[];
  lastNames: string[];
  logits: number[][];
  logitsNorm: number[];
  argmax: number[];
  stageFeatures: { channels: number; first: number[]; norm: number[] }[];
}

// What PyTorch computed on generated weights and images; the recipe is in test/parity.ts.
const cases = (
  JSON.parse(readFileSync(new URL('../fixtures/parity.json', import.meta.url), 'utf8')) as { cases: ParityCase[] }
).cases;

const names: Record<string, string> = {
  'kuangliu/ResNet101': 'resnet101-cifar10',
  'kuangliu/DenseNet201': 'densenet201-cifar10',
  'torchvision/resnet101': 'resnet101-imagenet',
  'akamaster/resnet20': 'resnet20-cifar10',
};
const TOLERANCE = 1e-3; // relative to the norm of the vector

const norm = (values: ArrayLike<number>): number => Math.hypot(...Array.from(values));

/** A software graphics driver takes a minute or more for each large network, plain JavaScript for the largest. */
function leftOut(id: string, network: string): boolean {
  if (process.env['DGATE_GPU'] === '1') return false;
  return id.endsWith('webgpu') ? network !== 'resnet20-cifar10' : id === 'tfjs-cpu' && network.endsWith('-imagenet');
}

/** Of the two images that PyTorch saw: plain JavaScript takes half a minute for one in the largest network. */
function imagesFor(id: string, network: string): number {
  return id === 'tfjs-cpu' && network !== 'resnet20-cifar10' ? 1 : 2;
}

for (const { id } of testedEngines()) {
  describe(`${id} agrees with PyTorch`, () => {
    let engine: Engine;
    before(async function () {
      engine = await engineOrSkip(this, id);
    });

    for (const expected of cases) {
      const network = networkByName(names[expected.network]!);
      if (leftOut(id, network.name)) {
        it(`on ${expected.network}: left out, as it takes a minute or more here (DGATE_GPU=1 runs it)`);
        continue;
      }

      it(`on ${expected.network}: tensors, stage features, logits`, async () => {
        const tensors = networkTensors(network);
        expect(tensors.map((tensor) => tensor.name)).to.include.ordered.members(expected.firstNames);
        expect(tensors.slice(-3).map((tensor) => tensor.name)).to.deep.equal(expected.lastNames.slice(-3));
        expect(tensors).to.have.length(expected.tensors);

        // The feature graph has gates after all stages here, the last one included.
        const places = stageShapes(network).map((_, index) => ({
          stage: index + 1,
          pooling: { kind: 'gap' as const },
        }));
        const loaded = await engine.loadFeatures(lowerNetwork(network, generatedTensors(network)), places);
        const count = imagesFor(id, network.name);
        const images = generatedImages(network);
        const batch = await loaded.run(images.subarray(0, (count * images.length) / 2), count);
        await loaded.close();
        checkLogits(batch, expected, count, network.classifier.out);
        checkFeatures(batch, expected, count);
      });
    }
  });
}

function checkLogits(batch: FeatureBatch, expected: ParityCase, count: number, classes: number): void {
  expect(batch.logits.length).to.equal(count * classes);
  for (let image = 0; image < count; image++) {
    const logits = batch.logits.slice(image * classes, (image + 1) * classes);
    const allowed = TOLERANCE * expected.logitsNorm[image]!;
    expect(norm(logits)).to.be.closeTo(expected.logitsNorm[image]!, allowed);
    for (const [index, value] of expected.logits[image]!.entries()) {
      expect(logits[index]).to.be.closeTo(value, allowed);
    }
    expect(logits.indexOf(Math.max(...logits))).to.equal(expected.argmax[image]);
  }
}

function checkFeatures(batch: FeatureBatch, expected: ParityCase, count: number): void {
  expected.stageFeatures.forEach(({ channels, first, norm: norms }, stage) => {
    const features = batch.features[stage]!;
    expect(features.length).to.equal(count * channels);
    const allowed = TOLERANCE * norms[0]!;
    for (const [index, value] of first.entries()) expect(features[index]).to.be.closeTo(value, allowed);
    for (let image = 0; image < count; image++) {
      const row = features.slice(image * channels, (image + 1) * channels);
      expect(norm(row)).to.be.closeTo(norms[image]!, TOLERANCE * norms[image]!);
    }
  });
}
