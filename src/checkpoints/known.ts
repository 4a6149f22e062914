import type { Preprocessing } from '../data/preprocess.js';
import { InputError } from '../errors.js';

/** A known checkpoint, and what must accompany its weights. */
export interface KnownCheckpoint {
  readonly id: string;
  /** `<architecture>-<dataset>` */
  readonly network: string;
  readonly dataset: 'cifar10' | 'fashionmnist' | 'imagenet';
  /** File in `experiments/checkpoints`, for one that ships with the project; it has no urls. */
  readonly shipped?: string;
  /** Mirrors of one file. */
  readonly urls: readonly string[];
  /** undefined: not measured. */
  readonly sizeBytes: number | undefined;
  /** Full sha256, or its first 8 digits (in PyTorch's file names); undefined if none is published. */
  readonly sha256: string | undefined;
  /** Whether the file itself was hashed for this list; otherwise the hash is its publisher's. */
  readonly hashChecked: boolean;
  /** SPDX identifier. */
  readonly licence: string;
  /** Published top-1 accuracy on the test split (CIFAR-10) or validation images (ImageNet), a fraction. */
  readonly reportedAccuracy: number;
  readonly preprocessing: Preprocessing;
  /** Where the numbers come from. */
  readonly reference: string;
  readonly note?: string;
}

/** ImageNet's channel statistics. akamaster's CIFAR-10 networks were trained with them too. */
const imagenetStatistics: Preprocessing = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

/** CIFAR-10's, with the standard deviations of kuangliu/pytorch-cifar (means over images, hence small). */
const cifar10Statistics: Preprocessing = { mean: [0.4914, 0.4822, 0.4465], std: [0.2023, 0.1994, 0.201] };

/** What a checkpoint has beyond its publisher's entry. */
type Varying = Pick<KnownCheckpoint, 'reportedAccuracy'> &
  Partial<Pick<KnownCheckpoint, 'sizeBytes' | 'sha256' | 'hashChecked' | 'note'>>;

/** Defaults: not stated by the publisher, not measured. */
const unmeasured = { sizeBytes: undefined, sha256: undefined, hashChecked: false } as const;

/** Option A shortcuts (He et al. 2016, section 4.2): subsampling and zero-padding, no weights. */
const akamaster = (depth: number, digits: string, varying: Varying): KnownCheckpoint => ({
  id: `akamaster-resnet${depth}-cifar10`,
  network: `resnet${depth}-cifar10`,
  dataset: 'cifar10',
  urls: [
    `https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models/resnet${depth}-${digits}.th`,
  ],
  ...unmeasured,
  sha256: digits,
  licence: 'BSD-2-Clause',
  preprocessing: imagenetStatistics,
  reference: 'https://github.com/akamaster/pytorch_resnet_cifar10',
  ...varying,
});

/** 1 x 1 convolutions as shortcuts. Preprocessing from the training logs in the repository. */
const chenyaofo = (depth: number, digits: string, reportedAccuracy: number): KnownCheckpoint => ({
  id: `chenyaofo-resnet${depth}-cifar10`,
  network: `resnet${depth}b-cifar10`,
  dataset: 'cifar10',
  urls: [
    `https://github.com/chenyaofo/pytorch-cifar-models/releases/download/resnet/cifar10_resnet${depth}-${digits}.pt`,
  ],
  ...unmeasured,
  sha256: digits,
  licence: 'BSD-3-Clause',
  reportedAccuracy,
  preprocessing: cifar10Statistics,
  reference: 'https://github.com/chenyaofo/pytorch-cifar-models',
});

/** Trained with edadaltocg/detectors; accuracies from the model cards, preprocessing from their config.json. */
const edadaltocg = (name: string, revision: string, varying: Varying): KnownCheckpoint => ({
  id: `edadaltocg-${name}-cifar10`,
  network: `${name === 'densenet121' ? 'densenet121tv' : name}-cifar10`,
  dataset: 'cifar10',
  urls: [`https://huggingface.co/edadaltocg/${name}_cifar10/resolve/${revision}/pytorch_model.bin`],
  ...unmeasured,
  licence: 'MIT',
  preprocessing: cifar10Statistics,
  reference: `https://huggingface.co/edadaltocg/${name}_cifar10`,
  ...varying,
});

