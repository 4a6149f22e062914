import type { ConfidenceKind } from '../gates/confidence.js';
import { type Dialect, GraphBuilder } from './builder.js';
import {
  type FittedForm,
  fittedNumbers,
  fittedSize,
  isBehind,
  judgedParts,
  type Parts,
  type WrittenConfidence,
  writtenConfidence,
} from './judged.js';
import { type DataType, dataTypes } from './proto.js';

export const gatedGraphNames = {
  /** [batch, channels, height, width]: float, normalised; or uint8, raw pixels */
  images: 'images',
  /** float [gates] */
  thresholds: 'thresholds',
  /** int64 [batch] */
  classes: 'class',
  /** int64 [batch], 0 for the first gate, the number of gates for the original classifier */
  exits: 'exit',
  /** float [batch], compared with the threshold */
  confidences: 'confidence',
  /** float [batch, classes]: distances at gates, logits at the original classifier */
  distances: 'distances',
} as const;

export interface AnswerForm {
  /** The outputs; `dims` without [batch]. */
  readonly outputs: readonly { readonly name: string; readonly type: DataType; readonly dims: readonly number[] }[];
  /** Writes the outputs' values for images [n, ...] that leave at one exit, from its numbers. */
  readonly write: (builder: GraphBuilder, row: string, exit: number, confidence: WrittenConfidence) => string[];
}

export interface ExitsSpec {
  readonly parts: Parts;
  readonly confidence: WrittenConfidence;
  /** Thresholds of the gates: names of values [1]. */
  readonly thresholds: readonly string[];
  readonly answer: AnswerForm;
  /** Does not copy the images when none leaves. The graph then has each part (not its weights) twice for each gate before it. */
  readonly withoutCopies?: boolean;
}

/**
 * A writer of exits: `manyImages`, `oneImage` or `inBuckets`, which differ in how images continue behind a gate.
 *
 * @param inputs inputs of the first part
 * @returns values of the answer for all images, in the order of its outputs
 */
export type ExitWriter = (builder: GraphBuilder, inputs: readonly string[], spec: ExitsSpec) => string[];

