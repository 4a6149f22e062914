import { GraphBuilder } from './builder.js';
import { producersOf } from './graph/values.js';
import type { ModelMessage, NodeMessage, TensorMessage } from './proto.js';

/** ONNX Runtime's operators on the NCHWc layout: [n, channels / block, height, width, block]. */
const DOMAIN = 'com.microsoft.nchwc';

/** The input and output of `channelBlockModel`; the input is [1, channels, 1, width]. */
export const channelBlockProbe: { readonly input: string; readonly output: string; readonly dims: readonly number[] } =
  {
    input: 'plain',
    output: 'blocked',
    dims: [1, 64, 1, 2],
  };

/** A graph that reorders its input to NCHWc: the output shows how many channels a block has on this machine. */
export function channelBlockModel(): Uint8Array {
  const { input, output, dims } = channelBlockProbe;
  const opsets = [
    { domain: '', version: 17 },
    { domain: DOMAIN, version: 1 },
  ];
  const builder = new GraphBuilder('channel-block', undefined, { opsets, irVersion: 8 });
  builder.input(input, 'float', dims);
  builder.copy({
    op_type: 'ReorderInput',
    domain: DOMAIN,
    name: output,
    input: [input],
    output: [output],
    attribute: [],
  });
  builder.output(output, 'float', dims);
  return builder.encode();
}

/** Whether an optimised model uses the NCHWc layout; that depends on the processor and the network. */
export function liesInBlocks({ graph }: ModelMessage): boolean {
  return graph.node.some(({ domain }) => domain === DOMAIN);
}

/**
 * Channels per block.
 *
 * @param blocked output of `channelBlockModel` for the input 0, 1, 2, ...: the second pixel of the first channel (1) follows
 *   one block of first pixels
 * @returns undefined if the output is not in this order
 */
export function channelBlockOf(blocked: Float32Array): number | undefined {
  const block = blocked.indexOf(1);
  return block > 0 ? block : undefined;
}

/**
 * Changes an optimised model so that its gates read pooled features in the NCHWc layout: the rows of the gates' weights are
 * reordered once, instead of every image's features. Gates of another form stay unchanged.
 *
 * @param distances names of the gates' distances
 * @param block channels per block
 */
export function gatesInBlocks(model: ModelMessage, distances: readonly string[], block: number): ModelMessage {
  const { graph } = model;
  const producers = producersOf(graph.node);
  const tensors = new Map(graph.initializer.map((tensor): [string, TensorMessage] => [tensor.name, tensor]));
  const replaced = new Map<NodeMessage, NodeMessage | undefined>();
  const weights: TensorMessage[] = [];
  for (const name of distances) {
    const gemm = producers.get(name);
    const flatten = onlyProducer(model, producers, gemm?.input[0], 'Flatten');
    const reorder = onlyProducer(model, producers, flatten?.input[0], 'ReorderOutput');
    const tensor = tensors.get(gemm?.input[1] ?? '');
    if (gemm?.op_type !== 'Gemm' || flatten === undefined || reorder?.domain !== DOMAIN || tensor === undefined)
      continue;
    const channels = integer(reorder, 'channels');
    const transposed = integer(gemm, 'transB') !== 0 || integer(reorder, 'channels_last') !== 0;
    if (transposed || channels % block !== 0 || tensor.dims.length !== 2) continue;
    const inBlocks = rowsInBlocks(tensor, channels, block);
    if (inBlocks !== tensor) weights.push(inBlocks);
    replaced.set(gemm, { ...gemm, input: [gemm.input[0]!, inBlocks.name, ...gemm.input.slice(2)] });
    replaced.set(flatten, { ...flatten, input: [reorder.input[0]!] });
    replaced.set(reorder, undefined);
  }
  const node = graph.node.flatMap((one) => (replaced.has(one) ? (replaced.get(one) ?? []) : one));
  return { ...model, graph: { ...graph, node, initializer: [...graph.initializer, ...weights] } };
}

/** The node with operator `op` that produces a value, if the value has one consumer. */
function onlyProducer(
  { graph }: ModelMessage,
  producers: ReadonlyMap<string, NodeMessage>,
  name: string | undefined,
  op: string,
): NodeMessage | undefined {
  const node = name === undefined ? undefined : producers.get(name);
  if (node?.op_type !== op) return undefined;
  const takers = graph.node.filter(({ input }) => input.includes(name!)).length;
  return takers === 1 && graph.output.every((output) => output.name !== name) ? node : undefined;
}

function integer({ attribute }: NodeMessage, name: string): number {
  return Number(attribute.find((one) => one.name === name)?.i ?? 0);
}

/** Weights [channels x pixels, classes] with rows ordered [channels / block, pixels, block]; unchanged for one pixel. */
function rowsInBlocks(tensor: TensorMessage, channels: number, block: number): TensorMessage {
  const [rows, classes] = tensor.dims.map(Number) as [number, number];
  const pixels = rows / channels;
  if (pixels === 1) return tensor;
  const bytes = classes * Float32Array.BYTES_PER_ELEMENT;
  const data = new Uint8Array(rows * bytes);
  for (let row = 0; row < rows; row++) {
    const [channel, pixel] = [Math.floor(row / pixels), row % pixels];
    const first = Math.floor(channel / block) * block;
    const target = first * pixels + pixel * block + (channel - first);
    data.set(tensor.raw_data.subarray(row * bytes, (row + 1) * bytes), target * bytes);
  }
  return { ...tensor, name: `${tensor.name}.in_blocks`, raw_data: data };
}
