import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { findCheckpoint } from '../../src/checkpoints/known.js';
import { matchTensors, readCheckpoint, writeSafetensors } from '../../src/checkpoints/load.js';

import { networkByName } from '../../src/networks/catalogue.js';
import { networkTensors } from '../../src/networks/network.js';
import type { TensorMap } from '../../src/tensor.js';
import { generatedTensors } from '../parity.js';

describe('ResNet-101 of ImageNet', () => {
  it('is known from torchvision, both versions, and from timm', () => {
    const of = (id: string) => {
      const { network, urls, sha256, preprocessing } = findCheckpoint(id);
      return { network, url: urls[0], sha256, resize: preprocessing.resize, crop: preprocessing.crop };
    };
    const network = 'resnet101-imagenet';
    const torchvision = 'https://download.pytorch.org/models/';
    expect(
      ['torchvision-resnet101-v1-imagenet', 'torchvision-resnet101-v2-imagenet', 'timm-resnet101-imagenet'].map(of),
    )
      // torchvision's ResNet101_Weights: file names carry 8 digits of the hash; IMAGENET1K_V2 resizes to 232.
      .to.deep.equal([
        { network, url: `${torchvision}resnet101-63fe2227.pth`, sha256: '63fe2227', resize: 256, crop: 224 },
        { network, url: `${torchvision}resnet101-cd907fc2.pth`, sha256: 'cd907fc2', resize: 232, crop: 224 },
        {
          network,
          url: 'https://huggingface.co/timm/resnet101.tv_in1k/resolve/main/model.safetensors',
          sha256: undefined,
          resize: 256,
          crop: 224,
        },
      ]);
  });

  it("reads a state dict under torchvision's and timm's names from a file", async () => {
    // The same names at a quarter of the width: 3 MB instead of 178.
    const network = networkByName('resnet101-width0.0625-blocks1.1.2.1-imagenet');
    const folder = await mkdtemp(join(tmpdir(), 'dgate-imagenet-checkpoint-'));
    try {
      const tensors = generatedTensors(network);
      const names = [...tensors.keys()];
      expect(names).to.include.members(['conv1.weight', 'bn1.running_var', 'layer1.0.downsample.0.weight', 'fc.bias']);
      const counters: TensorMap = new Map([['bn1.num_batches_tracked', { shape: [], data: Float32Array.of(7) }]]);
      for (const [kind, extra] of [
        ['timm', new Map()],
        ['torchvision', counters],
      ] as const) {
        const path = join(folder, `${kind}.safetensors`);
        await writeSafetensors(path, new Map([...tensors, ...extra]));
        const read = matchTensors(networkTensors(network), (await readCheckpoint(path)).tensors, kind);
        expect([...read.keys()], kind).to.deep.equal(names);
        expect(read.get('fc.weight')!.data).to.deep.equal(tensors.get('fc.weight')!.data);
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
