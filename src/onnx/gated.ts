import type { Preprocessing } from '../data/preprocess.js';
import type { ConfidenceKind } from '../gates/confidence.js';
import type { PlacedGate } from '../gates/contracts.js';
import { gateOfFeatures } from '../gates/gate.js';
import type { LoweredNetwork } from '../networks/lower.js';
import { stageShapes } from '../networks/network.js';
import { classCount, type GatePlace, gateFeatureCounts } from '../networks/onnx.js';
import { GraphBuilder } from './builder.js';
import {
  type AnswerForm,
  decidedAnswer,
  type ExitsSpec,
  type ExitWriter,
  type GraphForm,
  gatedGraphNames,
  manyImages,
  oneImage,
  writeGated,
  writeIf,
  writeStaying,
} from './gated-exits.js';
import { userParts } from './graph/parts.js';
import { gatedParts, type Parts } from './judged.js';
import {
  dialectOf,
  featureGraphNames,
  type GatedSource,
  isUser,
  type LoadedCascade,
  type LoadedNetwork,
  type NetworkOutputs,
  writeClassifier,
  writeLayers,
  writeMemberPixels,
  writeNormalisation,
  writePooling,
} from './network.js';
import { dataTypes } from './proto.js';

/**
 * The gated network as one standard ONNX graph for any ONNX Runtime. The images that stay are gathered and continue in the
 * branch of an `If`. Thresholds are an input without a default: onnxruntime-node ignores a feed for an input with an
 * initializer.
 */
export function gatedModel(
  lowered: GatedSource,
  gates: readonly PlacedGate[],
  options: {
    readonly confidence: ConfidenceKind;
    /** With it, the graph takes bytes 0-255; otherwise normalised floats. */
    readonly preprocessing?: Preprocessing;
    readonly metadata?: Readonly<Record<string, string>>;
    readonly fitted?: GraphForm['fitted'];
    /** By default class, exit and confidence. */
    readonly answer?: AnswerForm;
    readonly withoutCopies?: boolean;
    /** For batches of this size only: `inBuckets`. */
    readonly count?: number;
  },
): Uint8Array {
  const { confidence, preprocessing, metadata, answer = decidedAnswer(), withoutCopies, count } = options;
  const type = preprocessing === undefined ? 'float' : 'uint8';
  const isCascade = 'members' in lowered;
  const form: GraphForm = {
    ...formOf(lowered),
    images: count ?? 'batch',
    type,
    thresholds: 'together',
    fitted: options.fitted,
    metadata,
    ...(preprocessing &&
      !isCascade && { prepare: (builder, pixels) => writeNormalisation(builder, pixels, preprocessing) }),
  };
  const parts = isCascade ? cascadeParts(lowered, type) : networkParts(lowered, gates);
  const spec = { parts, confidence, answer, withoutCopies: withoutCopies ?? false };
  return writeGated(form, spec, count === undefined ? manyImages : inBuckets(count));
}

/** A network without branches. @param outputs name and size of what the first exits hold, each [n, size] */
export function straightGraph(
  source: GatedSource,
  gates: readonly PlacedGate[],
  outputs: readonly (readonly [name: string, size: number])[],
): Uint8Array {
  const { name, dialect, image } = formOf(source);
  const builder = new GraphBuilder(name, undefined, dialect);
  let values: readonly string[] = [builder.input(gatedGraphNames.images, 'float', ['batch', ...image])];
  const parts = networkParts(source, gates);
  for (const [part, [output, size]] of outputs.entries()) {
    const { distances, next } = parts.write(builder, part, values);
    builder.node('Identity', [distances], {}, output);
    builder.output(output, 'float', ['batch', size]);
    values = next;
  }
  return builder.encode();
}

/**
 * A network as an ONNX file that returns the pooled features at each gate and the logits.
 *
 * @param places the gates, by ascending stages
 * @param wanted `features`: the network ends at the last gate
 */
export function featureGraph(
  loaded: LoadedNetwork,
  places: readonly GatePlace[],
  wanted: NetworkOutputs = 'features and logits',
): Uint8Array {
  const counts = gateFeatureCounts(loaded.network, places);
  const gates = places.map((place, i) => ({ place, gate: gateOfFeatures(counts[i]!) }));
  const outputs = counts.map((count, i) => [featureGraphNames.gate(i), count] as const);
  const logits = [featureGraphNames.logits, classCount(loaded.network)] as const;
  return straightGraph(loaded, gates, wanted === 'features' ? outputs : [...outputs, logits]);
}

