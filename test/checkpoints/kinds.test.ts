import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { extract } from 'tar';
import { readCheckpoint, type Weights, type WeightsChoice, weightsOf } from '../../src/checkpoints/load.js';
import { dictionaryOf } from '../../src/checkpoints/names.js';
import { networkByName } from '../../src/networks/catalogue.js';
import { networkTensors } from '../../src/networks/network.js';
import type { TensorMap } from '../../src/tensor.js';
import { fixtures, refusal } from './helpers.js';

const SMALL = 'resnet18-width0.015625-blocks1.1.1.1-cifar10';

describe('files as torch, Lightning, timm, transformers and training scripts write them (fixtures/checkpoints/kinds.py)', () => {
  let folder: string;
  let a: TensorMap;
  let b: TensorMap;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dgate-kinds-'));
    await extract({ file: join(fixtures, 'kinds.tar.gz'), cwd: folder });
    [a, b] = [await weights('a.safetensors'), await weights('b.safetensors')].map(({ tensors }) => tensors) as [
      TensorMap,
      TensorMap,
    ];
  });
  after(() => rm(folder, { recursive: true }));

  async function weights(name: string, choice: WeightsChoice = {}, network = SMALL): Promise<Weights> {
    const { dictionaries } = await readCheckpoint(join(folder, name));
    return weightsOf(networkTensors(networkByName(network)), dictionaries, `${name} for ${network}`, choice);
  }

  const read: [string, string | undefined, WeightsChoice?][] = [
    ['a.safetensors', undefined],
    ['averaged.pth', 'took module; left out: n_averaged'],
    ['normalised.pth', 'took 1; left out: 0.mean, 0.std'],
    ['criterion.ckpt', 'took state_dict.model; left out: criterion.weight'],
    ['backbone.pth', 'took model.backbone'],
    ['encoder.pth', 'took encoder; left out: projector.weight, projector.bias'],
    ['fsdp.pth', 'took _fsdp_wrapped_module._orig_mod'],
    ['wrapped.pth', undefined],
    ['list.pth', 'took 0.0'],
    ['only-ema.pth', 'took state_dict_ema'],
    ['two.pth', 'took state_dict', { key: 'state_dict' }],
    ['teacher.pth', 'took student; left out: teacher.conv1.weight', { key: 'student' }],
    ['same-twice.pth', 'took model'],
    ['thop.pth', 'took the top; left out: layer1.total_ops, layer2.total_ops, total_params', { ignore: 'total_*' }],
    ['module.safetensors', 'took module'],
    ['criterion.safetensors', 'took model; left out: criterion.weight'],
    ['plain-data.pth', 'took model'],
    ['no-checksums.pth', undefined],
    ['colon.pth', undefined],
    ['buffers.pth', undefined],
    ['torchvision-names.pth', undefined],
    ['dropout.pth', undefined],
    ['last-linear.pth', undefined],
    ['mmpretrain.pth', 'took state_dict.backbone; left out: '],
    ['lightning.ckpt', 'took state_dict.net; left out: criterion.weight'],
    ['timm.pth.tar', 'took state_dict'],
  ];
  for (const [name, taken, choice] of read) {
    it(`${name}: the values of torch`, async () => {
      const found = await weights(name, choice);
      expect([...found.tensors.keys()]).to.deep.equal([...a.keys()]);
      for (const [key, { shape, data }] of found.tensors) {
        expect([...shape], key).to.deep.equal([...a.get(key)!.shape]);
        expect(data, key).to.deep.equal(a.get(key)!.data);
      }
      if (taken === undefined) expect(found.taken).to.equal(undefined);
      else expect(found.taken?.startsWith(taken.replace(/; left out: $/, '')), found.taken).to.equal(true);
    });
  }

  it('of two sets of weights the named one is taken', async () => {
    for (const [name, key] of [
      ['two.pth', 'state_dict_ema'],
      ['teacher.safetensors', 'teacher'],
    ] as const) {
      expect((await weights(name, { key })).tensors.get('linear.weight')!.data).to.deep.equal(
        b.get('linear.weight')!.data,
      );
    }
  });

  it('the normalisation inside a model is its preprocessing', async () => {
    const { normalisation } = await weights('normalised.pth');
    expect(normalisation).to.deep.equal({ mean: [0.25, 0.5, 0.75], std: [0.125, 0.25, 0.5] });
  });

  it("torchvision's names on a kuangliu network: said that huyvnphan's has them too", async () => {
    expect((await weights('torchvision-names.pth')).doubt).to.match(/huyvnphan.*model eval --limit 500/);
    expect((await weights('a.safetensors')).doubt).to.equal(undefined);
  });

  for (const [kind, network] of [
    ['basic', 'resnet18-width0.015625-blocks1.1.1.1-imagenet'],
    ['bottleneck', 'resnet50-width0.015625-blocks1.1.1.1-imagenet'],
  ] as const) {
    it(`Hugging Face's ResNet, ${kind}`, async () => {
      const name = `hugging-face-${kind}.safetensors`;
      const { tensors } = await weights(name, {}, network);
      const raw = (await readCheckpoint(join(folder, name))).tensors;
      const pairs = {
        'conv1.weight': 'resnet.embedder.embedder.convolution.weight',
        'bn1.running_var': 'resnet.embedder.embedder.normalization.running_var',
        'layer2.0.conv2.weight': 'resnet.encoder.stages.1.layers.0.layer.1.convolution.weight',
        'layer2.0.bn1.bias': 'resnet.encoder.stages.1.layers.0.layer.0.normalization.bias',
        'layer3.0.downsample.0.weight': 'resnet.encoder.stages.2.layers.0.shortcut.convolution.weight',
        'layer3.0.downsample.1.weight': 'resnet.encoder.stages.2.layers.0.shortcut.normalization.weight',
        'fc.weight': 'classifier.1.weight',
      };
      for (const [own, theirs] of Object.entries(pairs))
        expect(tensors.get(own)?.data, own).to.deep.equal(raw.get(theirs)?.data);
    });
  }

  const refused: [string, RegExp][] = [
    ['two.pth', /2 sets of weights fit: state_dict, state_dict_ema; choose one: --key state_dict$/m],
    ['teacher.pth', /2 sets of weights fit: student, teacher; choose one/],
    ['teacher.safetensors', /2 sets of weights fit: student, teacher; choose one/],
    ['thop.pth', /62 of 62 tensors fit; .*--ignore '\*total_ops'/],
    ['refused-features.pth', /its classifier is missing; valid: the state dict of the whole network/],
    ['refused-parameters.pth', /parameters without running statistics; valid: model\.state_dict\(\)/],
    ['refused-sparse.pth', /holds a sparse tensor \(torch\._utils\._rebuild_sparse_tensor\); valid: .*to_dense/],
    ['refused-quantised.pth', /holds a quantised tensor/],
    ['refused-fp8.pth', /holds floats of 8 bits or fewer \(torch\.float8_e4m3fn\).*tensor\.float\(\)/],
    ['refused-complex.pth', /holds complex numbers/],
    ['refused-model.pth', /holds an object of a custom class, such as a whole model .*save model\.state_dict\(\)/],
    ['refused-script.pt', /a TorchScript file; valid: .*torch\.jit\.load/],
    ['refused-export.pt2', /a program of torch\.export \(\.pt2\); valid/],
    ['refused-numpy.npz', /arrays of NumPy \(\.npz\); valid/],
    [
      'refused-nan.pth',
      /0 of 62 tensors fit; every value is NaN or infinite: the training diverged; take an earlier checkpoint/,
    ],
    ['refused-stem.pth', /its first convolution is 7 x 7/],
    ['refused-classes.pth', /it has 5 classes, the network 10/],
  ];
  for (const [name, message] of refused) {
    it(`${name}: refused with the reason and what to do`, () => refusal(() => weights(name), message));
  }

  it('a part of the weights, and weights with more layers or in parts: what to do', async () => {
    const needed = networkTensors(networkByName(SMALL));
    const more = (...names: string[]) =>
      dictionaryOf(new Map([...a, ...names.map((name) => [name, { shape: [1], data: new Float32Array(1) }] as const)]));
    for (const [where, dictionary, message] of [
      [
        'model-00001-of-00002.safetensors',
        dictionaryOf(new Map([...a].slice(0, 30))),
        /one of several files of a network; valid/,
      ],
      ['x.pth', more('layer1.0.se.fc.weight'), /62 of 62 tensors fit; its blocks have more layers.*ONNX/],
      ['x.pth', more('layer1.0.conv1.parametrizations.weight.original0'), /save after remove_parametrizations/],
      ['x.pth', more('layer1.0.conv1.weight_orig'), /save after .*prune\.remove/],
      ['x.pth', more('aux.weight'), /if the others are no part of the network: .*--ignore '\*weight'/],
    ] as const) {
      await refusal(() => weightsOf(needed, [dictionary], where), message);
    }
  });

  it('the network of the catalogue that weights belong to is named', async () => {
    const resnet20 = networkTensors(networkByName('resnet20-cifar10'));
    const found = new Map(resnet20.map(({ name, shape, count }) => [name, { shape, data: new Float32Array(count) }]));
    const dictionaries = [
      {
        path: '',
        shapes: found,
        read: (names: Iterable<string>) => new Map([...names].map((name) => [name, found.get(name)!])),
      },
    ];
    const message = /these fit resnet20-cifar10/;
    for (const other of ['resnet56-cifar10', 'resnet18-cifar10', 'resnet20b-cifar10', 'densenet121-cifar10']) {
      await refusal(() => weightsOf(networkTensors(networkByName(other)), dictionaries, 'x'), message);
    }
  });

  it('other files: what they are, and what to do', async () => {
    for (const [name, content, message] of [
      ['x.onnx', '\x08\x07\x12\x04', /an ONNX file; see: dgate model inspect FILE/],
      ['x.h5', '\x89HDF\r\n', /an HDF5 file/],
      ['x.pth', '<!DOCTYPE html>', /a web page/],
      ['y.pth', 'version https://git-lfs.github.com/spec/v1\n', /Git LFS.*git lfs pull/],
      ['z.pth.gz', '\x1f\x8b\x08', /gzip/],
      ['index.json', '{"weight_map": {}}', /JSON/],
    ] as const) {
      await writeFile(join(folder, name), Buffer.from(content, 'latin1'));
      await refusal(() => readCheckpoint(join(folder, name)), message);
    }
  });
});
