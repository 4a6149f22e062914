import { InputError } from '../errors.js';
import { denseNet } from './densenet.js';
import { nearestNames } from './nearest.js';
import type { Network } from './network.js';
import { resNet } from './resnet.js';

/** What a name may change in an architecture: `resnet101-width0.25-blocks1.1.8.1-cifar10`. */
interface Variant {
  /** Factor on all channels of a ResNet (rounded, at least 1). */
  readonly width?: number;
  /** Growth rate of a DenseNet. */
  readonly growth?: number;
  /** Blocks (ResNet) or dense layers (DenseNet) in each stage. */
  readonly blocks?: readonly number[];
}

interface Architecture {
  readonly datasets: readonly Network['dataset'][];
  readonly description: string;
  readonly family: 'resnet' | 'densenet';
  readonly build: (name: string, dataset: Network['dataset'], variant: Variant) => Network;
  readonly blocks: readonly number[];
}

const scaled = (widths: readonly number[], factor = 1): number[] =>
  widths.map((width) => Math.max(1, Math.round(width * factor)));

/** kuangliu's ResNets on CIFAR-10, torchvision's on ImageNet; on CIFAR-10 the layers are the same but for the stem. */
function resNetArchitecture(block: 'basic' | 'bottleneck', blocks: readonly number[]): Architecture {
  return {
    datasets: ['cifar10', 'imagenet'],
    description: `${block} blocks ${blocks.join('-')}; kuangliu/pytorch-cifar (cifar10), torchvision (imagenet)`,
    family: 'resnet',
    blocks,
    build: (name, dataset, variant) =>
      resNet(name, {
        dataset,
        block,
        stem: dataset === 'imagenet' ? '7x7' : '3x3',
        shortcut: 'conv',
        shortcutName: dataset === 'imagenet' ? 'downsample' : 'shortcut',
        classifierName: dataset === 'imagenet' ? 'fc' : 'linear',
        blocks: variant.blocks ?? blocks,
        widths: scaled([64, 128, 256, 512], variant.width),
      }),
  };
}

/** He et al.'s CIFAR ResNets of 6n + 2 layers: akamaster's with option A shortcuts, chenyaofo's with option B. */
function cifarResNetArchitecture(depth: number, shortcut: 'pad' | 'conv'): Architecture {
  const perStage = (depth - 2) / 6;
  const blocks = [perStage, perStage, perStage];
  const reference =
    shortcut === 'pad'
      ? 'option A shortcuts; akamaster/pytorch_resnet_cifar10'
      : 'option B; chenyaofo/pytorch-cifar-models';
  return {
    datasets: ['cifar10'],
    description: `He et al.'s CIFAR ResNet, basic blocks ${blocks.join('-')}, ${reference}`,
    family: 'resnet',
    blocks,
    build: (name, dataset, variant) =>
      resNet(name, {
        dataset,
        block: 'basic',
        stem: '3x3',
        shortcut,
        shortcutName: shortcut === 'pad' ? 'shortcut' : 'downsample',
        classifierName: shortcut === 'pad' ? 'linear' : 'fc',
        blocks: variant.blocks ?? blocks,
        widths: scaled([16, 32, 64], variant.width),
      }),
  };
}

function denseNetArchitecture(
  blocks: readonly number[],
  growth: number,
  reference: 'both' | 'torchvision on cifar10' = 'both',
): Architecture {
  return {
    datasets: reference === 'both' ? ['cifar10', 'imagenet'] : ['cifar10'],
    description:
      `growth ${growth}, dense layers ${blocks.join('-')}; ` +
      (reference === 'both'
        ? 'kuangliu/pytorch-cifar (cifar10), torchvision (imagenet)'
        : "torchvision's and timm's dense layers after a bare 3 x 3 stem (edadaltocg)"),
    family: 'densenet',
    blocks,
    build: (name, dataset, variant) =>
      denseNet(name, {
        dataset,
        reference: reference === 'both' && dataset === 'cifar10' ? 'kuangliu' : 'torchvision',
        stem: dataset === 'imagenet' ? '7x7' : '3x3',
        blocks: variant.blocks ?? blocks,
        growth: variant.growth ?? growth,
      }),
  };
}

