/**
 * Two d-gates on a ResNet-56 that comes as an ONNX file, CIFAR-10; its table and curve stand in results/reference/own-resnet56.
 *
 * Command   python3 bench/make-onnx.py resnet56 resnet56-4bfd9763.th resnet56.onnx   (PyTorch; akamaster's checkpoint)
 *           npx dgate run ./examples/own-network/resnet56.ts                          (resnet56.onnx in this folder)
 * Machine   two cores of an AMD EPYC, 2026-11-23, Node 20.20.2, onnxruntime-node 1.30.0; seed 0.
 * The experiment `resnet56` gates the same network by its name;
 * docs/networks-tried.md says how far the two are apart.
 */
import { defineExperiment, onnxNetwork } from 'dgate';

export default defineExperiment({
  name: 'own-resnet56',
  title: 'ResNet-56 from an ONNX file with two d-gates, CIFAR-10',
  network: onnxNetwork('resnet56.onnx', {
    gatesAfter: ['/layer1/layer1.8/Relu_1_output_0', '/layer2/layer2.8/Relu_1_output_0'],
    preprocess: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
  }),
  dataset: 'cifar10',
  gates: { after: [1, 2], pooling: '4x4', solver: 'sgd' }, // stochastic steps, as the table on record
  thresholds: { margins: [0.001, 0.005, 0.01, 0.02], guarantee: { drop: 0.005 } },
  analysis: { kind: 'accuracy-flops' },
});
