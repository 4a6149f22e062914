import { readFile } from 'node:fs/promises';
import { parseCsv } from '../csv.js';
import { networkLabel } from '../experiment/cascade.js';
import type { Experiment } from '../experiment/schema.js';
import { projectRoot } from '../project.js';
import type { Claim } from '../report/findings.js';
import type { ScoredRun } from '../run/analyses.js';

/** A claim of the paper: a row of `results/published/claims.csv`. */
export interface PrintedClaim {
  readonly id: string;
  readonly source: string;
  /** The paper's network. */
  readonly network: string;
  readonly statement: string;
  readonly printed: string;
  readonly quantity: string;
  /** The printed number in the unit of `quantity`; NaN if the text has none. */
  readonly value: number;
  /** Row of the table that the claim restates, from 1; NaN if it restates none. */
  readonly tableRow: number;
}

let all: Promise<readonly PrintedClaim[]> | undefined;

/** All claims of the paper, in the order of their file. */
export function printedClaims(): Promise<readonly PrintedClaim[]> {
  all ??= readClaims();
  return all;
}

async function readClaims(): Promise<PrintedClaim[]> {
  const where = 'results/published/claims.csv';
  const text = await readFile(new URL(where, projectRoot), 'utf8');
  const number = (cell: string | undefined): number => (cell === undefined || cell === '' ? Number.NaN : Number(cell));
  return parseCsv(text, where).map((record) => ({
    id: record['id'] ?? '',
    source: record['source'] ?? '',
    network: record['network'] ?? '',
    statement: record['statement'] ?? '',
    printed: record['printed'] ?? '',
    quantity: record['quantity'] ?? '',
    value: number(record['value']),
    tableRow: number(record['table_row']),
  }));
}

/** One claim by its id. */
export async function printedClaim(id: string): Promise<PrintedClaim> {
  const found = (await printedClaims()).find((claim) => claim.id === id);
  if (found === undefined) throw new Error(`results/published/claims.csv: no claim ${id}`);
  return found;
}

/**
 * Why claims about the dataset cannot be checked: the test images lack classes, and fewer classes are easier to tell
 * apart. Undefined if every class has test images.
 */
export function missingClasses({ testImages }: ScoredRun): string | undefined {
  const { classes, labels } = testImages;
  const present = new Set(labels).size;
  if (present === classes.length) return undefined;
  return `the test images are of ${present} of the ${classes.length.toLocaleString('en')} classes`;
}

/** The measurement and verdict of a printed claim. */
export interface Outcome extends Pick<Claim, 'measured' | 'verdict' | 'trace'> {
  /** Likely cause if it does not hold, or the limits of the verdict. */
  readonly why?: string | undefined;
  /** Suffix of the id if a claim is measured in several ways: the confidence, the row. */
  readonly variant?: string;
  /** Suffix of the statement for the variant. */
  readonly detail?: string;
}

/** A claim with its outcome; `why` names the network if it is not the paper's. */
export function settle(
  printed: Pick<PrintedClaim, 'id' | 'source' | 'network' | 'statement' | 'printed'>,
  experiment: Pick<Experiment, 'network'>,
  outcome: Outcome,
): Claim {
  const { measured, verdict, trace, variant, detail } = outcome;
  const elsewhere =
    experiment.network === printed.network
      ? []
      : [`measured on ${networkLabel(experiment.network)}, not the paper's ${printed.network}`];
  const why = [...(outcome.why === undefined ? [] : [outcome.why]), ...elsewhere].join('; ');
  return {
    id: variant === undefined ? printed.id : `${printed.id}-${variant}`,
    source: printed.source,
    statement: detail === undefined ? printed.statement : `${printed.statement}: ${detail}`,
    printed: printed.printed,
    measured,
    verdict,
    ...(why === '' ? {} : { why }),
    trace,
  };
}

/** The claims of an experiment that could not run, all unchecked. */
export async function uncheckedClaims(experiment: string, problem: string): Promise<Claim[]> {
  const printed = await printedClaims();
  return printed
    .filter(({ id }) => id.startsWith(`${experiment}-`))
    .map(({ id, source, statement, printed: value }) => ({
      id,
      source,
      statement,
      printed: value,
      measured: '',
      verdict: 'cannot be checked here',
      why: problem,
      trace: { file: '', row: '' },
    }));
}
