import { GraphBuilder } from './builder.js';
import { producersOf } from './graph/values.js';
import type { ModelMessage, NodeMessage, TensorMessage } from './proto.js';

/** ONNX Runtime's own operators on values whose channels lie in blocks: [n, channels / block, height, width, block]. */
const DOMAIN = 'com.microsoft.nchwc';

/** What `channelBlockModel` takes: its input's name and shape [1, channels, 1, width], its output's name. */
export const channelBlockProbe: { readonly input: string; readonly output: string; readonly dims: readonly number[] } =
  {
    input: 'plain',
    output: 'blocked',
    dims: [1, 64, 1, 2],
  };

/** A graph that brings its input into blocks: what comes out says how many channels a block has on this machine. */
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

/** Whether values of an optimised model lie in blocks: not on every processor, nor in every network. */
export function liesInBlocks({ graph }: ModelMessage): boolean {
  return graph.node.some(({ domain }) => domain === DOMAIN);
}

/**
 * Channels of a block.
 *
 * @param blocked what `channelBlockModel` makes of its input's positions 0, 1, 2, ...: the second pixel of the first channel
 *   (1) lies behind one block of first pixels
 * @returns undefined where it does not lie there
 */
export function channelBlockOf(blocked: Float32Array): number | undefined {
  const block = blocked.indexOf(1);
  return block > 0 ? block : undefined;
}

/**
 * An optimised model whose gates take pooled features as they lie, in blocks of channels: the rows of their weights are
 * brought into that order once, in place of the features of every image. Gates that it does not find so are left alone.
 *
 * @param distances names of the gates' distances
 * @param block channels of a block
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

/** The node of that kind which makes a value, where nothing else takes the value. */
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

/** Weights [channels x pixels, classes] with their rows as [channels / block, pixels, block]: themselves for one pixel. */
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
