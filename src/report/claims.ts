import { markdownAddress, markdownCode, markdownText, visible } from '../escape.js';
import { counted } from '../json.js';
import { type Claim, renderColumns, type Verdict } from './findings.js';

/** All verdicts, in the order of summaries. */
const verdicts: readonly Verdict[] = ['holds', 'does not hold', 'undecided', 'cannot be checked here'];

/** The common verdict of all runs that could check the claim; undecided if they disagree. */
function agreedVerdict(found: readonly Verdict[]): Verdict {
  const [verdict = 'cannot be checked here', other] = new Set(found.filter((one) => one !== 'cannot be checked here'));
  return other === undefined ? verdict : 'undecided';
}

function countVerdicts(claims: readonly Pick<Claim, 'verdict'>[]): ReadonlyMap<Verdict, number> {
  return new Map(verdicts.map((verdict) => [verdict, claims.filter((claim) => claim.verdict === verdict).length]));
}

/** One line per claim: the printed value, the measured one, and the reason for a difference. */
export function claimLines(claims: readonly Claim[]): string[] {
  const widest = Math.max(0, ...claims.map(({ verdict }) => verdict.length));
  return claims.map(({ verdict, source, statement, printed, measured, why }) => {
    const parts = [`${source}: ${statement}`, `paper: ${printed}`, `here: ${measured}`, ...(why ? [why] : [])];
    return `${verdict.padEnd(widest)}  ${visible(parts.join('; '))}`;
  });
}

/** Most claims that the console lists, so that the tables above them stay in sight. */
const MOST_LISTED = 6;

/** For the console: a line for each of the first checked claims, then how many more; `place` holds them all. */
export function briefClaimLines(claims: readonly Claim[], place = 'report.html and table.txt'): string[] {
  const checked = claims.filter(({ verdict }) => verdict !== 'cannot be checked here');
  const [more, unchecked] = [checked.length - MOST_LISTED, claims.length - checked.length];
  const uncheckable = unchecked > 0 ? `${counted(unchecked)} that cannot be checked here` : '';
  const others = [more > 0 ? counted(more) : '', uncheckable].filter((text) => text !== '');
  const rest = others.length > 0 ? [`more claims of the paper, in ${place}: ${others.join(', and ')}`] : [];
  return [...claimLines(checked.slice(0, MOST_LISTED)), ...rest];
}

export type ExperimentSummary = {
  readonly experiment: string;
  /** Repeats it: `dgate run table1 --preset laptop`. */
  readonly command: string;
  readonly seconds: number;
  /** The paper's claims; unchecked if it failed. */
  readonly claims: readonly Claim[];
} & (
  | { readonly state: 'done' /** Relative to the folder of all results. */; readonly folder: string }
  | { readonly state: 'failed' /** One line: the error. */; readonly problem: string }
);

/** The summary of `dgate run all`: results, failures, and differences from the paper. */
export function renderSummary(results: readonly ExperimentSummary[], resultsRoot: string): string {
  const failed = failuresIn(results);
  const seconds = results.reduce((sum, result) => sum + result.seconds, 0);
  const rows = results.map((result) => [
    result.experiment,
    result.state,
    ...[...countVerdicts(result.claims).values()].map((count) => (count === 0 ? '' : String(count))),
    result.seconds.toFixed(1),
    result.state === 'done' ? result.folder : '',
  ]);
  const unmet = results.flatMap(({ claims }) => claims.filter(({ verdict }) => verdict !== 'holds'));
  const differs = unmet.some(({ verdict }) => verdict !== 'cannot be checked here');
  return [
    `Summary: ${results.length - failed.length} of ${results.length} experiments done in ${seconds.toFixed(1)} s; ` +
      `folders below ${resultsRoot}`,
    renderColumns(['Experiment', 'State', ...verdicts.map(capitalised), 'Seconds', 'Folder'], rows, 'text'),
    ...(failed.length > 0 ? ['Failed'] : []),
    ...failed.map(({ experiment, problem }) => visible(`${experiment}: ${problem}`)),
    differs ? 'What differs from the paper' : 'Nothing that could be checked differs from the paper',
    ...briefClaimLines(unmet, 'the report.html of each run'),
  ].join('\n');
}

const failuresIn = (results: readonly ExperimentSummary[]) =>
  results.flatMap((result) => (result.state === 'failed' ? [result] : []));

const capitalised = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** A claim and the verdict of a run on record. */
export interface ClaimOnRecord extends Claim {
  readonly experiment: string;
  /** The run's folder relative to the text, with `/`. */
  readonly folder: string;
  /** Whether the run used a network of the paper. */
  readonly isPaper: boolean;
}

