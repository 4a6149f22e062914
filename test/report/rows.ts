import type { TableRow } from '../../src/report/rows.js';

/** A row of two gates with default values. */
export function row(change: Partial<TableRow> = {}): TableRow {
  return {
    model: 'dg(1.25, 2.00)',
    margin: null,
    search: null,
    guarantee: null,
    thresholds: [[1.25, 2]],
    accuracy: 0.9251,
    accuracyDrop: 0.0088,
    flops: 1_234_567_890.5,
    flopsReduction: 0.754,
    speedMs: null,
    speedUp: null,
    efficiency: null,
    exits: [0.5, 0.25, 0.25],
    intervals: null,
    seeds: [0],
    spread: null,
    disagreement: 0.03,
    worstClassDrop: 0.02,
    ...change,
  };
}

export const original: TableRow = {
  model: 'Original',
  margin: null,
  search: null,
  guarantee: null,
  thresholds: [],
  accuracy: 0.9339,
  accuracyDrop: 0,
  flops: 5_019_967_488,
  flopsReduction: 0,
  speedMs: null,
  speedUp: null,
  efficiency: null,
  exits: [0, 0, 1],
  intervals: null,
  seeds: [0],
  spread: null,
  disagreement: 0,
  worstClassDrop: 0,
};
