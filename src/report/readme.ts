import { markdownAddress, markdownCode, markdownText } from '../escape.js';
import { agreedVerdict, countVerdicts } from './claims.js';
import type { Claim, Verdict } from './findings.js';
import type { ExperimentSummary } from './summary.js';

/** A claim as a run on record decides it. */
export interface ClaimOnRecord extends Claim {
  readonly experiment: string;
  /** The run's folder, with `/`, from the folder of the text. */
  readonly folder: string;
  /** Whether the run is of the paper's network. */
  readonly isPaper: boolean;
}

/** Header of the table of claims. */
interface ReadmeHeader {
  readonly command: string;
  readonly preset: string;
  /** `2026-11-22` */
  readonly date: string;
  readonly machine: string;
  readonly versions: string;
}

/** Where the part begins that follows from the CSV files alone. */
export const VERDICTS = '## Verdicts';

/** `results/README.md`: where it comes from, what failed, and the verdicts. */
export function renderReadme(
  results: readonly ExperimentSummary[],
  claims: readonly ClaimOnRecord[],
  origin: ReadmeHeader,
): string {
  const failed = results.flatMap((result) => (result.state === 'failed' ? [result] : []));
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

${failed.map((result) => `**${markdownText(result.experiment)} failed:** ${markdownText(result.problem)}\n\n`).join('')}${renderVerdicts(claims)}`;
}

/** The verdicts: how many, how many would be wrong by chance, and a line for each claim. */
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
its last digit, or the margin in [claims.csv](published/claims.csv)), _does not hold_ where the whole interval lies on the
other side, and is _undecided_ otherwise; of several parts all must hold. Runs of the paper's networks decide about the
paper (if several disagree: undecided); small networks have columns of their own. A claim about ImageNet is not judged on
CIFAR-10, nor a speed where its timing warned.

| | |
|---|---|
| On the paper's networks | ${count('paper')} |
| On small networks | ${count('small')} |
| Wrong by chance | at most ${chance(true)} and ${chance(false)} of these verdicts are expected to be (2.5 % for each interval that decides, if every true value lay at its bound; verdicts on the same images go together) |

| Where | Claim | Printed | Rule | The paper's network | On the paper | A small network | There |
|---|---|---|---|---|---|---|---|
${rows.map(({ text }) => text).join('')}`;
}

/** The line of a claim. @param claims what each run says of it */
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
