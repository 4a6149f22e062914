import { resolve } from 'node:path';
import { z } from 'zod';
import { InputError } from './errors.js';
import { describeIssues } from './experiment/checks.js';
import { choice, type DeepReadonly, type PresetName } from './experiment/rules.js';
import { type ExperimentInput, guarantee, margin } from './experiment/schema.js';
import type { Predictor } from './gated/predict.js';
import type { RawOptions } from './gated/raw.js';
import { type ConfidenceKind, confidenceKinds } from './gates/confidence.js';
import type { AnalysisDefinition } from './paper/index.js';
import { type Progress, silent } from './progress.js';
import type { ScoresFile } from './run/given-scores.js';
import type { RunDocument } from './run/record.js';
import {
  type Evaluation,
  type ExitCosts,
  evaluate as evaluateThresholds,
  type Scores,
  type Thresholds,
} from './thresholds/evaluate.js';
import { type Certified, certify as certifyThresholds, type Guarantee } from './thresholds/guarantee.js';
import { type SearchMethod, searches, searchMethods } from './thresholds/methods.js';

export { cascade, imageFolder, onnxNetwork, scores } from './experiment/network.js';
export type { TableRow } from './report/rows.js';
export type {
  Certified,
  ConfidenceKind,
  Evaluation,
  Predictor,
  PresetName,
  RunDocument,
  Scores,
  ScoresFile,
  SearchMethod,
};
export { InputError };

/** Scores of the exits, and the cost of leaving at each: from `loadScores`, or made by a program. */
export interface ExitScores {
  readonly scores: Scores;
  readonly costs: ExitCosts;
}

type GatesInput = DeepReadonly<ExperimentInput>['gates'];

/** What an experiment is, as a user writes it. Everything but name, title, network, gates and thresholds has a default. */
export interface ExperimentDefinition extends Omit<DeepReadonly<ExperimentInput>, 'gates'> {
  /** Left out of a cascade, whose exits are its networks. `search`: at all places, which the analysis `places` compares. */
  readonly gates?: GatesInput | 'search' | 'best' | (Omit<GatesInput, 'after'> & { readonly after: 'search' });
  /** A further analysis of the scores: the paper's figures and comparisons. With one, `margins` and `fixed` may be empty. */
  readonly analysis?: AnalysisDefinition;
  /** What differs in each size of run. Without an entry, `laptop` is the definition unchanged. */
  readonly presets?: Readonly<Partial<Record<PresetName, Overrides>>>;
}

type DeepPartial<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { readonly [K in keyof T]?: DeepPartial<T[K]> }
    : T;

/** A part of a definition that overrides the same part of another; lists are replaced whole. */
export type Overrides = DeepPartial<Omit<ExperimentDefinition, 'name' | 'presets'>>;

/**
 * Declares an experiment. Returns its argument; gives types and completion in an editor.
 *
 * @example
 * export default defineExperiment({
 *   name: 'mine', title: 'Two gates', network: 'resnet56-cifar10',
 *   gates: { after: [1, 2], pooling: '4x4' }, thresholds: { margins: [0.01] },
 * });
 */
export function defineExperiment(definition: ExperimentDefinition): ExperimentDefinition {
  return definition;
}

export interface LibraryOptions {
  /** Default `laptop`. */
  readonly preset?: PresetName;
  /** Folder of data, models and everything computed: by default `.cache`, or the environment's DGATE_CACHE. */
  readonly cache?: string;
  /** Folder of tables for the run's files; without it none are written. */
  readonly results?: string;
  /** What differs from the definition, by path: `{ 'gates.epochs': 40 }`. */
  readonly set?: Readonly<Record<string, unknown>>;
  /** Receives progress messages; silent by default. */
  readonly progress?: Progress;
}

/**
 * Runs an experiment from images, or from scores, to rows: what `dgate run --json` prints. Several seeds become one table.
 * Paths in the definition are relative to the working folder.
 *
 * @throws InputError with a line for each problem of the definition or of what it names
 */
export async function runExperiment(
  definition: ExperimentDefinition,
  options: LibraryOptions = {},
): Promise<RunDocument> {
  const { preset = 'laptop', cache = process.env['DGATE_CACHE'] || '.cache', results, set = {} } = options;
  const { resolveExperiment } = await import('./experiment/resolve.js');
  const { paperAnalyses, paperExperiments } = await import('./paper/index.js');
  const { contextIn } = await import('./run/context.js');
  const { mergeDocuments, perSeed } = await import('./batch/grid.js');
  const { runDocument } = await import('./run/record.js');
  const run = await import('./run/run.js');
  const overrides = Object.entries(set).map(([path, value]) => ({ path, value }));
  const experiment = resolveExperiment(definition, 'definition', preset, overrides, paperExperiments);
  const context = contextIn(resolve(cache), resolve(results ?? 'results'), options.progress ?? silent);
  const documents: RunDocument[] = [];
  for (const one of perSeed(experiment)) {
    const outcome = await run.runExperiment({ ...context, analyses: paperAnalyses }, one);
    if (results !== undefined) await (await import('./run/report.js')).writeRun(outcome, preset, context.resultsRoot);
    documents.push(runDocument(outcome, preset));
  }
  return mergeDocuments(documents);
}

