import { confidenceOf } from '../gates/confidence.js';
import type { GraphBuilder } from './builder.js';
import { type ExitsSpec, type ExitWriter, oneImage, writeIf } from './gated-exits.js';
import { dataTypes } from './proto.js';

/**
 * The numbers of images that the later parts of a network are written for, with batches of `count` images: eighths of the
 * batch, and powers of two below the first eighth. The remaining images are padded to the next bucket.
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
 * For batches of one size, on a device that plans convolutions again for every number of images: cuDNN in ONNX Runtime takes
 * 7 ms per convolution whenever the number changes. Each part behind a gate is therefore written once for each of
 * `bucketSizes(count)`, so that each convolution sees one size only. The remaining images are padded to the next bucket with
 * copies of the first one, whose results are dropped. The answer is that of `plainAnswer`.
 */
export function inBuckets(count: number): ExitWriter {
  if (count === 1) return oneImage;
  return (builder, inputs, spec) => {
    const { distances, next } = spec.parts.write(builder, 0, inputs);
    const [answer] = spec.answer.write(builder, distances, 0);
    const state = { distances, next, answer: answer! };
    return [writeRemaining(builder, 0, state, { ...spec, sizes: bucketSizes(count) })];
  };
}

type BucketSpec = ExitsSpec & { readonly sizes: readonly number[] };

/** The state of a batch behind an exit. */
interface AtExit {
  /** The exit's distances or logits, [m, classes]. */
  readonly distances: string;
  /** Inputs of the next part, each [m or more, ...]; rows from m on are padding. */
  readonly next: readonly string[];
  /** Answers for all images of the batch, as if all remaining images left at this exit. */
  readonly answer: string;
  /** Positions of the remaining images in the batch: int64 [m]; absent if all remain. */
  readonly origins?: string;
}

/** Writes the rest of the network for the images that stay at an exit. @returns the answers for all images */
function writeRemaining(builder: GraphBuilder, part: number, at: AtExit, spec: BucketSpec): string {
  if (part === spec.parts.count - 1) return at.answer;
  const confidences = confidenceOf(spec.confidence).write(builder, at.distances);
  const leaves = builder.node('GreaterOrEqual', [confidences, spec.thresholds[part]!]);
  const stay = builder.node('NonZero', [builder.node('Not', [leaves])]); // positions, [1, m]
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

/** Writes the next part for the remaining images, in the branch of their bucket, and everything behind it. */
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
  const [own] = spec.answer.write(builder, distances, part);
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
