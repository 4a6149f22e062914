import type { ImageSource } from '../data/dataset.js';
import type { Experiment } from '../experiment/schema.js';
import type { NetworkFlops } from '../networks/network.js';
import type { Findings } from '../report/findings.js';
import type { PublishedRow } from '../report/rows.js';
import type { ExitCosts, Scores } from '../thresholds/evaluate.js';
import type { EngineDescription, TimingRecord } from '../timing/record.js';

import type { Judge } from './analyses.js';
import type { LazyEngine } from './context.js';
import type { Part, Row } from './search.js';
import type { NetworkSource } from './source.js';
import type { TrainedPlace } from './train.js';

/** What a run found; `report.ts` turns it into tables and files. */
export interface RunOutcome {
  readonly experiment: Experiment;
  /** Searched rows, then fixed ones; empty where the experiment has an analysis only. */
  readonly rows: readonly Row[];
  /** Tables, figures and sheets of its analysis. */
  readonly findings: Findings;
  /** What became of the paper's claims, once the run is timed or not. */
  readonly judge: Judge;
  /** Accuracy and FLOPs of the original network on the reported images. */
  readonly original: { readonly accuracy: number; readonly flops: number; readonly count: number };
  /** The original's accuracy on the held-out images that chose; absent where the reported images chose for each other. */
  readonly choosing?: { readonly accuracy: number; readonly count: number };
  /** The table of the paper that the experiment reproduces, the original network last; else empty. */
  readonly published: readonly PublishedRow[];
  readonly splits: Splits;
  /** Images that could not be decoded, by split: the file and what is wrong with it; of splits that have such only. */
  readonly leftOut: Readonly<Record<string, readonly string[]>>;
  readonly flops: NetworkFlops;
  readonly exitCosts: ExitCosts;
  readonly gates: readonly TrainedPlace[];
  readonly source: NetworkSource;
  readonly engine: LazyEngine;
  /** What extracted the features of the test images, in this run or before. */
  readonly extractedOn: EngineDescription | undefined;
  /** Content ids of the images used. */
  readonly imageHashes: Readonly<Record<string, string>>;
  /** Seconds that each stage took in this run. */
  readonly seconds: Readonly<Record<string, number>>;
  /** Seconds that extraction and training took when what this run used was computed, in this run or before. */
  readonly computedSeconds: { readonly extract: number; readonly train: number };
  /** The reported images, their scores, and which of them each part's thresholds belong to. */
  readonly reported?: {
    readonly images: ImageSource;
    readonly scores: Scores;
    readonly parts: readonly Part[];
    /** Small pictures of the images for the page; absent where there can be none. */
    readonly thumbnails?: Uint8Array;
  };
  /** The timed evaluation that the speeds of the table come from. */
  readonly timing?: TimingRecord;
}

/** Numbers of images: what gates learn from, thresholds are chosen on, and results are reported on. */
export interface Splits {
  readonly train: number;
  readonly validation: string;
  readonly test: number;
}
