import type { GatePlace } from '../networks/pooling.js';
import type { Row } from '../run/search.js';
import type { SplitScores, Stages } from '../run/stages.js';

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
