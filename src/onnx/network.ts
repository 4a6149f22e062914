import type { Preprocessing } from '../data/preprocess.js';
import { type Resizing, sideWeights, WEIGHT_SUM } from '../data/resample.js';
import { InputError } from '../errors.js';
import type { PlacedGate } from '../gates/contracts.js';
import type { Lowered, LoweredNetwork } from '../networks/lower.js';
import type { MapShape, SubsamplePad } from '../networks/network.js';
import type { OnnxNetwork, Pooling } from '../networks/onnx.js';
import { type Dialect, dialectOfFile, float, type GraphBuilder } from './builder.js';
import type { PreparedGraph } from './graph/prepare.js';
import { dataTypes } from './proto.js';

export const featureGraphNames = {
  /** float [batch, channels, height, width], normalised */
  input: 'images',
  /** float [batch, classes] */
  logits: 'logits',
  /** float [batch, features] of gate k (counted from 0) */
  gate: (index: number): string => `gate${index + 1}`,
} as const;

export function writeClassifier(builder: GraphBuilder, lowered: LoweredNetwork, input: string, output: string): void {
  const value = writeLayers(builder, lowered.head, input);
  const pooled = builder.node('Flatten', [builder.node('GlobalAveragePool', [value])], { axis: 1 });
  const { name } = lowered.network.classifier;
  const weight = builder.constant(`${name}.weight`, lowered.weight.data, lowered.weight.shape);
  const bias = builder.constant(`${name}.bias`, lowered.bias.data, lowered.bias.shape);
  builder.node('Gemm', [pooled, weight, bias], { transB: 1 }, output);
}

/** Writes a gate's pooling: [batch, channels, height, width] to [batch, features]. */
export function writePooling(
  builder: GraphBuilder,
  input: string,
  pooling: Pooling,
  shape: MapShape,
  output: string,
): string {
  const flat = (cells: string): string => builder.node('Flatten', [cells], { axis: 1 }, output);
  if (pooling.kind !== 'grid') return flat(builder.node('GlobalAveragePool', [input]));
  const cell = [shape.height / pooling.size, shape.width / pooling.size];
  return flat(builder.node('AveragePool', [input], { kernel_shape: cell, strides: cell }));
}

export function writeLayers(builder: GraphBuilder, layers: readonly Lowered[], input: string): string {
  return layers.reduce((value, layer) => writeLayer(builder, layer, value), input);
}

function writeLayer(builder: GraphBuilder, layer: Lowered, input: string): string {
  const activated = (value: string, relu: boolean): string => (relu ? builder.node('Relu', [value]) : value);
  switch (layer.op) {
    case 'conv': {
      const weight = builder.constant(`${layer.name}.weight`, layer.weight.data, layer.weight.shape);
      const bias = builder.constant(`${layer.name}.bias`, layer.bias.data, layer.bias.shape);
      const window = windowOf(layer.weight.shape[2]!, layer);
      return activated(builder.node('Conv', [input, weight, bias], window), layer.relu);
    }
    case 'scale': {
      // As a BatchNormalization with mean 0 and variance 1, for which ONNX Runtime has a kernel on the blocked layout.
      const size = layer.scale.data.length;
      const add = (part: string, data: Float32Array) => builder.constant(`${layer.name}.${part}`, data, [size]);
      const [scale, shift] = [add('scale', layer.scale.data), add('shift', layer.shift.data)];
      const parts = [
        scale,
        shift,
        add('mean', new Float32Array(size)),
        add('variance', new Float32Array(size).fill(1)),
      ];
      return activated(builder.node('BatchNormalization', [input, ...parts], { epsilon: float(0) }), layer.relu);
    }
    case 'relu':
      return builder.node('Relu', [input]);
    case 'maxPool':
    case 'avgPool': {
      const op = layer.op === 'maxPool' ? 'MaxPool' : 'AveragePool';
      return builder.node(op, [input], windowOf(layer.kernel, layer));
    }
    case 'residual': {
      const body = writeLayers(builder, layer.body, input);
      const shortcut = writeLayers(builder, layer.shortcut, input);
      return activated(builder.node('Add', [body, shortcut]), layer.relu);
    }
    case 'denseConcat': {
      const fresh = writeLayers(builder, layer.body, input);
      return builder.node('Concat', layer.first === 'input' ? [input, fresh] : [fresh, input], { axis: 1 });
    }
    case 'subsamplePad':
      return writeSubsamplePad(builder, layer, input);
  }
}

/** Attributes of a square convolution or pooling. */
function windowOf(kernel: number, { stride, padding }: { readonly stride: number; readonly padding: number }) {
  const pads = [padding, padding, padding, padding];
  return { kernel_shape: [kernel, kernel], strides: [stride, stride], pads };
}

function writeSubsamplePad(builder: GraphBuilder, layer: SubsamplePad, input: string): string {
  const name = `${input}_subsample`;
  const rows = builder.node('Slice', [
    input,
    builder.ints(`${name}_starts`, [0, 0]),
    builder.ints(`${name}_ends`, [2 ** 31, 2 ** 31]),
    builder.ints(`${name}_axes`, [2, 3]),
    builder.ints(`${name}_steps`, [layer.stride, layer.stride]),
  ]);
  // Pads: begins of the four axes, then their ends.
  return builder.node('Pad', [rows, builder.ints(`${name}_pads`, [0, layer.before, 0, 0, 0, layer.after, 0, 0])]);
}

/** (byte / 255 - mean) / std, rounded after each step as in `normalise` and torchvision. */
export function writeNormalisation(builder: GraphBuilder, pixels: string, { mean, std }: Preprocessing): string {
  const floats = builder.node('Cast', [pixels], { to: dataTypes.float });
  const scaled = builder.node('Div', [floats, builder.constant('byte_range', Float32Array.of(255), [])]);
  const centred = builder.node('Sub', [scaled, perChannel(builder, 'pixel_mean', mean)]);
  return builder.node('Div', [centred, perChannel(builder, 'pixel_std', std)]);
}