/**
 * Reads the scores of a network's exits: .npz, .safetensors or .csv (docs/scores.md).
 *
 * @param confidence to compute from logits and compare with a threshold; `softmax` by default
 * @throws InputError with every problem of the file, a line each
 */
export async function loadScores(file: string, confidence: ConfidenceKind = 'softmax'): Promise<ScoresFile> {
  refuse(problemsOf(confidenceOption, { confidence }));
  return (await import('./run/given-scores.js')).loadScores(file, confidence);
}

/**
 * What thresholds do on images, by the paper's Algorithm 1.
 *
 * @param thresholds one for each exit but the last; Infinity closes an exit
 * @param costs FLOPs of an image by its exit, the exits before it included
 * @param images positions of the reported images; all by default
 * @throws InputError with a line for each argument that does not fit
 */
export function evaluate(
  scores: Scores,
  thresholds: Thresholds,
  costs: ExitCosts,
  images: ArrayLike<number> = everyImage(scores),
): Evaluation {
  const gates = scores.confidences.length;
  const fit = thresholds.length === gates && !thresholds.some(Number.isNaN);
  refuse([
    ...(fit ? [] : [`thresholds: [${thresholds.join(', ')}]; valid: ${gates} numbers, one for each exit but the last`]),
    ...exitProblems({ scores, costs }, images),
  ]);
  return evaluateThresholds(scores, thresholds, costs, images);
}

/**
 * Thresholds for the fewest FLOPs at an accuracy at most `margin` below the last exit's, and what they do on these images.
 * On images that thresholds were chosen on, their accuracy is too good: report `evaluate` of others.
 *
 * @param asked `margin` as a share: 0.01 is one point; `search`: `joint` by default (docs/thresholds.md)
 * @param images positions of the images that choose; all by default
 * @throws InputError with a line for each argument that does not fit
 */
export function searchThresholds(
  { scores, costs }: ExitScores,
  asked: { readonly margin: number; readonly search?: SearchMethod },
  images: ArrayLike<number> = everyImage(scores),
): Evaluation & { readonly thresholds: Thresholds } {
  refuse([...problemsOf(searchOptions, asked), ...exitProblems({ scores, costs }, images)]);
  const { margin, search = 'joint' } = asked;
  const closed = costs.slice(1).map(() => Number.POSITIVE_INFINITY);
  const { accuracy } = evaluateThresholds(scores, closed, costs, images);
  const thresholds = searches[search].on(scores, costs, images)(accuracy - margin);
  return { thresholds, ...evaluateThresholds(scores, thresholds, costs, images) };
}

/**
 * Thresholds whose expected loss of accuracy on new images of the same kind is at most `drop`, with a confidence
 * (docs/thresholds.md); all exits closed where nothing can be certified.
 *
 * @param promised `drop` and `confidence` as shares: 0.005 is half a point, 0.95 the default confidence
 * @param images positions of the images that choose and test; all by default
 * @throws InputError with a line for each argument that does not fit
 */
export function certify(
  { scores, costs }: ExitScores,
  { seed = 0, ...promised }: Partial<Guarantee> & Pick<Guarantee, 'drop'> & { seed?: number },
  images: ArrayLike<number> = everyImage(scores),
): Certified {
  const { drop = Number.NaN, confidence = 0.95, method = 'exact' } = promised;
  refuse([...problemsOf(guarantee, { ...promised, drop }), ...exitProblems({ scores, costs }, images)]);
  return certifyThresholds(scores, costs, images, { drop, confidence, method }, seed);
}

const confidenceOption = z.object({ confidence: choice(confidenceKinds) });
const searchOptions = z.strictObject({ margin, search: choice(searchMethods).optional() });

const everyImage = (scores: Scores): Int32Array => Int32Array.from({ length: scores.count }, (_, i) => i);

const problemsOf = (schema: z.ZodType, options: object): string[] =>
  describeIssues(schema.safeParse(options, { reportInput: true }).error?.issues ?? [], options, [], schema);

function exitProblems({ scores, costs }: ExitScores, images: ArrayLike<number>): string[] {
  const [exits, last] = [scores.confidences.length + 1, scores.count - 1];
  const odd = Array.from(images).find((image) => !Number.isInteger(image) || image < 0 || image > last);
  return [
    ...(costs.length === exits ? [] : [`costs: ${costs.length} given; valid: ${exits}, one for each exit`]),
    ...(images.length > 0 && odd === undefined ? [] : [`images: ${odd ?? 'none'}; valid: positions from 0 to ${last}`]),
  ];
}

function refuse(problems: readonly string[]): void {
  if (problems.length > 0) throw new InputError(problems);
}

/**
 * Opens a file of `dgate export`, or another ONNX classifier with what it leaves open (`{ preprocess: 'torchvision-v2' }`):
 * `predict(paths)` gives class, exit, confidence and time of each image; `close()` at the end.
 *
 * @throws InputError where the file is not such a one
 */
export async function openPredictor(model: string, raw?: RawOptions): Promise<Predictor> {
  return (await import('./gated/predict.js')).openPredictor(model, raw);
}
