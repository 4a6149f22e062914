/** The part of an ONNX graph writer that gates need; values are identified by their names. */
export interface GateGraph {
  fresh(stem: string): string;
  /** A constant vector of 64-bit integers. */
  ints(name: string, values: readonly number[]): string;
  constant(name: string, data: Float32Array, dims: readonly number[]): string;
  node(op: string, inputs: readonly string[], attributes?: Readonly<Record<string, number>>): string;
  nodes(
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, number>>,
    outputs: readonly string[],
  ): void;
  /** The largest number of each row, [rows, columns] to [rows]. */
  rowMaxima(input: string): string;
}

/**
 * The number that a gate compares with its threshold; larger is more confident. Search, evaluation, figures and graphs
 * use this definition.
 */
export interface Confidence {
  readonly name: string;
  /**
   * @param row distances of one image, [classes]
   * @param winner position of the largest, the first of equal ones
   * @param carried what `carry` gave at this exit, [classes]
   */
  of(row: Float32Array, winner: number, carried: Float32Array): number;
  /** Writes the same function into a graph: distances [n, classes] to confidences [n]. @param carried [n, classes] */
  write(graph: GateGraph, distances: string, carried: string): string;
  /** The confidence is the largest distance, so that a graph needs no additional nodes for it. */
  readonly isLargestDistance?: true;
  /** Where the confidence looks back: what goes along with an image from exit to exit. */
  readonly carry?: Carry;
  /** FLOPs of an image at an exit for what is carried or fitted. */
  readonly flops?: (classes: number) => number;
}

/** A number for each class, [classes], from an exit's distances and what the exit before it gave, if any. */
interface Carry {
  /** @param exit from 0 */
  of(row: Float32Array, winner: number, before: Float32Array | undefined, exit: number): Float32Array;
  /** Writes the same function into a graph, [n, classes]. */
  write(graph: GateGraph, distances: string, before: string | undefined, exit: number): string;
}

/** The number of each row at the position of the largest distance, [n]. */
function writeAtWinner(graph: GateGraph, distances: string, values: string): string {
  const winners = graph.node('ArgMax', [distances], { axis: 1, keepdims: 1 });
  const found = graph.node('GatherElements', [values, winners], { axis: 1 });
  return graph.node('Reshape', [found, graph.ints('flat', [-1])]);
}

/** The largest softmax probability. */
const softmax = {
  name: 'softmax',
  of: (row, winner) => {
    let sum = 0;
    for (const value of row) sum += Math.exp(value - row[winner]!);
    return 1 / sum;
  },
  write: (graph, distances) => graph.rowMaxima(graph.node('Softmax', [distances], { axis: 1 })),
} as const satisfies Confidence;

/**
 * The largest distance to a decision boundary (hinge; Algorithm 1 of the paper) or the largest logit (cross-entropy).
 */
const max = {
  name: 'max',
  of: (row, winner) => row[winner]!,
  write: (graph, distances) => graph.rowMaxima(distances),
  isLargestDistance: true,
} as const satisfies Confidence;

/** Minus the entropy of the softmax in nats: BranchyNet's criterion, negated so that larger is more confident. */
const entropy = {
  name: 'entropy',
  of: (row, winner) => {
    let sum = 0;
    let weighted = 0;
    for (const value of row) {
      const shifted = value - row[winner]!;
      const power = Math.exp(shifted);
      sum += power;
      weighted += power * shifted;
    }
    // entropy = log(sum) - weighted / sum, for logits minus the largest one
    return weighted / sum - Math.log(sum);
  },
  write: (graph, distances) => {
    const logarithms = graph.node('LogSoftmax', [distances], { axis: 1 });
    const terms = graph.node('Mul', [graph.node('Exp', [logarithms]), logarithms]);
    return graph.node('ReduceSum', [terms, graph.ints('class_axis', [1])], { keepdims: 0 });
  },
} as const satisfies Confidence;

