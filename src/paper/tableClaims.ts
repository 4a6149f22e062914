import { networkLabel } from '../experiment/cascade.js';
import type { Claim, Verdict } from '../report/findings.js';
import type { PublishedRow, TableRow } from '../report/rows.js';
import { type TableBasis, tableRows } from '../run/rows.js';
import type { IntervalEnds } from '../statistics/interval.js';
import { printedClaims } from './claims.js';

/** A run of one of the paper's tables, with the data for its claims. */
export interface TableRun {
  /** `table1`: the file in `results/published` and the prefix of every id. */
  readonly name: string;
  /** Rows of the run, each with its published row; the original last. */
  readonly rows: readonly TableRow[];
  readonly network: string;
  /** Claims of the paper's text about its table. */
  readonly texts: readonly TextClaim[];
}

/** A sentence of the paper that restates a row of its table. */
interface TextClaim extends Pick<Claim, 'id' | 'source' | 'statement' | 'printed'> {
  /** The paper's network. */
  readonly network: string;
  /** `flops_reduction_fraction`, `flops_factor` or `speed_up_fraction` */
  readonly quantity: string;
  /** In the unit of the quantity. */
  readonly value: number;
  /** Row of the table, from 1. */
  readonly tableRow: number;
}

/** A row of the run and its published row. */
interface RowPair {
  readonly row: TableRow;
  readonly printed: PublishedRow;
  /** The published row's place in its table, from 1. */
  readonly place: number;
}

interface ClaimContext {
  readonly run: TableRun;
  readonly source: string;
  readonly original: TableRow;
  /** The paper's original network. */
  readonly published: PublishedRow;
  /** Added to every claim if the network is not the paper's. */
  readonly elsewhere: readonly string[];
}

/** Largest distance of a searched margin from its published drop: the paper rounds to tenths of a point. */
const SAME_MARGIN = 0.001;

/** Verdicts on the claims of the table that an experiment reproduces; empty if it reproduces none. */
export async function claimsOfTable(basis: TableBasis): Promise<Claim[]> {
  const { experiment, published } = basis;
  if (published.length === 0) return [];
  const name = experiment.published!;
  const texts = (await printedClaims()).filter(({ id }) => id.startsWith(`${name}-`));
  return tableClaims({ name, rows: tableRows(basis), network: networkLabel(experiment.network), texts });
}

/**
 * Verdicts on a table of the paper: for each row, thresholds searched for its accuracy margin, its published thresholds
 * unchanged, and its speed; then the claims of the text.
 *
 * A claim holds if, throughout the 95 % intervals, no more accuracy is lost and at least as much is saved as printed;
 * it is undecided if an interval straddles the printed value. The verdict applies to the network that was run; `why`
 * names the network if it is not the paper's.
 */
export function tableClaims(run: TableRun): Claim[] {
  const original = run.rows.at(-1);
  const published = original?.published;
  if (original === undefined || published === undefined) return [];
  const theirs = run.texts[0]?.network ?? run.network;
  const elsewhere =
    theirs === run.network
      ? []
      : [
          `measured on ${run.network} (${percent(original.accuracy)}), not the paper's ${theirs} ` +
            `(${percent(published.accuracy)})`,
        ];
  const source = `Table ${/\d+$/.exec(run.name)?.[0] ?? run.name}`;
  const context: ClaimContext = { run, source, original, published, elsewhere };
  const printed = [...new Set(run.rows.flatMap((row) => (row === original ? [] : (row.published ?? []))))];
  const pairs = run.rows.slice(0, -1).flatMap((row): RowPair[] => {
    return row.published === undefined
      ? []
      : [{ row, printed: row.published, place: 1 + printed.indexOf(row.published) }];
  });
  const searched = pairs.filter(({ row, printed }) => {
    return row.margin !== null && Math.abs(row.margin - lost(printed, published)) <= SAME_MARGIN;
  });
  const fixed = pairs.filter(({ row }) => row.margin === null);
  return [
    ...searched.map((pair) => searchedClaim(context, pair)),
    ...fixed.map((pair) => fixedClaim(context, pair)),
    ...searched.flatMap((pair) => speedClaims(context, pair)),
    originalClaim(context),
    ...run.texts.flatMap((text) => {
      const pair = searched.find(({ place }) => place === text.tableRow);
      return pair === undefined ? [] : [textClaim(context, text, pair)];
    }),
  ];
}

/** The paper's accuracy drop. */
const lost = (row: PublishedRow, original: PublishedRow): number =>
  Number((original.accuracy - row.accuracy).toFixed(6));

const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;
const points = (share: number): string => `${(100 * share).toFixed(2)} points`;

/** The accuracy drop of the paper's row; the searched margin may be its rounded value. */
const allowed = ({ published }: ClaimContext, { row, printed }: RowPair): number =>
  Math.max(lost(printed, published), row.margin ?? 0);

function searchedClaim(context: ClaimContext, pair: RowPair): Claim {
  const { row, printed, place } = pair;
  const drop = lost(printed, context.published);
  const judged = weigh(row, allowed(context, pair), printed.flopsReduction ?? 0);
  return {
    id: `${context.run.name}-row${place}-searched`,
    source: context.source,
    statement: `thresholds chosen to lose at most ${points(drop)} save as many FLOPs`,
    printed: `${percent(printed.flopsReduction ?? 0)} fewer FLOPs at ${points(drop)}, ${printed.model}`,
    measured: measured(row),
    verdict: judged.verdict,
    ...why(context, causesOf(judged)),
    trace: traceOf(row),
  };
}

