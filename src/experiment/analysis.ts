import { z } from 'zod';
import { choice, list, real, text, whole } from './rules.js';

/** Classes by their superordinate category: `{ animal: ['cat', 'dog'], vehicle: ['truck'] }`. */
export type ClassGroups = Readonly<Record<string, readonly string[]>>;

/** What an experiment studies besides its table of thresholds, as a user writes it; one kind for each of the paper's. */
export type AnalysisDefinition =
  | {
      /** Figure 1: what one gate gets right and wrong, and which errors stay within the superordinate class. */
      readonly kind: 'shallow-errors';
      /** Gate, counted from 1. Default 1. */
      readonly gate?: number;
      /** Classes whose images are shown. */
      readonly classes: readonly string[];
      /** Every class of the dataset in one group. */
      readonly groups: ClassGroups;
      /** Images in a row. Default 6. */
      readonly images?: number;
    }
  | {
      /** Figure 4: accuracy against FLOPs with hinge and with cross-entropy, for each confidence of the literature. */
      readonly kind: 'loss-comparison';
      /** Two gates, counted from 1. Default the first two. */
      readonly gates?: readonly number[];
      /** Gates are trained with this many seeds, from the experiment's own on. Default 3. */
      readonly seeds?: number;
      /** Values of lambda that validation chooses from. Default 0.00002, 0.0002, 0.002, 0.02. */
      readonly l2?: readonly number[];
      /** Shares of FLOPs saved at which the losses are compared. Default 0.1, 0.2 ... 0.6. */
      readonly reductions?: readonly number[];
    }
  | {
      /** Figure 5: FLOPs and accuracy over a grid of two thresholds. */
      readonly kind: 'threshold-plane';
      /** Two gates, counted from 1. Default the first two. */
      readonly gates?: readonly number[];
      /** Default -1. */
      readonly from?: number;
      /** Default 3.5. */
      readonly to?: number;
      /** Default 0.1. */
      readonly step?: number;
    }
  | {
      /** Figures 6, 7 and 8: which classes each gate takes. */
      readonly kind: 'class-distribution';
      /** What is drawn: numbers of images (Figure 7), classes that leave early (6) or late (8). Default `counts`. */
      readonly show?: 'counts' | 'early' | 'late';
      /** Least confidence with which an image counts as taken, at every gate. Default 1. */
      readonly distance?: number;
      /** Classes on the sheet, at most. Default 3. */
      readonly classes?: number;
      /** Images in a row of the sheet. Default 6. */
      readonly images?: number;
      /** Where given, the share of each group is reported too. */
      readonly groups?: ClassGroups;
    }
  | {
      /** Accuracy against FLOPs: the most accurate thresholds for each share of FLOPs saved, with the joint search. */
      readonly kind: 'accuracy-flops';
      /** Shares of FLOPs saved, ascending. Default 0.05, 0.1 ... 0.6. */
      readonly reductions?: readonly number[];
    }
  | {
      /** Section 3.4: the searched margins beside other methods, as published. */
      readonly kind: 'published-comparison';
      /** A table of `results/published` with columns method, accuracy and FLOPs. */
      readonly published: string;
      /** Dataset of the published numbers: on another one nothing can be concluded about them. */
      readonly dataset: string;
    };

const name = text('a class of the dataset', /^[^\n]+$/);
const names = list(name, "a list of classes: ['cat', 'truck']").min(1, { error: 'at least one class' });
const groups = z.record(z.string(), names, { error: "an object of lists: { animal: ['cat'], vehicle: ['truck'] }" });
const gateNumber = whole(1, 100);
const twoGates = 'two gates, counted from 1, in their order: [1, 2]';
const pair = list(gateNumber, twoGates).length(2, { error: twoGates }).default([1, 2]);
const share = real(0.001, 0.99, 'a share of FLOPs from 0.001 to 0.99');
const shares = 'at least two shares of FLOPs, ascending: [0.1, 0.2]';

