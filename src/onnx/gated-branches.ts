import type { ConfidenceKind } from '../gates/confidence.js';
import type { PlacedGate } from '../gates/contracts.js';
import { classCount } from '../networks/onnx.js';
import { GraphBuilder } from './builder.js';
import { networkParts, straightGraph } from './gated.js';
import { type GraphForm, gatedGraphNames, manyImages, oneImage, plainAnswer, writeGated } from './gated-exits.js';
import { piecesOf } from './graph/parts.js';
import { BLOCKED_DOMAIN, inputsOf, intOf, outputsOf, producersOf } from './graph/values.js';
import { isBehind, type Parts } from './judged.js';
import type { GatedSource } from './network.js';
import type { ModelMessage, NodeMessage, TensorMessage } from './proto.js';

const distancesName = (exit: number): string => `distances${exit + 1}`;

/**
 * The gated network without branches, so that ONNX Runtime optimises all of it. Its outputs are the distances at all exits.
 * `branchModel` divides the optimised graph into branches.
 */
export function straightModel(lowered: GatedSource, gates: readonly PlacedGate[]): Uint8Array {
  const size = classCount(lowered.network);
  return straightGraph(
    lowered,
    gates,
    Array.from({ length: networkParts(lowered, gates).count }, (_, exit) => [distancesName(exit), size] as const),
  );
}

/**
 * The gated network with branches, from a straight one that ONNX Runtime has optimised. Each node goes into the branch of the
 * first exit that needs it. In a graph with branches ONNX Runtime would not use the NCHWc layout, which saves a fifth of the
 * time. Values between parts keep that layout; images are gathered along the first axis, in which each is contiguous.
 *
 * Each threshold is an input (`nameOfOne`); the answer is that of `plainAnswer`.
 *
 * @param optimised it fits this machine and version of ONNX Runtime only
 * @param images `one`: for single images, with fewer nodes; `any`: for any number
 */
export function branchModel(
  optimised: ModelMessage,
  images: 'one' | 'any',
  { gates, classes, confidence, fitted, channelBlock }: BranchOptions,
): Uint8Array {
  const distances = Array.from({ length: gates }, (_, gate) => distancesName(gate));
  const model = channelBlock === undefined ? optimised : gatesInBlocks(optimised, distances, channelBlock);
  const form: GraphForm = {
    name: model.graph.name,
    dialect: { opsets: model.opset_import, irVersion: Number(model.ir_version) },
    images: images === 'one' ? 1 : 'batch',
    image: imageDims(model),
    thresholds: 'separate',
    classes,
    fitted,
  };
  const parts = branchParts(model, gates + 1, images);
  const answer = plainAnswer(classes + Number(isBehind(confidence, fitted)), images);
  const spec = { parts, confidence, answer, withoutCopies: true };
  return writeGated(form, spec, images === 'one' ? oneImage : manyImages);
}

interface BranchOptions {
  readonly gates: number;
  readonly classes: number;
  readonly confidence: ConfidenceKind;
  readonly fitted?: 'input' | undefined;
  /** Channels per block, if ONNX Runtime chose the NCHWc layout. */
  readonly channelBlock?: number | undefined;
}

function imageDims({ graph }: ModelMessage): (number | string)[] {
  const dims = graph.input[0]!.type.tensor_type.shape.dim.slice(1);
  return dims.map((dim) => ('dim_value' in dim ? Number(dim.dim_value) : dim.dim_param));
}

/**
 * A straight model in parts. For single images each part is in one branch only, and has its weights there: ONNX Runtime takes
 * time in each run to pass weights into a branch.
 */
