import type { Claim } from '../report/findings.js';
import { printedClaims } from './claims.js';

/** What the paper claims of an experiment that could not be run: said, and not checked. */
export async function uncheckedClaims(experiment: string, problem: string): Promise<Claim[]> {
  const printed = await printedClaims();
  return printed
    .filter(({ id }) => id.startsWith(`${experiment}-`))
    .map(({ id, source, statement, printed: value }) => ({
      id,
      source,
      statement,
      printed: value,
      measured: '',
      verdict: 'cannot be checked here',
      why: problem,
      trace: { file: '', row: '' },
    }));
}
