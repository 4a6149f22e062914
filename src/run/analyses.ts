import type { GatePlace } from '../networks/pooling.js';
import type { Claim, Findings } from '../report/findings.js';
import type { PublishedRow } from '../report/rows.js';
import type { RunContext } from './context.js';
import type { TableBasis } from './rows.js';
import type { Row } from './search.js';
import type { SplitScores, Stages } from './stages.js';

/** A run whose images are scored and whose rows are known: what an analysis starts from. */
export interface ScoredRun extends Stages {
  /** Where each gate sits, how many features it reads, and the objective that its training reached. */
  readonly gates: readonly (GatePlace & { readonly features: number; readonly objective: number })[];
  /** Scores of all gates on the images that no gate was trained on. */
  readonly scores: SplitScores;
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
  /** Verdicts on the claims of the published table that an experiment reproduces; empty if it reproduces none. */
  tableClaims(basis: TableBasis): Promise<readonly Claim[]>;
}

/** The context of a run, with its analyses. */
export interface AnalysisContext extends RunContext {
  readonly analyses: Analyses;
}
