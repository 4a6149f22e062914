import type { Claim, Findings } from '../report/findings.js';
import type { PublishedRow } from '../report/rows.js';
import type { RunContext } from './context.js';
import type { Part, Row } from './search.js';
import type { SplitScores, Stages } from './stages.js';
import type { TrainedPlace } from './train.js';

/** A run whose images are scored and whose rows are known: what an analysis starts from. */
export interface ScoredRun extends Stages {
  readonly gates: readonly TrainedPlace[];
  /** Scores of all gates on the images that no gate was trained on. */
  readonly scores: SplitScores;
  /** Where thresholds are chosen and where they are reported. */
  readonly parts: readonly Part[];
  readonly rows: readonly Row[];
  /** Accuracy and FLOPs of the original network on the test images. */
  readonly original: { readonly accuracy: number; readonly flops: number; readonly count: number };
}

/** What a run computes from its results; `src/paper` implements it with the paper's analyses, claims and tables. */
export interface Analyses {
  /** The findings of an experiment's analysis; empty without one. */
  analyse(run: ScoredRun): Promise<Findings>;
  /** Published rows of a table, the original network last. @throws InputError for an unknown table */
  published(name: string): Promise<readonly PublishedRow[]>;
  /**
   * Prepares the verdicts on the paper's claims about an experiment; empty if there are none.
   *
   * @param name of the experiment, or of the published table that it reproduces
   */
  judge(name: string): Promise<Judge>;
}

/**
 * Verdicts on the paper's claims, from nothing but the CSV files of a run.
 *
 * @param files rows of a file by column, by the file's name without extension; undefined where the run has none
 */
export type Judge = (
  files: (name: string) => readonly Readonly<Record<string, string>>[] | undefined,
  run: { readonly preset: string; readonly network: string; readonly dataset: string },
) => Claim[];

/** The context of a run, with its analyses. */
export interface AnalysisContext extends RunContext {
  readonly analyses: Analyses;
}
