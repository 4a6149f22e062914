import { expect } from 'chai';
import { InputError } from '../../src/errors.js';
import { networkByName } from '../../src/networks/catalogue.js';
import { checkPlaces, featureCount, type GatePlace, gateFeatureCounts } from '../../src/networks/pooling.js';

const resnet56 = networkByName('resnet56-cifar10'); // 16 x 32 x 32, 32 x 16 x 16, 64 x 8 x 8
const gap = (stage: number): GatePlace => ({ stage, pooling: { kind: 'gap' } });
const grid = (stage: number, size: number): GatePlace => ({ stage, pooling: { kind: 'grid', size } });

function problemsOf(places: readonly GatePlace[]): readonly string[] {
  try {
    checkPlaces(resnet56, places);
  } catch (error) {
    expect(error).to.be.instanceOf(InputError);
    return (error as InputError).problems;
  }
  return [];
}

describe('features of gates', () => {
  it('are the channels, or the cells of a grid times the channels', () => {
    expect(featureCount({ channels: 24, height: 6, width: 8 }, { kind: 'gap' })).to.equal(24);
    expect(featureCount({ channels: 24, height: 6, width: 8 }, { kind: 'grid', size: 2 })).to.equal(96);
    expect(gateFeatureCounts(resnet56, [grid(1, 4), grid(2, 4)])).to.deep.equal([256, 512]);
    expect(gateFeatureCounts(networkByName('densenet201-cifar10'), [gap(1), gap(2), gap(3)])).to.deep.equal([
      256, 512, 1792,
    ]);
  });
});

describe('checkPlaces', () => {
  it('lets gates sit after any stages but the last, in order', () => {
    for (const places of [[], [gap(1)], [gap(2)], [gap(1), gap(2)], [grid(1, 32), grid(2, 16)], [grid(2, 1)]]) {
      expect(problemsOf(places)).to.deep.equal([]);
    }
  });

  it('refuses stages that are not there, and the last', () => {
    for (const stage of [0, -1, 3, 4, 1.5]) {
      expect(problemsOf([gap(stage)])).to.deep.equal([
        `gate 1 of resnet56-cifar10: after stage ${stage}; valid: stages 1 to 2`,
      ]);
    }
  });

  it('refuses gates out of order or twice in one place', () => {
    expect(problemsOf([gap(2), gap(1)])).to.deep.equal([
      'gate 2 of resnet56-cifar10: stage 1 does not follow the one before',
    ]);
    expect(problemsOf([gap(1), grid(1, 2)])).to.have.length(1);
  });

  it('refuses a grid that does not divide the feature map, naming those that do', () => {
    expect(problemsOf([grid(1, 3)])).to.deep.equal([
      'gate 1 of resnet56-cifar10: a 3 x 3 grid does not divide 32 x 32; valid: 1, 2, 4, 8, 16, 32',
    ]);
    expect(problemsOf([grid(2, 32)])).to.deep.equal([
      'gate 1 of resnet56-cifar10: a 32 x 32 grid does not divide 16 x 16; valid: 1, 2, 4, 8, 16',
    ]);
    expect(problemsOf([grid(1, 0)])).to.have.length(1);
  });

  it('lists all problems at once', () => {
    const problems = problemsOf([grid(1, 5), gap(7), gap(2), gap(2)]);
    expect(problems.map((problem) => problem.slice(0, 6))).to.deep.equal(['gate 1', 'gate 2', 'gate 3', 'gate 4']);
  });
});
