import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { listNetworks, networkByName } from '../../src/networks/catalogue.js';
import {
  type Layer,
  linearFlops,
  type Network,
  networkFlops,
  networkTensors,
  stageShapes,
} from '../../src/networks/network.js';

/**
 * What PyTorch says of every network: trainable scalars; FLOPs, as 2 x multiply-accumulates counted by a forward hook on
 * every Conv2d and Linear, in all and at the end of each stage (`layer1..4`, `dense1..4`, `features.denseblock1..4`);
 * the number of tensors in its `state_dict()` without `num_batches_tracked`, and the first 16 digits of the sha256 of
 * their names and shapes in order:
 *
 *     '\n'.join(f"{name} {'x'.join(map(str, t.shape))}" for name, t in state_dict if not num_batches_tracked)
 *
 * torchvision 0.14.1 (PyTorch 1.13) for ImageNet; its DenseNet(12, (6, 12, 24, 16), 24) with a 3 x 3 conv0 and identities
 * for norm0, relu0 and pool0 for densenet121tv; for the others modules written after kuangliu/pytorch-cifar,
 * akamaster/pytorch_resnet_cifar10 (option A) and chenyaofo/pytorch-cifar-models (option B). The parameter counts of
 * torchvision's networks are those that its documentation prints.
 */
