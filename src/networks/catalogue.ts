import type { Dataset } from '../data/dataset.js';
import { datasets } from '../data/registry.js';
import { InputError } from '../errors.js';
import { denseNet, resNet, type Target } from './families.js';
import type { Network } from './network.js';

/** Changes to an architecture in a name: `resnet101-width0.25-blocks1.1.8.1-cifar10`. */
interface Variant {
  /** Factor on all channels of a ResNet (rounded, at least 1). */
  readonly width?: number;
  readonly growth?: number;
  readonly blocks?: readonly number[];
}

interface Architecture {
  /** Whether there is also a reference for images of ImageNet's size. */
  readonly largeToo: boolean;
  readonly description: string;
  readonly family: 'resnet' | 'densenet';
  readonly build: (name: string, target: Target, variant: Variant) => Network;
  readonly blocks: readonly number[];
}

const scaled = (widths: readonly number[], factor = 1): number[] =>
  widths.map((width) => Math.max(1, Math.round(width * factor)));

/** What He et al.'s CIFAR ResNets are compared with, by their shortcuts. */
const cifarReferences = {
  pad: 'option A shortcuts; akamaster/pytorch_resnet_cifar10',
  conv: 'option B; chenyaofo/pytorch-cifar-models',
} as const;

/**
 * kuangliu's ResNets on 32 x 32 images, torchvision's on ImageNet; only the stems differ.
 *
 * @param cifar the shortcuts of He et al.'s CIFAR ResNets, which are narrower and have three stages
 */
function resNetArchitecture(
  block: 'basic' | 'bottleneck',
  blocks: readonly number[],
  cifar?: keyof typeof cifarReferences,
): Architecture {
  const shape = `${block} blocks ${blocks.join('-')}`;
  return {
    largeToo: cifar === undefined,
    description:
      cifar === undefined
        ? `${shape}; kuangliu/pytorch-cifar (32 x 32), torchvision (imagenet)`
        : `He et al.'s CIFAR ResNet, ${shape}, ${cifarReferences[cifar]}`,
    family: 'resnet',
    blocks,
    build: (name, target, variant) =>
      resNet(name, target, {
        block,
        shortcut: cifar ?? 'conv',
        names: (cifar === undefined ? target.small : cifar === 'pad') ? 'kuangliu' : 'torchvision',
        blocks: variant.blocks ?? blocks,
        widths: scaled(cifar === undefined ? [64, 128, 256, 512] : [16, 32, 64], variant.width),
      }),
  };
}

function denseNetArchitecture(
  blocks: readonly number[],
  growth: number,
  reference: 'both' | 'torchvision on cifar10' = 'both',
): Architecture {
  return {
    largeToo: reference === 'both',
    description:
      `growth ${growth}, dense layers ${blocks.join('-')}; ` +
      (reference === 'both'
        ? 'kuangliu/pytorch-cifar (32 x 32), torchvision (imagenet)'
        : "torchvision's and timm's dense layers after a bare 3 x 3 stem (edadaltocg)"),
    family: 'densenet',
    blocks,
    build: (name, target, variant) =>
      denseNet(name, target, {
        reference: reference === 'both' && target.small ? 'kuangliu' : 'torchvision',
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
    [20, 32, 44, 56, 110].flatMap((depth) => {
      const blocks = new Array<number>(3).fill((depth - 2) / 6);
      return [
        [`resnet${depth}`, resNetArchitecture('basic', blocks, 'pad')],
        [`resnet${depth}b`, resNetArchitecture('basic', blocks, 'conv')],
      ];
    }),
  ),
};

/** Whether images are of CIFAR's size rather than of ImageNet's. */
const isSmall = ({ input }: Dataset): boolean => input.height <= 64;

const suits = ({ largeToo }: Architecture, dataset: Dataset): boolean => largeToo || isSmall(dataset);

/** Every network, without its variants (`-width0.25`, `-growth12`, `-blocks1.1.8.1`). */
export function listNetworks(): { readonly name: string; readonly description: string }[] {
  return Object.entries(architectures).flatMap(([name, architecture]) =>
    datasets.flatMap((dataset) =>
      suits(architecture, dataset) ? [{ name: `${name}-${dataset.name}`, description: architecture.description }] : [],
    ),
  );
}

/**
 * The network of this name: `<architecture>[-width<factor>][-growth<rate>][-blocks<n.n.n.n>]-<dataset>`.
 *
 * @throws InputError with similar names, or the valid form of the invalid part
 */
export function networkByName(name: string): Network {
  const [architectureName = '', ...rest] = name.split('-');
  const dataset = rest.pop() ?? '';
  const architecture = Object.hasOwn(architectures, architectureName) ? architectures[architectureName] : undefined;
  const known = datasets.find((candidate) => candidate.name === dataset);
  if (architecture === undefined || known === undefined || !suits(architecture, known)) {
    throw new InputError(
      `network ${name}: unknown; valid: ${suggestions(architectureName, dataset).join(', ')} and others; ` +
        'see: dgate list networks',
    );
  }
  const { input, classes } = known;
  const target = { dataset, input, classes: classes.length, small: isSmall(known) };
  return architecture.build(name, target, parseVariant(name, rest, architecture));
}

/** Networks similar to an unknown name; the paper's if there are none. */
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

/** At most three names similar to a misspelt one, nearest first, with a third of their letters different at most. */
function nearestNames(name: string, names: readonly string[]): string[] {
  const written = name.toLowerCase();
  return names
    .map((candidate) => ({ candidate, distance: editDistance(written, candidate.toLowerCase()) }))
    .filter(({ candidate, distance }) => distance <= candidate.length / 3)
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map(({ candidate }) => candidate);
}

/** Levenshtein's edit distance (1965). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