const architectures: Readonly<Record<string, Architecture>> = {
  resnet18: resNetArchitecture('basic', [2, 2, 2, 2]),
  resnet34: resNetArchitecture('basic', [3, 4, 6, 3]),
  resnet50: resNetArchitecture('bottleneck', [3, 4, 6, 3]),
  resnet101: resNetArchitecture('bottleneck', [3, 4, 23, 3]),
  resnet152: resNetArchitecture('bottleneck', [3, 8, 36, 3]),
  densenet121: denseNetArchitecture([6, 12, 24, 16], 32),
  densenet161: denseNetArchitecture([6, 12, 36, 24], 48),
  densenet169: denseNetArchitecture([6, 12, 32, 32], 32),
  densenet201: denseNetArchitecture([6, 12, 48, 32], 32),
  densenet121tv: denseNetArchitecture([6, 12, 24, 16], 12, 'torchvision on cifar10'),
  ...Object.fromEntries(
    [20, 32, 44, 56, 110].flatMap((depth) => [
      [`resnet${depth}`, cifarResNetArchitecture(depth, 'pad')],
      [`resnet${depth}b`, cifarResNetArchitecture(depth, 'conv')],
    ]),
  ),
};

/** Every network by name, with a line on what it is. Variants (`-width0.25`, `-growth12`, `-blocks1.1.8.1`) come on top. */
export function listNetworks(): { readonly name: string; readonly description: string }[] {
  return Object.entries(architectures).flatMap(([name, { datasets, description }]) =>
    datasets.map((dataset) => ({ name: `${name}-${dataset}`, description })),
  );
}

/**
 * The network of this name: `<architecture>[-width<factor>][-growth<rate>][-blocks<n.n.n.n>]-<dataset>`.
 *
 * @throws InputError with names that are near or the valid form of what is wrong
 */
export function networkByName(name: string): Network {
  const [architectureName = '', ...rest] = name.split('-');
  const dataset = rest.pop() ?? '';
  const architecture = Object.hasOwn(architectures, architectureName) ? architectures[architectureName] : undefined;
  const known = architecture?.datasets.find((candidate) => candidate === dataset);
  if (architecture === undefined || known === undefined) {
    throw new InputError(
      `network ${name}: unknown; valid: ${suggestions(architectureName, dataset).join(', ')} and others; ` +
        'see: dgate list networks',
    );
  }
  return architecture.build(name, known, parseVariant(name, rest, architecture));
}

/** Networks that an unknown name may have meant; the paper's where it is like none. */
function suggestions(architectureName: string, dataset: string): string[] {
  const names = listNetworks().map(({ name }) => name);
  const same = names.filter((name) => name.startsWith(`${architectureName}-`));
  if (same.length > 0) return same;
  const near = nearestNames(`${architectureName}-${dataset}`, names);
  return near.length > 0 ? near : ['resnet101-cifar10', 'densenet201-cifar10'];
}

function parseVariant(name: string, parts: readonly string[], architecture: Architecture): Variant {
  const { family } = architecture;
  const variant: { width?: number; growth?: number; blocks?: number[] } = {};
  const problems: string[] = [];
  for (const part of parts) {
    const [, key = '', value = ''] = /^(width|growth|blocks)([\d.]+)$/.exec(part) ?? [];
    if (key in variant) {
      problems.push(`network ${name}: "${part}" comes after another ${key}; valid: one`);
    } else if (key === 'width' && family === 'resnet' && Number(value) > 0 && Number(value) <= 16) {
      variant.width = Number(value);
    } else if (key === 'growth' && family === 'densenet' && /^\d{1,3}$/.test(value) && Number(value) > 0) {
      variant.growth = Number(value);
    } else if (key === 'blocks' && isBlocks(value, architecture.blocks.length)) {
      variant.blocks = value.split('.').map(Number);
    } else {
      const own = family === 'resnet' ? 'width<factor up to 16>' : 'growth<rate>';
      const blocks = `blocks${architecture.blocks.join('.')} (${architecture.blocks.length} counts from 1 to 200)`;
      problems.push(`network ${name}: "${part}" is not understood; valid: ${own}, ${blocks}`);
    }
  }
  if (problems.length > 0) throw new InputError(problems);
  return variant;
}

function isBlocks(value: string, stages: number): boolean {
  const counts = value.split('.');
  return counts.length === stages && counts.every((count) => /^\d{1,3}$/.test(count) && +count >= 1 && +count <= 200);
}