const references: readonly [
  name: string,
  parameters: number,
  flops: number,
  cumulativeFlops: readonly number[],
  tensors: number,
  namesAndShapes: string,
][] = [
  [
    'resnet18-cifar10',
    11_173_962,
    1_110_845_440,
    [305_528_832, 573_964_288, 842_399_744, 1_110_835_200],
    102,
    '8cc2c4ac939f6f9b',
  ],
  [
    'resnet34-cifar10',
    21_282_122,
    2_318_804_992,
    [456_523_776, 1_026_949_120, 1_899_364_352, 2_318_794_752],
    182,
    '82fe94a0e856899b',
  ],
  [
    'resnet50-cifar10',
    23_520_842,
    2_595_659_776,
    [439_746_560, 1_110_835_200, 2_067_136_512, 2_595_618_816],
    267,
    'cddd1044dbb6a09a',
  ],
  [
    'resnet101-cifar10',
    42_512_970,
    5_019_967_488,
    [439_746_560, 1_110_835_200, 4_491_444_224, 5_019_926_528],
    522,
    '39df480c06b6d560',
  ],
  [
    'resnet152-cifar10',
    58_156_618,
    7_444_275_200,
    [439_746_560, 1_681_260_544, 6_915_751_936, 7_444_234_240],
    777,
    'bdf5ac95cfaaf1b2',
  ],
  [
    'resnet18-imagenet',
    11_689_512,
    3_628_146_688,
    [1_160_871_936, 1_982_955_520, 2_805_039_104, 3_627_122_688],
    102,
    '27b05db190158a25',
  ],
  [
    'resnet34-imagenet',
    21_797_672,
    7_327_522_816,
    [1_623_293_952, 3_370_221_568, 6_041_993_216, 7_326_498_816],
    182,
    '34435889bdfbfb62',
  ],
  [
    'resnet50-imagenet',
    25_557_032,
    8_178_368_512,
    [1_571_913_728, 3_627_122_688, 6_555_795_456, 8_174_272_512],
    267,
    'ed6e36eaf3f40481',
  ],
  [
    'resnet101-imagenet',
    44_549_160,
    15_602_810_880,
    [1_571_913_728, 3_627_122_688, 13_980_237_824, 15_598_714_880],
    522,
    '58c2e1ed89966179',
  ],
  [
    'resnet152-imagenet',
    60_192_808,
    23_027_253_248,
    [1_571_913_728, 5_374_050_304, 21_404_680_192, 23_023_157_248],
    777,
    '9876c057594f8525',
  ],
  [
    'densenet121-cifar10',
    6_956_298,
    1_776_701_440,
    [683_016_192, 1_215_692_800, 1_641_414_656, 1_776_680_960],
    602,
    'fb43727fe87ac5e4',
  ],
  [
    'densenet161-cifar10',
    26_482_378,
    4_935_101_568,
    [1_534_132_224, 2_732_654_592, 4_348_772_352, 4_935_057_408],
    802,
    'eed665d012967693',
  ],
  [
    'densenet169-cifar10',
    12_493_322,
    2_119_598_592,
    [683_016_192, 1_215_692_800, 1_828_061_184, 2_119_565_312],
    842,
    '73328cd03014a154',
  ],
  [
    'densenet201-cifar10',
    18_104_330,
    2_727_777_792,
    [683_016_192, 1_215_692_800, 2_302_017_536, 2_727_739_392],
    1002,
    'f549e8edfe9669dc',
  ],
  [
    'densenet121-imagenet',
    7_978_856,
    5_668_323_328,
    [2_316_926_976, 3_948_249_088, 5_252_022_272, 5_666_275_328],
    606,
    '658c71208e638598',
  ],
  [
    'densenet161-imagenet',
    28_681_000,
    15_455_814_144,
    [5_036_064_768, 8_706_539_520, 13_655_900_160, 15_451_398_144],
    806,
    'fc02985b19165a71',
  ],
  [
    'densenet169-imagenet',
    14_149_480,
    6_719_686_656,
    [2_316_926_976, 3_948_249_088, 5_823_627_264, 6_716_358_656],
    846,
    '961839fe5936fa8e',
  ],
  [
    'densenet201-imagenet',
    20_013_928,
    8_582_731_776,
    [2_316_926_976, 3_948_249_088, 7_275_118_592, 8_578_891_776],
    1006,
    'a43d9610d05928ac',
  ],
  [
    'densenet121tv-cifar10',
    1_000_618,
    250_682_880,
    [96_878_592, 171_786_240, 231_653_376, 250_675_200],
    602,
    '583c50b188a71de8',
  ],
  ['resnet20-cifar10', 269_722, 81_102_080, [29_196_288, 55_148_544, 81_100_800], 97, 'b495a8d6502b8d6e'],
  ['resnet20b-cifar10', 272_474, 81_626_368, [29_196_288, 55_410_688, 81_625_088], 107, 'ae8f9509004bada8'],
  ['resnet32-cifar10', 464_154, 137_725_184, [48_070_656, 92_897_280, 137_723_904], 157, '0c6b20d89531e66c'],
  ['resnet32b-cifar10', 466_906, 138_249_472, [48_070_656, 93_159_424, 138_248_192], 167, 'b3274ece1b7c2e4d'],
  ['resnet44-cifar10', 658_586, 194_348_288, [66_945_024, 130_646_016, 194_347_008], 217, '4fd59e709b69eba5'],
  ['resnet44b-cifar10', 661_338, 194_872_576, [66_945_024, 130_908_160, 194_871_296], 227, '4b864ae05f67bdbf'],
  ['resnet56-cifar10', 853_018, 250_971_392, [85_819_392, 168_394_752, 250_970_112], 277, 'a7149f051416e918'],
  ['resnet56b-cifar10', 855_770, 251_495_680, [85_819_392, 168_656_896, 251_494_400], 287, '447ccde2c796e794'],
  ['resnet110-cifar10', 1_727_962, 505_775_360, [170_754_048, 338_264_064, 505_774_080], 547, '2c31d4b538f247f9'],
  ['resnet110b-cifar10', 1_730_714, 506_299_648, [170_754_048, 338_526_208, 506_298_368], 557, '15a50362168006e5'],
  [
    'resnet101-width0.25-blocks1.1.8.1-cifar10',
    1_002_394,
    118_335_488,
    [10_321_920, 25_526_272, 103_120_896, 118_325_248],
    192,
    '6339aa54b029d819',
  ],
  [
    'densenet201-growth12-blocks2.3.12.8-cifar10',
    271_108,
    62_250_828,
    [28_459_008, 41_435_136, 57_397_248, 62_247_168],
    272,
    'fae98a8a66b52b5b',
  ],
];

