import {
  batchNorm,
  type Conv,
  conv,
  type DenseConcat,
  type Layer,
  type MapShape,
  type Network,
  type Residual,
  relu,
  type Stage,
} from './network.js';

/** How a family of ResNets is built, and its reference's tensor names. */
export interface ResNetStyle {
  readonly dataset: string;
  readonly input: MapShape;
  readonly classes: number;
  /** 3 x 3 stride 1, or ImageNet's 7 x 7 stride 2 and max pooling. */
  readonly stem: '3x3' | '7x7';
  readonly block: 'basic' | 'bottleneck';
  /** `pad`: He et al.'s option A, no parameters; `conv`: option B, a 1 x 1 convolution with batch norm. */
  readonly shortcut: 'pad' | 'conv';
  /** Name of the shortcut's module in a block. */
  readonly shortcutName: 'shortcut' | 'downsample';
  readonly classifierName: 'linear' | 'fc';
  /** Residual blocks in each stage. */
  readonly blocks: readonly number[];
  /** Channels of each stage before a bottleneck's expansion by 4; the stem has the first stage's. */
  readonly widths: readonly number[];
}

/** A ResNet of any of the families: kuangliu's, He et al.'s for CIFAR, torchvision's. */
export function resNet(name: string, style: ResNetStyle): Network {
  const expansion = style.block === 'bottleneck' ? 4 : 1;
  const stemWidth = style.widths[0]!;
  const large = style.stem === '7x7';
  const stem: Layer[] = [
    conv('conv1', style.input.channels, stemWidth, large ? 7 : 3, large ? 2 : 1),
    batchNorm('bn1', stemWidth),
    relu,
  ];
  if (large) stem.push({ op: 'maxPool', kernel: 3, stride: 2, padding: 1 });

  let channels = stemWidth;
  const stages = style.blocks.map((count, stage): Stage => {
    const width = style.widths[stage]!;
    const layers = Array.from({ length: count }, (_, block) => {
      const prefix = `layer${stage + 1}.${block}`;
      const residual = residualBlock(prefix, style, channels, width, block === 0 && stage > 0 ? 2 : 1);
      channels = width * expansion;
      return [residual, relu];
    }).flat();
    return { name: `layer${stage + 1}`, layers, transition: [] };
  });
  return {
    name,
    dataset: style.dataset,
    input: style.input,
    stem,
    stages,
    classifier: { head: [], name: style.classifierName, in: channels, out: style.classes },
  };
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

function shortcutLayers(
  prefix: string,
  style: ResNetStyle,
  input: number,
  output: number,
  stride: number,
): readonly Layer[] {
  if (stride === 1 && input === output) return [];
  if (style.shortcut === 'pad') {
    // akamaster: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, planes // 4, planes // 4)); the two sides need not be equal
    // when a narrower network's widths do not divide.
    const before = Math.floor((output - input) / 2);
    return [{ op: 'subsamplePad', stride, before, after: output - input - before }];
  }
  const name = `${prefix}.${style.shortcutName}`;
  return [conv(`${name}.0`, input, output, 1, stride), batchNorm(`${name}.1`, output)];
}

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
