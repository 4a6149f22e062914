import { z } from 'zod';
import { type Column, tabulate } from '../csv.js';
import type { ImageSource } from '../data/dataset.js';
import { Problems } from '../errors.js';
import type { AnalysisKind, OptionProblem } from '../experiment/checks.js';
import { list, real, text, whole } from '../experiment/rules.js';
import { Random } from '../random.js';
import type { FindingCell, Findings, FindingTable, ImageSheet } from '../report/findings.js';
import type { ScoredRun } from '../run/analyses.js';
import type { Interval } from '../statistics/samples.js';
import type { Scores, Thresholds } from '../thresholds/evaluate.js';
import { type Objective, paretoFrontier } from '../thresholds/frontier.js';
import { jointSearch } from '../thresholds/joint.js';

/** One kind of analysis: its options as a schema, what does not fit the rest of its experiment, and what it finds. */
export interface Analysis extends AnalysisKind {
  compute(run: ScoredRun, options: unknown): Promise<Findings>;
}

/** Declares an analysis; the registry is `index.ts`. */
export function defineAnalysis<Options extends AnalysisKind['options']>(analysis: {
  readonly options: Options;
  problems?(
    options: z.output<Options>,
    experiment: Parameters<NonNullable<AnalysisKind['problems']>>[1],
  ): OptionProblem[];
  compute(run: ScoredRun, options: z.output<Options>): Promise<Findings>;
}) {
  return analysis;
}

// Options that several analyses have.

/** Names of classes. */
const className = text('a class of the dataset', /^[^\n]+$/);
const oneClass = { error: 'at least one class' };
export const classNames = list(className, "a list of classes: ['cat', 'truck']").min(1, oneClass);
/** Classes by their superordinate category: `{ animal: ['cat', 'dog'], vehicle: ['truck'] }`. */
export const groups = z.record(z.string(), classNames, {
  error: "an object of lists: { animal: ['cat'], vehicle: ['truck'] }",
});
type ClassGroups = Readonly<Record<string, readonly string[]>>;

export const gateNumber = whole(1, 100);
const twoGatesText = 'two gates, counted from 1, in their order: [1, 2]';
/** Two gates, counted from 1. Default the first two. */
export const twoGates = list(gateNumber, twoGatesText).length(2, { error: twoGatesText }).default([1, 2]);

export function pairProblems(
  pair: readonly number[],
  { gates }: { gates: { after: readonly number[] } },
): OptionProblem[] {
  const [first, second] = [pair[0]!, pair[1]!];
  const count = gates.after.length;
  if (first < second && second <= count) return [];
  return [{ path: ['gates'], message: `two of the ${count} gates, counted from 1, in their order`, input: pair }];
}

const sharesText = 'at least two shares of FLOPs, ascending: [0.1, 0.2]';
/** Shares of FLOPs saved. */
export const reductions = list(real(0.001, 0.99, 'a share of FLOPs from 0.001 to 0.99'), sharesText).min(2, {
  error: sharesText,
});

export function orderProblems(reductions: readonly number[]): OptionProblem[] {
  const ascending = reductions.every((value, i, all) => i === 0 || value > all[i - 1]!);
  return ascending ? [] : [{ path: ['reductions'], message: sharesText, input: reductions }];
}

// Classes in groups.

/** Superordinate categories of a dataset's classes. */
export interface Grouping {
  readonly names: readonly string[];
  /** Group of each class, a position in `names`. */
  readonly of: readonly number[];
}

/**
 * The group of every class.
 *
 * @throws InputError that lists the classes that are unknown, in several groups or in none
 */
export function groupClasses(classes: readonly string[], groups: ClassGroups): Grouping {
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

function addUnknown(problems: Problems, names: readonly string[], classes: readonly string[], where: string): void {
  const shown = classes.length > 20 ? [...classes.slice(0, 20), '...'] : classes;
  for (const name of names) {
    if (!classes.includes(name)) problems.add(`${where}: "${name}" is not a class; valid: ${shown.join(', ')}`);
  }
}

// What an analysis starts from.

/**
 * The parts of a run, and a joint search of all gates on the selection images of each.
 *
 * @returns `choose`: thresholds for each part; undefined where one part has none that meet the objective
 */
export function searchedParts({ parts, plan: { costs } }: ScoredRun) {
  const selections = parts.map(({ selection: { scores, images } }) => {
    return { scores, images, frontier: paretoFrontier(scores, costs, images) };
  });
  const choose = (objective: Objective): Thresholds[] | undefined => {
    const found = selections.flatMap(({ scores, images, frontier }) => {
      const point = jointSearch(scores, costs, images, objective, frontier);
      return point === undefined ? [] : [point.thresholds];
    });
    return found.length < parts.length ? undefined : found;
  };
  return { parts, choose };
}

/** Whether an image that leaves at an exit is classified right there. */
export const isRightAt = ({ classes, original, labels }: Scores, exit: number, image: number): boolean =>
  (classes[exit] ?? original)[image] === labels[image];

// What an analysis returns.

/** A table with a row for each item; `columns` are names with the cell of an item. */
export function tableOf<Item>(
  about: Pick<FindingTable, 'name' | 'title' | 'consoleRows'>,
  items: readonly Item[],
  columns: readonly Column<Item, FindingCell>[],
): FindingTable {
  return { ...about, ...tabulate(items, columns) };
}

/** The columns of the ends of an interval: `<stem>_low_fraction` and `<stem>_high_fraction`. */
export const ends = <Item>(stem: string, of: (item: Item) => Interval): Column<Item, number>[] => [
  [`${stem}_low_fraction`, (item) => of(item).low],
  [`${stem}_high_fraction`, (item) => of(item).high],
];

/** A numeric axis of a figure that need not begin at zero. */
export const axis = (field: string, title: string) =>
  ({ field, type: 'quantitative', title, scale: { zero: false } }) as const;

type SheetRow = ImageSheet['rows'][number];
type SheetImage = SheetRow['images'][number];

/** The images of a row of a sheet. */
interface SheetRowChoice {
  readonly label: string;
  /** Positions of the images. */
  readonly images: readonly number[];
  readonly caption: (image: number) => string;
  readonly tone: SheetImage['tone'];
}

/** Reads the pixels of a row. */
export async function sheetRow(
  source: ImageSource,
  { label, images, caption, tone }: SheetRowChoice,
): Promise<SheetRow> {
  const { channels, height, width } = source;
  const size = channels * height * width;
  const pixels = await source.batch(images);
  return {
    label,
    images: images.map((image, i) => ({
      pixels: pixels.slice(i * size, (i + 1) * size),
      channels,
      height,
      width,
      caption: caption(image),
      tone,
    })),
  };
}

/** A random choice of candidates in random order, determined by seed and stream. */
export function drawn(candidates: readonly number[], count: number, seed: number, stream: string): number[] {
  return new Random(seed, stream).shuffle([...candidates]).slice(0, count);
}