describe('networks as PyTorch has them', () => {
  for (const [name, parameters, flops, cumulativeFlops, tensorCount, namesAndShapes] of references) {
    it(`${name}: ${parameters} parameters, ${flops} FLOPs`, () => {
      const network = networkByName(name);
      const counted = networkFlops(network);
      expect(counted.parameters).to.equal(parameters);
      expect(counted.flops).to.equal(flops);
      expect(counted.stages.map((stage) => stage.cumulativeFlops)).to.deep.equal(cumulativeFlops);

      const tensors = networkTensors(network);
      expect(tensors).to.have.length(tensorCount);
      const lines = tensors.map((tensor) => `${tensor.name} ${tensor.shape.join('x')}`).join('\n');
      expect(createHash('sha256').update(lines).digest('hex').slice(0, 16)).to.equal(namesAndShapes);
    });
  }

  it('covers every network of the catalogue', () => {
    const names = listNetworks().map(({ name }) => name);
    expect(references.map(([name]) => name)).to.include.members(
      names.filter((name) => !/-(?:cifar100|fashionmnist)$/.test(name)),
    );
  });

  it("are the same for Fashion-MNIST but for the first filters, which see one channel, and the images' size", () => {
    for (const name of ['resnet20', 'resnet18', 'densenet121']) {
      const [cifar, fashion] = ['cifar10', 'fashionmnist'].map((dataset) => networkByName(`${name}-${dataset}`));
      expect(fashion!.input).to.deep.equal({ channels: 1, height: 28, width: 28 });
      const [first, ...others] = networkTensors(fashion!);
      expect([first!.shape[1], others]).to.deep.equal([1, networkTensors(cifar!).slice(1)]);
      expect(networkFlops(fashion!).flops).to.be.below(networkFlops(cifar!).flops);
    }
  });

  it('are the same for CIFAR-100 as for CIFAR-10 but for the classifier, ten times as large', () => {
    const names = listNetworks().flatMap(({ name }) => (name.endsWith('-cifar100') ? [name] : []));
    expect(names.length).to.be.greaterThan(10);
    for (const name of names) {
      const [hundred, ten] = [networkByName(name), networkByName(name.replace(/100$/, '10'))];
      const { in: width } = ten.classifier;
      expect(networkFlops(hundred).flops - networkFlops(ten).flops, name).to.equal(2 * width * 90);
      expect(hundred.stages, name).to.deep.equal(ten.stages);
    }
  });

  it('begin and end with the tensors that the parity fixture names', () => {
    const fixture = new URL('../fixtures/parity.json', import.meta.url);
    const { cases } = JSON.parse(readFileSync(fixture, 'utf8')) as {
      cases: { network: string; parameters: number; firstNames: string[]; lastNames: string[] }[];
    };
    const names = ['resnet101-cifar10', 'densenet201-cifar10', 'resnet101-imagenet', 'resnet20-cifar10'];
    expect(cases).to.have.length(names.length);
    cases.forEach(({ parameters, firstNames, lastNames }, index) => {
      const network = networkByName(names[index]!);
      const tensors = networkTensors(network).map((tensor) => tensor.name);
      expect(tensors.slice(0, firstNames.length)).to.deep.equal(firstNames);
      expect(tensors.slice(-lastNames.length)).to.deep.equal(lastNames);
      expect(networkFlops(network).parameters).to.equal(parameters);
    });
  });
});

