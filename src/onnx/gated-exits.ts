import { type ConfidenceKind, confidenceOf } from '../gates/confidence.js';
import { type Dialect, GraphBuilder } from './builder.js';
import { type DataType, dataTypes } from './proto.js';

/** Names of a gated graph's inputs and outputs. */
export const gatedGraphNames = {
  /** [batch, channels, height, width]: float, normalised; or uint8, raw pixels */
  images: 'images',
  /** float [gates] */
  thresholds: 'thresholds',
  /** int64 [batch] */
  classes: 'class',
  /** int64 [batch], 0 for the first gate, the number of gates for the original classifier */
  exits: 'exit',
  /** float [batch], the confidence that the exit compared with its threshold */
  confidences: 'confidence',
  /** float [batch, classes], the input of the confidence: distances at gates, logits at the original classifier */
  distances: 'distances',
} as const;

/** A gated network in parts, one for each exit: from the previous exit (the first: from the image) to this one. */
export interface Parts {
  readonly count: number;
  /** How many values a part that is not the last hands on; one, where this is left out. */
  readonly handsOn?: (part: number) => number;
  /**
   * Writes one part. A part can be written several times, into several branches.
   *
   * @param inputs values from the previous part
   * @returns the exit's distances or logits [n, classes], and the inputs of the next part, each [n, ...]
   */
  write(
    builder: GraphBuilder,
    part: number,
    inputs: readonly string[],
  ): { readonly distances: string; readonly next: readonly string[] };
}

/** A graph's answer for each image, in the order of its outputs. */
export interface AnswerForm {
  /** Names of the outputs, their types, and their dimensions behind [batch]. */
  readonly outputs: readonly { readonly name: string; readonly type: DataType; readonly dims: readonly number[] }[];
  /** Writes it for images [n, ...] that all leave at one exit. */
  readonly write: (builder: GraphBuilder, distances: string, exit: number) => string[];
}

/** The ingredients of a graph with exits. */
export interface ExitsSpec {
  readonly parts: Parts;
  readonly confidence: ConfidenceKind;
  /** Thresholds of the gates: names of values [1]. */
  readonly thresholds: readonly string[];
  readonly answer: AnswerForm;
  /**
   * Whether images are passed on without a copy when none leaves. Every part is then written twice for each gate before it
   * (its weights once): for copied images and for passed-on ones.
   */
  readonly withoutCopies?: boolean;
}

/**
 * The one interface of the writers of gated graphs, which differ in how images go on behind a gate: `manyImages`, `oneImage`,
 * `inBuckets`.
 *
 * @param inputs inputs of the first part
 * @returns values of the answer for all images, in the order of its outputs
 */
export type ExitWriter = (builder: GraphBuilder, inputs: readonly string[], spec: ExitsSpec) => string[];