/**
 * Accuracies of the documented evaluation: shorter side resized (bilinear), centre crop of 224.
 *
 * @param name the network and a suffix for one of its weights: `resnet50-v1`
 */
const torchvision = (name: string, digits: string, resize: number, varying: Varying): KnownCheckpoint => ({
  id: `torchvision-${name}-imagenet`,
  network: `${name.split('-')[0]!}-imagenet`,
  dataset: 'imagenet',
  urls: [`https://download.pytorch.org/models/${name.split('-')[0]!}-${digits}.pth`],
  ...unmeasured,
  sha256: digits,
  licence: 'BSD-3-Clause',
  preprocessing: { ...imagenetStatistics, resize, crop: 224 },
  reference: 'https://pytorch.org/vision/stable/models.html',
  ...varying,
});

/** Networks that ship with the project; how they were made stands in `experiments/checkpoints/README.md`. */
const shipped: readonly KnownCheckpoint[] = [
  {
    id: 'dgate-resnet101-small-cifar10',
    network: 'resnet101-width0.5-blocks1.1.7.1-cifar10',
    shipped: 'resnet101-small-cifar10.safetensors',
    sizeBytes: 3_846_244,
    sha256: 'a353e3fef5c9f00465578c45a57d11f257caac66d5965806ddbecf73319cee9f',
    reportedAccuracy: 0.8967,
  },
  {
    id: 'dgate-densenet201-small-cifar10',
    network: 'densenet201-growth32-blocks1.2.16.8-cifar10',
    shipped: 'densenet201-small-cifar10.safetensors',
    sizeBytes: 2_398_604,
    sha256: '8418d4c4b971231db23ca4d1b9829f042721e1ce1020ca1f7d1d7f38efce7ae5',
    reportedAccuracy: 0.9068,
  },
  {
    id: 'dgate-resnet101-narrow-cifar10',
    network: 'resnet101-width0.25-blocks1.1.7.1-cifar10',
    shipped: 'resnet101-narrow-cifar10.safetensors',
    sizeBytes: 1_928_364,
    sha256: 'f991c50ac1bfc6ebfa3e97c23a2a9052c1c8809ea79bc77b9f6d0b7aadf9e534',
    reportedAccuracy: 0.8967,
  },
  {
    id: 'dgate-densenet201-narrow-cifar10',
    network: 'densenet201-growth16-blocks1.2.16.8-cifar10',
    shipped: 'densenet201-narrow-cifar10.safetensors',
    sizeBytes: 1_215_804,
    sha256: '934e2dc88ff17da64485abbc41eb0ace1dd197760a75b619e18100044f091e3f',
    reportedAccuracy: 0.9033,
  },
  {
    id: 'dgate-resnet101-narrow-fashionmnist',
    network: 'resnet101-width0.125-blocks1.1.2.1-fashionmnist',
    shipped: 'resnet101-narrow-fashionmnist.safetensors',
    sizeBytes: 207_988,
    sha256: '1cc2367456884a5fb19a7f6f00d65ceee1dd51514fb9a437158cc5c6a15e54c4',
    reportedAccuracy: 0.92,
    dataset: 'fashionmnist' as const,
    preprocessing: { mean: [0.286], std: [0.353] },
  },
].map((entry) => ({
  dataset: 'cifar10',
  preprocessing: { mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] },
  ...entry,
  urls: [],
  hashChecked: true,
  licence: 'MIT',
  reference: 'experiments/checkpoints/README.md',
}));

/**
 * Checkpoints of networks that dgate describes, the preferred one of each network first. Addresses, hashes and accuracies are
 * the publishers', except where `hashChecked` is true.
 */
