import { expect } from 'chai';
import { type Lowered, lowerNetwork } from '../../src/networks/lower.js';
import { type Layer, type Network, networkTensors } from '../../src/networks/network.js';
import { Random } from '../../src/random.js';
import type { TensorMap } from '../../src/tensor.js';
import { applyLayers, at, convolve, mapOf, randomTensors } from './direct.js';

const conv = { op: 'conv', name: 'c', in: 2, out: 3, kernel: 3, stride: 2, padding: 1 } as const;
const norm = { op: 'batchNorm', name: 'n', channels: 3 } as const;
const relu = { op: 'relu' } as const;

/** A network of one stage; its classifier sees three channels. */
function networkOf(layers: readonly Layer[], head: readonly Layer[] = []): Network {
  return {
    name: 'tiny-cifar10',
    dataset: 'cifar10',
    input: { channels: 2, height: 5, width: 4 },
    stem: [],
    stages: [{ name: 'stage1', layers, transition: [] }],
    classifier: { head, name: 'linear', in: 3, out: 2 },
  };
}

function lower(layers: readonly Layer[]): { lowered: readonly Lowered[]; tensors: TensorMap } {
  const network = networkOf(layers);
  const tensors = randomTensors(network, new Random(1));
  return { lowered: lowerNetwork(network, tensors).stages[0]!.layers, tensors };
}

const shapeOf = (layers: readonly Lowered[]): string[] =>
  layers.map((layer) => layer.op + ('relu' in layer && layer.relu ? '+relu' : ''));

describe('lowerNetwork', () => {
  it('folds a batch norm into the convolution before it', () => {
    const { lowered, tensors } = lower([conv, norm]);
    expect(lowered).to.have.length(1);
    const folded = lowered[0]!;
    if (folded.op !== 'conv') throw new Error(folded.op);
    expect([folded.stride, folded.padding, folded.relu, folded.name]).to.deep.equal([2, 1, false, 'c']);
    expect([folded.weight.shape, folded.bias.shape]).to.deep.equal([[3, 2, 3, 3], [3]]);

    const random = new Random(2);
    const image = mapOf({ channels: 2, height: 5, width: 4 }, () => random.uniform());
    const expected = applyLayers([conv, norm], tensors, image);
    const found = convolve(image, folded.weight, folded.stride, folded.padding, folded.bias.data);
    expect(expected.data).to.have.length(3 * 3 * 2);
    const scale = Math.max(...expected.data.map(Math.abs));
    expected.data.forEach((value, i) => {
      expect(found.data[i]).to.be.closeTo(value, 1e-6 * scale);
    });
  });

  it('adds epsilon 1e-5 to the variance', () => {
    const network = networkOf([conv, norm]);
    const tensors = randomTensors(network, new Random(1));
    tensors.get('n.running_var')!.data.set([0, 3e-5, 1]);
    const weight = tensors.get('c.weight')!.data.slice();
    const [folded] = lowerNetwork(network, tensors).stages[0]!.layers;
    if (folded?.op !== 'conv') throw new Error('no convolution');
    [1 / Math.sqrt(1e-5), 1 / Math.sqrt(4e-5), 1 / Math.sqrt(1 + 1e-5)].forEach((factor, o) => {
      const expected = weight[o * 18]! * factor * tensors.get('n.weight')!.data[o]!;
      expect(folded.weight.data[o * 18]! / expected).to.be.closeTo(1, 1e-6);
    });
    expect(tensors.get('c.weight')!.data, 'the checkpoint itself stays').to.deep.equal(weight);
  });

  it('turns a batch norm that no convolution precedes into a scale and a shift per channel', () => {
    const layers: Layer[] = [conv, relu, norm];
    const { lowered, tensors } = lower(layers);
    expect(shapeOf(lowered)).to.deep.equal(['conv+relu', 'scale']);
    const scale = lowered[1]!;
    if (scale.op !== 'scale') throw new Error(scale.op);
    const map = mapOf({ channels: 3, height: 1, width: 2 }, (c, _y, x) => c - 2 * x);
    const expected = applyLayers([norm], tensors, map);
    for (let c = 0; c < 3; c++) {
      for (let x = 0; x < 2; x++) {
        const value = at(map, c, 0, x) * scale.scale.data[c]! + scale.shift.data[c]!;
        expect(value / at(expected, c, 0, x)).to.be.closeTo(1, 1e-5);
      }
    }
  });

  it('gives a convolution without batch norm the bias 0 and its own weights', () => {
    const { lowered, tensors } = lower([conv]);
    const [alone] = lowered;
    if (alone?.op !== 'conv') throw new Error('no convolution');
    expect([...alone.bias.data]).to.deep.equal([0, 0, 0]);
    expect(alone.weight).to.equal(tensors.get('c.weight'));
    expect(alone.relu).to.equal(false);
  });

  it('attaches a ReLU to what stands right before it, where that can carry one', () => {
    const pool = { op: 'maxPool', kernel: 2, stride: 2, padding: 0 } as const;
    const residual: Layer = { op: 'residual', body: [], shortcut: [] };
    const dense: Layer = { op: 'denseConcat', body: [{ ...conv, name: 'd', in: 3, stride: 1 }], first: 'new' };
    expect(shapeOf(lower([relu, conv, norm, relu]).lowered)).to.deep.equal(['relu', 'conv+relu']);
    expect(shapeOf(lower([conv, pool, relu]).lowered)).to.deep.equal(['conv', 'maxPool', 'relu']);
    expect(shapeOf(lower([conv, residual, relu, residual]).lowered)).to.deep.equal([
      'conv',
      'residual+relu',
      'residual',
    ]);
    expect(shapeOf(lower([conv, dense, relu]).lowered)).to.deep.equal(['conv', 'denseConcat', 'relu']);
  });

  it('lowers bodies, shortcuts and the head as it does stages', () => {
    const wide = { ...conv, in: 3, stride: 1 } as const;
    const body: Layer[] = [{ ...wide, name: 'b' }, { ...norm, name: 'bn' }, relu, { ...wide, name: 'b2' }];
    const shortcut: Layer[] = [
      { ...wide, name: 's' },
      { ...norm, name: 'sn' },
    ];
    const dense: Layer[] = [{ ...norm, name: 'dn' }, relu, { ...wide, name: 'd' }];
    const network = networkOf(
      [conv, { op: 'residual', body, shortcut }, { op: 'denseConcat', body: dense, first: 'input' }],
      [{ ...norm, name: 'last' }, relu],
    );
    const { stages, head, weight, bias } = lowerNetwork(network, randomTensors(network, new Random(1)));
    const [, residual, concat] = stages[0]!.layers;
    if (residual?.op !== 'residual' || concat?.op !== 'denseConcat') throw new Error('other layers');
    expect(shapeOf(residual.body)).to.deep.equal(['conv+relu', 'conv']);
    expect(shapeOf(residual.shortcut)).to.deep.equal(['conv']);
    expect(residual.relu).to.equal(false);
    expect(shapeOf(concat.body)).to.deep.equal(['scale+relu', 'conv']);
    expect(concat.first).to.equal('input');
    expect(shapeOf(head)).to.deep.equal(['scale+relu']);
    expect([weight.shape, bias.shape]).to.deep.equal([[2, 3], [2]]);
  });

  it('names a tensor that is missing', () => {
    const network = networkOf([conv, norm]);
    for (const { name } of networkTensors(network)) {
      const tensors = randomTensors(network, new Random(1));
      tensors.delete(name);
      expect(() => lowerNetwork(network, tensors)).to.throw(`tensor ${name} is missing`);
    }
  });
});
