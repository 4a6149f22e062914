import figure1 from '../experiments/figure1.js';
import figure4 from '../experiments/figure4.js';
import figure5 from '../experiments/figure5.js';
import figure6 from '../experiments/figure6.js';
import frontier from '../experiments/frontier.js';
import imagenet from '../experiments/imagenet.js';
import policies from '../experiments/policies.js';
import resnet56 from '../experiments/resnet56.js';
import shift from '../experiments/shift.js';
import { cascade, defineExperiment, imageFolder, onnxNetwork, scores } from '../src/index.js';

/** Definitions that together have every key: the examples of docs/experiment.md. */
export const examples = [
  defineExperiment({
    name: 'mine',
    title: 'ResNet-20 with one gate',
    network: 'resnet20-cifar10',
    checkpoint: 'akamaster-resnet20-cifar10',
    weights: { key: 'state_dict_ema', ignore: '*total_ops,*total_params' },
    seed: 0,
    seeds: [0, 1, 2],
    engine: 'ort-cpu',
    published: 'table1',
    trainImages: 10_000,
    testImages: 2000,
    gates: {
      after: [1, 2],
      pooling: '4x4',
      loss: 'hinge',
      target: 'labels',
      weights: 'equal',
      l2: 0.002,
      solver: 'optimum',
      gap: 0.001,
      epochs: 20,
      batchSize: 512,
      confidence: 'max',
      calibrate: false,
    },
    thresholds: {
      margins: [0.005, 0.01],
      budgets: [0.5, 0.75],
      latencyMs: [2.5],
      resamples: 200,
      disagreements: [0.01],
      fixed: [[1.5, 2]],
      perClass: false,
      search: ['joint', 'sequential'],
      guarantee: { drop: 0.005, confidence: 0.95, method: 'exact' },
      validation: { kind: 'cross-fit', folds: 2 },
    },
    baselines: [{ network: 'resnet32-cifar10', checkpoint: 'akamaster-resnet32-cifar10' }],
  }),
  defineExperiment({
    name: 'own',
    title: 'An ONNX file and a folder of images',
    network: onnxNetwork('model.onnx', {
      gatesAfter: ['layer2', 'layer3'],
      logits: 'logits',
      inputSize: [224, 224],
      preprocess: 'torchvision',
    }),
    dataset: imageFolder('images', {
      preprocess: {
        mean: [0.5, 0.5, 0.5],
        std: [0.25, 0.25, 0.25],
        resize: 256,
        crop: 224,
        interpolation: 'bicubic',
        squash: false,
        order: 'rgb',
      },
      testShare: 0.2,
      seed: 0,
    }),
    unlabelled: 'photos',
    gates: { after: [1, 2] },
    thresholds: { guarantee: { disagreement: 0.01 } },
  }),
  defineExperiment({
    name: 'two',
    title: 'Two networks',
    network: cascade(
      [
        { network: 'resnet20-cifar10', checkpoint: 'akamaster-resnet20-cifar10' },
        { network: 'resnet56-cifar10', checkpoint: 'akamaster-resnet56-cifar10', gates: { after: [2] } },
      ],
      { confidence: 'softmax', calibrate: true },
    ),
    thresholds: { margins: [0.01] },
  }),
  defineExperiment({
    name: 'scored',
    title: 'Scores of any network',
    network: scores('test.npz', { choosing: 'validation.npz', confidence: 'softmax' }),
    thresholds: { margins: [0.01], validation: { kind: 'held-out' } },
  }),
  figure1,
  figure4,
  figure5,
  figure6,
  frontier,
  imagenet,
  defineExperiment({
    ...policies,
    analysis: {
      kind: 'policies',
      policies: [
        { loss: 'hinge', confidence: 'max' },
        { loss: 'cross-entropy', confidence: 'difference', l2: 0.001, weights: 'survivors', perClass: true },
        { loss: 'hinge', solver: 'optimum', confidence: 'average', previous: true },
      ],
      margins: [0.002, 0.005],
      seeds: 3,
    },
  }),
  resnet56,
  shift,
];
