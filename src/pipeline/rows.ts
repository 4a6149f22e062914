import type { PublishedRow } from '../report/published.js';
import { modelName, type TableRow } from '../report/rows.js';
import type { RunOutcome } from './run.js';
import type { Row } from './search.js';

/** The rows of a run as the table has them, the original network last. */
export function tableRows(outcome: RunOutcome): TableRow[] {
  const { original, exitCosts } = outcome;
  const last: TableRow = {
    model: 'Original',
    margin: null,
    thresholds: [],
    accuracy: original.accuracy,
    accuracyDrop: 0,
    flops: original.flops,
    flopsReduction: 0,
    speedMs: null,
    speedUp: null,
    exits: exitCosts.map((_, exit) => (exit === exitCosts.length - 1 ? 1 : 0)),
    ...publishedFor(outcome.published.at(-1)),
  };
  const gated = outcome.rows.map((row, index): TableRow => {
    // Searched rows come first, in the order of the published ones; the last published row is the original's.
    const printed = row.kind === 'margin' ? outcome.published.slice(0, -1)[index] : undefined;
    return { ...tableRow(row, outcome), ...publishedFor(printed) };
  });
  return [...gated, last];
}

const publishedFor = (row: PublishedRow | undefined) => (row === undefined ? {} : { published: row });

function tableRow(row: Row, { original }: RunOutcome): TableRow {
  const { accuracy, flops, exits, count } = row.evaluation;
  return {
    model: modelName(row.thresholds),
    margin: row.margin ?? null,
    thresholds: row.thresholds.map((part) => part.map((t) => (Number.isFinite(t) ? t : null))),
    accuracy,
    accuracyDrop: original.accuracy - accuracy,
    flops,
    flopsReduction: 1 - flops / original.flops,
    speedMs: null,
    speedUp: null,
    exits: exits.map((number) => number / count),
  };
}
