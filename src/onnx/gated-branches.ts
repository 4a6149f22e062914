import type { ConfidenceKind } from '../gates/confidence.js';
import type { PlacedGate } from '../gates/contracts.js';
import { classCount } from '../networks/onnx.js';
import { GraphBuilder } from './builder.js';
import { formOf, networkParts } from './gated.js';
import {
  type GraphForm,
  gatedGraphNames,
  manyImages,
  oneImage,
  type Parts,
  plainAnswer,
  writeGated,
} from './gated-exits.js';
import { producersOf } from './graph/values.js';
import type { GatedSource } from './network.js';
import type { ModelMessage, NodeMessage, TensorMessage } from './proto.js';

const distancesName = (exit: number): string => `distances${exit + 1}`;

/**
 * The gated network without exits: every image passes all of it, and the distances at every exit are outputs. It has no
 * branches, so ONNX Runtime optimises all of it; `branchModel` divides the result into branches.
 */
export function straightModel(lowered: GatedSource, gates: readonly PlacedGate[]): Uint8Array {
  const { name, dialect, image } = formOf(lowered);
  const builder = new GraphBuilder(name, undefined, dialect);
  let values: readonly string[] = [builder.input(gatedGraphNames.images, 'float', ['batch', ...image])];
  const parts = networkParts(lowered, gates);
  for (let part = 0; part < parts.count; part++) {
    const { distances, next } = parts.write(builder, part, values);
    builder.node('Identity', [distances], {}, distancesName(part));
    builder.output(distancesName(part), 'float', ['batch', classCount(lowered.network)]);
    values = next;
  }
  return builder.encode();
}

/**
 * The gated network with branches, from a straight one that ONNX Runtime has optimised (NCHWc layout, fused activations).
 * Each node goes into the branch of the first exit that needs it. ONNX Runtime does not use the NCHWc layout for nodes that
 * are inside branches when it optimises, which would cost a fifth of the time.
 *
 * Values between parts keep the optimiser's layout. Each image is contiguous in it, so gathering images along the first axis
 * is correct in any layout.
 *
 * Each threshold is an input (`nameOfOne`); the answer is that of `plainAnswer`.
 *
 * @param optimised the model that ONNX Runtime wrote; it fits this machine and version only
 * @param images `one`: a graph for single images, with fewer nodes; `any`: for any number of images
 */
export function branchModel(
  optimised: ModelMessage,
  images: 'one' | 'any',
  { gates, classes, confidence, temperatures, channelBlock }: BranchOptions,
): Uint8Array {
  const distances = Array.from({ length: gates }, (_, gate) => distancesName(gate));
  const model = channelBlock === undefined ? optimised : gatesInBlocks(optimised, distances, channelBlock);
  const form: GraphForm = {
    name: model.graph.name,
    dialect: { opsets: model.opset_import, irVersion: Number(model.ir_version) },
    images: images === 'one' ? 1 : 'batch',
    image: imageDims(model),
    thresholds: 'separate',
    temperatures,
  };
  const parts = branchParts(model, gates + 1, images);
  const spec = { parts, confidence, answer: plainAnswer(classes, images), withoutCopies: true };
  return writeGated(form, spec, images === 'one' ? oneImage : manyImages);
}

interface BranchOptions {
  readonly gates: number;
  readonly classes: number;
  readonly confidence: ConfidenceKind;
  readonly temperatures?: 'input' | undefined;
  /** Channels per block, if ONNX Runtime chose the NCHWc layout. */
  readonly channelBlock?: number | undefined;
}

/** Dimensions of an image, without the batch. */
function imageDims({ graph }: ModelMessage): (number | string)[] {
  const dims = graph.input[0]!.type.tensor_type.shape.dim.slice(1);
  return dims.map((dim) => ('dim_value' in dim ? Number(dim.dim_value) : dim.dim_param));
}

/** Nodes of a straight model by the first exit that needs them, and the values that each part hands on. */
function splitByExit({ graph }: ModelMessage, exits: number) {
  const nodes = Array.from({ length: exits }, (): NodeMessage[] => []);
  const partOf = partsOfNodes(graph.node, exits);
  for (const node of graph.node) {
    const part = partOf.get(node);
    if (part !== undefined) nodes[part]!.push(node);
  }
  return { nodes, handedOn: nodes.map((_, part) => valuesBetween(nodes, part)) };
}

/**
 * A straight model in parts, for the branches of one graph. For single images each part is in one branch only, with its
 * weights: ONNX Runtime passes each weight from outside into a branch again in every run.
 */
function branchParts(model: ModelMessage, exits: number, images: 'one' | 'any'): Parts {
  const constants = new Map(model.graph.initializer.map((tensor) => [tensor.name, tensor]));
  const { nodes, handedOn } = splitByExit(model, exits);
  return {
    count: exits,
    write(builder, part, inputs) {
      const before = part === 0 ? [gatedGraphNames.images] : handedOn[part - 1]!;
      const names = new Map(before.map((name, i): [string, string] => [name, inputs[i]!]));
      const renamed = (name: string): string => names.get(name) ?? name;
      for (const node of nodes[part]!) {
        for (const tensor of node.input.map((name) => constants.get(name))) {
          if (tensor === undefined) continue;
          if (images === 'one') builder.localTensor(tensor);
          else builder.tensor(tensor);
        }
        for (const output of node.output) if (output !== '') names.set(output, builder.fresh(output));
        const [input, output] = [node.input.map(renamed), node.output.map(renamed)];
        builder.copy({ ...node, name: builder.fresh(node.name), input, output });
      }
      return { distances: renamed(distancesName(part)), next: handedOn[part]!.map(renamed) };
    },
  };
}

/** The first exit whose distances need a node; no entry for a node that no exit needs. */
function partsOfNodes(nodes: readonly NodeMessage[], exits: number): Map<NodeMessage, number> {
  const producers = producersOf(nodes);
  const parts = new Map<NodeMessage, number>();
  for (let exit = 0; exit < exits; exit++) {
    const pending = [distancesName(exit)];
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      const node = producers.get(name);
      if (node === undefined || parts.has(node)) continue;
      parts.set(node, exit);
      pending.push(...node.input);
    }
  }
  return parts;
}

/** Values that are computed up to a part and needed after it. */
function valuesBetween(nodes: readonly (readonly NodeMessage[])[], part: number): string[] {
  const upTo = nodes.slice(0, part + 1).flat();
  const made = new Set([gatedGraphNames.images, ...upTo.flatMap((node) => node.output)]);
  const needed = new Set(nodes.slice(part + 1).flatMap((later) => later.flatMap((node) => node.input)));
  return [...made].filter((name) => name !== '' && needed.has(name));
}

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