describe('networkFlops', () => {
  it("divides the whole into stages, DenseNet's transitions counted with the stage after them", () => {
    const { stages, flops } = networkFlops(networkByName('densenet201-cifar10'));
    expect(stages.map(({ name, channels, height, width }) => [name, channels, height, width])).to.deep.equal([
      ['dense1', 256, 32, 32],
      ['dense2', 512, 16, 16],
      ['dense3', 1792, 8, 8],
      ['dense4', 1920, 4, 4],
    ]);
    expect(stages.map((stage) => stage.flops)).to.deep.equal([683_016_192, 532_676_608, 1_086_324_736, 425_721_856]);
    expect(flops - stages.reduce((sum, stage) => sum + stage.flops, 0)).to.equal(linearFlops(1920, 10));
  });

  it('counts a linear layer as 2 x multiply-accumulates, its bias free', () => {
    expect(linearFlops(1024, 10)).to.equal(20_480);
  });

  it('counts what the classifier does before it pools', () => {
    const plain = tinyNetwork([], 3);
    const head: Layer[] = [{ op: 'conv', name: 'c', in: 3, out: 3, kernel: 1, stride: 1, padding: 0 }];
    const { flops, stages } = networkFlops({ ...plain, classifier: { ...plain.classifier, head } });
    expect(flops).to.equal(2 * 3 * 3 * 64 + 2 * 3 * 2);
    expect(stages[0]!.cumulativeFlops, 'a gate has none of it').to.equal(0);
  });

  it('counts an image of another size by the sizes that really come out', () => {
    // Odd sizes: 7 x 5 after a stride of 2 is 4 x 3, as in PyTorch.
    const network: Network = {
      ...tinyNetwork([{ op: 'conv', name: 'c', in: 3, out: 4, kernel: 3, stride: 2, padding: 1 }], 4),
      input: { channels: 3, height: 7, width: 5 },
    };
    expect(stageShapes(network)).to.deep.equal([{ channels: 4, height: 4, width: 3 }]);
    expect(networkFlops(network).flops).to.equal(2 * (3 * 4 * 9 * 4 * 3) + 2 * 4 * 2);
  });
});

describe('stageShapes', () => {
  const shapesOf = (name: string): number[][] =>
    stageShapes(networkByName(name)).map(({ channels, height, width }) => [channels, height, width]);

  it('gives channels, height and width at the end of each stage, before a transition', () => {
    expect(shapesOf('resnet101-cifar10')).to.deep.equal([
      [256, 32, 32],
      [512, 16, 16],
      [1024, 8, 8],
      [2048, 4, 4],
    ]);
    expect(shapesOf('densenet161-imagenet')).to.deep.equal([
      [384, 56, 56],
      [768, 28, 28],
      [2112, 14, 14],
      [2208, 7, 7],
    ]);
    expect(shapesOf('resnet20-cifar10')).to.deep.equal([
      [16, 32, 32],
      [32, 16, 16],
      [64, 8, 8],
    ]);
  });

  it('refuses a description that does not fit itself', () => {
    const conv = { op: 'conv', name: 'c', in: 4, out: 4, kernel: 1, stride: 1, padding: 0 } as const;
    expect(() => stageShapes(tinyNetwork([conv], 4))).to.throw('c: declared for 4 channels, gets 3');
    expect(() => stageShapes(tinyNetwork([{ op: 'batchNorm', name: 'b', channels: 2 }], 3))).to.throw(
      'b: declared for 2 channels, gets 3',
    );
    const body = [{ ...conv, in: 3 }];
    expect(() => stageShapes(tinyNetwork([{ op: 'residual', body, shortcut: [] }], 4))).to.throw('residual block');
    const halved = [{ ...conv, in: 3, out: 3, stride: 2 }];
    expect(() => stageShapes(tinyNetwork([{ op: 'residual', body: halved, shortcut: [] }], 3))).to.throw(
      'residual block',
    );
  });
});

/** One stage of these layers on 3 x 8 x 8, two classes. */
function tinyNetwork(layers: readonly Layer[], channels: number): Network {
  return {
    name: 'tiny-cifar10',
    dataset: 'cifar10',
    input: { channels: 3, height: 8, width: 8 },
    stem: [],
    stages: [{ name: 'stage1', layers, transition: [] }],
    classifier: { head: [], name: 'linear', in: channels, out: 2 },
  };
}
