import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Layer, Network } from '../../src/networks/network.js';
import { float, GraphBuilder } from '../../src/onnx/builder.js';
import type { TensorMap } from '../../src/tensor.js';

/**
 * Writes a network of dgate's as an ONNX file the way `torch.onnx.export` writes it with batch norms left as they are
 * (training=TrainingMode.PRESERVE): a path other than dgate's own to the same network. The value at the end of stage k is
 * called `stage<k>`.
 *
 * @returns the path, in a folder of its own
 */
export async function writeExported(network: Network, tensors: TensorMap): Promise<string> {
  const builder = new GraphBuilder(network.name);
  const { channels, height, width } = network.input;
  const write = (layers: readonly Layer[], from: string): string =>
    layers.reduce((value, layer) => writeLayer(builder, layer, tensors, value), from);
  let value = write(network.stem, builder.input('input', 'float', ['batch', channels, height, width]));
  network.stages.forEach((stage, index) => {
    value = builder.node('Identity', [write(stage.layers, value)], {}, `stage${index + 1}`);
    value = write(stage.transition, value);
  });
  const { head, name, out } = network.classifier;
  const pooled = builder.node('GlobalAveragePool', [write(head, value)]);
  const [weight, bias] = ['weight', 'bias'].map((part) => constant(builder, `${name}.${part}`, tensors));
  builder.node('Gemm', [builder.node('Flatten', [pooled], { axis: 1 }), weight!, bias!], { transB: 1 }, 'logits');
  builder.output('logits', 'float', ['batch', out]);
  const path = join(await mkdtemp(join(tmpdir(), 'dgate-exported-')), `${network.name}.onnx`);
  await writeFile(path, builder.encode());
  return path;
}

function constant(builder: GraphBuilder, name: string, tensors: TensorMap): string {
  const { data, shape } = tensors.get(name)!;
  return builder.constant(name, data, shape);
}

function writeLayer(builder: GraphBuilder, layer: Layer, tensors: TensorMap, input: string): string {
  const write = (layers: readonly Layer[]): string =>
    layers.reduce((value, inner) => writeLayer(builder, inner, tensors, value), input);
  switch (layer.op) {
    case 'conv':
      return builder.node('Conv', [input, constant(builder, `${layer.name}.weight`, tensors)], window(layer));
    case 'batchNorm': {
      const parts = ['weight', 'bias', 'running_mean', 'running_var'];
      const names = parts.map((part) => constant(builder, `${layer.name}.${part}`, tensors));
      return builder.node('BatchNormalization', [input, ...names], { epsilon: float(1e-5), momentum: float(0.9) });
    }
    case 'relu':
      return builder.node('Relu', [input]);
    case 'maxPool':
      return builder.node('MaxPool', [input], window(layer));
    case 'avgPool':
      return builder.node('AveragePool', [input], window(layer));
    case 'residual':
      return builder.node('Add', [write(layer.body), write(layer.shortcut)]);
    case 'denseConcat':
      return builder.node('Concat', layer.first === 'input' ? [input, write(layer.body)] : [write(layer.body), input], {
        axis: 1,
      });
    case 'subsamplePad': {
      // As x[:, :, ::2, ::2] comes out of PyTorch: an axis at a time.
      const sliced = [2, 3].reduce((value, axis) => {
        const bounds = [[0], [2 ** 31], [axis], [layer.stride]].map((list) =>
          builder.ints(builder.fresh('slice'), list),
        );
        return builder.node('Slice', [value, ...bounds]);
      }, input);
      const pads = builder.ints(builder.fresh('pads'), [0, layer.before, 0, 0, 0, layer.after, 0, 0]);
      return builder.node('Pad', [sliced, pads]);
    }
  }
}

function window({
  kernel,
  stride,
  padding,
}: {
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
}) {
  return { kernel_shape: [kernel, kernel], strides: [stride, stride], pads: [padding, padding, padding, padding] };
}
