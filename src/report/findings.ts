import type { TopLevelSpec } from 'vega-lite';

/**
 * What an analysis found, besides the table of thresholds: tables, figures, sheets of images, and what became of the
 * paper's claims. The analyses (`src/pipeline/analyses`) make it; the report writes it to files.
 */
export interface Findings {
  readonly tables: readonly FindingTable[];
  readonly figures: readonly Figure[];
  readonly sheets: readonly ImageSheet[];
  readonly claims: readonly Claim[];
}

export type FindingCell = string | number | null;

/** Becomes `<name>.csv`, and a table in `report.html`. */
export interface FindingTable {
  /** Name of the file, without extension. */
  readonly name: string;
  readonly title: string;
  /** Column names with units: `accuracy_fraction`, `flops_per_image`. */
  readonly columns: readonly string[];
  /** Full precision; null for what was not measured. */
  readonly rows: readonly (readonly FindingCell[])[];
  /** Also printed on the console, at most these rows; absent: only a line that names the file. */
  readonly consoleRows?: number;
}

/** Becomes `<name>.svg`. */
export interface Figure {
  /** Name of the file, without extension: letters, digits and dashes, of no other figure, sheet or table of the run. */
  readonly name: string;
  readonly title: string;
  /** What is seen, on which images, how many, which seeds. */
  readonly caption: string;
  /**
   * Vega-Lite, data inside; the theme (fonts, colours, sizes) is the report's. Lines that differ in colour should differ
   * in `strokeDash` too, and points in `shape`; axis titles name the unit.
   */
  readonly spec: TopLevelSpec;
}

/** Becomes `<name>.png`: rows of images with a caption under each. */
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

/** A claim of the paper, and what became of it. One row of `results/README.md`. */
export interface Claim {
  /** Letters, digits and dashes, unique in the experiment. */
  readonly id: string;
  /** Where the paper says it: `Table 1`, `section 3.1`. */
  readonly source: string;
  /** One line, without the number. */
  readonly statement: string;
  /** The value as printed: `44 % fewer FLOPs at 1.7 points`. */
  readonly printed: string;
  /** The value measured, with its interval where there is one. */
  readonly measured: string;
  readonly verdict: Verdict;
  /** Where it does not hold or cannot be told: the likely cause, in one line. */
  readonly why?: string;
  /** CSV file of the run and what names the row in it, so that the number can be traced. */
  readonly trace: { readonly file: string; readonly row: string };
  /** A claim about time: the printed speed-up and the model of the table's row. Judged where the run has been timed. */
  readonly speed?: { readonly speedUp: number; readonly model: string };
}
