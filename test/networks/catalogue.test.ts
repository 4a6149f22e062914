import { expect } from 'chai';
import { InputError } from '../../src/errors.js';
import { listNetworks, networkByName } from '../../src/networks/catalogue.js';
import { networkTensors, stageShapes } from '../../src/networks/network.js';

const channelsOf = (name: string): number[] => stageShapes(networkByName(name)).map((shape) => shape.channels);

/** Layers that a checkpoint has in stage `stage`, by the numbers in their names. */
const blocksOf = (name: string, pattern: RegExp): number =>
  new Set(networkTensors(networkByName(name)).flatMap((tensor) => pattern.exec(tensor.name)?.[1] ?? [])).size;

function problemsOf(name: string): readonly string[] {
  try {
    networkByName(name);
  } catch (error) {
    expect(error, name).to.be.instanceOf(InputError);
    return (error as InputError).problems;
  }
  return [];
}

describe('the catalogue of networks', () => {
  it('has the networks of both datasets, each once and under its own name', () => {
    const names = listNetworks().map((network) => network.name);
    const depths = [18, 34, 50, 101, 152].map((depth) => `resnet${depth}`);
    const dense = [121, 161, 169, 201].map((depth) => `densenet${depth}`);
    for (const dataset of ['cifar10', 'imagenet']) {
      expect(names).to.include.members([...depths, ...dense].map((name) => `${name}-${dataset}`));
    }
    expect(names).to.include.members([20, 32, 44, 56, 110].map((depth) => `resnet${depth}-cifar10`));
    expect(new Set(names).size).to.equal(names.length);
    for (const name of names) expect(networkByName(name).name).to.equal(name);
  });

  it('knows the images and classes of a dataset', () => {
    const cifar10 = networkByName('resnet18-cifar10');
    expect(cifar10.input).to.deep.equal({ channels: 3, height: 32, width: 32 });
    expect([cifar10.dataset, cifar10.classifier.out]).to.deep.equal(['cifar10', 10]);
    const imagenet = networkByName('densenet121-imagenet');
    expect(imagenet.input).to.deep.equal({ channels: 3, height: 224, width: 224 });
    expect([imagenet.dataset, imagenet.classifier.out]).to.deep.equal(['imagenet', 1000]);
  });

  it("puts a dense layer's new features first as kuangliu does, last as torchvision and timm do", () => {
    const orders = ['densenet121-cifar10', 'densenet121-imagenet', 'densenet121tv-cifar10'].map((name) => {
      const layers = networkByName(name).stages.flatMap((stage) => stage.layers);
      return [...new Set(layers.map((layer) => (layer.op === 'denseConcat' ? layer.first : layer.op)))];
    });
    expect(orders).to.deep.equal([['new'], ['input'], ['input']]);
  });

  describe('variants', () => {
    it('scale the channels of a ResNet, rounded and at least 1', () => {
      expect(channelsOf('resnet101-width0.25-cifar10')).to.deep.equal([64, 128, 256, 512]);
      expect(channelsOf('resnet18-width2-imagenet')).to.deep.equal([128, 256, 512, 1024]);
      expect(channelsOf('resnet20-width0.34-cifar10')).to.deep.equal([5, 11, 22]); // 5.44, 10.88, 21.76
      expect(channelsOf('resnet20-width0.001-cifar10')).to.deep.equal([1, 1, 1]);
    });

    it('give a DenseNet another growth rate, from which its stem and bottlenecks follow', () => {
      // 24 + 6 x 12 = 96, halved 48; + 12 x 12 = 192, halved 96; + 24 x 12 = 384, halved 192; + 16 x 12 = 384
      expect(channelsOf('densenet121-growth12-cifar10')).to.deep.equal([96, 192, 384, 384]);
      const shapes = new Map(
        networkTensors(networkByName('densenet121-growth12-cifar10')).map((t) => [t.name, t.shape]),
      );
      expect(shapes.get('conv1.weight')).to.deep.equal([24, 3, 3, 3]);
      expect(shapes.get('dense1.0.conv1.weight')).to.deep.equal([48, 24, 1, 1]);
      expect(shapes.get('dense1.0.conv2.weight')).to.deep.equal([12, 48, 3, 3]);
      // 14 + 7 = 21 channels halve to 10, rounded down.
      expect(channelsOf('densenet121-growth7-blocks1.1.1.1-imagenet')).to.deep.equal([21, 17, 15, 14]);
    });

    it('have other numbers of blocks', () => {
      const name = 'resnet101-width0.25-blocks1.2.9.3-cifar10';
      const counts = [1, 2, 3, 4].map((stage) => blocksOf(name, new RegExp(`^layer${stage}\\.(\\d+)\\.conv1`)));
      expect(counts).to.deep.equal([1, 2, 9, 3]);
      const dense = 'densenet201-growth12-blocks2.3.12.8-imagenet';
      const layers = [1, 2, 3, 4].map((stage) =>
        blocksOf(dense, new RegExp(`^features\\.denseblock${stage}\\.denselayer(\\d+)\\.conv1`)),
      );
      expect(layers).to.deep.equal([2, 3, 12, 8]);
      expect(channelsOf('resnet56-blocks1.1.1-cifar10')).to.have.length(3);
    });

    it('pad what a narrow option A shortcut lacks, also where the widths do not divide', () => {
      const network = networkByName('resnet20-width0.34-cifar10');
      const shortcuts = network.stages.flatMap((stage) =>
        stage.layers.flatMap((layer) => (layer.op === 'residual' ? layer.shortcut : [])),
      );
      expect(shortcuts).to.deep.equal([
        { op: 'subsamplePad', stride: 2, before: 3, after: 3 },
        { op: 'subsamplePad', stride: 2, before: 5, after: 6 },
      ]);
    });
  });

  describe('names that are wrong', () => {
    it('are answered with the valid ones', () => {
      for (const name of [
        'resnet19-cifar10',
        'resnet18-cifar1000',
        'resnet56-imagenet',
        'resnet18',
        '',
        '-',
        'ResNet18-cifar10',
      ]) {
        const problems = problemsOf(name);
        expect(problems, name).to.have.length(1);
        expect(problems[0]).to.match(/^network .*: unknown; valid: .+ and others; see: dgate list networks$/);
        expect(problems[0]).not.to.contain('\n');
        expect(problems[0]!.length).to.be.below(200);
      }
    });

    const suggested: readonly (readonly [string, string])[] = [
      ['resnet19-cifar10', 'resnet18-cifar10'],
      ['resnet21-cifar10', 'resnet20-cifar10'],
      ['ResNet18-cifar10', 'resnet18-cifar10'],
      ['resnet21-width0.5-cifar10', 'resnet20-cifar10'],
      ['densnet201-cifar10', 'densenet201-cifar10'],
      ['resnet56-imagenet', 'resnet56-cifar10'],
      ['resnet18-cifar1000', 'resnet18-cifar10, resnet18-cifar100, resnet18-fashionmnist, resnet18-imagenet'],
      ['resnet18', 'resnet18-cifar10, resnet18-cifar100, resnet18-fashionmnist, resnet18-imagenet'],
      ['vgg16-imagenet21k', 'resnet101-cifar10, densenet201-cifar10'],
      ['', 'resnet101-cifar10, densenet201-cifar10'],
    ];
    it('are answered with those that they are like', () => {
      for (const [name, valid] of suggested) {
        const answer = /valid: (.*) and others/.exec(problemsOf(name)[0]!)?.[1];
        expect(answer, name).to.match(new RegExp(`^${valid}(, |$)`));
      }
    });

    it('are answered with names that exist', () => {
      const names = listNetworks().map((network) => network.name);
      for (const [name] of suggested) {
        const answer = /valid: (.*) and others/.exec(problemsOf(name)[0]!)?.[1];
        for (const valid of answer!.split(', ')) expect(names).to.include(valid);
      }
    });

    it('are not looked up among the properties that every object has', () => {
      for (const name of ['constructor-cifar10', 'toString-cifar10', '__proto__-cifar10', 'hasOwnProperty']) {
        expect(problemsOf(name), name).to.have.length(1);
      }
    });

    it('have every problem listed, one line each', () => {
      expect(problemsOf('resnet18-width0-growth3-blocks1.1-deep-cifar10')).to.deep.equal(
        ['width0', 'growth3', 'blocks1.1', 'deep'].map(
          (part) =>
            `network resnet18-width0-growth3-blocks1.1-deep-cifar10: "${part}" is not understood; ` +
            'valid: width<factor up to 16>, blocks2.2.2.2 (4 counts from 1 to 200)',
        ),
      );
      expect(problemsOf('densenet121-width0.5-cifar10')[0]).to.match(
        /"width0.5" .* valid: growth<rate>, blocks6.12.24.16/,
      );
    });

    it('have factors, rates and counts out of their range refused, and those at its ends taken', () => {
      const bad = [
        'width0',
        'width16.1',
        'width1.5.2',
        'width',
        'width-1',
        'blocks0.1.1.1',
        'blocks201.1.1.1',
        'blocks1.1.1',
        'blocks1.1.1.1.1',
        'blocks1.1..1',
      ];
      for (const part of bad) expect(problemsOf(`resnet18-${part}-cifar10`), part).to.have.length.at.least(1);
      for (const part of ['growth0', 'growth1.5', 'growth1000'])
        expect(problemsOf(`densenet121-${part}-cifar10`), part).to.have.length(1);
      expect(channelsOf('resnet20-width16-cifar10')).to.deep.equal([256, 512, 1024]);
      expect(blocksOf('resnet20-blocks1.200.1-cifar10', /^layer2\.(\d+)\./)).to.equal(200);
      expect(channelsOf('densenet121-growth999-blocks1.1.1.1-cifar10')[0]).to.equal(2997);
    });

    it('have a change that is asked for twice refused, rather than one of the two taken', () => {
      expect(problemsOf('resnet18-width0.5-width0.25-cifar10')).to.deep.equal([
        'network resnet18-width0.5-width0.25-cifar10: "width0.25" comes after another width; valid: one',
      ]);
      expect(problemsOf('densenet121-growth12-growth12-cifar10')).to.have.length(1);
    });
  });
});
