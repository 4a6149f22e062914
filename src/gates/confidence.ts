/** The part of an ONNX graph writer that gates need; values are identified by their names. */
export interface GateGraph {
  fresh(stem: string): string;
  /** A constant vector of 64-bit integers. */
  ints(name: string, values: readonly number[]): string;
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
  /** A description for help and figures. */
  readonly label: string;
  /** @param row distances of one image, [classes]; @param winner position of the largest, the first of equal ones */
  of(row: Float32Array, winner: number): number;
  /** Writes the same function into a graph: distances [n, classes] to confidences [n]. */
  write(graph: GateGraph, distances: string): string;
  /** The confidence is the largest distance, so that a graph needs no additional nodes for it. */
  readonly isLargestDistance?: true;
}

/** The largest softmax probability. */
const softmax = {
  name: 'softmax',
  label: 'largest softmax probability',
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
  label: 'largest distance or logit',
  of: (row, winner) => row[winner]!,
  write: (graph, distances) => graph.rowMaxima(distances),
  isLargestDistance: true,
} as const satisfies Confidence;

/** Minus the entropy of the softmax in nats: BranchyNet's criterion, negated so that larger is more confident. */
const entropy = {
  name: 'entropy',
  label: 'minus the entropy of the softmax',
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
  label: 'largest distance minus the second largest',
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

/** All confidences. */
export const confidences = [max, softmax, entropy, difference] as const satisfies readonly Confidence[];
export type ConfidenceKind = (typeof confidences)[number]['name'];
export const confidenceKinds = confidences.map(({ name }) => name);

/** The confidence of this name. @throws Error for an unknown name; the schema checks names from outside */
export function confidenceOf(kind: ConfidenceKind): Confidence {
  const found = confidences.find(({ name }) => name === kind);
  if (found === undefined) throw new Error(`confidence ${kind}: unknown; valid: ${confidenceKinds.join(', ')}`);
  return found;
}

/** A gate's answers for a batch of images. */
export interface Decisions {
  /** argmax of the distances (the first of equal ones), [count] */
  readonly classes: Int32Array;
  /** [count] */
  readonly confidences: Float32Array;
}

/**
 * Class and confidence of each image.
 *
 * @param distances [count, classes] row-major
 * @param stride from one image's numbers to the next one's, if they hold more than the distances
 * @param temperature that the distances are divided by, in float32 as in a graph
 */
export function decide(
  distances: Float32Array,
  classes: number,
  kind: ConfidenceKind,
  stride: number = classes,
  temperature = 1,
): Decisions {
  const confidence = confidenceOf(kind);
  const count = distances.length / stride;
  const winners = new Int32Array(count);
  const values = new Float32Array(count);
  for (let image = 0; image < count; image++) {
    const row = distances.subarray(image * stride, image * stride + classes);
    let winner = 0;
    for (let c = 1; c < classes; c++) if (row[c]! > row[winner]!) winner = c;
    winners[image] = winner;
    values[image] = confidence.of(temperature === 1 ? row : row.map((value) => value / temperature), winner);
  }
  return { classes: winners, confidences: values };
}

/** Numbers of an exit for some images, [count, classes] row-major, and what is right. */
export interface Judged {
  readonly numbers: Float32Array;
  readonly classes: number;
  readonly labels: Int32Array;
}

/** Temperatures lie between its inverse and this. */
const HOTTEST = 100;

/**
 * The temperature whose softmax gives the right classes the highest likelihood (Guo et al. 2017). The negative logarithm is
 * convex in the inverse temperature: Newton's method, kept within bounds.
 *
 * @param images positions of those that it is fitted on
 * @returns exact as float32
 */
export function fitTemperature({ numbers, classes, labels }: Judged, images: Int32Array): number {
  let [low, high, inverse] = [1 / HOTTEST, HOTTEST, 1];
  for (let step = 0; step < 60; step++) {
    let [slope, curvature] = [0, 0];
    for (const image of images) {
      const row = numbers.subarray(image * classes, (image + 1) * classes);
      const most = row.reduce((a, b) => Math.max(a, b));
      let [sum, first, second] = [0, 0, 0];
      for (const value of row) {
        const power = Math.exp(inverse * (value - most));
        sum += power;
        first += power * (value - most);
        second += power * (value - most) ** 2;
      }
      slope += first / sum - (row[labels[image]!]! - most);
      curvature += second / sum - (first / sum) ** 2;
    }
    if (slope === 0) break;
    if (slope > 0) high = inverse;
    else low = inverse;
    const newton = inverse - slope / curvature;
    const next = newton > low && newton < high ? newton : Math.sqrt(low * high);
    if (Math.abs(next - inverse) <= 1e-7 * inverse) break;
    inverse = next;
  }
  return Math.fround(1 / inverse);
}

const BINS = 15;

/**
 * Expected calibration error: over 15 bins of the largest softmax probability, how far its mean is from the share of right
 * answers, weighted by images.
 */
export function calibrationError(judged: Judged, images: Int32Array, temperature: number): number {
  const { numbers, classes, labels } = judged;
  const { classes: answers, confidences } = decide(numbers, classes, 'softmax', classes, temperature);
  const gaps = new Float64Array(BINS);
  for (const image of images) {
    const bin = Math.min(BINS - 1, Math.floor(BINS * confidences[image]!));
    gaps[bin]! += confidences[image]! - Number(answers[image] === labels[image]);
  }
  return gaps.reduce((sum, gap) => sum + Math.abs(gap), 0) / images.length;
}
