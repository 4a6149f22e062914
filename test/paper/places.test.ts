import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { expect } from 'chai';
import { imageFolder, onnxNetwork } from '../../src/experiment/network.js';
import { resolveExperiment } from '../../src/experiment/resolve.js';
import { scoresOf } from '../../src/paper/analysis.js';
import { paperExperiments } from '../../src/paper/index.js';
import { searchSets, setsOf } from '../../src/paper/places.js';
import { Random } from '../../src/random.js';
import { withFoundPlaces } from '../../src/run/plan.js';
import { evaluate } from '../../src/thresholds/evaluate.js';
import { residualGraph } from '../onnx/user-graphs.js';
import { randomImages, randomScores } from '../thresholds/scores.js';

const resolved = (definition: object) =>
  resolveExperiment({ name: 'x', title: 'x', ...definition }, 'x', 'laptop', [], paperExperiments);

describe('the search for places', () => {
  it('tries every set of so many gates once', () => {
    expect(setsOf(3, 2).map((set) => set.join(''))).to.deep.equal(['0', '1', '2', '01', '02', '12']);
    expect(setsOf(9, 4)).to.have.length(9 + 36 + 84 + 126);
    expect(setsOf(2, 4)).to.have.length(3);
  });

  it('finds the fewest FLOPs of each set on the choosing images, without the cost of gates outside it', () => {
    const random = new Random(4, 'places');
    const costsOf = (gates: readonly number[]): number[] => {
      // Up to the gate, and one for each gate that was read.
      return [...gates.map((gate, i) => 10 * (gate + 1) + i + 1), 40 + gates.length];
    };
    for (let round = 0; round < 20; round++) {
      const scores = randomScores(random, 6 + random.below(6), 3);
      const images = randomImages(random, scores.count);
      const [chosen] = searchSets({ scores, images }, setsOf(3, 2), [0.1], costsOf);
      for (const [i, set] of setsOf(3, 2).entries()) {
        const of = scoresOf(scores, set);
        const closed = evaluate(
          of,
          set.map(() => Number.POSITIVE_INFINITY),
          costsOf(set),
          images,
        );
        const levels = set.map((gate) => [...new Set(scores.confidences[gate]), Number.POSITIVE_INFINITY]);
        const all = levels[0]!.flatMap((first) =>
          (levels[1] ?? [first]).map((second) => [first, second].slice(0, set.length)),
        );
        const tried = all.map((thresholds) => evaluate(of, thresholds, costsOf(set), images));
        const kept = tried.filter(({ accuracy }) => accuracy >= closed.accuracy - 0.1 - 1e-9);
        expect(chosen![i]!.flops, set.join()).to.be.closeTo(Math.min(...kept.map(({ flops }) => flops)), 1e-9);
      }
    }
  });

  it("gates: 'search' are those behind every stage of a network, or near each tenth of an ONNX file's FLOPs", async () => {
    const { gates, analysis } = resolved({ network: 'resnet20-cifar10', gates: 'search' });
    expect(gates.after).to.deep.equal([1, 2]);
    expect(analysis).to.include({ kind: 'places', most: 4 });
    const other = { kind: 'accuracy-flops' };
    const named = resolved({
      network: 'resnet20-cifar10',
      gates: { after: 'search', pooling: '4x4' },
      analysis: other,
    });
    expect(named.gates).to.deep.include({ after: [1, 2], pooling: { kind: 'grid', size: 4 } });
    expect(named.analysis?.kind).to.equal('accuracy-flops');
    expect(() => resolved({ network: 'nothing-cifar10', gates: { after: 'seek' } })).to.throw(/gates.after: "seek"/);

    const path = await residualGraph('places').write();
    const dataset = imageFolder('images', { preprocess: 'torchvision' });
    const spread = await withFoundPlaces(resolved({ network: onnxNetwork(path), dataset, gates: 'search' }));
    const { network } = spread;
    expect(typeof network !== 'string' && network.kind === 'onnx' && network.gatesAfter).to.deep.equal(['a', 'b']);
    expect(spread.gates.after).to.deep.equal([1, 2]);
    const given = onnxNetwork(path, { gatesAfter: ['a', 'b', 'c'] });
    expect(resolved({ network: given, dataset, gates: 'search' }).gates.after).to.deep.equal([1, 2, 3]);
    await rm(dirname(path), { recursive: true });
  });
});
