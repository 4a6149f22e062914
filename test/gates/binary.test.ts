import { expect } from 'chai';
import { BinaryHinge, type Totals } from '../../src/gates/binary.js';
import { Random } from '../../src/random.js';

/** max over 0 <= a <= 1 of a (1 - m) - g/2 (a - b)^2, by its definition. */
function smoothed(margin: number, b: number, width: number): number {
  const a = Math.max(0, Math.min(1, b + (1 - margin) / width));
  return a * (1 - margin) - (width / 2) * (a - b) ** 2;
}

describe('BinaryHinge', () => {
  const [count, l2, width] = [300, 0.05, 0.3];
  const random = new Random(4, 'binary');
  const labels = Int32Array.from({ length: count }, () => random.below(2));
  const s = Float64Array.from(labels, (label) => random.uniform() + random.uniform() - 1 + (label === 0 ? 0.4 : 0));
  const y = (i: number): number => (labels[i] === 0 ? 1 : -1);

  for (const [length, what] of [
    [1, 'a direction of about the right length'],
    [1e-3, 'one that is far too short, along which other images change'],
    [300, 'one that is far too long'],
  ] as const) {
    it(`goes to the lowest smoothed objective along ${what}`, () => {
      const room = [new Float64Array(count), new Float64Array(count)] as const;
      const hinge = new BinaryHinge(0, 1, count, l2, 1 / width, 0.5, room);
      const zero: Totals = { duals: [0, 0], loss: 0, smoothing: 0 };
      const duals = new Float32Array(count);
      hinge.writeDuals(labels, 0, duals, zero);
      expect(zero.loss, 'of margins 0').to.equal(count);
      const gradient = Float64Array.of(
        hinge.slope(
          0,
          s.reduce((sum, value, i) => sum + duals[i]! * value, 0),
        ),
        hinge.slope(1, -zero.duals[0]),
      );
      const slope = { gradient, conditioned: gradient.map((value) => length * value) };
      const direction = hinge.direction(slope);
      for (let i = 0; i < count; i++) hinge.along[i] = y(i) * (s[i]! * direction[0]! - direction[1]!);
      const objective = (t: number): number => {
        const loss = hinge.along.reduce((sum, along) => sum + smoothed(t * along, 0.5, width), 0) / count;
        return loss + (l2 / 2) * t * t * Math.hypot(...direction) ** 2;
      };
      expect(hinge.advance(direction)).to.equal(true);
      const t = hinge.weights[0]! / direction[0]!;
      expect(hinge.weights[1]! / direction[1]!).to.be.closeTo(t, 1e-9 * t);
      for (const share of [0.9, 0.99, 1.01, 1.1]) expect(objective(share * t)).to.be.above(objective(t));
      for (let i = 0; i < count; i++) expect(hinge.margins[i]).to.be.closeTo(t * hinge.along[i]!, 1e-9);
    });
  }
});
