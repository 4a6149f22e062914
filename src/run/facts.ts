import { basename } from 'node:path';
import { hasOwnExits, isScores, type ScoresChoice } from '../experiment/network.js';
import { counted, percent } from '../json.js';
import { Z95 } from '../statistics/intervals.js';
import { searches } from '../thresholds/methods.js';
import { membersOf } from './plan.js';
import { speedSource, type TableBasis } from './rows.js';
import type { Row } from './search.js';
import { type NetworkSource, networksOf } from './source.js';
import type { RunOutcome } from './stages.js';

type Fact = [name: string, value: string];

/** What the numbers rest on; a line without a name continues the previous one. */
export function runFacts(outcome: RunOutcome): Fact[] {
  const { experiment, splits, source, engine, timing } = outcome;
  const speed = speedSource(timing);
  const { unlabelled: folder } = experiment;
  const unlabelled =
    folder === undefined ? '' : ` of ${folder}, without labels: agreement with the original is known, accuracy is not`;
  return [
    ...(isScores(experiment.network)
      ? scoresFacts(outcome, experiment.network)
      : source.earlier === undefined
        ? gateFacts(outcome)
        : cascadeFacts(outcome, networksOf(source))),
    ['Validation', splits.validation],
    ...thresholdFacts(outcome),
    ['Test', `${counted(splits.test)} images${unlabelled}`],
    ...leftOutFacts(outcome),
    ...duplicateFacts(outcome),
    ['Seed', `${experiment.seed}${isScores(experiment.network) ? '' : `; engine ${engine.entry.id}`}`],
    ...(speed === undefined ? [] : [['Speed', speed] satisfies Fact]),
  ];
}

function networkFact({ network, checkpoint: { known, path, sha256 } }: NetworkSource): string {
  return `${network.name}, checkpoint ${known?.id ?? basename(path)} (sha256 ${sha256.slice(0, 12)})`;
}

function cascadeFacts(outcome: RunOutcome, sources: readonly NetworkSource[]): Fact[] {
  const { experiment, exitCosts, gates, splits } = outcome;
  const members = membersOf(experiment);
  // Positions of the networks' own classifiers among the exits, each behind its gates.
  const ends = members.map((_, i) =>
    members.slice(0, i + 1).reduce((sum, { gates }) => sum + gates.after.length + 1, -1),
  );
  return [
    ...sources.flatMap((source, i): Fact[] => {
      const cost = exitCosts[ends[i]!]! - (exitCosts[ends[i - 1] ?? -1] ?? 0);
      const own = gates.filter(({ network }) => network === i);
      const { to, from } = source.resizing ?? {};
      const resized =
        to && from && `, sees ${from.width} x ${from.height} pixels brought to ${to.width} x ${to.height}`;
      const fact = `${networkFact(source)}, ${(cost / 1e9).toPrecision(3)} GFLOPs${resized ?? ''}`;
      const inside = own.length === 0 ? [] : [`with gates ${gateWords(own, members[i]!.gates)}`];
      return [[i === 0 ? 'Networks' : '', fact], ...inside.map((words): Fact => ['', words])];
    }),
    ['', `one after the other; ${confidenceWords(experiment)}${gates.length === 0 ? '; nothing is trained' : ''}`],
    ...(gates.length === 0 ? [] : [trainFact(splits.train)]),
  ];
}

function scoresFacts({ source, exitCosts, flops }: RunOutcome, { confidence }: ScoresChoice): Fact[] {
  const costs = exitCosts.map((cost) => `${+(100 * (cost / flops.flops)).toFixed(2)} %`).join(', ');
  return [
    [
      'Scores',
      `${source.network.name} (sha256 ${source.checkpoint.sha256.slice(0, 12)}), exits that cost ${costs} of the last`,
    ],
    ['', `confidence as given, or ${confidence} of logits; nothing is trained and no network is run`],
  ];
}

const confidenceWords = ({ gates, thresholds }: RunOutcome['experiment']): string =>
  `confidence ${gates.confidence}${thresholds.perClass === true ? ', with an offset for each predicted class' : ''}`;

const trainFact = (images: number): Fact => ['Train', `${counted(images)} images`];

