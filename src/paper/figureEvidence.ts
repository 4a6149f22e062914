import { counted, listed, percent } from '../json.js';
import { normalQuantile, wilson } from '../statistics/intervals.js';
import type { Interval } from '../statistics/samples.js';
import type { PrintedClaim } from './published.js';
import {
  type ClaimPart,
  dividedPart,
  type Evidence,
  type Files,
  lostPart,
  measuredIn,
  numberIn,
  type Records,
  ruleOf,
  savedPart,
} from './verdict.js';

type Reader = (claim: PrintedClaim, files: Files) => readonly Evidence[];

/** Reads the records of a file; without it nothing is measured. */
const from =
  (name: string, read: (claim: PrintedClaim, records: Records) => readonly Evidence[]): Reader =>
  (claim, files) => {
    const records = files(name);
    return records === undefined ? [{ parts: [], file: `${name}.csv`, row: '' }] : read(claim, records);
  };

const errors = from('errors', (claim, records) => {
  const all = records.find((record) => record['true_class'] === 'all');
  const bound = Math.max(numberIn(all, 'chance_uniform_fraction'), numberIn(all, 'chance_by_predictions_fraction'));
  const share = measuredIn(all, 'within_category', 'wilson95');
  return [
    {
      parts: [{ what: 'of the errors within the category', unit: 'percent', ...share, ...ruleOf(claim), bound }],
      file: 'errors.csv',
      row: 'all',
      note: 'a tendency; the bound is the larger of the shares by chance (other classes alike, or as often as given)',
    },
  ];
});

const confidenceNames: Readonly<Record<string, string>> = {
  max: 'the largest logit',
  softmax: 'the largest softmax probability',
  entropy: 'the entropy',
  difference: 'the difference of the two largest logits',
};

/** Differences of the paper's hinge gates to cross-entropy gates with one confidence, by share of FLOPs saved. */
function gapParts(claim: PrintedClaim, records: Records): ClaimPart[] {
  return records.map((record) => ({
    what: `at ${percent(numberIn(record, 'flops_reduction_fraction'), 0)} fewer FLOPs`,
    unit: 'points',
    ...measuredIn(record, 'difference', 'simultaneous95'),
    ...ruleOf(claim),
  }));
}

/** A claim about the paper's hinge gates against cross-entropy gates with each confidence. */
const against = (read: (claim: PrintedClaim, records: Records) => Pick<Evidence, 'parts' | 'rule' | 'note'>): Reader =>
  from('differences', (claim, records) =>
    [...new Set(records.map((record) => record['cross_entropy_confidence'] ?? ''))].map((other) => {
      const isPair = (one: Records[number]): boolean =>
        one['hinge_confidence'] === 'max' && one['cross_entropy_confidence'] === other;
      return {
        variant: other,
        detail: `largest distance against ${confidenceNames[other] ?? other}`,
        row: `hinge max, cross-entropy ${other}`,
        file: 'differences.csv',
        ...read(claim, records.filter(isPair)),
      };
    }),
  );

const gap = against((claim, records) => ({
  parts: gapParts(claim, records),
  rule: 'above 0 at every share of FLOPs, simultaneous intervals',
}));

const widening = against((claim, records) => {
  const wider = { what: 'wider there than at the smallest share', unit: 'points' } as const;
  const growth: ClaimPart = { ...wider, ...measuredIn(records.at(-1), 'growth'), ...ruleOf(claim) };
  return {
    parts: [...gapParts(claim, records).slice(-1), growth],
    rule: 'a gap above 0 at the largest share, and wider there than at the smallest',
    note: 'growth is tested, exponential growth is not',
  };
});

/** A claim at both thresholds `t` of Figure 5. */
const point = (t: string, read: (claim: PrintedClaim, record: Records[number]) => ClaimPart): Reader =>
  from('points', (claim, records) => {
    const record = records.find((one) => one['t1'] === t && one['t2'] === t) ?? {};
    return [{ parts: [read(claim, record)], file: 'points.csv', row: `t1 = ${t}, t2 = ${t}` }];
  });

const lost = (claim: PrintedClaim, record: Records[number]): ClaimPart =>
  lostPart(measuredIn(record, 'accuracy_drop'), ruleOf(claim));
const saved = (claim: PrintedClaim, record: Records[number]): ClaimPart =>
  savedPart(measuredIn(record, 'flops_reduction'), ruleOf(claim));
const divided = (claim: PrintedClaim, record: Records[number]): ClaimPart =>
  dividedPart(measuredIn(record, 'flops_reduction'), ruleOf(claim));

const monotone = from('steps', (claim, [record]) => {
  const falls = numberIn(record, 'flops_falls_fraction');
  const exact = { value: falls, interval: { low: falls, high: falls } };
  const none = { relation: 'at most', bound: 0, margin: 0 } as const;
  const parts: ClaimPart[] = [
    { what: 'of the steps to a higher threshold with fewer FLOPs', unit: 'percent', ...exact, ...none },
    {
      what: 'largest fall of accuracy in a step',
      unit: 'points',
      ...measuredIn(record, 'largest_fall'),
      ...ruleOf(claim),
    },
  ];
  return [{ parts, file: 'steps.csv', row: 'all steps' }];
});

