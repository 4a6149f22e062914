import { markdownAddress, markdownCode, markdownText } from '../escape.js';
import { countVerdicts } from './claims.js';
import type { Claim } from './findings.js';
import type { ExperimentSummary } from './summary.js';

/** Header of the table of claims. */
interface ReadmeHeader {
  readonly command: string;
  readonly preset: string;
  /** `2026-11-22` */
  readonly date: string;
  readonly machine: string;
  readonly versions: string;
}

/**
 * `results/README.md`: a table of all claims of the paper with the printed value, the measured value, the verdict, and
 * the CSV row and command of the measurement.
 */
export function renderReadme(results: readonly ExperimentSummary[], origin: ReadmeHeader): string {
  const counts = [...countVerdicts(results.flatMap(({ claims }) => claims))];
  const failed = results.filter(({ state }) => state === 'failed');
  return `# Verdicts on the paper's claims

Written by the command below; a later run of it replaces this file. A verdict applies to the network that was run: if
that is not the paper's, the row names it.

| | |
|---|---|
| Command | ${markdownCode(origin.command)} |
| Date | ${markdownText(origin.date)} |
| Preset | ${markdownText(origin.preset)} |
| Machine | ${markdownText(origin.machine)} |
| Versions | ${markdownText(origin.versions)} |
| Verdicts | ${counts.map(([verdict, count]) => `${count} ${verdict}`).join(', ')} |

${failed.map((result) => failure(result)).join('')}| Where | Claim | Printed | Measured here | Verdict | Traced to |
|---|---|---|---|---|---|
${results.flatMap((result) => result.claims.map((claim) => line(result, claim))).join('')}`;
}

function failure(result: ExperimentSummary): string {
  return result.state === 'failed'
    ? `**${markdownText(result.experiment)} failed:** ${markdownText(result.problem)}\n\n`
    : '';
}

function line(result: ExperimentSummary, claim: Claim): string {
  const { source, statement, printed, measured, verdict, why } = claim;
  const judged = why === undefined ? `**${verdict}**` : `**${verdict}**: ${markdownText(why)}`;
  const cells = [
    markdownText(source),
    markdownText(statement),
    markdownText(printed),
    markdownText(measured),
    judged,
    trace(result, claim),
  ];
  return `| ${cells.join(' | ')} |\n`;
}

function trace(result: ExperimentSummary, { trace: { file, row } }: Claim): string {
  const command = markdownCode(result.command);
  if (result.state === 'failed') return command;
  return `[${markdownText(file)}](${markdownAddress(`${result.folder}/${file}`)}), ${markdownText(row)}; ${command}`;
}
