import { checkpointPath } from '../checkpoints/fetch.js';
import { datasetNamed } from '../data/registry.js';
import { learns } from '../experiment/network.js';
import type { Experiment } from '../experiment/schema.js';
import { networkByName } from '../networks/catalogue.js';
import { gateFeatureCounts } from '../networks/onnx.js';
import { exists, flatten } from '../store/files.js';
import type { Entry, Manifest, Store } from '../store/store.js';
import { LazyEngine, type RunContext } from './context.js';
import { extractionOf, extractLater } from './extract.js';
import { mapSplits, openMembers } from './images.js';
import { eachInTurn, membersOf, openSource, type Plan, plan } from './plan.js';
import { scoreEntries, trainingSets } from './score.js';
import { namedCheckpoint, once } from './source.js';
import { gateEntries } from './train.js';

/** A stage of a run that has not begun. */
export interface PlannedStage {
  readonly stage: string;
  /** Of its cache entry; null if unknown yet. */
  readonly key: string | null;
  readonly cached: boolean;
  /** Why it would be computed; empty if it is cached. */
  readonly why: string;
  /** FLOPs of an extraction; null of other stages. */
  readonly flops: number | null;
  /** Seconds by the most similar cached result, scaled to as many images; null without one. */
  readonly seconds: number | null;
  /** Bytes that it writes; null if few or unknown. */
  readonly bytes: number | null;
}

/** What a run would compute, and why. Opens local checkpoints and images; fetches and computes nothing. */
export async function plannedStages(context: RunContext, experiment: Experiment): Promise<PlannedStage[]> {
  const planned = await plan(experiment);
  if (planned.given !== undefined) return []; // nothing of it takes long enough to be cached
  const missing = planned.user === undefined ? await missingInputs(context, experiment, planned) : [];
  if (missing.length > 0) return missing;
  const engine = new LazyEngine(experiment.engine);
  const source = await openSource(context, experiment, planned);
  const past = once(() => manifestsOf(context.store)); // if something is not cached
  const stages: PlannedStage[] = [];
  const members = await openMembers(context, experiment, planned, source);
  const sets = await eachInTurn(members, ({ source: one, images, plan: { flops, places, network, target } }) => {
    const width = gateFeatureCounts(network, places).reduce((sum, count) => sum + count, 0);
    const last = flops.stages[(places.at(-1)?.stage ?? 0) - 1] ?? { cumulativeFlops: 0 };
    return mapSplits(images, async (split, label) => {
      const extraction = extractionOf(context, one, split, places, engine, label, target);
      const { entry, name, wanted } = extraction;
      const perImage = wanted === 'features' ? last.cumulativeFlops : flops.flops;
      const bytes = split.count * 4 * (width + split.classes.length);
      const size = { flops: split.count * perImage, bytes, images: split.count };
      stages.push(await stageOf(name, entry, past, size));
      return extractLater(context, extraction);
    });
  });
  const trains = trainingSets(sets, experiment);
  for (const { entry, label, network } of gateEntries(context, experiment, trains).flat()) {
    stages.push(await stageOf(label, entry, past, { images: trains[network]!.count }));
  }
  const scores = await scoreEntries(context, experiment, sets);
  if (scores === undefined) stages.push({ stage: 'scores', why: 'lambda of each gate is chosen first', ...unknown });
  for (const { split, entry } of scores ?? []) {
    stages.push(await stageOf(`scores of ${split === 'test' ? split : 'held-out'} images`, entry, past));
  }
  // Features are extracted only if something reads them (`canWait` in stages.ts).
  if (!stages.every(({ stage, cached }) => cached || stage.startsWith('features'))) return stages;
  const notNeeded = { why: 'not needed: gates and scores are cached', flops: 0, seconds: 0, bytes: 0 };
  return stages.map((stage) => (stage.cached ? stage : { ...stage, ...notNeeded }));
}

const unknown = { key: null, cached: false, flops: null, seconds: null, bytes: null } as const;

