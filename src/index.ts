import { resolve } from 'node:path';
import type { DeepReadonly, PresetName } from './experiment/rules.js';
import type { ExperimentInput } from './experiment/schema.js';
import type { Predictor } from './gated/predict.js';
import type { RawOptions } from './gated/raw.js';
import type { ConfidenceKind } from './gates/confidence.js';
import type { AnalysisDefinition } from './paper/index.js';
import { type Progress, silent } from './progress.js';
import type { ScoresFile } from './run/given-scores.js';
import type { RunDocument } from './run/record.js';
import { type Evaluation, type ExitCosts, evaluate, type Scores, type Thresholds } from './thresholds/evaluate.js';
import { type Certified, certify as certifyThresholds, type Guarantee } from './thresholds/guarantee.js';
import { type SearchMethod, searches } from './thresholds/methods.js';

export { InputError } from './errors.js';
export { cascade, imageFolder, onnxNetwork, scores } from './experiment/network.js';
export type { TableRow } from './report/rows.js';
export { evaluate } from './thresholds/evaluate.js';
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
export async function loadScores(file: string, confidence?: ConfidenceKind): Promise<ScoresFile> {
  return (await import('./run/given-scores.js')).loadScores(file, confidence);
}

/**
 * Thresholds for the fewest FLOPs at an accuracy at most `margin` below the last exit's, and what they do on these images.
 * On images that thresholds were chosen on, their accuracy is too good: report `evaluate` of others.
 *
 * @param images positions of the images that choose; all by default
 */
export function searchThresholds(
  { scores, costs }: ExitScores,
  { margin, search = 'joint' }: { readonly margin: number; readonly search?: SearchMethod },
  images: ArrayLike<number> = Int32Array.from({ length: scores.count }, (_, i) => i),
): Evaluation & { readonly thresholds: Thresholds } {
  const closed = costs.slice(1).map(() => Number.POSITIVE_INFINITY);
  const { accuracy } = evaluate(scores, closed, costs, images);
  const thresholds = searches[search].on(scores, costs, images)(accuracy - margin);
  return { thresholds, ...evaluate(scores, thresholds, costs, images) };
}

/**
 * Thresholds whose expected loss of accuracy on new images of the same kind is at most `drop`, with a confidence
 * (docs/thresholds.md); all exits closed where nothing can be certified.
 *
 * @param images positions of the images that choose and test; all by default
 */
export function certify(
  { scores, costs }: ExitScores,
  {
    drop,
    confidence = 0.95,
    method = 'exact',
    seed = 0,
  }: Partial<Guarantee> & Pick<Guarantee, 'drop'> & { seed?: number },
  images: ArrayLike<number> = Int32Array.from({ length: scores.count }, (_, i) => i),
): Certified {
  return certifyThresholds(scores, costs, images, { drop, confidence, method }, seed);
}

/**
 * Opens a file of `dgate export`, or another ONNX classifier with what it leaves open (`{ preprocess: 'torchvision-v2' }`):
 * `predict(paths)` gives class, exit, confidence and time of each image; `close()` at the end.
 */
export async function openPredictor(model: string, raw?: RawOptions): Promise<Predictor> {
  return (await import('./gated/predict.js')).openPredictor(model, raw);
}
