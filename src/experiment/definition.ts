import type { ConfidenceKind } from '../gates/confidence.js';
import type { Loss } from '../gates/loss.js';
import type { SearchMethod } from '../thresholds/methods.js';
import type { AnalysisDefinition } from './analysis.js';
import type { ImageFolderDefinition, OnnxNetworkDefinition } from './own-network.js';

/** Size of a run: `paper`: the paper's networks and data; `laptop`: minutes on two cores; `smoke`: seconds, for CI. */
export const presetNames = ['paper', 'laptop', 'quick', 'smoke'] as const;
export type PresetName = (typeof presetNames)[number];

/**
 * `gap`: the average of each channel; `NxN`: averages of N x N cells of each channel; `class-token`: the first of a
 * transformer's tokens.
 */
export type PoolingName = 'gap' | 'class-token' | '2x2' | '4x4' | '8x8' | `${number}x${number}`;

/** What an experiment is, as a user writes it. Everything but name, title, network and gates has a default. */
export interface ExperimentDefinition {
  /** Letters, digits and dashes; the folder of its results. */
  readonly name: string;
  /** One line over the table. */
  readonly title: string;
  /** `<architecture>-<dataset>`, see `dgate list networks`; or an ONNX file: `onnxNetwork('model.onnx')`. */
  readonly network: string | OnnxNetworkDefinition;
  /** Images of a user's ONNX network: `imageFolder('dir', { preprocess })`, or a name of `dgate list datasets`. */
  readonly dataset?: string | ImageFolderDefinition;
  /** Id of a known checkpoint (`dgate list checkpoints`) or the path of a file; `--checkpoint` overrides it. */
  readonly checkpoint?: string;
  /** Seeds the choice of images, the folds and the order of training. Default 0. */
  readonly seed?: number;
  /** The experiment is run once for each of these seeds, and a table of all of them made; `--seeds 0..4` overrides it. */
  readonly seeds?: readonly number[];
  /** Default `auto`: `ort-cpu`, on every machine. Others are asked for by name (dgate list engines). */
  readonly engine?: string;
  /** Number of training images that the gates learn from, a stratified choice; all by default. */
  readonly trainImages?: number;
  /** Number of test images, a stratified choice; all by default. */
  readonly testImages?: number;
  /** Table of the paper (`results/published/<name>.csv`) whose rows are printed next to the margins, in the same order. */
  readonly published?: string;
  readonly gates: {
    /** Stages, counted from 1, after which a gate sits; never the last stage. */
    readonly after: readonly number[];
    /** One for all gates, or a list with one for each. Default `gap`. */
    readonly pooling?: PoolingName | readonly PoolingName[];
    /** Default `hinge`. */
    readonly loss?: Loss;
    /** What is held against the threshold. Default `max`: the largest distance (the paper's). */
    readonly confidence?: ConfidenceKind;
    /** lambda of lambda/2 |w|^2. Default 0.002. */
    readonly l2?: number;
    /** Passes over the training images. Default 20. */
    readonly epochs?: number;
    /** Images of a step. Default 512. */
    readonly batchSize?: number;
  };
  readonly thresholds: {
    /** Accuracies to reach, as margins below the original's: 0.01 is one point. Each is a row. */
    readonly margins?: readonly number[];
    /** Thresholds to apply unchanged, one number per gate. Each is a row. */
    readonly fixed?: readonly (readonly number[])[];
    /**
     * How thresholds are searched for a margin. `joint` (default): those of all gates together, for the fewest FLOPs.
     * `sequential`: one gate after the other, as in the paper. A list of both: a row for each, and how far they are apart.
     */
    readonly search?: SearchMethod | readonly SearchMethod[];
    /**
     * A row of thresholds that come with a promise: with this confidence (0.95 if absent) over the draw of the images
     * that choose, the expected accuracy on new images of the same distribution is at most `drop` below the original's
     * (0.005 is half a point). Where nothing can be promised the gates are closed.
     */
    readonly guarantee?: { readonly drop: number; readonly confidence?: number };
    /**
     * Where thresholds are chosen. `cross-fit` (default, 2 folds): the test images are divided in folds, and each is
     * reported with thresholds chosen on the others; for networks that have seen all training images. `held-out`: the
     * training images that the network has not learnt from, which its checkpoint names (`dgate train` records them).
     */
    readonly validation?: { readonly kind: 'cross-fit'; readonly folds?: number } | { readonly kind: 'held-out' };
  };
  /** What else the scores are studied for: the paper's figures and comparisons. With one, `margins` and `fixed` may be empty. */
  readonly analysis?: AnalysisDefinition;
  /** What differs in each size of run. Without an entry, `laptop` is the definition unchanged. */
  readonly presets?: Readonly<Partial<Record<PresetName, Overrides>>>;
}

type DeepPartial<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { readonly [K in keyof T]?: DeepPartial<T[K]> }
    : T;

/** A part of a definition that replaces what stands there; lists are replaced whole. */
export type Overrides = DeepPartial<Omit<ExperimentDefinition, 'name' | 'presets'>>;

/**
 * Declares an experiment. Returns its argument; it is there for the types and for completion in an editor.
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
