import type { TopLevelSpec } from 'vega-lite';

/** Results of an analysis besides the table of thresholds. The analyses compute them; the report writes them to files. */
export interface Findings {
  readonly tables: readonly FindingTable[];
  readonly figures: readonly Figure[];
  readonly sheets: readonly ImageSheet[];
}

export type FindingCell = string | number | null;

/** Written to `<name>.csv` and as a table to `report.html`. */
export interface FindingTable {
  /** File name without extension. */
  readonly name: string;
  readonly title: string;
  /** Column names with units: `accuracy_fraction`, `flops_per_image`. */
  readonly columns: readonly string[];
  /** Full precision; null for values that were not measured. */
  readonly rows: readonly (readonly FindingCell[])[];
  /** Rows printed on the console at most; without it, a line names the file. */
  readonly consoleRows?: number;
}

/** Written to `<name>.svg`. */
export interface Figure {
  /** File name without extension: letters, digits and dashes, unique in the run. */
  readonly name: string;
  readonly title: string;
  /** What is plotted, the number of images, and the seeds. */
  readonly caption: string;
  /** Vega-Lite with inline data. Lines also differ in `strokeDash`, points in `shape`; axis titles name the unit. */
  readonly spec: TopLevelSpec;
}

/** Written to `<name>.png`: rows of images with captions. */
export interface ImageSheet {
  readonly name: string;
  readonly title: string;
  readonly caption: string;
  readonly rows: readonly {
    readonly label: string;
    readonly images: readonly {
      /** [channels, height, width], bytes 0-255, RGB or grey */
      readonly pixels: Uint8Array;
      readonly channels: number;
      readonly height: number;
      readonly width: number;
      readonly caption: string;
      /** Colour and sign of the caption. */
      readonly tone: 'right' | 'wrong' | 'plain';
    }[];
  }[];
}

export type Verdict = 'holds' | 'does not hold' | 'undecided' | 'cannot be checked here';

/** A claim of the paper and its verdict: one row in the `README.md` of all results. */
export interface Claim {
  /** Letters, digits and dashes, unique in the experiment. */
  readonly id: string;
  /** Place in the paper: `Table 1`, `section 3.1`. */
  readonly source: string;
  /** One line, without the number. */
  readonly statement: string;
  /** The value as printed: `44 % fewer FLOPs at 1.7 points`. */
  readonly printed: string;
  /** The condition of the verdict: `at least 55.77 % FLOPs saved`. */
  readonly rule: string;
  /** The measured value, with its interval if there is one. */
  readonly measured: string;
  readonly verdict: Verdict;
  /** One line: the likely cause if it does not hold or is undecided. */
  readonly why?: string;
  /** Upper bound of the probability that a decided verdict is wrong by chance; otherwise 0. */
  readonly chance: number;
  /** CSV file and row of the measured value. */
  readonly trace: { readonly file: string; readonly row: string };
}