export interface GraphForm {
  readonly name: string;
  readonly dialect?: Dialect | undefined;
  readonly images: number | 'batch';
  readonly image: readonly (number | string)[];
  readonly classes: number;
  readonly type?: 'float' | 'uint8';
  /** Writes the input of the first part. */
  readonly prepare?: ((builder: GraphBuilder, images: string) => string) | undefined;
  /** One input for all thresholds or, saving a node, one for each (`nameOfOne`). */
  readonly thresholds: 'together' | 'separate';
  readonly fitted?: FittedForm | undefined;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

/** Writes a gated graph. @param write writes its exits @returns the ONNX file */
export function writeGated(
  form: GraphForm,
  { confidence: kind, ...spec }: Omit<ExitsSpec, 'thresholds' | 'confidence'> & { readonly confidence: ConfidenceKind },
  write: ExitWriter,
): Uint8Array {
  const { name, dialect, images, image, type = 'float', prepare, metadata, fitted, classes } = form;
  const builder = new GraphBuilder(name, undefined, dialect);
  const gates = spec.parts.count - 1;
  const input = builder.input(gatedGraphNames.images, type, [images, ...image]);
  const thresholds = inputNumbers(builder, 'thresholds', gates, form);
  const fits =
    fitted === 'input'
      ? inputNumbers(builder, 'fits', gates + 1, form, fittedSize(classes))
      : fitted?.map((one, i) => builder.constant(nameOfOne('fits', i), fittedNumbers(one), [fittedSize(classes)]));
  const parts = judgedParts(spec.parts, kind, classes, fits);
  const first = prepare?.(builder, input) ?? input;
  const confidence = writtenConfidence(kind, isBehind(kind, fitted) ? classes : undefined);
  const values = write(builder, [first], { ...spec, parts, confidence, thresholds });
  for (const [i, { name, type, dims }] of spec.answer.outputs.entries()) {
    builder.node('Identity', [values[i]!], {}, name);
    builder.output(name, type, [images, ...dims]);
  }
  return builder.encode(metadata);
}

/** Class, exit and confidence, decided inside the graph. @param numbers of classes, to also return the exit's distances */
export function decidedAnswer(numbers?: number): AnswerForm {
  const { classes, exits, confidences, distances: name } = gatedGraphNames;
  return {
    outputs: [
      { name: classes, type: 'int64', dims: [] },
      { name: exits, type: 'int64', dims: [] },
      { name: confidences, type: 'float', dims: [] },
      ...(numbers === undefined ? [] : [{ name, type: 'float', dims: [numbers] } as const]),
    ],
    write(builder, row, exit, confidence) {
      const distances = confidence.distances(builder, row);
      return [
        builder.node('ArgMax', [distances], { axis: 1, keepdims: 0 }),
        writeExit(builder, distances, exit),
        confidence.write(builder, row),
        ...(numbers === undefined ? [] : [distances]),
      ];
    },
  };
}

/**
 * `distances` [batch, numbers + 1]: the exit's numbers (its distances, and a confidence behind them), then its position. A single
 * value takes few nodes to merge. Callers compute class and confidence themselves.
 *
 * @param images `one`: for single images, with a cheaper node
 */
export function plainAnswer(numbers: number, images: 'one' | 'any' = 'any'): AnswerForm {
  return {
    outputs: [{ name: gatedGraphNames.distances, type: 'float', dims: [numbers + 1] }],
    write(builder, row, exit) {
      if (images === 'one') {
        const number = builder.constant(`exit${exit}`, Float32Array.of(exit), [1, 1]);
        return [builder.node('Concat', [row, number], { axis: 1 })];
      }
      const number = builder.constant(`exit${exit}`, Float32Array.of(exit), []);
      return [builder.node('Pad', [row, builder.ints('one_behind', [0, 0, 0, 1]), number])];
    },
  };
}

/** Inputs with a number for each gate or exit. */
export type NumbersName = 'thresholds' | 'fits';

/** The separate input of one gate or exit: `threshold1`. */
export const nameOfOne = (name: NumbersName, position: number): string => `${name.slice(0, -1)}${position + 1}`;

/** The numbers as values [size]: separate inputs, or parts of one input. */
function inputNumbers(builder: GraphBuilder, name: NumbersName, count: number, form: GraphForm, size = 1): string[] {
  const names = Array.from({ length: count }, (_, position) => nameOfOne(name, position));
  if (form.thresholds === 'separate') return names.map((one) => builder.input(one, 'float', [size]));
  builder.input(name, 'float', [count * size]);
  if (count < 2) return names.map(() => name);
  const sizes = builder.ints(`one_each_${name}`, new Array<number>(count).fill(size));
  builder.nodes('Split', [name, sizes], { axis: 0 }, names);
  return names;
}

/** An {@link ExitWriter} for single images, with few nodes. */
export function oneImage(builder: GraphBuilder, inputs: readonly string[], spec: ExitsSpec, part = 0): string[] {
  const { distances, next } = spec.parts.write(builder, part, inputs);
  if (part === spec.parts.count - 1) return spec.answer.write(builder, distances, part, spec.confidence);
  // Of one image all distances can be reduced at once.
  const confidence = spec.confidence.isLargestDistance
    ? builder.node('ReduceMax', [distances], { keepdims: 0 })
    : spec.confidence.write(builder, distances);
  return writeIf(
    builder,
    builder.node('GreaterOrEqual', [confidence, spec.thresholds[part]!]),
    (leaving) => spec.answer.write(leaving, distances, part, spec.confidence),
    (staying) => oneImage(staying, next, spec, part + 1),
    spec.answer.outputs,
  );
}

/** An {@link ExitWriter} for any number of images: those that stay are gathered and continue in a branch. */
export function manyImages(builder: GraphBuilder, inputs: readonly string[], spec: ExitsSpec, part = 0): string[] {
  const { distances, next } = spec.parts.write(builder, part, inputs);
  if (part === spec.parts.count - 1) return spec.answer.write(builder, distances, part, spec.confidence);
  if (!spec.withoutCopies) return writeLeaving(builder, part, distances, next, spec);
  return writeIf(
    builder,
    writeAnyLeaves(builder, part, distances, spec),
    (leaving) => writeLeaving(leaving, part, distances, next, spec),
    (staying) => manyImages(staying, next, spec, part + 1),
    spec.answer.outputs,
  );
}

/** Whether at least one image leaves at a gate: bool, one number. */
function writeAnyLeaves(builder: GraphBuilder, part: number, distances: string, spec: ExitsSpec): string {
  // The largest distance need not be found for each image.
  const { isLargestDistance, write } = spec.confidence;
  const confidences = isLargestDistance ? distances : write(builder, distances);
  // Compare before the reduction, in which a NaN would spread.
  const reaches = builder.node('GreaterOrEqual', [confidences, spec.thresholds[part]!]);
  const numbers = builder.node('Cast', [reaches], { to: dataTypes.float });
  return builder.node('Cast', [builder.node('ReduceMax', [numbers], { keepdims: 0 })], { to: dataTypes.bool });
}

/** Positions of the images whose confidence does not reach the threshold: int64 [1, m]. */
export function writeStaying(builder: GraphBuilder, part: number, distances: string, spec: ExitsSpec): string {
  const confidences = spec.confidence.write(builder, distances);
  const leaves = builder.node('GreaterOrEqual', [confidences, spec.thresholds[part]!]);
  return builder.node('NonZero', [builder.node('Not', [leaves])]);
}

/** Algorithm 1 at one gate: images that reach the threshold leave; the others continue. */
function writeLeaving(
  builder: GraphBuilder,
  part: number,
  distances: string,
  next: readonly string[],
  spec: ExitsSpec,
): string[] {
  const answers = spec.answer.write(builder, distances, part, spec.confidence);
  const stay = writeStaying(builder, part, distances, spec);
  const anyStays = builder.node('Cast', [builder.node('Size', [stay])], { to: dataTypes.bool });
  return writeIf(
    builder,
    anyStays,
    (going) => {
      const positions = going.node('Reshape', [stay, going.ints('flat', [-1])]); // [m]
      // Named, since ONNX Runtime adds in place only values of known equal sizes.
      going.value(positions, 'int64', [going.fresh('staying')]);
      const column = going.node('Reshape', [stay, going.ints('column', [-1, 1])]); // [m, 1]
      const gathered = next.map((value) => going.node('Gather', [value, positions], { axis: 0 }));
      const deeper = manyImages(going, gathered, spec, part + 1);
      return answers.map((all, i) => going.node('ScatterND', [all, column, deeper[i]!]));
    },
    (done) => answers.map((value) => done.node('Identity', [value])),
    spec.answer.outputs,
  );
}

/** Writes an `If`. @param outputs `dims` without the number of rows, or open @returns its values, in this order */
export function writeIf(
  builder: GraphBuilder,
  condition: string,
  yes: (branch: GraphBuilder) => string[],
  no: (branch: GraphBuilder) => string[],
  outputs: readonly { readonly name: string; readonly type: DataType; readonly dims?: readonly number[] }[],
): string[] {
  const branchOf = (name: string, write: (branch: GraphBuilder) => string[]) => {
    const branch = builder.branch(builder.fresh(name));
    const rows = builder.fresh('rows');
    for (const [i, value] of write(branch).entries()) {
      const { type, dims } = outputs[i]!;
      branch.output(value, type, dims && [rows, ...dims]);
    }
    return { graph: branch.graph() };
  };
  const attributes = { then_branch: branchOf('then', yes), else_branch: branchOf('else', no) };
  const names = outputs.map(({ name }) => builder.fresh(name));
  builder.nodes('If', [condition], attributes, names);
  return names;
}

function writeExit(builder: GraphBuilder, distances: string, exit: number): string {
  const both = builder.node('Shape', [distances]);
  const count = builder.node('Gather', [both, builder.ints('first_size', [0])], { axis: 0 });
  return builder.node('Expand', [builder.ints(`exit${exit}`, [exit]), count]);
}

/** Thresholds as float32, rounded up: a float32 confidence reaches the result only if it reaches the given number. */
export function floatThresholds(thresholds: readonly number[]): Float32Array {
  return Float32Array.from(thresholds, (threshold) => {
    const nearest = Math.fround(threshold);
    return nearest < threshold ? nextFloat(nearest) : nearest;
  });
}

/** The smallest float32 above a finite one. */
export function nextFloat(value: number): number {
  const found = Float32Array.of(value);
  const bits = new Int32Array(found.buffer);
  bits[0] = value === 0 ? 1 : bits[0]! + (value > 0 ? 1 : -1);
  return found[0]!;
}
