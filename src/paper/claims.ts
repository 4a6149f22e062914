import { listed, percent, points } from '../json.js';
import { networkByName } from '../networks/catalogue.js';
import type { Claim, Verdict } from '../report/findings.js';
import type { PublishedRow } from '../report/rows.js';
import type { Judge } from '../run/stages.js';
import { searchMethods } from '../thresholds/methods.js';
import { figureReaders } from './figureEvidence.js';
import {
  type ClaimPart,
  chanceOf,
  dividedPart,
  type Evidence,
  type Files,
  lostPart,
  measuredIn,
  measuredText,
  numberIn,
  type PrintedClaim,
  partOf,
  printedClaims,
  type Records,
  readPublished,
  ruleText,
  savedPart,
  verdictOn,
  verdictOnParts,
} from './published.js';

/**
 * Prepares the verdicts on the claims of `claims.csv` and of a published table whose ids begin with a name: that of the experiment,
 * or of the published table that it reproduces. The judge reads only the CSV files of the run.
 */
export async function openJudge(name: string): Promise<Judge> {
  const claims = (await printedClaims()).filter(({ id }) => id.startsWith(`${name}-`));
  const isTable = claims.some(({ id }) => id === `${name}-original`);
  const published = isTable ? await readPublished(name) : [];
  return (files, run) => {
    const found = claims.flatMap((claim) =>
      (figureReaders[claim.id]?.(claim, files) ?? []).map((evidence) => ({ claim, evidence })),
    );
    const ofTable = isTable ? tableEvidence(name, claims, published, files) : [];
    return [...ofTable, ...found].map((one) => judged(one, run));
  };
}

type Judged = Parameters<Judge>[1];

function judged({ claim, evidence }: Found, run: Judged): Claim {
  const { parts, some, variant, detail, file, row, note } = evidence;
  const isElsewhere = run.network !== claim.network;
  const unmeasured =
    parts.length === 0 ? evidence.impossible === undefined : parts.some((part) => Number.isNaN(part.value));
  const impossible =
    obstacle(claim.network, run) ??
    (evidence.ownNetwork && isElsewhere ? 'another network' : evidence.impossible) ??
    (unmeasured ? `not in ${file}: run the experiment again` : undefined);
  const verdict: Verdict = impossible === undefined ? verdictOnParts(parts, some) : 'cannot be checked here';
  const isOpen = verdict === 'undecided' || (verdict === 'does not hold' && parts.length > 1);
  const why = [
    impossible,
    isOpen ? deciding(parts, verdict, some) : undefined,
    note,
    isElsewhere ? `measured on ${run.network}, not the paper's ${claim.network}` : undefined,
  ].filter((reason) => reason !== undefined);
  return {
    id: variant === undefined ? claim.id : `${claim.id}-${variant}`,
    source: claim.source,
    statement: detail === undefined ? claim.statement : `${claim.statement}: ${detail}`,
    printed: claim.printed,
    rule: evidence.rule ?? parts.map(ruleText).join('; '),
    measured: evidence.measured ?? (unmeasured ? 'not measured' : parts.map(measuredText).join('; ')),
    verdict,
    ...(why.length === 0 ? {} : { why: why.join('; ') }),
    chance: chanceOf(verdict, parts, some),
    trace: unmeasured ? { file: '', row: '' } : { file, row },
  };
}

/** Why no run like this can decide about a network of the paper. */
function obstacle(theirs: string, { preset, dataset }: Judged): string | undefined {
  if (preset === 'smoke') return 'preset smoke has too few images';
  const wanted = networkByName(theirs).dataset;
  return dataset === wanted ? undefined : `a claim about ${wanted}, measured on ${dataset}`;
}

function deciding(parts: Evidence['parts'], verdict: Verdict, some = false): string {
  if (some) return 'no class beyond doubt';
  const named = parts.filter((part) => verdictOn(part) === verdict).map(({ what }) => what);
  return `${verdict === 'undecided' ? 'open' : 'missed'}: ${listed(named)}`;
}

/** The claims of an experiment that could not run, all unchecked. */
export async function uncheckedClaims(experiment: string, why: string): Promise<Claim[]> {
  const claims = (await printedClaims()).filter(({ id }) => id.startsWith(`${experiment}-`));
  const [verdict, trace] = ['cannot be checked here' as const, { file: '', row: '' }];
  return claims.map(({ id, source, statement, printed }) => {
    return { id, source, statement, printed, rule: '', measured: '', verdict, why, chance: 0, trace };
  });
}

// Evidence of a table.

/** A claim with the evidence of a run's CSV files. */
interface Found {
  readonly claim: Pick<PrintedClaim, 'id' | 'source' | 'network' | 'statement' | 'printed'>;
  readonly evidence: Evidence;
}

/** Largest distance of a searched margin from its published drop, which the paper rounds to tenths of a point. */
const SAME_MARGIN = 0.001;
/** Half of the last digit of the tables. */
const PRINTED = 5e-5;

type Row = Records[number];

/**
 * All claims of a published table. For each of its rows: what thresholds for its accuracy save and how much faster they are, for
 * each search of the run; its printed thresholds; the claims of the text (`texts`). For the last row: the original network.
 */