function gateFacts({ experiment, splits, source, gates }: RunOutcome): Fact[] {
  if (hasOwnExits(experiment.network)) {
    const leaves = source.network.stages.flatMap((stage) => ('own' in stage && stage.own ? [stage.own.leaves] : []));
    const negated = leaves.some((words) => words.includes(' < ') || words.includes(' <= '));
    return [
      ['Network', networkFact(source)],
      ['Exits', `the file's own: ${leaves.join('; ')}`],
      [
        '',
        `nothing is trained; confidence ${experiment.gates.confidence}${negated ? ', of < the negated number' : ''}`,
      ],
    ];
  }
  const [where, how] = gateWords(gates, experiment.gates).split('; ');
  return [
    ['Network', networkFact(source)],
    ['Gates', where!],
    ['', `${how}, ${confidenceWords(experiment)}`],
    trainFact(splits.train),
  ];
}

const poolingWords = { gap: 'global averages', 'class-token': 'the class token' } as const;

/** Places and training of the gates of one network. */
function gateWords(gates: RunOutcome['gates'], asked: InsideGates): string {
  const places = gates.map(({ stage, pooling, features, objective, worstGap }) => {
    const cells = pooling.kind === 'grid' ? `${pooling.size} x ${pooling.size} grids` : poolingWords[pooling.kind];
    const shown = worstGap === undefined ? '' : `, gap ${percentOf(worstGap)}`;
    return `${stage} (${cells}, ${features} features, objective ${objective.toFixed(4)}${shown})`;
  });
  const of = Array.isArray(asked.l2) ? ` of ${asked.l2.join(', ')} by accuracy on the choosing images` : '';
  const lambdas = of === '' ? asked.l2 : `${gates.map(({ l2 }) => l2).join(', ')}${of}`;
  const earlier = `${asked.weights === 'survivors' ? ', on survivors' : ''}${asked.previous ? ', with the distances before' : ''}`;
  return `after stages ${places.join(', ')}; ${asked.loss}${earlier}, lambda ${lambdas}, ${trainingFact(gates, asked)}`;
}

type InsideGates = Omit<RunOutcome['experiment']['gates'], 'confidence'>;

/** How gates were trained, and which did not reach the requested gap. */
function trainingFact(gates: RunOutcome['gates'], { solver, epochs, gap }: InsideGates): string {
  if (solver === 'sgd') return `${epochs} epochs`;
  const missed = gates.flatMap(({ worstGap }, i) => {
    if (worstGap !== undefined && worstGap <= gap) return [];
    return [
      `${i + 1} (${worstGap === undefined ? 'gap unknown: too many images times classes' : percentOf(worstGap)})`,
    ];
  });
  const asked = `trained to a duality gap of ${percentOf(gap)}`;
  return missed.length === 0 ? asked : `${asked}, NOT reached in ${epochs} passes by gate ${missed.join(', ')}`;
}

const percentOf = (share: number): string => `${Number((100 * share).toPrecision(2))} %`;

/** How many images of each split could not be decoded. */
function leftOutFacts({ leftOut }: RunOutcome): Fact[] {
  const counts = Object.entries(leftOut).map(([split, files]) => `${counted(files.length)} ${split} images`);
  if (counts.length === 0) return [];
  return [['Left out', `${counts.join(', ')} that cannot be decoded, named in record.json`]];
}

/** Images that the results are not new for. */
function duplicateFacts({ duplicates }: RunOutcome): Fact[] {
  const counts = Object.entries(duplicates ?? {}).map(([what, positions]) => `${what}: ${counted(positions.length)}`);
  if (counts.length === 0) return [];
  return [
    ['Duplicates', `${counts.join('; ')} (positions: record.json); rows and promises are not of new images alone`],
  ];
}

