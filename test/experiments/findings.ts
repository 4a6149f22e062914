import { expect } from 'chai';
import { compile } from 'vega-lite';
import { runDocument } from '../../src/run/record.js';
import type { RunOutcome } from '../../src/run/stages.js';

/** What every analysis owes to the report: full tables, figures that compile, pixels, claims that can be traced. */
export function checkFindings(outcome: RunOutcome): void {
  const { tables, figures, sheets } = outcome.findings;
  const { claims = [] } = runDocument(outcome, 'laptop');
  expect(tables.length + figures.length + sheets.length).to.be.above(0);
  for (const { name, columns, rows: records } of tables) {
    expect(new Set(columns).size, name).to.equal(columns.length);
    expect(records.length, name).to.be.above(0);
    for (const record of records) {
      expect(record.length, name).to.equal(columns.length);
      for (const cell of record) if (typeof cell === 'number') expect(Number.isFinite(cell), name).to.equal(true);
    }
  }
  for (const { name, spec, caption } of figures) {
    expect(() => compile(spec), name).not.to.throw();
    expect(caption, name).to.match(/test images/);
  }
  for (const { rows: shown } of sheets) {
    for (const { pixels, channels, height, width } of shown.flatMap(({ images }) => images)) {
      expect(pixels.length).to.equal(channels * height * width);
    }
  }
  expect(new Set(claims.map(({ id }) => id)).size).to.equal(claims.length);
  const files = [...tables.map(({ name }) => `${name}.csv`), 'table.csv'];
  for (const { id, measured, printed, verdict, why, trace } of claims) {
    if (measured === 'not measured') continue; // no error, no common share
    expect(files, id).to.include(trace.file);
    for (const text of [measured, printed, trace.row]) expect(text, id).not.to.equal('');
    expect(`${measured}${why ?? ''}`, id).not.to.match(/NaN|undefined|Infinity/);
    if (verdict !== 'holds') expect(why, id).to.be.a('string');
  }
}