/** The largest distance minus the second largest. */
const difference = {
  name: 'difference',
  of: (row, winner) => {
    let second = Number.NEGATIVE_INFINITY;
    for (let c = 0; c < row.length; c++) if (c !== winner && row[c]! > second) second = row[c]!;
    return row.length > 1 ? row[winner]! - second : row[winner]!;
  },
  write: (graph, distances) => {
    const [values, positions] = [graph.fresh('largest_two'), graph.fresh('positions')];
    graph.nodes('TopK', [distances, graph.ints('two', [2])], { axis: 1 }, [values, positions]);
    const [first, second] = [graph.fresh('first'), graph.fresh('second')];
    graph.nodes('Split', [values, graph.ints('one_one', [1, 1])], { axis: 1 }, [first, second]);
    return graph.node('Reshape', [graph.node('Sub', [first, second]), graph.ints('flat', [-1])]);
  },
} as const satisfies Confidence;

/**
 * Patience (Zhou et al. 2020, arXiv 2006.04152): how many exits in a row gave this answer, this one included; of equally many,
 * the largest softmax probability decides.
 */
const patience = {
  name: 'patience',
  of: (row, winner, carried) => carried[winner]! + softmax.of(row, winner),
  write: (graph, distances, carried) =>
    graph.node('Add', [writeAtWinner(graph, distances, carried), softmax.write(graph, distances)]),
  carry: {
    of: (row, winner, before) => row.map((value, c) => (value === row[winner] ? 1 + (before?.[c] ?? 0) : 0)),
    write(graph, distances, before) {
      const [one, none] = [1, 0].map((value) => graph.constant(`agreeing${value}`, Float32Array.of(value), []));
      const largest = graph.node('Reshape', [graph.rowMaxima(distances), graph.ints('column', [-1, 1])]);
      const agreeing = before === undefined ? one! : graph.node('Add', [before, one!]);
      return graph.node('Where', [graph.node('Equal', [distances, largest]), agreeing, none!]);
    },
  },
  flops: (classes) => classes,
} as const satisfies Confidence;

/** The mean over this exit and those before it of the softmax probability of this exit's answer (ensembling). */
const average = {
  name: 'average',
  of: (_row, winner, carried) => carried[winner]!,
  write: (graph, distances, carried) => writeAtWinner(graph, distances, carried),
  carry: {
    of(row, winner, before, exit) {
      const powers = row.map((value) => Math.exp(value - row[winner]!));
      const sum = powers.reduce((a, b) => a + b);
      return powers.map((power, c) => (power / sum + exit * (before?.[c] ?? 0)) / (exit + 1));
    },
    write(graph, distances, before, exit) {
      const own = graph.node('Softmax', [distances], { axis: 1 });
      if (before === undefined) return own;
      const number = (name: string, value: number) => graph.constant(`${name}${exit}`, Float32Array.of(value), []);
      const earlier = graph.node('Mul', [before, number('exits_before', exit)]);
      return graph.node('Div', [graph.node('Add', [own, earlier]), number('exits_up_to', exit + 1)]);
    },
  },
  flops: (classes) => 3 * classes,
} as const satisfies Confidence;

/** Confidences of one exit's numbers alone. */
const own = [max, softmax, entropy, difference] as const satisfies readonly Confidence[];
export const ownKinds = own.map(({ name }) => name);

/**
 * Failure prediction: the log-odds that an answer is right, given that the network's own would be, by a logistic regression on the
 * four confidences above (`fitFailure`). Without a fit, at the last exit, it is the softmax.
 */
const failure = {
  ...softmax,
  name: 'failure',
  flops: () => 2 * own.length,
} as const satisfies Confidence;

/** All confidences. */
export const confidences = [...own, patience, average, failure] as const satisfies readonly Confidence[];
export type ConfidenceKind = (typeof confidences)[number]['name'];
export const confidenceKinds = confidences.map(({ name }) => name);

/** The confidences that `failure` weighs, of one image, [4]. */
export const failureNumbers = (row: Float32Array, winner: number): number[] => own.map((one) => one.of(row, winner));

