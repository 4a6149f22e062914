import { z } from 'zod';
import { type Column, tabulate } from '../csv.js';
import { Problems } from '../errors.js';
import type { AnalysisKind, OptionProblem } from '../experiment/checks.js';
import { list, real, text, whole } from '../experiment/rules.js';
import type { Experiment } from '../experiment/schema.js';
import { counted } from '../json.js';
import { Random } from '../random.js';
import { type FindingCell, type Findings, type FindingTable, type ImageSheet, picturesOf } from '../report/findings.js';
import type { ScoredRun } from '../run/stages.js';
import type { Interval } from '../statistics/intervals.js';
import { type Evaluation, type Scores, scoresOfExits, type Thresholds } from '../thresholds/evaluate.js';
import { type Objective, paretoFrontier } from '../thresholds/frontier.js';
import { jointSearch } from '../thresholds/methods.js';

/** One kind of analysis: the schema of its options, which of them do not fit the experiment, and what it finds. */
export interface Analysis extends AnalysisKind {
  compute(run: ScoredRun, options: unknown): Promise<Partial<Findings>>;
}

/** Declares an analysis; the registry is `index.ts`. */
export function defineAnalysis<Options extends AnalysisKind['options']>(analysis: {
  readonly options: Options;
  problems?(options: z.output<Options>, experiment: Experiment): OptionProblem[];
  compute(run: ScoredRun, options: z.output<Options>): Promise<Partial<Findings>>;
}) {
  return analysis;
}

// Options.

const className = text('a class of the dataset', /^[^\n]+$/);
export const classNames = list(className, "a list of classes: ['cat', 'truck']").min(1, {
  error: 'at least one class',
});
/** Classes by their superordinate category: `{ animal: ['cat', 'dog'], vehicle: ['truck'] }`. */
export const groups = z.record(z.string(), classNames, {
  error: "an object of lists: { animal: ['cat'], vehicle: ['truck'] }",
});

export const gateNumber = whole(1, 100);
const twoGatesText = 'two gates, counted from 1, in their order: [1, 2]';
/** Two gates, counted from 1. Default the first two. */
export const twoGates = list(gateNumber, twoGatesText).length(2, { error: twoGatesText }).default([1, 2]);

export function pairProblems(pair: readonly number[], { gates }: Pick<Experiment, 'gates'>): OptionProblem[] {
  const count = gates.after.length;
  if (pair[0]! < pair[1]! && pair[1]! <= count) return [];
  return [{ path: ['gates'], message: `two of the ${count} gates, counted from 1, in their order`, input: pair }];
}

const sharesText = 'at least two shares of FLOPs, ascending: [0.1, 0.2]';
export const reductions = list(real(0.001, 0.99, 'a share of FLOPs from 0.001 to 0.99'), sharesText)
  .min(2, { error: sharesText })
  .refine((shares) => shares.every((share, i) => i === 0 || share > shares[i - 1]!), { error: sharesText });

// Classes in groups.

/** Superordinate categories of a dataset's classes. */
export interface Grouping {
  readonly names: readonly string[];
  /** Group of each class, a position in `names`. */
  readonly of: readonly number[];
}

/** The group of each class. @throws InputError that lists classes that are unknown, in several groups or in none */
export function groupClasses(
  classes: readonly string[],
  groups: Readonly<Record<string, readonly string[]>>,
): Grouping {
  const names = Object.keys(groups);
  const problems = new Problems();
  const of = classes.map((name) => {
    const homes = names.filter((group) => groups[group]!.includes(name));
    if (homes.length !== 1) {
      const found = homes.length === 0 ? 'in no group' : `in ${homes.join(' and ')}`;
      problems.add(`analysis.groups: class "${name}" is ${found}; valid: every class in one group`);
    }
    return names.indexOf(homes[0] ?? '');
  });
  for (const group of names) addUnknown(problems, groups[group]!, classes, `analysis.groups.${group}`);
  problems.throwIfAny();
  return { names, of };
}

/** Positions of classes by their names. @throws InputError that lists the unknown classes */
export function classIndices(classes: readonly string[], names: readonly string[], where: string): number[] {
  const problems = new Problems();
  addUnknown(problems, names, classes, where);
  problems.throwIfAny();
  return names.map((name) => classes.indexOf(name));
}