function fixedClaim(context: ClaimContext, { row, printed, place }: RowPair): Claim {
  const drop = lost(printed, context.published);
  const { verdict } = weigh(row, drop, printed.flopsReduction ?? 0);
  const cause = 'thresholds are distances, whose scale depends on the features and lambda of the gates';
  return {
    id: `${context.run.name}-row${place}-fixed`,
    source: context.source,
    statement: `the published thresholds ${printed.model}, unchanged, lose no more and save as many FLOPs`,
    printed: `${percent(printed.flopsReduction ?? 0)} fewer FLOPs at ${points(drop)}`,
    measured: measured(row),
    verdict,
    ...why(context, verdict === 'holds' ? [] : [cause]),
    trace: traceOf(row),
  };
}

function speedClaims(context: ClaimContext, { row, printed, place }: RowPair): Claim[] {
  if (printed.speedUp === null) return [];
  const drop = lost(printed, context.published);
  return [
    {
      id: `${context.run.name}-row${place}-speed`,
      source: context.source,
      statement: `thresholds chosen to lose at most ${points(drop)} save as much time`,
      printed: `${percent(printed.speedUp)} speed-up (${printed.speedMs} ms)`,
      ...untimed(context, row, printed.speedUp),
    },
  ];
}

function originalClaim({ run, source, original, published, elsewhere }: ClaimContext): Claim {
  const near = Math.abs(original.accuracy - published.accuracy) <= 0.005;
  const giga = (flops: number): string => `${(flops / 1e9).toPrecision(3)} GFLOPs`;
  return {
    id: `${run.name}-original`,
    source,
    statement: 'accuracy and FLOPs of the original network',
    printed: `${percent(published.accuracy)}, ${giga(published.flops)}`,
    measured: `${percent(original.accuracy)}, ${giga(original.flops)}`,
    verdict: elsewhere.length > 0 ? 'cannot be checked here' : near ? 'holds' : 'does not hold',
    ...(elsewhere.length > 0
      ? { why: `${run.network} is another network; no weights of the paper's are public` }
      : near
        ? {}
        : { why: 'other weights than the paper had, which are not public' }),
    trace: traceOf(original),
  };
}

function textClaim(context: ClaimContext, text: TextClaim, pair: RowPair): Claim {
  const { id, source, statement, printed, quantity, value } = text;
  const claim = { id, source, statement, printed };
  if (quantity === 'speed_up_fraction') return { ...claim, ...untimed(context, pair.row, value) };
  const judged = weigh(pair.row, allowed(context, pair), quantity === 'flops_factor' ? 1 - 1 / value : value);
  const causes = causesOf(judged);
  return {
    ...claim,
    measured: measured(pair.row),
    verdict: judged.verdict,
    ...why(context, causes),
    trace: traceOf(pair.row),
  };
}

/** Outcome of a claim about time before the timing; `judgeSpeeds` reads the times from the table. */
function untimed(context: ClaimContext, row: TableRow, speedUp: number) {
  const verdict: Verdict = 'cannot be checked here';
  return { measured: '', verdict, ...why(context, []), trace: traceOf(row), speed: { speedUp, model: row.model } };
}

interface Judged {
  readonly verdict: Verdict;
  readonly loss: Verdict;
  readonly saving: Verdict;
}

/** Compares loss and saving of a row with the printed values. */
function weigh({ accuracyDrop, flopsReduction, intervals }: TableRow, drop: number, reduction: number): Judged {
  const loss = compareToPrinted(intervals?.accuracyDrop ?? [accuracyDrop, accuracyDrop], 'at most', drop);
  const saving = compareToPrinted(intervals?.flopsReduction ?? [flopsReduction, flopsReduction], 'at least', reduction);
  const both = [loss, saving];
  if (both.includes('does not hold')) return { verdict: 'does not hold', loss, saving };
  return { verdict: both.includes('undecided') ? 'undecided' : 'holds', loss, saving };
}

/**
 * Whether a value is at least or at most a printed one throughout its interval; printed values are rounded to 0.01 %.
 */
export function compareToPrinted([low, high]: IntervalEnds, how: 'at least' | 'at most', printed: number): Verdict {
  const slack = 5e-5 + 1e-12;
  const surely = how === 'at least' ? low >= printed - slack : high <= printed + slack;
  const never = how === 'at least' ? high < printed - slack : low > printed + slack;
  if (surely) return 'holds';
  return never ? 'does not hold' : 'undecided';
}

/** The causes that decided a verdict. */
function causesOf({ verdict, loss, saving }: Judged): string[] {
  const straddles = (what: string): string => `the interval of the ${what} straddles the printed one`;
  const causes: [Verdict, Verdict, string][] = [
    [loss, 'does not hold', 'thresholds chosen on validation images lose more on the test images'],
    [saving, 'does not hold', 'too few images are classified right, or confidently, at the early gates'],
    [loss, 'undecided', straddles('loss')],
    [saving, 'undecided', straddles('saving')],
  ];
  return causes.filter(([found, wanted]) => found === wanted && wanted === verdict).map(([, , cause]) => cause);
}

function measured({ flopsReduction, accuracyDrop, intervals, model }: TableRow): string {
  const within = (interval: IntervalEnds | undefined): string =>
    interval === undefined ? '' : ` [${interval.map((end) => (100 * end).toFixed(2)).join(', ')}]`;
  const saving = `${percent(flopsReduction)}${within(intervals?.flopsReduction)} fewer FLOPs`;
  return `${saving} at ${points(accuracyDrop)}${within(intervals?.accuracyDrop)}, ${model}`;
}

const traceOf = (row: TableRow): Claim['trace'] => ({ file: 'table.csv', row: row.model });

function why({ elsewhere }: ClaimContext, causes: readonly string[]): Pick<Claim, 'why'> {
  const all = [...causes, ...elsewhere];
  return all.length === 0 ? {} : { why: all.join('; ') };
}
