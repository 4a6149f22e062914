import { basename } from 'node:path';
import { type NamedArrays, readArrays } from '../checkpoints/arrays.js';
import { type RawTensor, toFloat32, toFloat64 } from '../checkpoints/dtypes.js';
import type { Dataset, ImageSource } from '../data/dataset.js';
import { InputError } from '../errors.js';
import type { ScoresChoice } from '../experiment/network.js';
import type { Experiment } from '../experiment/schema.js';
import { type ConfidenceKind, type Decisions, decide } from '../gates/confidence.js';
import { type AnyNetwork, flopsOf, type GatePlace, type OnnxNetwork } from '../networks/onnx.js';
import { sha256 } from '../store/files.js';
import type { Confidences, ExitCosts, Scores } from '../thresholds/evaluate.js';
import type { NetworkSource } from './source.js';

/** The outputs of each exit of a network, read from a file. */
export interface ScoresFile {
  readonly path: string;
  readonly scores: Scores;
  /** FLOPs, or another cost, of an image by its exit, ascending. */
  readonly costs: ExitCosts;
  /** Of an image in the network without its exits. */
  readonly originalCost: number;
  readonly classes: number;
  /** Of the file, in hex. */
  readonly sha256: string;
}

/** The files of scores of an experiment. */
export interface GivenScores {
  readonly test: ScoresFile;
  /** Of other images that choose the thresholds. */
  readonly heldOut?: ScoresFile;
}

const MOST_CLASSES = 1_000_000;

const layout =
  'labels [images], costs [exits], and logits [exits, images, classes], or for each exit K from 1 exitK_logits ' +
  '[images, classes], or exitK_class and exitK_confidence [images] (docs/scores.md)';

/**
 * Reads a file of scores: .npz, .safetensors or .csv.
 *
 * @param confidence to compute from logits
 * @throws InputError with a line for each problem of the file
 */
export async function loadScores(path: string, confidence: ConfidenceKind = 'softmax'): Promise<ScoresFile> {
  const { arrays, bytes } = await readArrays(path);
  const reader = new ScoresReader(arrays);
  const labels = reader.vector('labels', arrays.get('labels') ?? arrays.get('label'), undefined);
  const answers = reader.exits().map((exit) => reader.answers(exit, labels.length, confidence));
  const classes = reader.classes || Math.max(0, ...[labels, ...answers.map((of) => of.classes)].map(greatest)) + 1;
  const most = Math.min(classes, MOST_CLASSES);
  const isClass = (value: number): boolean => Number.isInteger(value) && value >= 0 && value < most;
  const valid = `a class, 0 to ${most - 1}`;
  reader.check('labels', labels, isClass, valid);
  for (const [i, of] of answers.entries()) reader.check(`exit${i + 1}_class`, of.classes, isClass, valid);
  const costs = reader.costs(answers.length);
  const originalCost = reader.originalCost(costs.at(-1) ?? 0);
  if (reader.problems.length > 0) throw new InputError(reader.problems.map((problem) => `${path}: ${problem}`));
  const gates = answers.slice(0, -1);
  const scores: Scores = {
    count: labels.length,
    classes: gates.map((of) => of.classes),
    confidences: gates.map((of) => of.confidences),
    original: answers.at(-1)!.classes,
    labels: Int32Array.from(labels),
  };
  return { path, scores, costs, originalCost, classes, sha256: sha256(bytes) };
}

const greatest = (values: ArrayLike<number>): number => {
  let most = 0;
  for (let i = 0; i < values.length; i++) if (values[i]! > most) most = values[i]!;
  return most;
};

/** The arrays of an exit in a file. */
interface GivenExit {
  readonly name: string;
  readonly isLast: boolean;
  readonly logits?: RawTensor | undefined;
  readonly class?: RawTensor | undefined;
  readonly confidence?: RawTensor | undefined;
}

/** Reads the arrays of a file of scores and collects their problems. */
class ScoresReader {
  readonly problems: string[] = [];
  /** Of the logits; 0 without logits. */
  classes = 0;

  constructor(readonly arrays: NamedArrays) {}

