import { listed, percent } from '../json.js';
import { type Interval, normalQuantile, wilson } from '../statistics/intervals.js';
import { missingClasses } from './analysis.js';
import {
  type ClaimPart,
  dividedPart,
  type Evidence,
  type Files,
  lostPart,
  measuredIn,
  numberIn,
  type PrintedClaim,
  partOf,
  type Records,
  savedPart,
} from './published.js';

type Row = Records[number];
type Reader = (claim: PrintedClaim, files: Files) => readonly Evidence[];

/** Reads the records of a file; without it nothing is measured. */
const from =
  (name: string, read: (claim: PrintedClaim, records: Records) => readonly Omit<Evidence, 'file'>[]): Reader =>
  (claim, files) => {
    const records = files(name);
    const found = records === undefined ? [{ parts: [], row: '' }] : read(claim, records);
    return found.map((evidence) => ({ ...evidence, file: `${name}.csv` }));
  };

const errors = from('errors', (claim, records) => {
  const all = records.find((record) => record['true_class'] === 'all');
  const bound = Math.max(numberIn(all, 'chance_uniform_fraction'), numberIn(all, 'chance_by_predictions_fraction'));
  const share = measuredIn(all, 'within_category', 'wilson95');
  const part = partOf('of the errors within the category', 'percent')(share, { ...claim, bound });
  const note =
    'a tendency; the bound is the larger of the shares by chance (other classes alike, or as often as given)';
  return [{ parts: [part], row: 'all', note }];
});

const confidenceNames: Readonly<Record<string, string>> = {
  max: 'the largest logit',
  softmax: 'the largest softmax probability',
  entropy: 'the entropy',
  difference: 'the difference of the two largest logits',
};

/** Hinge minus cross-entropy gates with one confidence, by share of FLOPs saved. */
function gapParts(claim: PrintedClaim, records: Records): ClaimPart[] {
  return records.map((record) => {
    const what = `at ${percent(numberIn(record, 'flops_reduction_fraction'), 0)} fewer FLOPs`;
    return partOf(what, 'points')(measuredIn(record, 'difference', 'simultaneous95'), claim);
  });
}

/** A claim about the paper's hinge gates against cross-entropy gates with each confidence. */
const against = (read: (claim: PrintedClaim, records: Records) => Pick<Evidence, 'parts' | 'rule' | 'note'>): Reader =>
  from('differences', (claim, records) =>
    [...new Set(records.map((record) => record['cross_entropy_confidence'] ?? ''))].map((other) => {
      const isPair = (one: Row): boolean =>
        one['hinge_confidence'] === 'max' && one['cross_entropy_confidence'] === other;
      const detail = `largest distance against ${confidenceNames[other] ?? other}`;
      const row = `hinge max, cross-entropy ${other}`;
      return { variant: other, detail, row, ...read(claim, records.filter(isPair)) };
    }),
  );

const gap = against((claim, records) => ({
  parts: gapParts(claim, records),
  rule: 'above 0 at every share of FLOPs, simultaneous intervals',
}));

const widening = against((claim, records) => {
  const wider = partOf('wider there than at the smallest share', 'points');
  return {
    parts: [...gapParts(claim, records).slice(-1), wider(measuredIn(records.at(-1), 'growth'), claim)],
    rule: 'a gap above 0 at the largest share, and wider there than at the smallest',
    note: 'growth is tested, exponential growth is not',
  };
});

/** A claim about the quantity `stem` at both thresholds `t` of Figure 5. */
const point = (t: string, stem: string, part: typeof lostPart): Reader =>
  from('points', (claim, records) => {
    const record = records.find((one) => one['t1'] === t && one['t2'] === t);
    return [{ parts: [part(measuredIn(record, stem), claim)], row: `t1 = ${t}, t2 = ${t}` }];
  });

const monotone = from('steps', (claim, [record]) => {
  const falls = numberIn(record, 'flops_falls_fraction');
  const exact = { value: falls, interval: { low: falls, high: falls } };
  const none = { relation: 'at most', bound: 0, margin: 0 } as const;
  const parts = [
    partOf('of the steps to a higher threshold with fewer FLOPs', 'percent')(exact, none),
    partOf('largest fall of accuracy in a step', 'points')(measuredIn(record, 'largest_fall'), claim),
  ];
  return [{ parts, row: 'all steps' }];
});