/** The heading of the part that `scripts/verdicts.ts` derives from the CSV files alone. */
export const VERDICTS = '## Verdicts';

/** `README.md` of a folder of results: its origin, failures, and the verdicts. @param origin date as `2026-11-22` */
export function renderReadme(
  results: readonly ExperimentSummary[],
  claims: readonly ClaimOnRecord[],
  origin: Readonly<Record<'command' | 'preset' | 'date' | 'machine' | 'versions', string>>,
): string {
  return `# Verdicts on the paper's claims

Written by the command below; a later run of it replaces this file. \`npx tsx scripts/verdicts.ts\` derives all verdicts
again from the CSV files alone.

| | |
|---|---|
| Command | ${markdownCode(origin.command)} |
| Date | ${markdownText(origin.date)} |
| Preset | ${markdownText(origin.preset)} |
| Machine | ${markdownText(origin.machine)} |
| Versions | ${markdownText(origin.versions)} |

${failuresIn(results)
  .map((result) => `**${markdownText(result.experiment)} failed:** ${markdownText(result.problem)}\n\n`)
  .join('')}${renderVerdicts(claims)}`;
}

/** The verdicts: their numbers, how many are expected to be wrong by chance, and one line per claim. */
export function renderVerdicts(claims: readonly ClaimOnRecord[]): string {
  const ids = [...new Set(claims.map(({ experiment, id }) => `${experiment} ${id}`))];
  const rows = ids.map((id) => rowOf(claims.filter((claim) => `${claim.experiment} ${claim.id}` === id)));
  const count = (of: 'paper' | 'small'): string => {
    const numbers = countVerdicts(rows.map((row) => ({ verdict: row[of].verdict })));
    return [...numbers].map(([verdict, number]) => `${number} ${verdict}`).join(', ');
  };
  const chance = (isPaper: boolean): string =>
    claims.reduce((sum, claim) => sum + (claim.isPaper === isPaper ? claim.chance : 0), 0).toFixed(1);
  return `${VERDICTS}

The rule: a claim _holds_ where the whole interval lies on the claimed side of the bound (the printed number, less half of
its last digit, or the margin in \`results/published/claims.csv\`), _does not hold_ where the whole interval lies on the
other side, and is _undecided_ otherwise; of several parts all must hold. Runs of the paper's networks decide about the
paper (if several disagree: undecided); small networks have columns of their own. A claim about ImageNet is not judged on
CIFAR-10, nor a speed whose timing gave a warning.

| | |
|---|---|
| On the paper's networks | ${count('paper')} |
| On small networks | ${count('small')} |
| Wrong by chance | at most ${chance(true)} and ${chance(false)} of these verdicts are expected to be (2.5 % for each interval that decides, if every true value lay at its bound; verdicts on the same images are correlated) |

| Where | Claim | Printed | Rule | The paper's network | On the paper | A small network | There |
|---|---|---|---|---|---|---|---|
${rows.map(({ text }) => text).join('')}`;
}

/** The line of a claim. @param claims its verdicts, one per run */
function rowOf(claims: readonly ClaimOnRecord[]) {
  const { source, statement, printed, rule } = claims[0]!;
  const [paper, small] = [true, false].map((isPaper) => cellsOf(claims.filter((claim) => claim.isPaper === isPaper)));
  const cells = [...[source, statement, printed, rule].map(markdownText), ...paper!.cells, ...small!.cells];
  return { paper: paper!, small: small!, text: `| ${cells.join(' | ')} |\n` };
}

/** Measurements of these runs, and their verdict. */
function cellsOf(claims: readonly ClaimOnRecord[]): { cells: string[]; verdict: Verdict } {
  const verdict = agreedVerdict(claims.map((claim) => claim.verdict));
  if (claims.length === 0) return { cells: ['no run on record', `**${verdict}**`], verdict };
  const each = claims.map(({ verdict: own }) => (own === verdict ? '' : ` (${own})`));
  const measured = claims.map((claim, i) => `${markdownText(claim.measured)}${each[i]}${trace(claim)}`);
  const why = [...new Set(claims.flatMap((claim) => claim.why ?? []))].map(markdownText);
  return { cells: [measured.join('; '), `**${verdict}**${why.length === 0 ? '' : `: ${why.join('; ')}`}`], verdict };
}

function trace({ trace: { file, row }, folder }: ClaimOnRecord): string {
  if (file === '') return '';
  return ` ([${markdownText(file)}](${markdownAddress(`${folder}/${file}`)}), ${markdownText(row)})`;
}