  /** Numbers of an array of one axis; none if it is missing or has another shape. @param count expected, if known */
  vector(name: string, raw: RawTensor | undefined, count: number | undefined): Float64Array {
    if (raw === undefined) {
      const there = [...this.arrays.keys()].slice(0, 20).join(', ') || 'nothing';
      this.problems.push(`${name}: missing, it has ${there}; valid: ${layout}`);
    } else if (raw.shape.length === 1 && raw.shape[0]! > 0 && raw.shape[0] === (count || raw.shape[0])) {
      return toFloat64(raw);
    } else this.problems.push(`${name}: shape [${raw.shape.join(', ')}]; valid: [${count || 'images'}]`);
    return new Float64Array();
  }

  /** Reports the first invalid number. */
  check(name: string, values: ArrayLike<number>, isRight: (value: number) => boolean, valid: string): void {
    for (let i = 0; i < values.length; i++) {
      if (isRight(values[i]!)) continue;
      this.problems.push(`${name}: image ${i}: ${values[i]}; valid: ${valid}`);
      return;
    }
  }

  /** The exits, in order. */
  exits(): GivenExit[] {
    const stacked = this.arrays.get('logits');
    const named = [...this.arrays.keys()].flatMap(
      (name) => /^exit(\d+)_(?:logits|class|confidence)$/.exec(name)?.[1] ?? [],
    );
    const count = stacked === undefined ? new Set(named.map(Number)).size : (stacked.shape[0] ?? 0);
    if (stacked !== undefined && stacked.shape.length !== 3) {
      this.problems.push(`logits: shape [${stacked.shape.join(', ')}]; valid: [exits, images, classes]`);
      return [];
    }
    if (count < 2 || count > 1000) this.problems.push(`${count} exits; valid: 2 to 1000, as ${layout}`);
    if (count > 1000) return [];
    return Array.from({ length: count }, (_, i): GivenExit => {
      const [name, isLast] = [`exit${i + 1}`, i === count - 1];
      const size = (stacked?.bytes.byteLength ?? 0) / count;
      const logits = stacked && {
        ...stacked,
        shape: stacked.shape.slice(1),
        bytes: stacked.bytes.subarray(i * size, (i + 1) * size),
      };
      const of = (what: string): RawTensor | undefined => this.arrays.get(`${name}_${what}`);
      return { name, isLast, logits: logits ?? of('logits'), class: of('class'), confidence: of('confidence') };
    });
  }

  /** Class and confidence of each image at an exit; none if something is wrong. */
  answers(
    { name, isLast, logits, ...given }: GivenExit,
    count: number,
    kind: ConfidenceKind,
  ): Pick<Decisions, 'classes'> & { readonly confidences: Confidences } {
    if (logits === undefined) {
      const chosen = this.vector(`${name}_class`, given.class, count);
      const isClass = (value: number): boolean => Number.isInteger(value) && value >= 0 && value < MOST_CLASSES;
      this.check(`${name}_class`, chosen, isClass, `a class, a whole number from 0 to ${MOST_CLASSES - 1}`);
      const sure = isLast ? new Float64Array() : this.vector(`${name}_confidence`, given.confidence, count);
      this.check(`${name}_confidence`, sure, Number.isFinite, 'a finite number');
      const single = Float32Array.from(sure);
      // Rounded, 0.7 would miss the threshold 0.7.
      const confidences = single.every((value, i) => value === sure[i]) ? single : sure;
      return { classes: Int32Array.from(chosen), confidences };
    }
    const [images = 0, classes = 0] = logits.shape;
    if (logits.shape.length !== 2 || images !== count || classes < 2 || classes !== (this.classes || classes)) {
      const wanted = `[${count || 'images'}, ${this.classes || 'classes'}]`;
      this.problems.push(`${name}: logits of shape [${logits.shape.join(', ')}]; valid: ${wanted}`);
      return { classes: new Int32Array(), confidences: new Float32Array() };
    }
    this.classes = classes;
    const values = toFloat32(logits.dtype, logits.bytes);
    const odd = values.findIndex((value) => !Number.isFinite(value));
    if (odd >= 0)
      this.problems.push(`${name}: image ${Math.floor(odd / classes)}: logit ${values[odd]}; valid: finite`);
    return decide(values, classes, kind);
  }

  /** One number, or in a table a column that repeats it. */
  private constant(name: string): number {
    const values = this.vector(name, this.arrays.get(name), undefined);
    this.check(name, values, (value) => value === values[0], `${values[0]}, as of image 0: the same in every row`);
    return values[0] ?? Number.NaN;
  }

