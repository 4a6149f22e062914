import { elementCount } from '../tensor.js';
import type { Layer, Network } from './network.js';

/** A tensor of a network, with its name in the reference implementation's `state_dict()`. */
export interface NetworkTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** Number of elements. */
  readonly count: number;
  /** False for running statistics. */
  readonly trainable: boolean;
}

const expected = (name: string, shape: readonly number[], trainable = true): NetworkTensor => ({
  name,
  shape,
  count: elementCount(shape),
  trainable,
});

function* layerTensors(layers: readonly Layer[]): Generator<NetworkTensor> {
  for (const layer of layers) {
    if (layer.op === 'conv') {
      yield expected(`${layer.name}.weight`, [layer.out, layer.in, layer.kernel, layer.kernel]);
    } else if (layer.op === 'batchNorm') {
      yield expected(`${layer.name}.weight`, [layer.channels]);
      yield expected(`${layer.name}.bias`, [layer.channels]);
      yield expected(`${layer.name}.running_mean`, [layer.channels], false);
      yield expected(`${layer.name}.running_var`, [layer.channels], false);
    } else if (layer.op === 'residual') {
      yield* layerTensors(layer.body);
      yield* layerTensors(layer.shortcut);
    } else if (layer.op === 'denseConcat') {
      yield* layerTensors(layer.body);
    }
  }
}

/** All tensors of a network in the order of its reference's `state_dict()`, without `num_batches_tracked`. */
export function networkTensors(network: Network): NetworkTensor[] {
  const { classifier } = network;
  return [
    ...layerTensors(network.stem),
    ...network.stages.flatMap((stage) => [...layerTensors(stage.layers), ...layerTensors(stage.transition)]),
    ...layerTensors(classifier.head),
    expected(`${classifier.name}.weight`, [classifier.out, classifier.in]),
    expected(`${classifier.name}.bias`, [classifier.out]),
  ];
}