function branchParts(model: ModelMessage, exits: number, images: 'one' | 'any'): Parts {
  const constants = new Map(model.graph.initializer.map((tensor) => [tensor.name, tensor]));
  const ends = Array.from({ length: exits }, (_, exit) => distancesName(exit));
  const constantNodes = new Map<string, NodeMessage>();
  for (const node of model.graph.node) {
    const isConstant = inputsOf(node).every((name) => constants.has(name) || constantNodes.has(name));
    if (isConstant) for (const name of outputsOf(node)) constantNodes.set(name, node);
  }
  const nodes = model.graph.node.filter((node) => !constantNodes.has(outputsOf(node)[0]!));
  const { images: input } = gatedGraphNames;
  const { pieces, handedOn } = piecesOf({ nodes, constants, constantNodes }, { input, ends, path: model.graph.name });
  return {
    count: exits,
    write(builder, part, inputs) {
      const before = part === 0 ? [input] : handedOn[part - 1]!;
      const names = new Map(before.map((name, i): [string, string] => [name, inputs[i]!]));
      const renamed = (name: string): string => names.get(name) ?? name;
      // Several parts may share a constant; one of the same name in a branch inside would be taken for it.
      const addConstant = (name: string): void => {
        const tensor = constants.get(name);
        if (tensor === undefined || names.has(name)) return;
        names.set(name, images === 'one' ? builder.fresh(name) : builder.tensor(tensor));
        if (images === 'one') builder.localTensor({ ...tensor, name: names.get(name)! });
      };
      for (const node of pieces[part]!) {
        node.input.forEach(addConstant);
        for (const output of node.output) if (output !== '') names.set(output, builder.fresh(output));
        const [from, to] = [node.input.map(renamed), node.output.map(renamed)];
        builder.copy({ ...node, name: builder.fresh(node.name), input: from, output: to });
      }
      return { distances: renamed(distancesName(part)), next: handedOn[part]!.map(renamed) };
    },
  };
}

/** Input and output of `channelBlockModel`; `dims` are [1, channels, 1, width]. */
export const channelBlockProbe = { input: 'plain', output: 'blocked', dims: [1, 64, 1, 2] } as const;

/** A graph that reorders its input to the NCHWc layout, [n, channels / block, height, width, block] with the machine's block. */
export function channelBlockModel(): Uint8Array {
  const { input, output, dims } = channelBlockProbe;
  const opsets = [
    { domain: '', version: 17 },
    { domain: BLOCKED_DOMAIN, version: 1 },
  ];
  const builder = new GraphBuilder('channel-block', undefined, { opsets, irVersion: 8 });
  builder.input(input, 'float', dims);
  const names = { name: output, input: [input], output: [output] };
  builder.copy({ op_type: 'ReorderInput', domain: BLOCKED_DOMAIN, ...names, attribute: [] });
  builder.output(output, 'float', dims);
  return builder.encode();
}

/** Whether an optimised model uses the NCHWc layout; that depends on the processor and the network. */
export function liesInBlocks({ graph }: ModelMessage): boolean {
  return graph.node.some(({ domain }) => domain === BLOCKED_DOMAIN);
}

/**
 * Channels per block; undefined if the order is not NCHWc.
 *
 * @param blocked output of `channelBlockModel` for 0, 1, 2, ...: a block of first pixels precedes the second pixel, 1
 */
export function channelBlockOf(blocked: Float32Array): number | undefined {
  const block = blocked.indexOf(1);
  return block > 0 ? block : undefined;
}

/**
 * Makes gates read pooled features in the NCHWc layout: reorders the rows of their weights once, instead of each image's
 * features. Gates of another form stay unchanged.
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
    const outer = producers.get(name);
    const inner = producers.get(outer?.input[2] ?? ''); // where the gate takes the distances of the one before
    const gemm = inner?.op_type === 'Gemm' ? inner : outer;
    const flatten = onlyProducer(model, producers, gemm?.input[0], 'Flatten');
    const reorder = onlyProducer(model, producers, flatten?.input[0], 'ReorderOutput');
    const tensor = tensors.get(gemm?.input[1] ?? '');
    const isBlocked = reorder?.domain === BLOCKED_DOMAIN;
    if (gemm?.op_type !== 'Gemm' || flatten === undefined || !isBlocked || tensor === undefined) continue;
    const channels = intOf(reorder, 'channels', 0);
    const transposed = intOf(gemm, 'transB', 0) !== 0 || intOf(reorder, 'channels_last', 0) !== 0;
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