export function formOf(lowered: GatedSource): Pick<GraphForm, 'name' | 'dialect' | 'image' | 'classes'> {
  const { name, input } = lowered.network;
  const image = [input.channels, input.height, input.width];
  return { name, image, dialect: dialectOf(lowered), classes: classCount(lowered.network) };
}

/**
 * The parts of a cascade's networks, one behind the other. They pass the pixels on to the next network.
 *
 * @param type of the pixels: bytes 0-255, or floats that are normalised for the last network
 */
function cascadeParts({ members, given }: LoadedCascade, type: 'uint8' | 'float'): Parts {
  const networks = members.map(({ loaded, gates }) => networkParts(loaded, gates));
  const all = networks.flatMap(({ count }, network) => {
    const exits = members[network]!.isCut ? count - 1 : count;
    return Array.from({ length: exits }, (_, part) => ({ network, part, isLast: part === exits - 1 }));
  });
  return {
    count: all.length,
    handsOn: (position) => {
      const { network, part, isLast } = all[position]!;
      const own = isLast ? 0 : (networks[network]!.handsOn?.(part) ?? 1);
      return network === members.length - 1 ? own : own + 1;
    },
    write(builder, position, inputs) {
      const { network, part, isLast } = all[position]!;
      const pixels = inputs.at(-1)!;
      const { distances, next } = builder.prefixed(`network${network + 1}/`, () => {
        const isInside = network < members.length - 1;
        const start =
          part === 0
            ? [writeMemberPixels(builder, pixels, members[network]!, type === 'float' ? given : undefined)]
            : inputs.slice(0, isInside ? -1 : undefined);
        return networks[network]!.write(builder, part, start);
      });
      if (network === members.length - 1) return { distances, next };
      return { distances, next: [...(isLast ? [] : next), pixels] };
    },
  };
}

/** The parts of a network or a cascade. */
export function networkParts(lowered: GatedSource, gates: readonly PlacedGate[]): Parts {
  if ('members' in lowered) return cascadeParts(lowered, 'float');
  return gatedParts(isUser(lowered) ? userParts(lowered, gates) : describedParts(lowered, gates), gates);
}

/** A described network in parts: features at gates, the logits at its end. */
function describedParts(lowered: LoweredNetwork, gates: readonly PlacedGate[]): Parts {
  const shapes = stageShapes(lowered.network);
  const starts = [0, ...gates.map(({ place }) => place.stage)];
  return {
    count: gates.length + 1,
    write(builder, part, [input]) {
      const placed = gates[part];
      const start = starts[part]!;
      // A gate sits before the transition of its stage.
      const end = placed?.place.stage ?? lowered.stages.length;
      const first = start === 0 ? lowered.stem : lowered.stages[start - 1]!.transition;
      let value = writeLayers(builder, placed !== undefined && start === end ? [] : first, input!);
      for (let stage = start; stage < end; stage++) {
        value = writeLayers(builder, lowered.stages[stage]!.layers, value);
        if (stage + 1 < end || placed === undefined) {
          value = writeLayers(builder, lowered.stages[stage]!.transition, value);
        }
      }
      if (placed === undefined) {
        const logits = builder.fresh('logits');
        writeClassifier(builder, lowered, value, logits);
        return { distances: logits, next: [] };
      }
      const pooling = builder.fresh('features');
      const features = writePooling(builder, value, placed.place.pooling, shapes[end - 1]!, pooling);
      return { distances: features, next: [value] };
    },
  };
}

/** The batch sizes of later parts, ascending: powers of two up to an eighth of the batch, then eighths up to `count`. */
export function bucketSizes(count: number): number[] {
  const step = Math.max(1, Math.ceil(count / 8));
  const sizes: number[] = [];
  for (let size = 1; size < step; size *= 2) sizes.push(size);
  for (let size = step; size < count; size += step) sizes.push(size);
  return [...sizes, count];
}

/**
 * For batches of one size on CUDA, where cuDNN takes 7 ms to plan a convolution again whenever the number of images changes.
 * Each part behind a gate is written once for each of `bucketSizes(count)`. The remaining images are padded to the next bucket
 * with copies of the first one, whose results are dropped. The answer is that of `plainAnswer`.
 */
