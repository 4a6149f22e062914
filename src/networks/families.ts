import type { Conv, DenseConcat, Layer, MapShape, Network, Residual, Stage } from './network.js';
import { batchNorm, conv, relu } from './network.js';

interface Style {
  readonly dataset: string;
  readonly input: MapShape;
  readonly classes: number;
  /** `3x3`: stride 1, for CIFAR's size; `7x7`: stride 2 and max pooling, for ImageNet's. */
  readonly stem: '3x3' | '7x7';
  readonly blocks: readonly number[];
}

interface ResNetStyle extends Style {
  readonly block: 'basic' | 'bottleneck';
  /** `pad`: He et al.'s option A, no parameters; `conv`: option B, a 1 x 1 convolution with batch norm. */
  readonly shortcut: 'pad' | 'conv';
  /** Name of the shortcut's module in a block. */
  readonly shortcutName: 'shortcut' | 'downsample';
  readonly classifierName: 'linear' | 'fc';
  /** Channels of each stage before a bottleneck's expansion by 4; the stem has the first stage's. */
  readonly widths: readonly number[];
}

const largePool: Layer = { op: 'maxPool', kernel: 3, stride: 2, padding: 1 };

/** A ResNet of kuangliu, He et al. (CIFAR) or torchvision. */
export function resNet(name: string, style: ResNetStyle): Network {
  const { dataset, input, stem: size } = style;
  const large = size === '7x7';
  let channels = style.widths[0]!;
  const first = conv('conv1', input.channels, channels, large ? 7 : 3, large ? 2 : 1);
  const stem = [first, batchNorm('bn1', channels), relu, ...(large ? [largePool] : [])];
  const stages = style.blocks.map((count, stage): Stage => {
    const width = style.widths[stage]!;
    const layers = Array.from({ length: count }, (_, block) => {
      const prefix = `layer${stage + 1}.${block}`;
      const residual = residualBlock(prefix, style, channels, width, block === 0 && stage > 0 ? 2 : 1);
      channels = style.block === 'bottleneck' ? 4 * width : width;
      return [residual, relu];
    }).flat();
    return { name: `layer${stage + 1}`, layers, transition: [] };
  });
  const classifier = { head: [], name: style.classifierName, in: channels, out: style.classes };
  return { name, dataset, input, stem, stages, classifier };
}

function residualBlock(prefix: string, style: ResNetStyle, input: number, width: number, stride: number): Residual {
  const bottleneck = style.block === 'bottleneck';
  const output = bottleneck ? width * 4 : width;
  // The stride sits on the 3 x 3 convolution in all three references ("ResNet v1.5").
  const convolutions: Conv[] = bottleneck
    ? [
        conv(`${prefix}.conv1`, input, width, 1),
        conv(`${prefix}.conv2`, width, width, 3, stride),
        conv(`${prefix}.conv3`, width, output, 1),
      ]
    : [conv(`${prefix}.conv1`, input, width, 3, stride), conv(`${prefix}.conv2`, width, width, 3)];
  const body = convolutions.flatMap((layer, index): Layer[] => {
    const normalised = [layer, batchNorm(`${prefix}.bn${index + 1}`, layer.out)];
    return index < convolutions.length - 1 ? [...normalised, relu] : normalised;
  });
  return { op: 'residual', body, shortcut: shortcutLayers(prefix, style, input, output, stride) };
}

function shortcutLayers(prefix: string, style: ResNetStyle, input: number, output: number, stride: number): Layer[] {
  if (stride === 1 && input === output) return [];
  if (style.shortcut === 'pad') {
    // akamaster: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, planes // 4, planes // 4)). Scaled widths may pad unequally.
    const before = Math.floor((output - input) / 2);
    return [{ op: 'subsamplePad', stride, before, after: output - input - before }];
  }
  const name = `${prefix}.${style.shortcutName}`;
  return [conv(`${name}.0`, input, output, 1, stride), batchNorm(`${name}.1`, output)];
}

interface DenseNetStyle extends Style {
  /** They differ in the names, and in whether new features come first in a concatenation (kuangliu) or last. */
  readonly reference: 'kuangliu' | 'torchvision';
  /** Channels that each dense layer adds; the stem has twice as many. */
  readonly growth: number;
}

/** A DenseNet-BC (bottleneck of 4 x growth, transitions that halve the channels) of kuangliu or torchvision. */
export function denseNet(name: string, { dataset, input, classes, stem: size, ...style }: DenseNetStyle): Network {
  const torchvision = style.reference === 'torchvision';
  const large = size === '7x7';
  let channels = 2 * style.growth;
  const first = torchvision ? 'features.conv0' : 'conv1';
  const stem: Layer[] = [conv(first, input.channels, channels, large ? 7 : 3, large ? 2 : 1)];
  if (large) stem.push(batchNorm('features.norm0', channels), relu, largePool);

  const stages = style.blocks.map((count, index): Stage => {
    const stage = index + 1;
    const stageName = torchvision ? `features.denseblock${stage}` : `dense${stage}`;
    const layers = Array.from({ length: count }, (_, layer) => {
      const prefix = torchvision ? `${stageName}.denselayer${layer + 1}.` : `${stageName}.${layer}.`;
      channels += style.growth;
      return denseLayer(prefix, torchvision, channels - style.growth, style.growth);
    });
    if (stage === style.blocks.length) return { name: stageName, layers, transition: [] };
    const all = channels;
    channels = Math.floor(channels / 2);
    const prefix = torchvision ? `features.transition${stage}` : `trans${stage}`;
    const transition: Layer[] = [
      batchNorm(`${prefix}.${torchvision ? 'norm' : 'bn'}`, all),
      relu,
      conv(`${prefix}.conv`, all, channels, 1),
      { op: 'avgPool', kernel: 2, stride: 2, padding: 0 },
    ];
    return { name: stageName, layers, transition };
  });
  const head = [batchNorm(torchvision ? 'features.norm5' : 'bn', channels), relu];
  const classifier = { head, name: torchvision ? 'classifier' : 'linear', in: channels, out: classes };
  return { name, dataset, input, stem, stages, classifier };
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
