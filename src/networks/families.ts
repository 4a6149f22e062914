import type { Conv, DenseConcat, Layer, MapShape, Network, Residual, Stage } from './network.js';
import { batchNorm, conv, relu } from './network.js';

/** The images and classes that a network is made for. */
export interface Target {
  readonly dataset: string;
  readonly input: MapShape;
  readonly classes: number;
  /** Images of CIFAR's size: a 3 x 3 stem instead of ImageNet's 7 x 7 with stride 2 and max pooling. */
  readonly small: boolean;
}

interface ResNetStyle {
  readonly block: 'basic' | 'bottleneck';
  /** `pad`: He et al.'s option A, no parameters; `conv`: option B, a 1 x 1 convolution with batch norm. */
  readonly shortcut: 'pad' | 'conv';
  /** Names of the modules: kuangliu's and akamaster's `shortcut` and `linear`, torchvision's `downsample` and `fc`. */
  readonly names: 'kuangliu' | 'torchvision';
  readonly blocks: readonly number[];
  /** Channels of each stage before a bottleneck's expansion by 4; the stem has the first stage's. */
  readonly widths: readonly number[];
}

const largePool: Layer = { op: 'maxPool', kernel: 3, stride: 2, padding: 1 };

const firstConv = (name: string, { channels }: MapShape, output: number, small: boolean): Layer =>
  small ? conv(name, channels, output, 3) : conv(name, channels, output, 7, 2);

/** A ResNet of kuangliu, He et al. (CIFAR) or torchvision. */
export function resNet(name: string, { dataset, input, classes, small }: Target, style: ResNetStyle): Network {
  let channels = style.widths[0]!;
  const stem = [firstConv('conv1', input, channels, small), batchNorm('bn1', channels), relu];
  if (!small) stem.push(largePool);
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
  const classifier = { head: [], name: style.names === 'kuangliu' ? 'linear' : 'fc', in: channels, out: classes };
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
  const name = `${prefix}.${style.names === 'kuangliu' ? 'shortcut' : 'downsample'}`;
  return [conv(`${name}.0`, input, output, 1, stride), batchNorm(`${name}.1`, output)];
}

interface DenseNetStyle {
  readonly blocks: readonly number[];
  /** They differ in the names, and in whether new features come first in a concatenation (kuangliu) or last. */
  readonly reference: 'kuangliu' | 'torchvision';
  /** Channels that each dense layer adds; the stem has twice as many. */
  readonly growth: number;
}

/** A DenseNet-BC (bottleneck of 4 x growth, transitions that halve the channels) of kuangliu or torchvision. */
export function denseNet(name: string, { dataset, input, classes, small }: Target, style: DenseNetStyle): Network {
  const torchvision = style.reference === 'torchvision';
  let channels = 2 * style.growth;
  const stem = [firstConv(torchvision ? 'features.conv0' : 'conv1', input, channels, small)];
  if (!small) stem.push(batchNorm('features.norm0', channels), relu, largePool);

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
