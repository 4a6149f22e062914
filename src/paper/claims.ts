import { listed } from '../json.js';
import { networkByName } from '../networks/catalogue.js';
import type { Claim, Verdict } from '../report/findings.js';
import type { Judge } from '../run/analyses.js';
import { figureReaders } from './figureEvidence.js';
import { type PrintedClaim, printedClaims, readPublished } from './published.js';
import { tableEvidence } from './tableEvidence.js';
import { chanceOf, type Evidence, measuredText, ruleText, verdictOn, verdictOnParts } from './verdict.js';

/** A run whose claims are judged. */
interface Judged {
  readonly preset: string;
  /** Name of its network, and of its dataset. */
  readonly network: string;
  readonly dataset: string;
}

/**
 * Prepares the judgement of an experiment's claims: those of `claims.csv` and of its published table whose ids begin with
 * its name. The judge sees nothing but the CSV files of the run.
 *
 * @param name of the experiment, or of the published table that it reproduces
 */
export async function openJudge(name: string): Promise<Judge> {
  const claims = (await printedClaims()).filter(({ id }) => id.startsWith(`${name}-`));
  const isTable = claims.some(({ id }) => id === `${name}-original`);
  const published = isTable ? await readPublished(name) : [];
  return (files, run) =>
    [
      ...(isTable ? tableEvidence(name, claims, published, files) : []),
      ...claims.flatMap((claim) =>
        (figureReaders[claim.id]?.(claim, files) ?? []).map((evidence) => ({ claim, evidence })),
      ),
    ].map(({ claim, evidence }) => judged(claim, evidence, run));
}

function judged(
  claim: Pick<PrintedClaim, 'id' | 'source' | 'network' | 'statement' | 'printed'>,
  evidence: Evidence,
  run: Judged,
): Claim {
  const { parts, some, variant, detail, file, row, note } = evidence;
  const another = evidence.ownNetwork === true && run.network !== claim.network;
  const unmeasured =
    parts.length === 0 ? evidence.impossible === undefined : parts.some((part) => Number.isNaN(part.value));
  const impossible =
    obstacle(claim.network, run) ??
    (another ? 'another network' : evidence.impossible) ??
    (unmeasured ? `not in ${file}: run the experiment again` : undefined);
  const verdict: Verdict = impossible === undefined ? verdictOnParts(parts, some) : 'cannot be checked here';
  const elsewhere = `measured on ${run.network}, not the paper's ${claim.network}`;
  const why = [
    ...(impossible === undefined ? [] : [impossible]),
    ...(verdict === 'undecided' || (verdict === 'does not hold' && parts.length > 1)
      ? [deciding(parts, verdict, some)]
      : []),
    ...(note === undefined ? [] : [note]),
    ...(run.network === claim.network ? [] : [elsewhere]),
  ];
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

/** The parts that a verdict rests on. */
function deciding(parts: Evidence['parts'], verdict: Verdict, some = false): string {
  if (some) return 'no class beyond doubt';
  const named = parts.filter((part) => verdictOn(part) === verdict).map(({ what }) => what);
  return `${verdict === 'undecided' ? 'open' : 'missed'}: ${listed(named)}`;
}

/** The claims of an experiment that could not run, all unchecked. */
export async function uncheckedClaims(experiment: string, problem: string): Promise<Claim[]> {
  const printed = await printedClaims();
  return printed
    .filter(({ id }) => id.startsWith(`${experiment}-`))
    .map(({ id, source, statement, printed: value }) => ({
      id,
      source,
      statement,
      printed: value,
      rule: '',
      measured: '',
      verdict: 'cannot be checked here',
      why: problem,
      chance: 0,
      trace: { file: '', row: '' },
    }));
}
