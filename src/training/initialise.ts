import type { Layer, Network } from '../networks/network.js';
import { networkTensors } from '../networks/tensors.js';
import { Random } from '../random.js';
import type { Tensor } from '../tensor.js';

/**
 * Tensors of an untrained network. Convolutions: normal with variance 2 / fan-in (He et al. 2015, as akamaster's and
 * torchvision's DenseNets do); the classifier: uniform within 1 / sqrt(fan-in), PyTorch's default; batch norm: the
 * identity.
 *
 * Each tensor has its own random sequence: the same seed and name give the same values in any network.
 *
 * @param zeroInitResidual whether the last batch norm of each residual block's body starts with weight 0
 */
export function initialTensors(network: Network, seed: number, zeroInitResidual: boolean): Map<string, Tensor> {
  const zeroed = zeroInitResidual ? lastNormsOfResiduals(network) : new Set<string>();
  const { name: classifier, in: inputs } = network.classifier;
  return new Map(
    networkTensors(network).map(({ name, shape, count }): [string, Tensor] => {
      const random = new Random(seed, `initial ${name}`);
      const data = new Float32Array(count);
      if (shape.length === 4) fillNormal(data, Math.sqrt(2 / (count / shape[0]!)), random);
      else if (name.startsWith(`${classifier}.`)) fillUniform(data, 1 / Math.sqrt(inputs), random);
      else if (name.endsWith('.weight')) data.fill(zeroed.has(name) ? 0 : 1);
      else if (name.endsWith('.running_var')) data.fill(1);
      return [name, { shape, data }];
    }),
  );
}

/** Names of the weights of the last batch norm in each residual block. */
function lastNormsOfResiduals(network: Network): Set<string> {
  const layers: Layer[] = network.stages.flatMap((stage) => stage.layers);
  return new Set(
    layers.flatMap((layer) => {
      const last = layer.op === 'residual' ? layer.body.at(-1) : undefined;
      return last?.op === 'batchNorm' ? [`${last.name}.weight`] : [];
    }),
  );
}

function fillUniform(data: Float32Array, limit: number, random: Random): void {
  for (let i = 0; i < data.length; i++) data[i] = limit * (2 * random.uniform() - 1);
}

/** Box and Muller (1958); two numbers at a time. */
function fillNormal(data: Float32Array, deviation: number, random: Random): void {
  for (let i = 0; i < data.length; i += 2) {
    const radius = deviation * Math.sqrt(-2 * Math.log(1 - random.uniform()));
    const angle = 2 * Math.PI * random.uniform();
    data[i] = radius * Math.cos(angle);
    if (i + 1 < data.length) data[i + 1] = radius * Math.sin(angle);
  }
}