/** Normalises normalised pixels in another way. */
function writeRenormalisation(builder: GraphBuilder, pixels: string, from: Preprocessing, to: Preprocessing): string {
  if (from.mean.join() === to.mean.join() && from.std.join() === to.std.join()) return pixels;
  const factor = from.std.map((std, i) => std / to.std[i]!);
  const shift = from.mean.map((mean, i) => (mean - to.mean[i]!) / to.std[i]!);
  const scaled = builder.node('Mul', [pixels, perChannel(builder, 'pixel_factor', factor)]);
  return builder.node('Add', [scaled, perChannel(builder, 'pixel_shift', shift)]);
}

/** The bytes of normalised pixels, as floats. */
function writeBytes(builder: GraphBuilder, pixels: string, { mean, std }: Preprocessing): string {
  const ofByte = (values: readonly number[]): number[] => values.map((value) => 255 * value);
  const scaled = builder.node('Mul', [pixels, perChannel(builder, 'pixel_factor', ofByte(std))]);
  const shift = ofByte(mean).map((mean) => mean + 0.5);
  return builder.node('Floor', [builder.node('Add', [scaled, perChannel(builder, 'pixel_shift', shift)])]);
}

/** The counterpart of `resizedImages`, exact in float32: whole numbers below 2^24, divided by powers of two. */
function writeResized(builder: GraphBuilder, pixels: string, { from, to, field, isReversed }: Resizing): string {
  const floats = builder.node('Cast', [pixels], { to: dataTypes.float });
  const reversed = (): string => builder.node('Gather', [floats, builder.ints('reversed', [2, 1, 0])], { axis: 1 });
  const ordered = isReversed ? reversed() : floats;
  const average = (name: string, inputs: (weights: string) => string[], length: number, size: number): string => {
    const down = sideWeights(length, size, field);
    // The width is multiplied from the right, by transposed weights.
    const weights = name === 'across' ? down.map((_, k) => down[(k % size) * length + Math.floor(k / size)]!) : down;
    const dims = name === 'across' ? [length, size] : [size, length];
    const sums = builder.node('MatMul', inputs(builder.constant(`resize_${name}`, weights, dims)));
    const scaled = builder.node('Mul', [sums, builder.constant('resize_scale', Float32Array.of(1 / WEIGHT_SUM), [])]);
    return builder.node('Floor', [builder.node('Add', [scaled, builder.constant('half', Float32Array.of(0.5), [])])]);
  };
  const narrowed = average('across', (weights) => [ordered, weights], from.width, to.width);
  return average('down', (weights) => [weights, narrowed], from.height, to.height);
}

const perChannel = (builder: GraphBuilder, name: string, values: readonly number[]): string =>
  builder.constant(name, Float32Array.from(values), [1, values.length, 1, 1]);

/** A user's network, ready to run; built-in ones are a `LoweredNetwork`. */
export interface UserNetwork {
  readonly network: OnnxNetwork;
  readonly graph: PreparedGraph;
}

export type LoadedNetwork = LoweredNetwork | UserNetwork;

export type NetworkOutputs = 'features' | 'features and logits';

/** Networks one after the other, on the same classes. */
export interface LoadedCascade {
  /** The last one. */
  readonly network: LoadedNetwork['network'];
  /** How images that are not bytes have been normalised: as for the last network. */
  readonly given: Preprocessing;
  readonly members: readonly LoadedMember[];
}

/** A network of a cascade with the gates inside it. */
export interface LoadedMember {
  readonly loaded: LoadedNetwork;
  readonly preprocessing: Preprocessing;
  /** From the size of the graph's images to its own, if they differ. */
  readonly resizing?: Resizing;
  readonly gates: readonly PlacedGate[];
  /** Whether it ends at its last gate, without its classifier. */
  readonly isCut: boolean;
}

/**
 * Writes the input of a network in a cascade, of its images' size and normalised for it.
 *
 * @param pixels bytes 0-255, or floats that have been normalised as `given` says
 */
export function writeMemberPixels(
  builder: GraphBuilder,
  pixels: string,
  { preprocessing, resizing }: LoadedMember,
  given: Preprocessing | undefined,
): string {
  if (resizing === undefined && given !== undefined) return writeRenormalisation(builder, pixels, given, preprocessing);
  const bytes = given === undefined || resizing === undefined ? pixels : writeBytes(builder, pixels, given);
  return writeNormalisation(builder, resizing ? writeResized(builder, bytes, resizing) : bytes, preprocessing);
}

/** A network or cascade to write with exits. */
export type GatedSource = LoadedNetwork | LoadedCascade;

export function isUser(loaded: GatedSource): loaded is UserNetwork {
  return 'graph' in loaded;
}

/** The operator versions of a user's file; undefined for built-in networks. @throws InputError if those of a cascade differ */
export function dialectOf(loaded: GatedSource): Dialect | undefined {
  if ('members' in loaded) {
    const dialects = loaded.members.flatMap((member) => dialectOf(member.loaded) ?? []);
    const texts = dialects.map(({ opsets }) => opsets.map(({ domain, version }) => `${domain || 'opset'} ${version}`));
    if (new Set(texts.map(String)).size < 2) return dialects[0];
    const found = texts.map((text, i) => `file ${i + 1} is of ${text.join(', ')}`).join('; ');
    throw new InputError(`cascade: ${found}; one file takes one: export all with the same opset_version`);
  }
  return isUser(loaded) ? dialectOfFile(loaded.graph.model.file.model) : undefined;
}