/** How the table's thresholds were chosen, and what its intervals cover. */
export function thresholdFacts({ rows, experiment, original, choosing, exitMs = [] }: TableBasis): Fact[] {
  const { margins, latencyMs, search, validation, resamples } = experiment.thresholds;
  const chosen = validation.kind === 'cross-fit' ? "each fold's thresholds" : 'thresholds';
  const searched = `searched for the fewest FLOPs at each margin: ${search.map((method) => searches[method].words).join('; ')}`;
  const times = exitMs.map((ms) => ms.toPrecision(3)).join(', ');
  const again = `chosen_again in table.csv: both samples drawn anew ${resamples} times, thresholds searched again each time`;
  const asked = [
    ...(margins.length === 0 ? [] : [searched]),
    ...(latencyMs === undefined ? [] : [`<= ms: by the times of the exits that dgate time measured: ${times}`]),
    ...rows.flatMap(({ guarantee }) => (guarantee === undefined ? [] : guaranteeFacts(guarantee, chosen))),
    `± half of the 95 % interval over the reported images (score intervals, paired), ${chosen} as they are`,
    ...(resamples === undefined ? [] : [again]),
  ];
  const facts = rows.length === 0 ? [] : asked;
  if (choosing !== undefined) facts.push(...unlikeFacts(choosing, original));
  return facts.map((fact, i) => [i === 0 ? 'Thresholds' : '', fact]);
}

/** A warning if the original's accuracies on choosing and reported images differ (two-sided test of two shares at 5 %). */
function unlikeFacts(
  choosing: { accuracy: number; count: number },
  reported: { accuracy: number; count: number },
): string[] {
  const [a, b] = [choosing, reported];
  const pooled = (a.accuracy * a.count + b.accuracy * b.count) / (a.count + b.count);
  const z = (a.accuracy - b.accuracy) / Math.sqrt(pooled * (1 - pooled) * (1 / a.count + 1 / b.count));
  if (!(Math.abs(z) > Z95)) return [];
  return [
    `the original is right on ${percent(a.accuracy, 2)} of the choosing images and ${percent(b.accuracy, 2)} of the reported ones ` +
      `(z = ${z.toFixed(1)}): they are not alike, and more may be lost than a margin or a promise says`,
  ];
}

/** Bonferroni: each promise may be broken, and so may the best of them. */
export const promisedTogether = (count: number, what: string, confidence: number): string =>
  `all ${count} ${what} together with ${+(100 * Math.max(0, 1 - count * (1 - confidence))).toFixed(2)} % confidence`;

function guaranteeFacts(
  { drop, confidence, of, method, parts }: NonNullable<Row['guarantee']>,
  chosen: string,
): string[] {
  const short = (share: number): string => `${+(100 * share).toFixed(2)} %`;
  const what = of === 'agreement' ? `answer at most ${short(drop)} of new images` : 'lose at most that on new images';
  const other = of === 'agreement' ? ' otherwise than the original' : '';
  const limit = of === 'agreement' ? `<= ${short(drop)} disagreement` : `<= ${+(100 * drop).toFixed(4)} points`;
  const tested = parts.map(({ testedOn }) => counted(testedOn)).join(' and ');
  const tests = {
    exact: 'Learn then Test',
    betting: 'Learn then Test by betting',
    conformal: 'conformal risk control',
  };
  const promise =
    method === 'conformal'
      ? `on average over the draws of the choosing images, ${chosen} ${what}${other}, without a confidence for this draw`
      : `with ${short(confidence)} confidence, ${chosen} ${what} of the same kind${other}, on average`;
  const closed = parts.flatMap(({ open }, i) => (open ? [] : [i + 1]));
  const where = parts.length > 1 ? ` for fold ${closed.join(', ')}` : '';
  // Any exact test: with fewer, a system that loses just too much would often lose nothing on them.
  const needed = Math.ceil(Math.log(1 - confidence) / Math.log(1 - drop));
  const isShort = method !== 'conformal' && parts.some(({ open, testedOn }) => !open && testedOn < needed);
  const why = isShort ? `: ${short(drop)} needs at least ${counted(needed)} testing images for each` : '';
  return [
    `${limit}: ${promise} (${tests[method ?? 'exact']} on ${tested} images)`,
    ...(parts.length > 1 && method !== 'conformal' ? [promisedTogether(parts.length, 'folds', confidence)] : []),
    ...(closed.length === 0 ? [] : [`no thresholds could be certified${where}; all gates stay closed there${why}`]),
  ];
}