/** The inputs and outputs of a gated graph. */
export interface GraphForm {
  readonly name: string;
  readonly dialect?: Dialect | undefined;
  readonly images: number | 'batch';
  /** Dimensions of an image. */
  readonly image: readonly (number | string)[];
  readonly type?: 'float' | 'uint8';
  /** What comes before the first part. */
  readonly prepare?: ((builder: GraphBuilder, images: string) => string) | undefined;
  /** An input for all thresholds or, saving a node in graphs that only an engine runs, one for each (`nameOfOne`). */
  readonly thresholds: 'together' | 'separate';
  /** What the numbers of each exit are divided by: constants, or inputs like the thresholds; nothing if absent. */
  readonly temperatures?: readonly number[] | 'input' | undefined;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

/** Writes a gated graph: the inputs, the exits by one of the writers, the outputs. @returns the ONNX file */
export function writeGated(form: GraphForm, spec: Omit<ExitsSpec, 'thresholds'>, write: ExitWriter): Uint8Array {
  const { name, dialect, images, image, type = 'float', prepare, metadata } = form;
  const builder = new GraphBuilder(name, undefined, dialect);
  const gates = spec.parts.count - 1;
  const input = builder.input(gatedGraphNames.images, type, [images, ...image]);
  const thresholds = inputNumbers(builder, 'thresholds', gates, form);
  const temperatures =
    form.temperatures === 'input'
      ? inputNumbers(builder, 'temperatures', gates + 1, form)
      : form.temperatures?.map((value, i) => builder.constant(`temperature${i + 1}`, Float32Array.of(value), []));
  const first = prepare?.(builder, input) ?? input;
  const parts = temperatures === undefined ? spec.parts : scaledParts(spec.parts, temperatures);
  const values = write(builder, [first], { ...spec, parts, thresholds });
  for (const [i, { name, type, dims }] of spec.answer.outputs.entries()) {
    builder.node('Identity', [values[i]!], {}, name);
    builder.output(name, type, [images, ...dims]);
  }
  return builder.encode(metadata);
}

/**
 * Class, exit and confidence, decided inside the graph.
 *
 * @param numbers the number of classes, to also return the exit's distances (the logits at the original classifier)
 */
export function decidedAnswer(confidence: ConfidenceKind, numbers?: number): AnswerForm {
  const { classes, exits, confidences, distances: name } = gatedGraphNames;
  return {
    outputs: [
      { name: classes, type: 'int64', dims: [] },
      { name: exits, type: 'int64', dims: [] },
      { name: confidences, type: 'float', dims: [] },
      ...(numbers === undefined ? [] : [{ name, type: 'float', dims: [numbers] } as const]),
    ],
    write: (builder, distances, exit) => [
      builder.node('ArgMax', [distances], { axis: 1, keepdims: 0 }),
      writeExit(builder, distances, exit),
      confidenceOf(confidence).write(builder, distances),
      ...(numbers === undefined ? [] : [distances]),
    ],
  };
}

/**
 * `distances` [batch, classes + 1]: the exit's distance for each class, and the exit's number. A single value needs few nodes
 * to merge the images of all exits. For callers that compute class and confidence themselves.
 *
 * @param images `one`: for graphs of single images, where a cheaper node is enough
 */
export function plainAnswer(classes: number, images: 'one' | 'any' = 'any'): AnswerForm {
  return {
    outputs: [{ name: gatedGraphNames.distances, type: 'float', dims: [classes + 1] }],
    write(builder, distances, exit) {
      if (images === 'one') {
        const number = builder.constant(`exit${exit}`, Float32Array.of(exit), [1, 1]);
        return [builder.node('Concat', [distances, number], { axis: 1 })];
      }
      const number = builder.constant(`exit${exit}`, Float32Array.of(exit), []);
      return [builder.node('Pad', [distances, builder.ints('one_behind', [0, 0, 0, 1]), number])];
    },
  };
}

/** The numbers that a graph is told in every run. */
export type NumbersName = 'thresholds' | 'temperatures';

/** The input with the number of one gate or exit, of graphs that have one for each: `threshold1`. */
export const nameOfOne = (name: NumbersName, position: number): string => `${name.slice(0, -1)}${position + 1}`;

/** Values [1] of these numbers: an input each, or split from one input with all of them. */
function inputNumbers(builder: GraphBuilder, name: NumbersName, count: number, form: GraphForm): string[] {
  const names = Array.from({ length: count }, (_, position) => nameOfOne(name, position));
  if (form.thresholds === 'separate') return names.map((one) => builder.input(one, 'float', [1]));
  builder.input(name, 'float', [count]);
  if (count < 2) return names.map(() => name);
  const sizes = builder.ints(`one_each_${name}`, new Array<number>(count).fill(1));
  builder.nodes('Split', [name, sizes], { axis: 0 }, names);
  return names;
}

/** The same parts, the numbers of each exit divided by its temperature. */
const scaledParts = (parts: Parts, temperatures: readonly string[]): Parts => ({
  ...parts,
  write(builder, part, inputs) {
    const { distances, next } = parts.write(builder, part, inputs);
    return { distances: builder.node('Div', [distances, temperatures[part]!]), next };
  },
});

/** For any number of images: those that stay are gathered and continue in a branch. */
export const manyImages: ExitWriter = (builder, inputs, spec) => writePart(builder, 0, inputs, spec);

/** For single images, with as few nodes as possible. */
export const oneImage: ExitWriter = (builder, inputs, spec) => writePartOfOne(builder, 0, inputs, spec);

function writePartOfOne(builder: GraphBuilder, part: number, inputs: readonly string[], spec: ExitsSpec): string[] {
  const { distances, next } = spec.parts.write(builder, part, inputs);
  if (part === spec.parts.count - 1) return spec.answer.write(builder, distances, part);
  // With one image, all distances can be reduced at once.
  const kind = confidenceOf(spec.confidence);
  const confidence = kind.isLargestDistance
    ? builder.node('ReduceMax', [distances], { keepdims: 0 })
    : kind.write(builder, distances);
  return writeIf(
    builder,
    builder.node('GreaterOrEqual', [confidence, spec.thresholds[part]!]),
    (leaving) => spec.answer.write(leaving, distances, part),
    (staying) => writePartOfOne(staying, part + 1, next, spec),
    spec.answer.outputs,
  );
}

/** Writes one part, its exit, and everything behind it. @returns the answer's values for all images [n, ...] */
function writePart(builder: GraphBuilder, part: number, inputs: readonly string[], spec: ExitsSpec): string[] {
  const { distances, next } = spec.parts.write(builder, part, inputs);
  if (part === spec.parts.count - 1) return spec.answer.write(builder, distances, part);
  if (!spec.withoutCopies) return writeLeaving(builder, part, distances, next, spec);
  return writeIf(
    builder,
    writeAnyLeaves(builder, part, distances, spec),
    (leaving) => writeLeaving(leaving, part, distances, next, spec),
    (staying) => writePart(staying, part + 1, next, spec),
    spec.answer.outputs,
  );
}

/** Whether at least one image leaves at this gate: bool, one number. Few nodes: every image passes here. */
function writeAnyLeaves(builder: GraphBuilder, part: number, distances: string, spec: ExitsSpec): string {
  // The confidence is the largest distance: no need to reduce each image separately.
  const kind = confidenceOf(spec.confidence);
  const confidences = kind.isLargestDistance ? distances : kind.write(builder, distances);
  // Compare before the reduction: a NaN reaches no threshold, but would spread in a maximum.
  const reaches = builder.node('GreaterOrEqual', [confidences, spec.thresholds[part]!]);
  const numbers = builder.node('Cast', [reaches], { to: dataTypes.float });
  return builder.node('Cast', [builder.node('ReduceMax', [numbers], { keepdims: 0 })], { to: dataTypes.bool });
}

/** Algorithm 1 at one gate: images that reach the threshold leave; the others continue, if there are any. */
function writeLeaving(
  builder: GraphBuilder,
  part: number,
  distances: string,
  next: readonly string[],
  spec: ExitsSpec,
): string[] {
  const here = spec.answer.write(builder, distances, part);
  const confidences = confidenceOf(spec.confidence).write(builder, distances);
  const leaves = builder.node('GreaterOrEqual', [confidences, spec.thresholds[part]!]);
  const stay = builder.node('NonZero', [builder.node('Not', [leaves])]); // positions, [1, m]
  const anyStays = builder.node('Cast', [builder.node('Size', [stay])], { to: dataTypes.bool });
  return writeIf(
    builder,
    anyStays,
    (going) => {
      const positions = going.node('Reshape', [stay, going.ints('flat', [-1])]); // [m]
      // Name the number of remaining images: ONNX Runtime adds in place only if it knows that both sizes are equal.
      going.value(positions, 'int64', [going.fresh('staying')]);
      const column = going.node('Reshape', [stay, going.ints('column', [-1, 1])]); // [m, 1]
      const gathered = next.map((value) => going.node('Gather', [value, positions], { axis: 0 }));
      const deeper = writePart(going, part + 1, gathered, spec);
      return here.map((all, i) => going.node('ScatterND', [all, column, deeper[i]!]));
    },
    (done) => here.map((value) => done.node('Identity', [value])),
    spec.answer.outputs,
  );
}

/** An output of an `If`; without `dims`, its dimensions are left open. */
interface BranchOutput {
  readonly name: string;
  readonly type: DataType;
  /** Dimensions after the number of rows. */
  readonly dims?: readonly number[];
}

/** Writes an `If`. @returns its values, in the order of `outputs` */
export function writeIf(
  builder: GraphBuilder,
  condition: string,
  yes: (branch: GraphBuilder) => string[],
  no: (branch: GraphBuilder) => string[],
  outputs: readonly BranchOutput[],
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

/** The same exit for each image: int64 [n]. */
function writeExit(builder: GraphBuilder, distances: string, exit: number): string {
  const both = builder.node('Shape', [distances]);
  const count = builder.node('Gather', [both, builder.ints('first_size', [0])], { axis: 0 });
  return builder.node('Expand', [builder.ints(`exit${exit}`, [exit]), count]);
}

/**
 * Thresholds as float32, rounded up: a float32 confidence reaches the result exactly if it reaches the given number.
 */
export function floatThresholds(thresholds: readonly number[]): Float32Array {
  return Float32Array.from(thresholds, (threshold) => {
    const nearest = Math.fround(threshold);
    return nearest < threshold ? nextFloat(nearest) : nearest;
  });
}

/** The smallest float32 above a finite one. */
function nextFloat(value: number): number {
  const view = new DataView(new ArrayBuffer(4));
  if (value === 0) view.setInt32(0, 1);
  else {
    view.setFloat32(0, value);
    view.setInt32(0, view.getInt32(0) + (value > 0 ? 1 : -1));
  }
  return view.getFloat32(0);
}