function inBuckets(count: number): ExitWriter {
  if (count === 1) return oneImage;
  return (builder, inputs, spec) => {
    const { distances, next } = spec.parts.write(builder, 0, inputs);
    const [answer] = spec.answer.write(builder, distances, 0, spec.confidence);
    const state = { distances, next, answer: answer! };
    return [writeRemaining(builder, 0, state, { ...spec, sizes: bucketSizes(count) })];
  };
}

type BucketSpec = ExitsSpec & { readonly sizes: readonly number[] };

interface AtExit {
  /** The exit's distances or logits, [m, classes]. */
  readonly distances: string;
  /** Inputs of the next part, each [m or more, ...]; rows from m on are padding. */
  readonly next: readonly string[];
  /** Answers for all images of the batch if all remaining ones leave here. */
  readonly answer: string;
  /** Positions of the remaining images in the batch: int64 [m]; absent if all remain. */
  readonly origins?: string;
}

/** Writes the rest of the network for the images that stay at an exit. @returns the answers for all images */
function writeRemaining(builder: GraphBuilder, part: number, at: AtExit, spec: BucketSpec): string {
  if (part === spec.parts.count - 1) return at.answer;
  const stay = writeStaying(builder, part, at.distances, spec);
  const remaining = builder.node('Size', [stay]);
  const [answer] = writeIf(
    builder,
    builder.node('Cast', [remaining], { to: dataTypes.bool }),
    (going) => [writeNextPart(going, part + 1, at, { stay, remaining }, spec)],
    (done) => [done.node('Identity', [at.answer])],
    spec.answer.outputs,
  );
  return answer!;
}

/** Writes the next part in the branch of its bucket, and the rest of the network. */
function writeNextPart(
  builder: GraphBuilder,
  part: number,
  at: AtExit,
  { stay, remaining }: { readonly stay: string; readonly remaining: string },
  spec: BucketSpec,
): string {
  const positions = builder.node('Reshape', [stay, builder.ints('flat', [-1])]); // [m]
  const origins = at.origins === undefined ? positions : builder.node('Gather', [at.origins, positions], { axis: 0 });
  const padding = builder.ints('padding', new Array<number>(spec.sizes.at(-1)!).fill(0));
  const padded = builder.node('Concat', [positions, padding], { axis: 0 });
  const values = part === spec.parts.count - 1 ? 1 : 1 + (spec.parts.handsOn?.(part) ?? 1);
  const [found, ...next] = writeForBucket(builder, { remaining, values }, spec.sizes, (branch, size) => {
    const rows = branch.node('Slice', [padded, branch.ints('none', [0]), branch.ints(`size${size}`, [size])]);
    const gathered = at.next.map((value) => branch.node('Gather', [value, rows], { axis: 0 }));
    const written = spec.parts.write(branch, part, gathered);
    return [written.distances, ...written.next];
  });
  const distances = builder.node('Slice', [found!, builder.ints('none', [0]), builder.node('Shape', [positions])]);
  const [own] = spec.answer.write(builder, distances, part, spec.confidence);
  const column = builder.node('Reshape', [origins, builder.ints('column', [-1, 1])]);
  const answer = builder.node('ScatterND', [at.answer, column, own!]);
  return writeRemaining(builder, part, { distances, next, answer, origins }, spec);
}

/** Writes branches that select the smallest sufficient bucket by bisection. */
function writeForBucket(
  builder: GraphBuilder,
  { remaining, values }: { readonly remaining: string; readonly values: number },
  sizes: readonly number[],
  write: (builder: GraphBuilder, size: number) => string[],
): string[] {
  if (sizes.length === 1) return write(builder, sizes[0]!);
  const half = sizes.length >> 1;
  const largest = builder.constant(`up_to${sizes[half - 1]!}`, BigInt64Array.of(BigInt(sizes[half - 1]!)), []);
  const forBuckets = (some: readonly number[]) => (branch: GraphBuilder) =>
    writeForBucket(branch, { remaining, values }, some, write);
  return writeIf(
    builder,
    builder.node('LessOrEqual', [remaining, largest]),
    forBuckets(sizes.slice(0, half)),
    forBuckets(sizes.slice(half)),
    Array.from({ length: values }, () => ({ name: 'bucket', type: 'float' })),
  );
}
