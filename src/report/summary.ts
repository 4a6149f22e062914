import { visible } from '../escape.js';
import { claimLines, countVerdicts, verdicts } from './claims.js';
import { renderColumns } from './columns.js';
import type { Claim } from './findings.js';

/** The outcome of one of several experiments. */
export type ExperimentSummary =
  | {
      readonly state: 'done';
      readonly experiment: string;
      /** Command that repeats it: `dgate run table1 --preset laptop`. */
      readonly command: string;
      /** Its folder, relative to the folder of all results. */
      readonly folder: string;
      readonly seconds: number;
      readonly claims: readonly Claim[];
    }
  | {
      readonly state: 'failed';
      readonly experiment: string;
      readonly command: string;
      /** One line: the error. */
      readonly problem: string;
      readonly seconds: number;
      /** The paper's claims, unchecked. */
      readonly claims: readonly Claim[];
    };

/** The summary of `dgate run all`: results, failures with their reasons, and differences from the paper. */
export function renderSummary(results: readonly ExperimentSummary[], resultsRoot: string): string {
  const failed = results.flatMap((result) => (result.state === 'failed' ? [result] : []));
  const seconds = results.reduce((sum, result) => sum + result.seconds, 0);
  const rows = results.map((result) => [
    result.experiment,
    result.state,
    ...[...countVerdicts(result.claims).values()].map((count) => (count === 0 ? '' : String(count))),
    result.seconds.toFixed(1),
    result.state === 'done' ? result.folder : '',
  ]);
  const differing = results.flatMap(({ claims }) => claims.filter(({ verdict }) => differs.includes(verdict)));
  return [
    `Summary: ${results.length - failed.length} of ${results.length} experiments done in ${seconds.toFixed(1)} s; ` +
      `folders below ${resultsRoot}`,
    renderColumns(['Experiment', 'State', ...verdicts.map(capitalised), 'Seconds', 'Folder'], rows, 'text'),
    ...(failed.length > 0 ? ['Failed'] : []),
    ...failed.map(({ experiment, problem }) => visible(`${experiment}: ${problem}`)),
    ...(differing.length > 0
      ? ['What differs from the paper']
      : ['Nothing that could be checked differs from the paper']),
    ...claimLines(differing),
  ].join('\n');
}

const differs: readonly Claim['verdict'][] = ['does not hold', 'undecided'];

const capitalised = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
