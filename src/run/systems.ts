import type { TopLevelSpec } from 'vega-lite';
import { systemName } from '../experiment/cascade.js';
import type { Experiment } from '../experiment/schema.js';
import type { Figure, FindingTable } from '../report/findings.js';
import { modelName } from '../report/rows.js';
import type { Scores } from '../thresholds/evaluate.js';
import { countOutcomes, type Intervals, outcomeIntervals } from '../thresholds/outcomes.js';
import { extract } from './extract.js';
import { openImages } from './images.js';
import { costsOfExits, membersOf, openSource, type Plan, plan, sameClasses } from './plan.js';
import { answersOf } from './score.js';
import type { Row } from './search.js';
import type { SplitScores, Stages } from './stages.js';

/** Whatever answers: a network alone, one cut off at a gate, one with gates, a cascade. Measured on the reported images. */
export interface System {
  readonly name: string;
  /** `static`: no image is treated otherwise than another. */
  readonly kind: 'static' | 'dynamic';
  readonly accuracy: number;
  /** Average FLOPs per image. */
  readonly flops: number;
  readonly intervals: Intervals;
}

/** A system without thresholds. @param answers class of each reported image */
export function staticSystem(name: string, answers: Int32Array, flops: number, scores: Scores): System {
  // Everybody leaves at the only exit.
  const one: Scores = { ...scores, classes: [answers], confidences: [new Float32Array(answers.length)] };
  const counts = countOutcomes(one, [Number.NEGATIVE_INFINITY]);
  const right = answers.reduce((sum, answer, i) => sum + Number(answer === scores.labels[i]), 0);
  const intervals = outcomeIntervals(counts, [flops, flops]);
  return { name, kind: 'static', accuracy: right / answers.length, flops, intervals };
}

/**
 * What each exit would be alone: the network cut off at each gate, or each network of a cascade; the original last.
 *
 * @param reference answers that drops are counted from
 */
export function exitSystems({ plan }: Stages, scores: Scores, reference: Int32Array = scores.original): System[] {
  return [...scores.classes, scores.original].map((answers, exit) => {
    const [flops] = costsOfExits(plan, [exit]);
    return staticSystem(exitName(plan, exit), answers, flops!, {
      ...scores,
      original: reference,
    });
  });
}

/** What an exit is called alone, with its number. */
function exitName({ members, exits }: Plan, position: number): string {
  const { network, place } = exits[position]!;
  const gate = position - exits.findIndex((exit) => exit.network === network) + 1;
  const cut = place === undefined ? undefined : `cut at gate ${gate}`;
  if (members === undefined) return cut ?? 'Original';
  return [`${position + 1}: ${members[network]!.network.name}`, ...(cut === undefined ? [] : [cut])].join(' ');
}

/** The networks that an experiment compares itself with: each run on the reported images, from the cache or into it. */
async function comparedNetworks(
  { context, experiment, plan: planned, engine }: Stages,
  scores: Scores,
): Promise<System[]> {
  const networks = experiment.baselines ?? [];
  const as: Experiment = {
    ...experiment,
    network: { kind: 'cascade', networks: [...networks], confidence: 'max' },
    // They choose nothing, so they need no held-out images.
    thresholds: { ...experiment.thresholds, validation: { kind: 'cross-fit', folds: 2 } },
  };
  const systems: System[] = [];
  for (const member of membersOf(as)) {
    const own = await plan(member);
    sameClasses([own.network, planned.network], 'baselines');
    const source = await openSource(context, member, own);
    const { test } = await openImages(context, as, source);
    const set = await extract(context, source, test, [], engine, 'test');
    const { exits } = await answersOf(set, [], 'max', scores.labels);
    systems.push(staticSystem(own.network.name, exits[0]!.classes, own.flops.flops, scores));
  }
  return systems;
}

/** Every system of a run in one table and one picture; empty unless the experiment has baselines. */
export async function comparedSystems(stages: Stages, { test }: SplitScores, rows: readonly Row[]) {
  const { experiment } = stages;
  if (experiment.baselines === undefined) return { tables: [], figures: [] };
  const dynamic = rows.map(({ thresholds, evaluation: { accuracy, flops }, intervals, ...row }): System => {
    const target =
      row.kind === 'margin' ? `, margin ${row.margin} ${row.search}` : row.kind === 'guarantee' ? ', promised' : '';
    const name = `${modelName(thresholds, systemName(experiment.network))}${target}`;
    return { name, kind: 'dynamic', accuracy, flops, intervals };
  });
  const systems = [...dynamic, ...exitSystems(stages, test), ...(await comparedNetworks(stages, test))];
  return systemFindings('systems', 'Every system, the cheapest first, networks alone included', systems);
}

/** Systems as a table, the cheapest first, each with the cheapest one that dominates it, and as a picture. */
export function systemFindings(name: string, title: string, systems: readonly System[]) {
  const sorted = systems.toSorted((a, b) => a.flops - b.flops || b.accuracy - a.accuracy);
  const beats = (a: System, b: System): boolean =>
    a.accuracy >= b.accuracy && a.flops <= b.flops && (a.accuracy > b.accuracy || a.flops < b.flops);
  const table: FindingTable = {
    name,
    title,
    columns: [
      ...['system', 'kind', 'accuracy_fraction', 'accuracy_low_fraction', 'accuracy_high_fraction'],
      ...['accuracy_drop_low_fraction', 'accuracy_drop_high_fraction', 'flops_per_image', 'dominated_by'],
    ],
    rows: sorted.map((system) => {
      const { accuracy, accuracyDrop } = system.intervals;
      const ends = [accuracy.low, accuracy.high, accuracyDrop.low, accuracyDrop.high];
      const by = sorted.find((other) => beats(other, system))?.name ?? null;
      return [system.name, system.kind, system.accuracy, ...ends, system.flops, by];
    }),
    consoleRows: sorted.length,
  };
  return { tables: [table], figures: [pictureOf(name, title, sorted)] };
}

function pictureOf(name: string, title: string, systems: readonly System[]): Figure {
  const values = systems.map(({ name, kind, accuracy, flops, intervals }) => {
    const [low, high] = [100 * intervals.accuracy.low, 100 * intervals.accuracy.high];
    return { name, kind, accuracy: 100 * accuracy, low, high, flops: flops / 1e9 };
  });
  const x = { field: 'flops', type: 'quantitative', title: 'FLOPs per image (G)' } as const;
  const y = { field: 'accuracy', type: 'quantitative', title: 'Accuracy (%)', scale: { zero: false } } as const;
  const [color, shape] = [{ field: 'kind', type: 'nominal' } as const, { field: 'kind', type: 'nominal' } as const];
  const spec: TopLevelSpec = {
    data: { values },
    layer: [
      {
        mark: { type: 'rule', opacity: 0.5 },
        encoding: { x, y: { ...y, field: 'low' }, y2: { field: 'high' }, color },
      },
      { mark: { type: 'point', filled: true, size: 60 }, encoding: { x, y, color, shape } },
      {
        transform: [{ filter: "datum.kind == 'static'" }],
        mark: { type: 'text', align: 'left', dx: 7, fontSize: 9 },
        encoding: { x, y, text: { field: 'name' } },
      },
    ],
  };
  return { name, title, caption: 'Bars: 95 % intervals over the reported test images', spec };
}