/** The same in a graph, [n, 4]. */
export function writeFailureNumbers(graph: GateGraph, distances: string): string {
  const column = graph.ints('column', [-1, 1]);
  const columns = own.map((one) => graph.node('Reshape', [one.write(graph, distances), column]));
  return graph.node('Concat', columns, { axis: 1 });
}

/** FLOPs of an image at an exit for a confidence that looks back or is fitted, and for an offset by the answer. */
export const addedFlops = (kind: ConfidenceKind, classes: number, byClass = false): number =>
  (confidenceOf(kind).flops?.(classes) ?? 0) + Number(byClass);

/** Whether a confidence depends on the exits before. */
export const looksBack = (kind: ConfidenceKind): boolean => confidenceOf(kind).carry !== undefined;

/** The confidence of this name. @throws Error for an unknown name; the schema checks names from outside */
export function confidenceOf(kind: ConfidenceKind): Confidence {
  const found: Confidence | undefined = confidences.find(({ name }) => name === kind);
  if (found === undefined) throw new Error(`confidence ${kind}: unknown; valid: ${confidenceKinds.join(', ')}`);
  return found;
}

/** What was fitted to an exit's numbers on the images that choose thresholds. */
export interface Fitted {
  /** Divides the numbers; 1 for none. */
  readonly temperature: number;
  /** Of the numbers that `failure` weighs, [4]. */
  readonly factors: Float32Array;
  /** Added to the confidence by the exit's answer, [classes]. */
  readonly offsets: Float32Array;
}

/** Nothing fitted; `failure` is the softmax. */
export const unfitted = (classes: number): Fitted => ({
  temperature: 1,
  factors: Float32Array.from(own, ({ name }) => Number(name === 'softmax')),
  offsets: new Float32Array(classes),
});

/** A gate's answers for a batch of images. */
export interface Decisions {
  /** argmax of the distances (the first of equal ones), [count] */
  readonly classes: Int32Array;
  /** [count] */
  readonly confidences: Float32Array;
  /** What the images take along to the next exit, [count, classes]; of confidences that look back. */
  readonly carried?: Float32Array;
}

/** What an exit's confidence depends on besides its numbers. */
export interface ExitState {
  readonly fitted?: Fitted | undefined;
  /** What the exit before it gave: `Decisions.carried`. */
  readonly before?: Float32Array | undefined;
  /** From 0. */
  readonly exit?: number;
  /** The confidence stands behind the distances of each image. */
  readonly areBehind?: boolean;
}

/**
 * Class and confidence of each image.
 *
 * @param distances [count, classes] row-major
 * @param stride from one image's numbers to the next one's, if they hold more than the distances
 */
export function decide(
  distances: Float32Array,
  classes: number,
  kind: ConfidenceKind,
  stride: number = classes,
  { fitted, before, exit = 0, areBehind = false }: ExitState = {},
): Decisions {
  const { carry, ...confidence } = confidenceOf(kind);
  const count = distances.length / stride;
  const winners = new Int32Array(count);
  const values = new Float32Array(count);
  const carried = new Float32Array(carry === undefined ? 0 : count * classes);
  for (let image = 0; image < count; image++) {
    const given = distances.subarray(image * stride, image * stride + classes);
    let winner = 0;
    for (let c = 1; c < classes; c++) if (given[c]! > given[winner]!) winner = c;
    winners[image] = winner;
    values[image] = distances[image * stride + classes]!;
    if (areBehind) continue;
    const { temperature = 1, factors, offsets } = fitted ?? {};
    // In float32, as in a graph.
    const row = temperature === 1 ? given : given.map((value) => value / temperature);
    const [start, end] = [image * classes, (image + 1) * classes];
    if (carry !== undefined) carried.set(carry.of(row, winner, before?.subarray(start, end), exit), start);
    const value =
      factors !== undefined && kind === 'failure'
        ? failureNumbers(row, winner).reduce((sum, number, i) => sum + factors[i]! * number, 0)
        : confidence.of(row, winner, carried.subarray(start, end));
    values[image] = value + (offsets?.[winner] ?? 0);
  }
  return { classes: winners, confidences: values, ...(carry && { carried }) };
}