/** {@link AnalysisDefinition} checked, with every default filled in. */
export const analysisSchema = z.discriminatedUnion(
  'kind',
  [
    z.strictObject({
      kind: z.literal('shallow-errors'),
      gate: gateNumber.default(1),
      classes: names,
      groups,
      images: whole(1, 100).default(6),
    }),
    z.strictObject({
      kind: z.literal('loss-comparison'),
      gates: pair,
      seeds: whole(1, 100).default(3),
      l2: list(real(1e-12, 1e3), 'a list of numbers: [0.0002, 0.002]')
        .min(1, { error: 'at least one number' })
        .default([0.00002, 0.0002, 0.002, 0.02]),
      reductions: list(share, shares).min(2, { error: shares }).default([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
    }),
    z.strictObject({
      kind: z.literal('threshold-plane'),
      gates: pair,
      from: real(-1e6, 1e6).default(-1),
      to: real(-1e6, 1e6).default(3.5),
      step: real(1e-6, 1e6).default(0.1),
    }),
    z.strictObject({
      kind: z.literal('class-distribution'),
      show: choice(['counts', 'early', 'late']).default('counts'),
      distance: real(-1e6, 1e6).default(1),
      classes: whole(1, 1000).default(3),
      images: whole(1, 100).default(6),
      groups: groups.optional(),
    }),
    z.strictObject({
      kind: z.literal('accuracy-flops'),
      reductions: list(share, shares)
        .min(2, { error: shares })
        .default([0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6]),
    }),
    z.strictObject({
      kind: z.literal('published-comparison'),
      published: text('a table of results/published: imagenet', /^[\w-]+$/),
      dataset: text('the dataset of the published numbers: imagenet', /^\S+$/),
    }),
  ],
  {
    error:
      "{ kind: 'shallow-errors' }, { kind: 'loss-comparison' }, { kind: 'threshold-plane' }, " +
      "{ kind: 'class-distribution' }, { kind: 'accuracy-flops' } or { kind: 'published-comparison' }, with their options",
  },
);

export type Analysis = z.output<typeof analysisSchema>;
/** The options of one kind of analysis. */
export type AnalysisOf<K extends Analysis['kind']> = Extract<Analysis, { readonly kind: K }>;

/** Cells that a plane may have at most: as many evaluations of all test images. */
const MOST_CELLS = 40_000;

interface Problem {
  readonly path: readonly PropertyKey[];
  /** What would be valid. */
  readonly message: string;
  readonly input: unknown;
}

/** What does not fit between an analysis and the rest of its experiment. */
export function analysisProblems(experiment: {
  readonly analysis?: Analysis | undefined;
  readonly gates: { readonly after: readonly number[] };
  readonly thresholds: {
    readonly margins: readonly number[];
    readonly validation: { readonly kind: string };
  };
}): Problem[] {
  const { analysis, gates, thresholds } = experiment;
  if (analysis === undefined) return [];
  const count = gates.after.length;
  switch (analysis.kind) {
    case 'shallow-errors':
      if (analysis.gate <= count) return [];
      return [{ path: ['gate'], message: `a gate, 1 to ${count}`, input: analysis.gate }];
    case 'accuracy-flops':
      return orderProblems(analysis.reductions);
    case 'loss-comparison':
      return [
        ...pairProblems(analysis.gates, count),
        ...orderProblems(analysis.reductions),
        ...(thresholds.validation.kind === 'held-out'
          ? []
          : [
              { path: ['kind'], message: "with thresholds.validation { kind: 'held-out' } only", input: analysis.kind },
            ]),
      ];
    case 'threshold-plane': {
      const { from, to, step } = analysis;
      const steps = Math.floor((to - from) / step + 1e-9) + 1;
      const valid = steps >= 2 && steps ** 2 <= MOST_CELLS;
      const message = `a step with which the grid has 2 to ${Math.sqrt(MOST_CELLS)} thresholds`;
      const wrong =
        from < to
          ? { path: ['step'], message, input: step }
          : { path: ['from'], message: `a number below analysis.to, ${to}`, input: from };
      return [...pairProblems(analysis.gates, count), ...(valid ? [] : [wrong])];
    }
    case 'class-distribution':
      return [];
    case 'published-comparison':
      if (thresholds.margins.length > 0) return [];
      return [{ path: ['kind'], message: 'with at least one margin in thresholds.margins', input: analysis.kind }];
  }
}

function orderProblems(reductions: readonly number[]): Problem[] {
  const ascending = reductions.every((value, i, all) => i === 0 || value > all[i - 1]!);
  return ascending ? [] : [{ path: ['reductions'], message: shares, input: reductions }];
}

function pairProblems(gates: readonly number[], count: number): Problem[] {
  const [first, second] = [gates[0]!, gates[1]!];
  if (first < second && second <= count) return [];
  return [{ path: ['gates'], message: `two of the ${count} gates, counted from 1, in their order`, input: gates }];
}