  /** The cost of the network without its exits; by default that of an image which passes all of them. */
  originalCost(last: number): number {
    if (!this.arrays.has('original_cost')) return last;
    const found = this.constant('original_cost');
    if (!Number.isFinite(found) || found <= 0) this.problems.push(`original_cost: ${found}; valid: above 0`);
    return found;
  }

  /** The cost of each exit: one array, or in a table a constant column for each exit. */
  costs(exits: number): number[] {
    const one = this.arrays.get('costs');
    const columns = Array.from({ length: exits }, (_, i) => `exit${i + 1}_cost`);
    const found =
      one === undefined && columns.some((name) => this.arrays.has(name))
        ? columns.map((name) => this.constant(name))
        : [...this.vector('costs', one, exits)];
    const isRight = found.every((cost, i) => Number.isFinite(cost) && cost > (found[i - 1] ?? 0));
    if (isRight || exits === 0) return found;
    this.problems.push(`costs: ${found.join(', ')}; valid: above 0, each exit dearer than the one before`);
    return found;
  }
}

/** The plan of an experiment on files of scores. @throws InputError if they do not fit each other or the thresholds */
export async function scoresPlan({ thresholds }: Experiment, choice: ScoresChoice) {
  const { file, choosing, confidence } = choice;
  const test = await loadScores(file, confidence);
  const heldOut = choosing === undefined ? undefined : await loadScores(choosing, confidence);
  const { costs, classes } = test;
  const valid = `valid: ${costs.length - 1} thresholds, ${file} has ${costs.length} exits`;
  const problems = thresholds.fixed.flatMap((row, i) =>
    row.length === costs.length - 1 ? [] : [`thresholds.fixed.${i}: [${row.join(', ')}]; ${valid}`],
  );
  if (heldOut !== undefined && (heldOut.costs.join() !== costs.join() || heldOut.classes !== classes)) {
    const of = (one: ScoresFile): string => `${one.classes} classes, costs ${one.costs.join(', ')}`;
    problems.push(`${choosing}: ${of(heldOut)}; valid: those of ${file}: ${of(test)}`);
  }
  if (problems.length > 0) throw new InputError(problems);
  const name = basename(file);
  const network: OnnxNetwork = {
    ...{ format: 'onnx', name, dataset: name, input: { channels: 1, height: 1, width: 1 }, logits: '', classes },
    ...{ parameters: 0, flops: test.originalCost, stages: [] },
  };
  // An upper bound: the file does not hold the cost of an exit without the gates before it.
  const costsOf = (gates: readonly number[]): ExitCosts => [...gates.map((gate) => costs[gate]!), costs.at(-1)!];
  const exits = costs.map((_, i) => {
    const place: GatePlace = { stage: i + 1, pooling: { kind: 'gap' } };
    return { network: 0, ...(i < costs.length - 1 && { place }) };
  });
  const given: GivenScores = { test, ...(heldOut && { heldOut }) };
  return { network, given, places: [], target: 'labels' as const, exits, flops: flopsOf(network), costs, costsOf };
}

/** A source with labels only: there is no network to run. */
export function scoresSource(network: AnyNetwork, { test, heldOut }: GivenScores): NetworkSource {
  const none = (what: string) => () =>
    Promise.reject(
      new InputError(`${test.path}: scores only, no ${what}; valid: the network as onnxNetwork('model.onnx')`),
    );
  const classes = Array.from({ length: test.classes }, (_, i) => String(i));
  const input = { channels: 0, height: 0, width: 0 };
  const imagesOf = ({ scores: { labels, count }, sha256 }: ScoresFile): ImageSource => {
    return { ...input, count, classes, labels, sha256, batch: none('images to read') };
  };
  const dataset: Dataset = {
    ...{ name: network.dataset, description: 'scores', input, classes, sources: [] },
    splits: { train: heldOut?.scores.count ?? 0, test: test.scores.count },
    preprocessing: { mean: [0], std: [1] },
    isThere: () => Promise.resolve(true),
    fetch: none('images to fetch'),
    verify: none('images to verify'),
    load: (_root, split) => Promise.resolve(imagesOf(split === 'test' ? test : heldOut!)),
  };
  return {
    ...{ network, dataset, preprocessing: dataset.preprocessing, modules: ['run/given-scores'] },
    checkpoint: { path: test.path, sha256: test.sha256, known: undefined },
    heldOut: none('checkpoint'),
    lowered: none('network to run'),
  };
}
