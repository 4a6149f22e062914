import type { GatePlace } from '../networks/pooling.js';
import type { Claim, Findings } from '../report/findings.js';
import type { PublishedRow } from '../report/rows.js';
import type { RunContext } from './context.js';
import type { TableBasis } from './rows.js';
import type { Row } from './search.js';
import type { SplitScores, Stages } from './stages.js';

/** What a run knows when its analysis begins: its stages, to go back to, and what they gave. */
export interface Study extends Stages {
  /** Where the gates sit, what they see, and the objective they reached. */
  readonly gates: readonly (GatePlace & { readonly features: number; readonly objective: number })[];
  /** All gates of the experiment on the images that none has learnt from. */
  readonly scores: SplitScores;
  readonly rows: readonly Row[];
  /** Accuracy and FLOPs of the original network on the test images. */
  readonly original: { readonly accuracy: number; readonly flops: number; readonly count: number };
}

/** What a run hands its results to for study; `src/paper` has the paper's analyses, claims and published tables. */
export interface Studies {
  /** What the analysis of an experiment finds; nothing where it has none. */
  analyse(study: Study): Promise<Findings>;
  /** Published rows of a table, the original network last. @throws InputError where there is no such table */
  published(name: string): Promise<readonly PublishedRow[]>;
  /** What becomes of the claims of the published table that an experiment reproduces; none where it reproduces none. */
  tableClaims(basis: TableBasis): Promise<readonly Claim[]>;
}

/** Surroundings of a run with what studies its results. */
export interface StudyContext extends RunContext {
  readonly studies: Studies;
}
