import { type Layer, type MapShape, type Network, networkTensors, shapeAfter, stageShapes } from './network.js';

/** The cost of one stage. FLOPs are 2 x multiply-accumulates of convolutions and linear layers for one image. */
export interface StageFlops extends MapShape {
  readonly name: string;
  /** FLOPs from the previous stage's end to this one's (the first: stem included; DenseNet: transition before it). */
  readonly flops: number;
  /** FLOPs from the image to this stage's end, gates not included. */
  readonly cumulativeFlops: number;
}

export interface NetworkFlops {
  readonly network: string;
  readonly input: MapShape;
  /** Trainable scalars: convolutions, batch-norm weight and bias, linear layers. */
  readonly parameters: number;
  /** FLOPs of the whole original network. */
  readonly flops: number;
  readonly stages: readonly StageFlops[];
}

/** FLOPs of a sequence of layers on one image. */
function layersFlops(layers: readonly Layer[], input: MapShape): number {
  let shape = input;
  let flops = 0;
  for (const layer of layers) {
    const output = shapeAfter([layer], shape);
    if (layer.op === 'conv') {
      flops += 2 * layer.in * layer.out * layer.kernel ** 2 * output.height * output.width;
    } else if (layer.op === 'residual') {
      flops += layersFlops(layer.body, shape) + layersFlops(layer.shortcut, shape);
    } else if (layer.op === 'denseConcat') {
      flops += layersFlops(layer.body, shape);
    }
    shape = output;
  }
  return flops;
}

/** FLOPs of a linear layer on one image: of a d-gate (`inputs` features, one output per class) or the classifier. */
export function linearFlops(inputs: number, outputs: number): number {
  return 2 * inputs * outputs;
}

/**
 * Exact FLOPs of a network, by stage (the paper's convention: ResNet-101 5.02 G, DenseNet-201 2.72 G on CIFAR-10, both
 * tables of section 3.4).
 */
export function networkFlops(network: Network): NetworkFlops {
  let shape = network.input;
  let total = 0;
  const spend = (layers: readonly Layer[]): void => {
    total += layersFlops(layers, shape);
    shape = shapeAfter(layers, shape);
  };
  spend(network.stem);
  let previous = 0;
  const shapes = stageShapes(network);
  const stages = network.stages.map((stage, index): StageFlops => {
    spend(stage.layers);
    const entry = { name: stage.name, ...shapes[index]!, flops: total - previous, cumulativeFlops: total };
    previous = total;
    spend(stage.transition);
    return entry;
  });
  spend(network.classifier.head);
  return {
    network: network.name,
    input: network.input,
    parameters: networkTensors(network).reduce((sum, tensor) => sum + (tensor.trainable ? tensor.count : 0), 0),
    flops: total + linearFlops(network.classifier.in, network.classifier.out),
    stages,
  };
}