/** A claim that holds if it holds for one class, by simultaneous intervals of all classes (Bonferroni). */
const someClass = (
  rule: string,
  read: (claim: PrintedClaim, record: Row, interval: (count: number) => Interval) => ClaimPart,
): Reader =>
  from('classes', (claim, all) => {
    const records = all.filter((record) => numberIn(record, 'images') > 0);
    const impossible = missingClasses(records.length, all.length);
    const z = normalQuantile(1 - 0.025 / records.length);
    const parts = records.map((record) => {
      return read(claim, record, (count) => wilson(count, numberIn(record, 'images'), z));
    });
    const sign = claim.relation === 'at most' ? -1 : 1;
    const best = parts.reduce((a, b) => (sign * b.value > sign * a.value ? b : a));
    const found = records.filter((_, i) => {
      const { low, high } = parts[i]!.interval;
      return sign > 0 ? low >= claim.bound : high <= claim.bound;
    });
    const names = found.length > 0 && found.length <= 5 ? ` (${listed(found.map((record) => record['class']!))})` : '';
    const clearest = `${percent(best.value)} ${best.what}`;
    const measured = `so in ${found.length} of ${records.length} classes${names}; clearest: ${clearest}`;
    return [{ parts, some: true, rule, measured, row: 'all classes', impossible }];
  });

const early = someClass('more than half leave right at an early gate, in some class', (claim, record, interval) => {
  const gates = Object.keys(record).filter((column) => /^leave_right_at_gate\d+_images$/.test(column));
  const before = gates.slice(0, Math.max(1, gates.length - 1)); // a single gate is early
  const count = before.reduce((sum, column) => sum + numberIn(record, column), 0);
  const value = count / numberIn(record, 'images');
  return partOf(`of ${record['class']}`, 'percent')({ value, interval: interval(count) }, claim);
});

const late = someClass('gate 1 takes at most 10 % and the last gate more, in some class', (claim, record, interval) => {
  const gates = Object.keys(record).filter((column) => /^gate\d+_right_with_distance_images$/.test(column));
  const [first, last] = [gates[0]!, gates.at(-1)!].map((column) => numberIn(record, column)) as [number, number];
  const [one, other] = [interval(first), interval(last)];
  const value = first / numberIn(record, 'images');
  // If the last gate does not take more, the class decides nothing.
  const decided = other.low > one.high || one.low > claim.bound ? one : { low: Number.NaN, high: Number.NaN };
  return partOf(`of ${record['class']}`, 'percent')({ value, interval: decided }, claim);
});

const fineGrained = from('classes', () => {
  const impossible = 'the data do not state how fine-grained a class is';
  return [{ parts: [], measured: 'the classes on the sheet', rule: 'none', row: 'all classes', impossible }];
});

/** A claim of section 3.4: the searched row of a margin. */
const atMargin =
  (margin: number): Reader =>
  (claim, files) => {
    const record = files('table')?.find((row) => Math.abs(numberIn(row, 'margin_fraction') - margin) < 1e-9);
    if (record === undefined) return [];
    const impossible = files('comparison')?.find((row) => (row['not_comparable'] ?? '') !== '')?.['not_comparable'];
    const noLoss = { relation: 'at most', bound: margin, margin: 0.0009 } as const;
    const saved = savedPart(measuredIn(record, 'flops_reduction'), claim);
    const lost = lostPart(measuredIn(record, 'accuracy_drop'), noLoss);
    return [{ parts: [saved, lost], file: 'table.csv', row: `margin_fraction = ${margin}`, impossible }];
  };

/** How each claim of `claims.csv` that is not of a table is read from a run's CSV files. */
export const figureReaders: Readonly<Record<string, Reader>> = {
  'figure1-superordinate': errors,
  'figure4-gap': gap,
  'figure4-widening': widening,
  'figure5-flops': point('0', 'flops_reduction', dividedPart),
  'figure5-loss': point('0', 'accuracy_drop', lostPart),
  'figure5-no-loss': point('2', 'accuracy_drop', lostPart),
  'figure5-saving': point('2', 'flops_reduction', savedPart),
  'figure5-monotone': monotone,
  'figure6-early': early,
  'figure7-late': late,
  'figure8-fine-grained': fineGrained,
  'imagenet-no-drop': atMargin(0),
  // BlockDrop is 0.4 points above the original network.
  'imagenet-blockdrop': atMargin(-0.004),
};
