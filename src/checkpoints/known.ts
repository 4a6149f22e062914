import type { Preprocessing } from '../data/preprocess.js';
import type { KnownCheckpoint } from './known-checkpoint.js';

/** ImageNet's channel statistics. akamaster's CIFAR-10 networks were trained with them too. */
const imagenetStatistics: Preprocessing = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

/** CIFAR-10's, with the standard deviations that spread from kuangliu/pytorch-cifar (means over images, hence small). */
const cifar10Statistics: Preprocessing = { mean: [0.4914, 0.4822, 0.4465], std: [0.2023, 0.1994, 0.201] };

/** What differs between the checkpoints of one publisher. */
type Varying = Pick<KnownCheckpoint, 'id' | 'network' | 'reportedAccuracy'> &
  Partial<Pick<KnownCheckpoint, 'sizeBytes' | 'sha256' | 'hashChecked' | 'note' | 'reference'>>;

/** The hash digits that PyTorch's file names carry before the extension. */
function hashPrefixOf(file: string): string {
  const digits = /-([0-9a-f]{8})\.\w+$/.exec(file)?.[1];
  if (digits === undefined) throw new RangeError(`${file}: its name carries no hash`);
  return digits;
}

/** Option A shortcuts (He et al. 2016, section 4.2): subsampling and zero-padding, no weights. */
function akamaster(file: string, varying: Varying): KnownCheckpoint {
  return {
    dataset: 'cifar10',
    urls: [`https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models/${file}`],
    sizeBytes: undefined,
    sha256: hashPrefixOf(file),
    hashChecked: false,
    licence: 'BSD-2-Clause',
    preprocessing: imagenetStatistics,
    reference: 'https://github.com/akamaster/pytorch_resnet_cifar10',
    ...varying,
  };
}

/** 1 x 1 convolutions as shortcuts. Preprocessing from the training logs in the repository. */
function chenyaofo(file: string, varying: Varying): KnownCheckpoint {
  return {
    dataset: 'cifar10',
    urls: [`https://github.com/chenyaofo/pytorch-cifar-models/releases/download/resnet/${file}`],
    sizeBytes: undefined,
    sha256: hashPrefixOf(file),
    hashChecked: false,
    licence: 'BSD-3-Clause',
    preprocessing: cifar10Statistics,
    reference: 'https://github.com/chenyaofo/pytorch-cifar-models',
    ...varying,
  };
}

/** Trained with edadaltocg/detectors; accuracies from the model cards, preprocessing from their config.json. */
function edadaltocg(model: string, revision: string, varying: Varying): KnownCheckpoint {
  return {
    dataset: 'cifar10',
    urls: [`https://huggingface.co/edadaltocg/${model}/resolve/${revision}/pytorch_model.bin`],
    sizeBytes: undefined,
    sha256: undefined,
    hashChecked: false,
    licence: 'MIT',
    preprocessing: cifar10Statistics,
    reference: `https://huggingface.co/edadaltocg/${model}`,
    ...varying,
  };
}

/** Accuracies of the documented evaluation: shorter side resized (bilinear), centre crop of 224. */
function torchvision(file: string, resize: number, varying: Varying): KnownCheckpoint {
  return {
    dataset: 'imagenet',
    urls: [`https://download.pytorch.org/models/${file}`],
    sizeBytes: undefined,
    sha256: hashPrefixOf(file),
    hashChecked: false,
    licence: 'BSD-3-Clause',
    preprocessing: { ...imagenetStatistics, resize, crop: 224 },
    reference: 'https://pytorch.org/vision/stable/models.html',
    ...varying,
  };
}

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
].map((entry) => ({
  ...entry,
  dataset: 'cifar10',
  urls: [],
  hashChecked: true,
  licence: 'MIT',
  preprocessing: { mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] },
  reference: 'experiments/checkpoints/README.md',
}));

/**
 * Checkpoints of networks that dgate describes, those that ship and public ones, the preferred one of each network first.
 *
 * No download was possible where this list was written. `hashChecked` marks those that ship and the files that were there to be hashed;
 * all else (addresses, hash digits, accuracies) is what the publishers' repositories and model cards say.
 */