/** Why claims about all classes cannot be checked: some have no test images. */
function withoutImages(records: Records): string | undefined {
  const present = records.filter((record) => numberIn(record, 'images') > 0).length;
  if (present === records.length) return undefined;
  return `the test images are of ${counted(present)} of the ${counted(records.length)} classes`;
}

/** One class is enough; the interval of each is simultaneous with those of all others (Bonferroni). */
const someClass = (
  rule: string,
  read: (claim: PrintedClaim, record: Records[number], interval: (count: number) => Interval) => ClaimPart,
): Reader =>
  from('classes', (claim, all) => {
    const impossible = withoutImages(all);
    const records = all.filter((record) => numberIn(record, 'images') > 0);
    const z = normalQuantile(1 - 0.025 / records.length);
    const parts = records.map((record) => {
      return read(claim, record, (count) => wilson(count, numberIn(record, 'images'), z));
    });
    const sign = claim.relation === 'at most' ? -1 : 1;
    const best = parts.reduce((a, b) => (sign * b.value > sign * a.value ? b : a));
    const found = records.filter((_, i) => {
      const { low, high } = parts[i]!.interval;
      return sign > 0 ? low >= claim.value : high <= claim.value;
    });
    const names = found.length > 0 && found.length <= 5 ? ` (${listed(found.map((record) => record['class']!))})` : '';
    return [
      {
        parts,
        some: true,
        rule,
        measured: `so in ${found.length} of ${records.length} classes${names}; clearest: ${percent(best.value)} ${best.what}`,
        file: 'classes.csv',
        row: 'all classes',
        ...(impossible === undefined ? {} : { impossible }),
      },
    ];
  });

/** Columns of images that leave right at a gate before the last one; a single gate is early. */
function earlyColumns(record: Records[number]): string[] {
  const gates = Object.keys(record).filter((column) => /^leave_right_at_gate\d+_images$/.test(column));
  return gates.slice(0, Math.max(1, gates.length - 1));
}

const early = someClass('more than half leave right at an early gate, in some class', (claim, record, interval) => {
  const count = earlyColumns(record).reduce((sum, column) => sum + numberIn(record, column), 0);
  const value = count / numberIn(record, 'images');
  return { what: `of ${record['class']}`, unit: 'percent', value, interval: interval(count), ...ruleOf(claim) };
});

const late = someClass('gate 1 takes at most 10 % and the last gate more, in some class', (claim, record, interval) => {
  const gates = Object.keys(record).filter((column) => /^gate\d+_right_with_distance_images$/.test(column));
  const [first, last] = [gates[0]!, gates.at(-1)!].map((column) => numberIn(record, column)) as [number, number];
  const [one, other] = [interval(first), interval(last)];
  const value = first / numberIn(record, 'images');
  // Where the last gate does not take more, the class says nothing.
  const decided = other.low > one.high || one.low > claim.value ? one : { low: Number.NaN, high: Number.NaN };
  return { what: `of ${record['class']}`, unit: 'percent', value, interval: decided, ...ruleOf(claim) };
});

const fineGrained = from('classes', () => [
  {
    parts: [],
    measured: 'the classes on the sheet',
    rule: 'none',
    file: 'classes.csv',
    row: 'all classes',
    impossible: 'the data do not state how fine-grained a class is',
  },
]);

/** A claim of section 3.4: the searched row of a margin. */
const atMargin =
  (margin: number): Reader =>
  (claim, files) => {
    const record = files('table')?.find((row) => Math.abs(numberIn(row, 'margin_fraction') - margin) < 1e-9);
    if (record === undefined) return [];
    const why = files('comparison')?.find((row) => (row['not_comparable'] ?? '') !== '')?.['not_comparable'];
    const noLoss = { relation: 'at most', bound: margin, margin: 0.0009 } as const;
    return [
      {
        parts: [saved(claim, record), lostPart(measuredIn(record, 'accuracy_drop'), noLoss)],
        file: 'table.csv',
        row: `margin_fraction = ${margin}`,
        ...(why === undefined ? {} : { impossible: why }),
      },
    ];
  };

/** How each claim of `claims.csv` that is not of a table is read from a run's CSV files. */
export const figureReaders: Readonly<Record<string, Reader>> = {
  'figure1-superordinate': errors,
  'figure4-gap': gap,
  'figure4-widening': widening,
  'figure5-flops': point('0', divided),
  'figure5-loss': point('0', lost),
  'figure5-no-loss': point('2', lost),
  'figure5-saving': point('2', saved),
  'figure5-monotone': monotone,
  'figure6-early': early,
  'figure7-late': late,
  'figure8-fine-grained': fineGrained,
  'imagenet-no-drop': atMargin(0),
  // BlockDrop is 0.4 points above the original network.
  'imagenet-blockdrop': atMargin(-0.004),
};