export const knownCheckpoints: readonly KnownCheckpoint[] = [
  ...shipped,
  akamaster(20, '12fca82f', {
    reportedAccuracy: 0.9173,
    sizeBytes: 1_099_231,
    sha256: '12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8',
    hashChecked: true,
  }),
  akamaster(32, 'd509ac18', {
    reportedAccuracy: 0.9263,
    sizeBytes: 1_890_043,
    sha256: 'd509ac1820d7f25398913559d7e81a13229b1e7adc5648e3bfa5e22dc137f850',
    hashChecked: true,
  }),
  akamaster(44, '014dd654', { reportedAccuracy: 0.931, sizeBytes: 2_680_855 }),
  akamaster(56, '4bfd9763', {
    reportedAccuracy: 0.9339,
    sizeBytes: 3_471_733,
    sha256: '4bfd97631478d6b638d2764fd2baff3edb1d7d82252d54439343b6596b9b5367',
    hashChecked: true,
  }),
  akamaster(110, '1d1ed7c2', { reportedAccuracy: 0.9368 }),
  chenyaofo(20, '4118986f', 0.926),
  chenyaofo(32, 'ef93fc4d', 0.9353),
  chenyaofo(44, '2a3cabcb', 0.9401),
  chenyaofo(56, '187c023a', 0.9437),
  edadaltocg('resnet18', '10baf2c88c8655c34a26a97f2a89beb59816795b', {
    reportedAccuracy: 0.9498,
    sha256: 'f656242526b567dbd46857276acbcfcb4ee74a7f8a7ae5e56557b7e8fa5d914a',
    note: 'the revision whose hash the repository shows; its main branch was updated once more, with the same accuracy',
  }),
  edadaltocg('resnet34', 'main', { reportedAccuracy: 0.954 }),
  edadaltocg('resnet50', '057f6b2e8bfe5330818f3478389e87d7721bbb3a', {
    reportedAccuracy: 0.9465,
    sha256: '600e3f79fa41bc7c91d751a65b29b1ed2733345f8b6908381caa79a32ff28a6e',
  }),
  edadaltocg('densenet121', '3a729bcbe48aeec4fb82d8331c10981a30c81d31', {
    reportedAccuracy: 0.9391,
    note:
      'growth 12, 24 stem channels, 384 features (a 4.39 MB file): 3 x 3 stride-1 stem, then neither norm0 nor ReLU nor ' +
      'pooling before the first dense block; timm names and concatenation order',
  }),
  torchvision('resnet50-v1', '0676ba61', 256, { reportedAccuracy: 0.7613 }),
  torchvision('resnet50-v2', '11ad3fa6', 232, { reportedAccuracy: 0.80858 }),
  torchvision('resnet101-v1', '63fe2227', 256, { reportedAccuracy: 0.77374 }),
  torchvision('resnet101-v2', 'cd907fc2', 232, { reportedAccuracy: 0.81886 }),
  torchvision('densenet201', 'c1103571', 256, {
    reportedAccuracy: 0.76896,
    note: 'names of before torchvision 0.4 (norm.1 for norm1)',
  }),
  {
    id: 'timm-resnet101-imagenet',
    network: 'resnet101-imagenet',
    dataset: 'imagenet',
    urls: ['https://huggingface.co/timm/resnet101.tv_in1k/resolve/main/model.safetensors'],
    ...unmeasured,
    licence: 'BSD-3-Clause',
    reportedAccuracy: 0.77374,
    preprocessing: { ...imagenetStatistics, resize: 256, crop: 224 },
    reference: 'https://huggingface.co/timm/resnet101.tv_in1k',
    note: "torchvision's first weights (resnet101-5d3b4d8f.pth) as safetensors; the accuracy is torchvision's",
  },
];

/** A known checkpoint by its id. @throws InputError naming the valid ones */
export function findCheckpoint(id: string): KnownCheckpoint {
  const found = knownCheckpoints.find((checkpoint) => checkpoint.id === id);
  if (found !== undefined) return found;
  throw new InputError(`checkpoint ${id}: unknown; valid: a file, or ${knownCheckpoints.map((c) => c.id).join(', ')}`);
}

/** The known checkpoints that fit a network, the preferred one first. */
export function checkpointsFor(network: string): readonly KnownCheckpoint[] {
  return knownCheckpoints.filter((checkpoint) => checkpoint.network === network);
}

/** The checkpoint of a network that ships with the project: the default. */
export function shippedFor(network: string): KnownCheckpoint | undefined {
  return checkpointsFor(network).find(({ shipped }) => shipped !== undefined);
}
