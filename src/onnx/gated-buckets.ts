import { type ConfidenceKind, confidenceOf } from '../gates/confidence.js';
import type { PlacedGate } from '../gates/contracts.js';
import { classCount } from '../networks/onnx.js';
import { GraphBuilder } from './builder.js';
import { networkParts } from './gated.js';
import {
  type ExitsSpec,
  gatedGraphNames,
  plainAnswer,
  splitThresholds,
  writeExitsOfOne,
  writeIf,
} from './gated-exits.js';
import { dialectOf, type LoadedNetwork } from './loaded.js';
import { dataTypes } from './proto.js';

/**
 * The numbers of images that the later parts of a network are made for, of a batch of `count`: steps of an eighth of it,
 * and powers of two below the first step. Images that stay are filled up to the next one.
 *
 * @returns ascending, the last one `count`
 */
export function bucketSizes(count: number): number[] {
  const step = Math.max(1, Math.ceil(count / 8));
  const sizes: number[] = [];
  for (let size = 1; size < step; size *= 2) sizes.push(size);
  for (let size = step; size < count; size += step) sizes.push(size);
  return [...sizes, count];
}

/**
 * The gated network for batches of one size, on a device whose convolutions are planned anew for every number of images:
 * cuDNN's, in ONNX Runtime, take 7 ms each for that, whenever the number differs from the one before. Each part behind a
 * gate is therefore written once for each of `bucketSizes(count)`, and each of these convolutions sees one size all its
 * life. Images that stay are filled up to the next size with copies of the first one still there, whose results are dropped.
 * The answer is `plainAnswer`'s.
 */
export function bucketModel(
  lowered: LoadedNetwork,
  gates: readonly PlacedGate[],
  confidence: ConfidenceKind,
  count: number,
): Uint8Array {
  const builder = new GraphBuilder(lowered.network.name, undefined, dialectOf(lowered));
  const { channels, height, width } = lowered.network.input;
  const images = builder.input(gatedGraphNames.images, 'float', [count, channels, height, width]);
  builder.input(gatedGraphNames.thresholds, 'float', [gates.length]);
  const spec: BucketSpec = {
    parts: networkParts(lowered, gates),
    confidence,
    thresholds: splitThresholds(builder, gates.length),
    answer: plainAnswer(classCount(lowered.network)),
    sizes: bucketSizes(count),
  };
  if (count === 1) {
    writeExitsOfOne(builder, [images], spec);
    return builder.encode();
  }
  const { distances, next } = spec.parts.write(builder, 0, [images]);
  const [answer] = spec.answer.write(builder, distances, 0);
  const [name, dims] = [spec.answer.outputs[0]!.name, spec.answer.outputs[0]!.dims];
  builder.node('Identity', [writeGoingOn(builder, 0, { distances, next, answer: answer! }, spec)], {}, name);
  builder.output(name, 'float', [count, ...dims]);
  return builder.encode();
}

type BucketSpec = Omit<ExitsSpec, 'withoutCopies'> & { readonly sizes: readonly number[] };

/** Where the images stand behind an exit. */
interface Standing {
  /** What the exit holds, [m, classes]. */
  readonly distances: string;
  /** What the next part needs, each [m or more, ...]: the rest is filling. */
  readonly next: readonly string[];
  /** Of all images of the batch, as if those that are still there left here. */
  readonly answer: string;
  /** Where those that are still there stand in the batch: int64 [m]; absent where it is all of them. */
  readonly origins?: string;
}

/** Takes those that do not leave at an exit to the end. @returns the answer for all images */
function writeGoingOn(builder: GraphBuilder, part: number, at: Standing, spec: BucketSpec): string {
  if (part === spec.parts.count - 1) return at.answer;
  const confidences = confidenceOf(spec.confidence).write(builder, at.distances);
  const leaves = builder.node('GreaterOrEqual', [confidences, spec.thresholds[part]!]);
  const stay = builder.node('NonZero', [builder.node('Not', [leaves])]); // positions, [1, m]
  const staying = builder.node('Size', [stay]);
  const [answer] = writeIf(
    builder,
    builder.node('Cast', [staying], { to: dataTypes.bool }),
    (going) => [writeNextPart(going, part + 1, at, { stay, staying }, spec)],
    (done) => [done.node('Identity', [at.answer])],
    spec.answer.outputs,
  );
  return answer!;
}

/** The next part for those that stay, in the branch for the size that they fit into, and all that lies behind it. */
function writeNextPart(
  builder: GraphBuilder,
  part: number,
  at: Standing,
  { stay, staying }: { readonly stay: string; readonly staying: string },
  spec: BucketSpec,
): string {
  const positions = builder.node('Reshape', [stay, builder.ints('flat', [-1])]); // [m]
  const origins = at.origins === undefined ? positions : builder.node('Gather', [at.origins, positions], { axis: 0 });
  const filling = builder.ints('filling', new Array<number>(spec.sizes.at(-1)!).fill(0));
  const filled = builder.node('Concat', [positions, filling], { axis: 0 });
  const values = part === spec.parts.count - 1 ? 1 : 1 + at.next.length;
  const [found, ...next] = writeForSize(builder, { staying, values }, spec.sizes, (branch, size) => {
    const rows = branch.node('Slice', [filled, branch.ints('none', [0]), branch.ints(`size${size}`, [size])]);
    const gathered = at.next.map((value) => branch.node('Gather', [value, rows], { axis: 0 }));
    const written = spec.parts.write(branch, part, gathered);
    return [written.distances, ...written.next];
  });
  const distances = builder.node('Slice', [found!, builder.ints('none', [0]), builder.node('Shape', [positions])]);
  const [own] = spec.answer.write(builder, distances, part);
  const column = builder.node('Reshape', [origins, builder.ints('column', [-1, 1])]);
  const answer = builder.node('ScatterND', [at.answer, column, own!]);
  return writeGoingOn(builder, part, { distances, next, answer, origins }, spec);
}

/** Branches for sizes, halved until one is left: the smallest one for at least those that stay. */
function writeForSize(
  builder: GraphBuilder,
  { staying, values }: { readonly staying: string; readonly values: number },
  sizes: readonly number[],
  write: (builder: GraphBuilder, size: number) => string[],
): string[] {
  if (sizes.length === 1) return write(builder, sizes[0]!);
  const half = sizes.length >> 1;
  const largest = builder.constant(`up_to${sizes[half - 1]!}`, BigInt64Array.of(BigInt(sizes[half - 1]!)), []);
  const forOne = (some: readonly number[]) => (branch: GraphBuilder) =>
    writeForSize(branch, { staying, values }, some, write);
  return writeIf(
    builder,
    builder.node('LessOrEqual', [staying, largest]),
    forOne(sizes.slice(0, half)),
    forOne(sizes.slice(half)),
    Array.from({ length: values }, () => ({ name: 'sized', type: 'float' })),
  );
}