export const knownCheckpoints: readonly KnownCheckpoint[] = [
  ...shipped,
  akamaster('resnet20-12fca82f.th', {
    id: 'akamaster-resnet20-cifar10',
    network: 'resnet20-cifar10',
    reportedAccuracy: 0.9173,
    sizeBytes: 1_099_231,
    sha256: '12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8',
    hashChecked: true,
  }),
  akamaster('resnet32-d509ac18.th', {
    id: 'akamaster-resnet32-cifar10',
    network: 'resnet32-cifar10',
    reportedAccuracy: 0.9263,
    sizeBytes: 1_890_043,
    sha256: 'd509ac1820d7f25398913559d7e81a13229b1e7adc5648e3bfa5e22dc137f850',
    hashChecked: true,
  }),
  akamaster('resnet44-014dd654.th', {
    id: 'akamaster-resnet44-cifar10',
    network: 'resnet44-cifar10',
    reportedAccuracy: 0.931,
    sizeBytes: 2_680_855,
  }),
  akamaster('resnet56-4bfd9763.th', {
    id: 'akamaster-resnet56-cifar10',
    network: 'resnet56-cifar10',
    reportedAccuracy: 0.9339,
    sizeBytes: 3_471_733,
    sha256: '4bfd97631478d6b638d2764fd2baff3edb1d7d82252d54439343b6596b9b5367',
    hashChecked: true,
  }),
  akamaster('resnet110-1d1ed7c2.th', {
    id: 'akamaster-resnet110-cifar10',
    network: 'resnet110-cifar10',
    reportedAccuracy: 0.9368,
  }),
  chenyaofo('cifar10_resnet20-4118986f.pt', {
    id: 'chenyaofo-resnet20-cifar10',
    network: 'resnet20b-cifar10',
    reportedAccuracy: 0.926,
  }),
  chenyaofo('cifar10_resnet32-ef93fc4d.pt', {
    id: 'chenyaofo-resnet32-cifar10',
    network: 'resnet32b-cifar10',
    reportedAccuracy: 0.9353,
  }),
  chenyaofo('cifar10_resnet44-2a3cabcb.pt', {
    id: 'chenyaofo-resnet44-cifar10',
    network: 'resnet44b-cifar10',
    reportedAccuracy: 0.9401,
  }),
  chenyaofo('cifar10_resnet56-187c023a.pt', {
    id: 'chenyaofo-resnet56-cifar10',
    network: 'resnet56b-cifar10',
    reportedAccuracy: 0.9437,
  }),
  edadaltocg('resnet18_cifar10', '10baf2c88c8655c34a26a97f2a89beb59816795b', {
    id: 'edadaltocg-resnet18-cifar10',
    network: 'resnet18-cifar10',
    reportedAccuracy: 0.9498,
    sha256: 'f656242526b567dbd46857276acbcfcb4ee74a7f8a7ae5e56557b7e8fa5d914a',
    note: 'the revision whose hash the repository shows; its main branch was updated once more, with the same accuracy',
  }),
  edadaltocg('resnet34_cifar10', 'main', {
    id: 'edadaltocg-resnet34-cifar10',
    network: 'resnet34-cifar10',
    reportedAccuracy: 0.954,
  }),
  edadaltocg('resnet50_cifar10', '057f6b2e8bfe5330818f3478389e87d7721bbb3a', {
    id: 'edadaltocg-resnet50-cifar10',
    network: 'resnet50-cifar10',
    reportedAccuracy: 0.9465,
    sha256: '600e3f79fa41bc7c91d751a65b29b1ed2733345f8b6908381caa79a32ff28a6e',
  }),
  edadaltocg('densenet121_cifar10', '3a729bcbe48aeec4fb82d8331c10981a30c81d31', {
    id: 'edadaltocg-densenet121-cifar10',
    network: 'densenet121tv-cifar10',
    reportedAccuracy: 0.9391,
    note:
      'growth 12, 24 stem channels, 384 features (a 4.39 MB file): 3 x 3 stride-1 stem, then neither norm0 nor ReLU nor ' +
      'pooling before the first dense block; timm names and concatenation order',
  }),
  torchvision('resnet50-0676ba61.pth', 256, {
    id: 'torchvision-resnet50-v1-imagenet',
    network: 'resnet50-imagenet',
    reportedAccuracy: 0.7613,
  }),
  torchvision('resnet50-11ad3fa6.pth', 232, {
    id: 'torchvision-resnet50-v2-imagenet',
    network: 'resnet50-imagenet',
    reportedAccuracy: 0.80858,
  }),
  torchvision('resnet101-63fe2227.pth', 256, {
    id: 'torchvision-resnet101-v1-imagenet',
    network: 'resnet101-imagenet',
    reportedAccuracy: 0.77374,
  }),
  torchvision('resnet101-cd907fc2.pth', 232, {
    id: 'torchvision-resnet101-v2-imagenet',
    network: 'resnet101-imagenet',
    reportedAccuracy: 0.81886,
  }),
  torchvision('densenet201-c1103571.pth', 256, {
    id: 'torchvision-densenet201-imagenet',
    network: 'densenet201-imagenet',
    reportedAccuracy: 0.76896,
    note: 'names of before torchvision 0.4 (norm.1 for norm1)',
  }),
  {
    id: 'timm-resnet101-imagenet',
    network: 'resnet101-imagenet',
    dataset: 'imagenet',
    urls: ['https://huggingface.co/timm/resnet101.tv_in1k/resolve/main/model.safetensors'],
    sizeBytes: undefined,
    sha256: undefined,
    hashChecked: false,
    licence: 'BSD-3-Clause',
    reportedAccuracy: 0.77374,
    preprocessing: { ...imagenetStatistics, resize: 256, crop: 224 },
    reference: 'https://huggingface.co/timm/resnet101.tv_in1k',
    note: "torchvision's first weights (resnet101-5d3b4d8f.pth) as safetensors; the accuracy is torchvision's",
  },
];
