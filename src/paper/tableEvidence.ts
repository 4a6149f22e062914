import { percent, points } from '../json.js';
import type { PublishedRow } from '../report/rows.js';
import { searchMethods } from '../thresholds/names.js';
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

/** A claim of a table, or of the text about it, with what a run's CSV files say of it. */
interface Found {
  readonly claim: Pick<PrintedClaim, 'id' | 'source' | 'network' | 'statement' | 'printed'>;
  readonly evidence: Evidence;
}

/** Largest distance of a searched margin from its published drop: the paper rounds to tenths of a point. */
const SAME_MARGIN = 0.001;
/** Half of the last digit of the tables: 0.01 %. */
const PRINTED = 5e-5;

type Row = Records[number];

/**
 * Every claim of a published table: for each of its rows thresholds searched for its accuracy, by each search of the run,
 * what they save and how much faster they are; its thresholds unchanged; the original network; the claims of the text.
 *
 * @param name `table1`
 * @param texts claims of `claims.csv` about the table
 */
export function tableEvidence(
  name: string,
  texts: readonly PrintedClaim[],
  published: readonly PublishedRow[],
  files: Files,
): Found[] {
  const records = files('table') ?? [];
  const original = published.at(-1);
  if (original === undefined || texts.length === 0) return [];
  const source = `Table ${/\d+$/.exec(name)?.[0] ?? name}`;
  const { network } = texts[0]!;
  const rows = published.slice(0, -1).flatMap((printed, i): Found[] => {
    const drop = Number((original.accuracy - printed.accuracy).toFixed(6));
    const id = `${name}-row${i + 1}`;
    const asPrinted = `${percent(printed.flopsReduction ?? 0, 2)} fewer FLOPs at ${points(drop)}`;
    const restated = texts.filter(({ tableRow }) => tableRow === i + 1);
    const searched = searchMethods.flatMap((search): Found[] => {
      const row = records.find((record) => {
        const isOfMargin = Math.abs(numberIn(record, 'margin_fraction') - drop) <= SAME_MARGIN;
        return isOfMargin && record['search'] === search;
      });
      if (row === undefined) return [];
      const chosen = `${search} search: thresholds chosen to lose at most ${points(drop)} save as`;
      const loss = lossPart(row, drop);
      const about = { source, network, id: `${id}-${search}` };
      const saving = { ...about, statement: `${chosen} many FLOPs`, printed: asPrinted };
      const found: Found[] = [
        { claim: saving, evidence: inTable(row, [savingPart(row, printed.flopsReduction ?? 0, PRINTED), loss]) },
      ];
      if (printed.speedUp !== null) {
        const speed = `${percent(printed.speedUp, 2)} speed-up (${printed.speedMs} ms)`;
        found.push({
          claim: { ...about, id: `${about.id}-speed`, statement: `${chosen} much time`, printed: speed },
          evidence: speedEvidence(name, files, row, { bound: printed.speedUp, margin: PRINTED }, loss),
        });
      }
      return [
        ...found,
        ...restated.map((text) => ({
          claim: { ...text, id: `${text.id}-${search}`, statement: `${search} search: ${text.statement}` },
          evidence: textEvidence(name, text, files, row, loss),
        })),
      ];
    });
    return [
      ...searched,
      ...fixedRow(records, printed, drop, { source, network, id: `${id}-fixed`, printed: asPrinted }),
    ];
  });
  return [...rows, ...originalRow(records, texts)];
}

const inTable = (row: Row, parts: readonly ClaimPart[]): Evidence => ({
  parts,
  file: 'table.csv',
  row: row['model'] ?? '',
});

/** With the interval that takes in the choice of thresholds, where the run has it. */
function rowMeasure(row: Row, stem: string) {
  const again = `${stem}_chosen_again`;
  return measuredIn(row, stem, (row[`${again}_low_fraction`] ?? '') === '' ? stem : again);
}

const lossPart = (row: Row, bound: number): ClaimPart =>
  lostPart(rowMeasure(row, 'accuracy_drop'), { relation: 'at most', bound, margin: PRINTED });

const savingPart = (row: Row, bound: number, margin: number): ClaimPart =>
  savedPart(rowMeasure(row, 'flops_reduction'), { relation: 'at least', bound, margin });

/** The published thresholds, unchanged. */
function fixedRow(
  records: Records,
  printed: PublishedRow,
  drop: number,
  about: Omit<Found['claim'], 'statement'>,
): Found[] {
  const row = records.find((record) => record['published_model'] === printed.model && record['search'] === '');
  if (row === undefined) return [];
  const statement = `the published thresholds ${printed.model}, unchanged, lose no more and save as many FLOPs`;
  const note = 'thresholds are distances, whose scale depends on the features and lambda of the gates';
  const parts = [savingPart(row, printed.flopsReduction ?? 0, PRINTED), lossPart(row, drop)];
  return [{ claim: { ...about, statement }, evidence: { ...inTable(row, parts), note } }];
}

/** The claim about the original network, which has no row of the table of its own. */
function originalRow(records: Records, texts: readonly PrintedClaim[]): Found[] {
  const row = records.find((record) => record['model'] === 'Original');
  return texts.flatMap((text) => {
    if (row === undefined || !text.id.endsWith('-original')) return [];
    const accuracy = { what: 'right', unit: 'percent', ...measuredIn(row, 'accuracy'), ...ruleOf(text) } as const;
    const note = `${(numberIn(row, 'flops_per_image') / 1e9).toPrecision(3)} GFLOPs; the paper's weights are not public`;
    return [{ claim: text, evidence: { ...inTable(row, [accuracy]), note, ownNetwork: true } }];
  });
}

function textEvidence(name: string, text: PrintedClaim, files: Files, row: Row, loss: ClaimPart): Evidence {
  const { quantity, value, margin } = text;
  if (quantity === 'speed_up_fraction') return speedEvidence(name, files, row, { bound: value, margin }, loss);
  if (quantity === 'flops_reduction_fraction') return inTable(row, [savingPart(row, value, margin), loss]);
  const rule = { relation: 'at least', bound: value, margin } as const;
  return inTable(row, [dividedPart(rowMeasure(row, 'flops_reduction'), rule), loss]);
}

/** Judged by the interval of the timing at batch 1, and not at all where the timing warned. */
function speedEvidence(
  name: string,
  files: Files,
  row: Row,
  rule: Pick<ClaimPart, 'bound' | 'margin'>,
  loss: ClaimPart,
): Evidence {
  const timed = files('timing')?.find((one) => one['batch_images'] === '1' && one['model'] === row['model']);
  const speed = { what: 'speed-up', unit: 'percent', ...measuredIn(timed, 'speed_up'), relation: 'at least' } as const;
  const found = { ...inTable(row, [{ ...speed, ...rule }, loss]), file: 'timing.csv' };
  if (timed === undefined) {
    const impossible = `the run is not timed; to time it: dgate time ${name}`;
    return { ...found, measured: 'not timed', file: 'table.csv', impossible };
  }
  const { warnings = '', repeats = '1', engine = '' } = timed;
  const single = Number(repeats) > 1 ? '' : '; one process: the interval lacks the variation between processes';
  const note = `timed with ${engine}, not on a Titan Xp${single}`;
  return {
    ...found,
    note,
    ...(warnings === '' ? {} : { impossible: `the timing warns: ${warnings.split(/[:;]/)[0]}` }),
  };
}