/** Missing checkpoints and datasets, and what depends on them. @throws InputError if a network has no checkpoint at all */
async function missingInputs(context: RunContext, experiment: Experiment, planned: Plan): Promise<PlannedStage[]> {
  const missing: PlannedStage[] = [];
  for (const { network, checkpoint } of membersOf(experiment)) {
    if (typeof network !== 'string') continue;
    const known = await namedCheckpoint(networkByName(network), checkpoint);
    if (typeof known === 'string' || known.shipped !== undefined) continue;
    if (await exists(checkpointPath(known, context.modelsRoot))) continue;
    const [why, bytes] = [`not here; fetched from ${known.urls[0]}`, known.sizeBytes ?? null];
    missing.push({ stage: `checkpoint ${known.id}`, why, ...unknown, bytes });
  }
  const needsImages = experiment.unlabelled === undefined || learns(experiment.network);
  const images = datasetNamed(planned.network.dataset, context.datasets);
  if (needsImages && !(await images.isThere(context.dataRoot))) {
    const why = `not here; fetched from ${images.sources[0]}`;
    missing.push({ stage: `images of ${images.name}`, why, ...unknown });
  }
  if (missing.length === 0) return [];
  const why = 'what is cached is known once the checkpoint and the images are here';
  const flops = await extractionFlops(context, experiment);
  return [...missing, { stage: 'features', why, ...unknown, flops }, { stage: 'gates, scores', why, ...unknown }];
}

/** FLOPs of all features, cached or not: training images up to the last gate, test images to the end; null if their number is unknown. */
export async function extractionFlops({ datasets }: RunContext, experiment: Experiment): Promise<number | null> {
  let sum = 0;
  for (const member of membersOf(experiment)) {
    const { user, given, network, flops } = await plan(member);
    if (user !== undefined || given !== undefined) return null;
    const { splits } = datasetNamed(network.dataset, datasets);
    const { trainImages = splits.train, testImages = splits.test } = member;
    const last = flops.stages[(member.gates.after.at(-1) ?? 0) - 1];
    sum += trainImages * (last?.cumulativeFlops ?? 0) + testImages * flops.flops;
  }
  return sum;
}

async function manifestsOf(store: Store): Promise<Manifest[]> {
  // Damaged ones are reported when they are used.
  const found = await eachInTurn(await store.list(), (entry) => entry.manifest().catch(() => undefined));
  return found.filter((manifest) => manifest !== undefined);
}

async function stageOf(
  stage: string,
  entry: Entry,
  past: () => Promise<readonly Manifest[]>,
  size: { readonly flops?: number; readonly bytes?: number; readonly images?: number } = {},
): Promise<PlannedStage> {
  const { flops = null, bytes = null, images } = size;
  if (await entry.isComplete()) return { stage, key: entry.key, cached: true, why: '', flops, seconds: 0, bytes: 0 };
  const nearest = nearestOf(entry, await past());
  const why = nearest === undefined ? 'nothing of its kind is in the cache' : changesOf(nearest.changes);
  const took = Number(nearest?.manifest.notes['seconds']);
  const before = Number(nearest?.manifest.notes['images'] ?? images);
  const isAlike = nearest?.changes.every(({ path }) => !/^(network|gates|gate|training\.epochs|engine)\b/.test(path));
  const seconds = isAlike && took > 0 && before > 0 && images !== undefined ? (took * images) / before : null;
  return { stage, key: entry.key, cached: false, why, flops, seconds, bytes };
}

/** The cached result of the same stage whose inputs differ in the fewest values. */
function nearestOf(entry: Entry, past: readonly Manifest[]) {
  const now = new Map(flatten(JSON.parse(JSON.stringify(entry.inputs))));
  const changesTo = (then: ReadonlyMap<string, string | number>) =>
    [...new Set([...now.keys(), ...then.keys()])]
      .filter((path) => now.get(path) !== then.get(path))
      .map((path) => ({ path, from: then.get(path), to: now.get(path) }));
  return past
    .filter(({ stage }) => stage === entry.stage)
    .map((manifest) => ({ manifest, changes: changesTo(new Map(flatten(manifest.inputs))) }))
    .sort((a, b) => a.changes.length - b.changes.length)[0];
}

/** How a changed hash is described; other values are shown. */
const HASHES: Readonly<Record<string, string>> = {
  images: 'other images',
  network: 'another network',
  checkpoint: 'another checkpoint',
  features: 'other features',
  code: 'other code',
};

function changesOf(changes: NonNullable<ReturnType<typeof nearestOf>>['changes']): string {
  const said = changes.map(({ path, from, to }) => {
    const hash = HASHES[path] ?? (/^gates\.\d|^gates$/.test(path) ? 'other gates' : undefined);
    if (hash !== undefined) return hash;
    const name = path.replace(/^training\.(?!seed)/, 'gates.').replace('training.', '');
    if (from === undefined || to === undefined)
      return `${name} is ${to === undefined ? 'no longer given' : `new: ${to}`}`;
    return `${name} changed from ${from} to ${to}`;
  });
  return [...new Set(said)].join(', ');
}
