import { basename } from 'node:path';
import { isScores, type ScoresChoice } from '../experiment/network.js';
import { membersOf } from './plan.js';
import { speedSource, thresholdFacts } from './rows.js';
import { type NetworkSource, networksOf } from './source.js';
import type { RunOutcome } from './stages.js';

/** What the numbers rest on; a line without a name goes on with the one before. */
export function runFacts(outcome: RunOutcome): [name: string, value: string][] {
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
    ['Test', `${splits.test.toLocaleString('en')} images${unlabelled}`],
    ...leftOutFacts(outcome),
    ['Seed', `${experiment.seed}${isScores(experiment.network) ? '' : `; engine ${engine.entry.id}`}`],
    ...(speed === undefined ? [] : [['Speed', speed] as [string, string]]),
  ];
}

function networkFact({ network, checkpoint: { known, path, sha256 } }: NetworkSource): string {
  return `${network.name}, checkpoint ${known?.id ?? basename(path)} (sha256 ${sha256.slice(0, 12)})`;
}

function cascadeFacts(outcome: RunOutcome, sources: readonly NetworkSource[]): [string, string][] {
  const { experiment, exitCosts, gates, splits } = outcome;
  const members = membersOf(experiment);
  // Where each network's own classifier stands among the exits: behind its gates.
  const ends = members.map((_, i) =>
    members.slice(0, i + 1).reduce((sum, { gates }) => sum + gates.after.length + 1, -1),
  );
  return [
    ...sources.flatMap((source, i): [string, string][] => {
      const cost = exitCosts[ends[i]!]! - (exitCosts[ends[i - 1] ?? -1] ?? 0);
      const own = gates.filter(({ network }) => network === i);
      const { to, from } = source.resizing ?? {};
      const resized =
        to && from && `, sees ${from.width} x ${from.height} pixels brought to ${to.width} x ${to.height}`;
      const fact = `${networkFact(source)}, ${(cost / 1e9).toPrecision(3)} GFLOPs${resized ?? ''}`;
      const inside = own.length === 0 ? [] : [`with gates ${gateWords(own, members[i]!.gates)}`];
      return [[i === 0 ? 'Networks' : '', fact], ...inside.map((words): [string, string] => ['', words])];
    }),
    [
      '',
      `one after the other; confidence ${experiment.gates.confidence}${gates.length === 0 ? '; nothing is trained' : ''}`,
    ],
    ...(gates.length === 0 ? [] : [trainFact(splits.train)]),
  ];
}

function scoresFacts({ source, exitCosts, flops }: RunOutcome, { confidence }: ScoresChoice): [string, string][] {
  const costs = exitCosts.map((cost) => `${+(100 * (cost / flops.flops)).toFixed(2)} %`).join(', ');
  return [
    [
      'Scores',
      `${source.network.name} (sha256 ${source.checkpoint.sha256.slice(0, 12)}), exits that cost ${costs} of the last`,
    ],
    ['', `confidence as given, or ${confidence} of logits; nothing is trained and no network is run`],
  ];
}

const trainFact = (images: number): [string, string] => ['Train', `${images.toLocaleString('en')} images`];

function gateFacts({ experiment, splits, source, gates }: RunOutcome): [string, string][] {
  const [where, how] = gateWords(gates, experiment.gates).split('; ');
  return [
    ['Network', networkFact(source)],
    ['Gates', where!],
    ['', `${how}, confidence ${experiment.gates.confidence}`],
    trainFact(splits.train),
  ];
}

/** Where the gates of one network sit; how they were trained. */
function gateWords(gates: RunOutcome['gates'], asked: InsideGates): string {
  const places = gates.map(({ stage, pooling, features, objective, worstGap }) => {
    const cells =
      pooling.kind === 'grid'
        ? `${pooling.size} x ${pooling.size} grids`
        : pooling.kind === 'gap'
          ? 'global averages'
          : 'the class token';
    const shown = worstGap === undefined ? '' : `, gap ${percentOf(worstGap)}`;
    return `${stage} (${cells}, ${features} features, objective ${objective.toFixed(4)}${shown})`;
  });
  return `after stages ${places.join(', ')}; ${asked.loss}, lambda ${asked.l2}, ${trainingFact(gates, asked)}`;
}

type InsideGates = Omit<RunOutcome['experiment']['gates'], 'confidence'>;

/** How gates were trained, and which of them are not as near to the optimum as asked. */
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

/** How many images of each split could not be decoded; which ones is in the record. */
function leftOutFacts({ leftOut }: RunOutcome): [name: string, value: string][] {
  const counts = Object.entries(leftOut).map(
    ([split, files]) => `${files.length.toLocaleString('en')} ${split} images`,
  );
  if (counts.length === 0) return [];
  return [['Left out', `${counts.join(', ')} that cannot be decoded, named in record.json`]];
}
