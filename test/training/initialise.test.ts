import { expect } from 'chai';
import { networkByName } from '../../src/networks/catalogue.js';
import { networkTensors } from '../../src/networks/tensors.js';
import { initialTensors } from '../../src/training/initialise.js';

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