function tableEvidence(
  name: string,
  texts: readonly PrintedClaim[],
  published: readonly PublishedRow[],
  files: Files,
): Found[] {
  const records = files('table') ?? [];
  const original = published.at(-1);
  if (original === undefined || texts.length === 0) return [];
  const about = { source: `Table ${/\d+$/.exec(name)?.[0] ?? name}`, network: texts[0]!.network };
  const rows = published.slice(0, -1).flatMap((printed, i): Found[] => {
    const drop = Number((original.accuracy - printed.accuracy).toFixed(6));
    const reduction = printed.flopsReduction ?? 0;
    const id = `${name}-row${i + 1}`;
    const asPrinted = `${percent(reduction, 2)} fewer FLOPs at ${points(drop)}`;
    const saving = (row: Row) => inTable(row, [savingPart(row, reduction, PRINTED), lossPart(row, drop)]);
    const searched = searchMethods.flatMap((search): Found[] => {
      const row = records.find((record) => {
        const isOfMargin = Math.abs(numberIn(record, 'margin_fraction') - drop) <= SAME_MARGIN;
        return isOfMargin && record['search'] === search;
      });
      if (row === undefined) return [];
      const found = (suffix: string, what: string, printed: string, evidence: Evidence): Found => {
        const statement = `${search} search: thresholds chosen to lose at most ${points(drop)} save as ${what}`;
        return { claim: { ...about, id: `${id}-${search}${suffix}`, statement, printed }, evidence };
      };
      const speed = printed.speedUp === null ? '' : `${percent(printed.speedUp, 2)} speed-up (${printed.speedMs} ms)`;
      const rule = { bound: printed.speedUp ?? 0, margin: PRINTED };
      const restated = texts.filter(({ tableRow }) => tableRow === i + 1);
      return [
        found('', 'many FLOPs', asPrinted, saving(row)),
        ...(speed ? [found('-speed', 'much time', speed, speedEvidence(name, files, row, rule, drop))] : []),
        ...restated.map((text) => ({
          claim: { ...text, id: `${text.id}-${search}`, statement: `${search} search: ${text.statement}` },
          evidence: textEvidence(name, text, files, row, drop),
        })),
      ];
    });
    const fixed = records.find((one) => one['published_model'] === printed.model && one['search'] === '');
    if (fixed === undefined) return searched;
    const statement = `the published thresholds ${printed.model}, unchanged, lose no more and save as many FLOPs`;
    const note = 'thresholds are distances, whose scale depends on the features and lambda of the gates';
    const claim = { ...about, id: `${id}-fixed`, statement, printed: asPrinted };
    return [...searched, { claim, evidence: { ...saving(fixed), note } }];
  });
  return [...rows, ...originalRow(records, texts)];
}

const inTable = (row: Row, parts: readonly ClaimPart[]): Evidence => {
  return { parts, file: 'table.csv', row: row['model'] ?? '' };
};

/** With the interval that includes the choice of thresholds if the run has it. */
function rowMeasure(row: Row, stem: string) {
  const again = `${stem}_chosen_again`;
  return measuredIn(row, stem, (row[`${again}_low_fraction`] ?? '') === '' ? stem : again);
}

const lossPart = (row: Row, bound: number): ClaimPart =>
  lostPart(rowMeasure(row, 'accuracy_drop'), { relation: 'at most', bound, margin: PRINTED });

const savingPart = (row: Row, bound: number, margin: number): ClaimPart =>
  savedPart(rowMeasure(row, 'flops_reduction'), { relation: 'at least', bound, margin });

/** The claim about the original network. */
function originalRow(records: Records, texts: readonly PrintedClaim[]): Found[] {
  const row = records.find((record) => record['model'] === 'Original');
  return texts.flatMap((text) => {
    if (row === undefined || !text.id.endsWith('-original')) return [];
    const accuracy = partOf('right', 'percent')(measuredIn(row, 'accuracy'), text);
    const note = `${(numberIn(row, 'flops_per_image') / 1e9).toPrecision(3)} GFLOPs; the paper's weights are not public`;
    return [{ claim: text, evidence: { ...inTable(row, [accuracy]), note, ownNetwork: true } }];
  });
}

function textEvidence(name: string, text: PrintedClaim, files: Files, row: Row, drop: number): Evidence {
  const { quantity, bound, margin } = text;
  const loss = lossPart(row, drop);
  if (quantity === 'speed_up_fraction') return speedEvidence(name, files, row, text, drop);
  if (quantity === 'flops_reduction_fraction') return inTable(row, [savingPart(row, bound, margin), loss]);
  const rule = { relation: 'at least', bound, margin } as const;
  return inTable(row, [dividedPart(rowMeasure(row, 'flops_reduction'), rule), loss]);
}

/** Judged by the interval of the timing at batch 1; not judged if the timing warned. */
function speedEvidence(
  name: string,
  files: Files,
  row: Row,
  rule: Pick<ClaimPart, 'bound' | 'margin'>,
  drop: number,
): Evidence {
  const timed = files('timing')?.find((one) => one['batch_images'] === '1' && one['model'] === row['model']);
  const speed = partOf('speed-up', 'percent')(measuredIn(timed, 'speed_up'), { ...rule, relation: 'at least' });
  const found = { ...inTable(row, [speed, lossPart(row, drop)]), file: 'timing.csv' };
  if (timed === undefined) {
    const impossible = `the run is not timed; to time it: dgate time ${name}`;
    return { ...found, measured: 'not timed', file: 'table.csv', impossible };
  }
  const { warnings = '', repeats = '1', engine = '' } = timed;
  const single = Number(repeats) > 1 ? '' : '; one process: the interval lacks the variation between processes';
  const note = `timed with ${engine}, not on a Titan Xp${single}`;
  const why = `the timing warns: ${warnings.replace(/^repeat \d+: /, '').split(/[:;]/)[0]}`;
  return { ...found, note, impossible: warnings === '' ? undefined : why };
}
