import type { DenseConcat, Layer, MapShape, Network, Stage } from './network.js';
import { batchNorm, conv, relu } from './network.js';

/** How a family of DenseNets is built. */
export interface DenseNetStyle {
  readonly dataset: string;
  readonly input: MapShape;
  readonly classes: number;
  /**
   * `kuangliu`: new features come first in a concatenation. `torchvision`: they come last, and names begin with
   * `features.`.
   */
  readonly reference: 'kuangliu' | 'torchvision';
  /** `3x3`: a bare convolution; `7x7`: stride 2, batch norm, ReLU and max pooling (ImageNet). */
  readonly stem: '3x3' | '7x7';
  /** Dense layers in each dense block. */
  readonly blocks: readonly number[];
  /** Channels that each dense layer adds; the stem has twice as many. */
  readonly growth: number;
}

/** A DenseNet-BC (bottleneck of 4 x growth, transitions that halve the channels) of kuangliu or torchvision. */
export function denseNet(name: string, style: DenseNetStyle): Network {
  const torchvision = style.reference === 'torchvision';
  const large = style.stem === '7x7';
  let channels = 2 * style.growth;
  const stem: Layer[] = [
    conv(torchvision ? 'features.conv0' : 'conv1', style.input.channels, channels, large ? 7 : 3, large ? 2 : 1),
  ];
  if (large)
    stem.push(batchNorm('features.norm0', channels), relu, { op: 'maxPool', kernel: 3, stride: 2, padding: 1 });

  const stages = style.blocks.map((count, index): Stage => {
    const stage = index + 1;
    const stageName = torchvision ? `features.denseblock${stage}` : `dense${stage}`;
    const layers = Array.from({ length: count }, (_, layer): DenseConcat => {
      const prefix = torchvision ? `${stageName}.denselayer${layer + 1}.` : `${stageName}.${layer}.`;
      const input = channels;
      channels += style.growth;
      return denseLayer(prefix, torchvision, input, style.growth);
    });
    if (stage === style.blocks.length) return { name: stageName, layers, transition: [] };
    const input = channels;
    channels = Math.floor(channels / 2);
    const prefix = torchvision ? `features.transition${stage}` : `trans${stage}`;
    const transition: Layer[] = [
      batchNorm(`${prefix}.${torchvision ? 'norm' : 'bn'}`, input),
      relu,
      conv(`${prefix}.conv`, input, channels, 1),
      { op: 'avgPool', kernel: 2, stride: 2, padding: 0 },
    ];
    return { name: stageName, layers, transition };
  });
  return {
    name,
    dataset: style.dataset,
    input: style.input,
    stem,
    stages,
    classifier: {
      head: [batchNorm(torchvision ? 'features.norm5' : 'bn', channels), relu],
      name: torchvision ? 'classifier' : 'linear',
      in: channels,
      out: style.classes,
    },
  };
}

function denseLayer(prefix: string, torchvision: boolean, input: number, growth: number): DenseConcat {
  const norm = torchvision ? 'norm' : 'bn';
  return {
    op: 'denseConcat',
    first: torchvision ? 'input' : 'new',
    body: [
      batchNorm(`${prefix}${norm}1`, input),
      relu,
      conv(`${prefix}conv1`, input, 4 * growth, 1),
      batchNorm(`${prefix}${norm}2`, 4 * growth),
      relu,
      conv(`${prefix}conv2`, 4 * growth, growth, 3),
    ],
  };
}