/** Why claims about a dataset cannot be checked: fewer classes are easier to tell apart. @param present classes with test images */
export function missingClasses(present: number, classes: number): string | undefined {
  return present === classes ? undefined : `the test images are of ${ofClasses(present, classes)}`;
}

export const ofClasses = (present: number, classes: number): string =>
  `${counted(present)} of the ${counted(classes)} classes`;

function addUnknown(problems: Problems, names: readonly string[], classes: readonly string[], where: string): void {
  const shown = classes.length > 20 ? [...classes.slice(0, 20), '...'] : classes;
  for (const name of names) {
    if (!classes.includes(name)) problems.add(`${where}: "${name}" is not a class; valid: ${shown.join(', ')}`);
  }
}

// Scores.

/** Scores of some gates and the original. @param gates positions from 0, ascending */
export const scoresOf = (scores: Scores, gates: readonly number[]): Scores =>
  scoresOfExits(scores, [...gates, scores.classes.length]);

export const isRightAt = ({ classes, original, labels }: Scores, exit: number, image: number): boolean =>
  (classes[exit] ?? original)[image] === labels[image];

/** Prepares a joint search on each part's selection images; it finds nothing if some part has no thresholds for the objective. */
export function searchOf({ parts, plan: { costs } }: ScoredRun): (objective: Objective) => Thresholds[] | undefined {
  const selections = parts.map(({ selection: { scores, images } }) => {
    return { scores, images, frontier: paretoFrontier(scores, costs, images) };
  });
  return (objective) => {
    const found = selections.map((part) => jointSearch(part.scores, costs, part.images, objective, part.frontier));
    return found.includes(undefined) ? undefined : found.map((point) => point!.thresholds);
  };
}

// Tables, figures and sheets.

/** A table with a row for each item. A column is a key of the items, or a name with the cell of an item. */
export function tableOf<Item>(
  about: Pick<FindingTable, 'name' | 'title' | 'consoleRows'>,
  items: readonly Item[],
  columns: readonly (Column<Item, FindingCell> | (keyof Item & string))[],
): FindingTable {
  const named = columns.map((column): Column<Item, FindingCell> => {
    return typeof column === 'string' ? [column, (item) => item[column] as FindingCell] : column;
  });
  return { ...about, ...tabulate(items, named) };
}

/** The columns of an interval: `<stem>_low_fraction` and `<stem>_high_fraction`. */
export const ends = <Item>(stem: string, of: (item: Item) => Interval): Column<Item, number>[] => [
  [`${stem}_low_fraction`, (item) => of(item).low],
  [`${stem}_high_fraction`, (item) => of(item).high],
];

/** The columns of the shares of images that leave at each of `count` exits. */
export const exitColumns = (count: number): Column<{ readonly evaluation: Evaluation }, number>[] =>
  Array.from({ length: count }, (_, exit) => [
    `exit_${exit < count - 1 ? exit + 1 : 'last'}_fraction`,
    ({ evaluation }) => evaluation.exits[exit]! / evaluation.count,
  ]);

/** The ends of an interval of shares in percent, as the fields of a figure's band. */
export const percentEnds = ({ low, high }: Interval) => ({ low: 100 * low, high: 100 * high });

/** A numeric axis of a figure that need not begin at zero. */
export const axis = (field: string, title: string) =>
  ({ field, type: 'quantitative', title, scale: { zero: false } }) as const;

type SheetRow = ImageSheet['rows'][number];

/** A row of a sheet: a random choice of test images in random order, determined by the experiment's seed and `stream`. */
export async function sheetRow(
  { testImages, experiment }: ScoredRun,
  candidates: readonly number[],
  most: number,
  stream: string,
  {
    label,
    tone,
    caption,
  }: Pick<SheetRow, 'label'> & Pick<SheetRow['images'][number], 'tone'> & { caption(image: number): string },
): Promise<SheetRow> {
  const chosen = new Random(experiment.seed, stream).shuffle([...candidates]).slice(0, most);
  const pictures = await picturesOf(testImages, chosen);
  return { label, images: pictures.map((picture, i) => ({ ...picture, caption: caption(chosen[i]!), tone })) };
}
