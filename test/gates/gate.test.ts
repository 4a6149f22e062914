import { expect } from 'chai';
import { distances, type Gate } from '../../src/gates/gate.js';
import { Random } from '../../src/random.js';
import { distancesOf } from './linear.js';

describe('distances', () => {
  it('are xW - b, image by image', () => {
    const gate: Gate = {
      features: 2,
      classes: 3,
      weights: Float32Array.of(1, 2, 3, 10, 20, 30),
      bias: Float32Array.of(0.5, 0, -0.5),
    };
    expect([...distances(gate, Float32Array.of(1, 0, 0, 1, 2, -1))]).to.deep.equal([
      0.5, 2, 3.5, 9.5, 20, 30.5, -8.5, -16, -23.5,
    ]);
    expect(distances(gate, new Float32Array())).to.have.length(0);
  });

  it('are exact to the last digit of float32, at any position in a batch', () => {
    const random = new Random(8);
    const [features, classes, count] = [300, 4, 6];
    const floats = (length: number, scale: number): Float32Array =>
      Float32Array.from({ length }, () => scale * (random.uniform() - 0.4));
    const gate: Gate = { features, classes, weights: floats(features * classes, 100), bias: floats(classes, 1) };
    const x = floats(count * features, 100).map((value) => Math.max(0, value)); // zeros as after a ReLU
    const all = distances(gate, x);
    for (let image = 0; image < count; image++) {
      const alone = distances(gate, x.slice(image * features, (image + 1) * features));
      expect(alone).to.deep.equal(all.slice(image * classes, (image + 1) * classes));
      distancesOf({ ...gate, x, labels: [] }, image).forEach((expected, c) => {
        // Half a unit in the last place of float32, and the rounding of sums in another order.
        expect(Math.abs(alone[c]! - expected)).to.be.at.most(Math.abs(expected) * 2 ** -24 + 1e-8);
      });
    }
  });
});
