import { encodeSafetensors, readSafetensors } from '../checkpoints/load.js';
import type { Experiment } from '../experiment/schema.js';
import type { Certificate } from '../gates/certificate.js';
import type { GateTrainer } from '../gates/contracts.js';
import type { Gate } from '../gates/gate.js';
import { type GateTraining, trainGate } from '../gates/train.js';
import type { GatePlace } from '../networks/onnx.js';
import { codeOf } from '../store/code.js';
import { type Entry, makeAll, type Wanted } from '../store/store.js';
import type { RunContext } from './context.js';
import type { FeatureSet } from './features.js';

import { membersOf } from './plan.js';

const FILE = 'gate.safetensors';

/** What trains gates, whatever engine the network runs on: gates are then the same everywhere. */
export const gateTrainer = {
  id: 'ort-cpu',
  module: 'engines/onnxruntime/engine',
  create: async (): Promise<GateTrainer> => (await import('../engines/onnxruntime/engine.js')).OnnxRuntimeCpu.create(),
} as const;

/** Where a gate sits, how many features it reads, and what its training reached. */
export type TrainedPlace = GatePlace & Certificate & { readonly features: number; readonly network?: number };

/** A trained gate and where it is cached. */
export interface CachedGate {
  readonly entry: Entry;
  /** Position of its network in a cascade, from 0. */
  readonly network: number;
  /** Position among the gates of its network and their features, from 0. */
  readonly index: number;
  /** How many features it reads. */
  readonly width: number;
  /** What training reached on the training images. */
  readonly reached: Certificate;
  /** Reads the weights. @throws CorruptEntryError */
  readonly load: () => Promise<Gate>;
}

/** Features that the gates of each network learn from, in the order of the networks; undefined for one without gates. */
type TrainingSets = readonly (FeatureSet | undefined)[];

/**
 * Every gate of the experiment, each alone on all training images: from the cache, or trained into it.
 *
 * @param wanted positions of the gates to train, from 0, those of a cascade's networks one behind the other; all by default
 */
export async function trainGates(
  context: RunContext,
  experiment: Experiment,
  sets: TrainingSets,
  wanted?: readonly number[],
): Promise<CachedGate[]> {
  const gates = gatesWanted(context, experiment, sets).filter((_, i) => wanted?.includes(i) !== false);
  await makeAll(context.progress, gates);
  return Promise.all(
    gates.map(async ({ entry, index, network }): Promise<CachedGate> => {
      const features = sets[network]!;
      const shape = { features: features.widths[index]!, classes: features.classes };
      const notes = (await entry.manifest())?.notes ?? {};
      const { objective, gap, worstGap } = notes as unknown as Certificate;
      const reached = { objective, ...(gap !== undefined && { gap, worstGap }) };
      return { entry, network, index, width: shape.features, reached, load: () => readGate(entry, shape) };
    }),
  );
}

/** Positions, from 0, of the gates that are not in the cache. */
export async function untrainedGates(...all: Parameters<typeof gateEntries>): Promise<number[]> {
  const missing: number[] = [];
  for (const [index, { entry }] of gateEntries(...all).entries()) {
    if (!(await entry.isComplete())) missing.push(index);
  }
  return missing;
}

/** Where every gate of the experiment is cached, or would be, and what it is called. */
export function gateEntries(
  context: RunContext,
  experiment: Experiment,
  sets: TrainingSets,
): { readonly entry: Entry; readonly label: string; readonly network: number }[] {
  return gatesWanted(context, experiment, sets);
}

type WantedGate = Wanted & Pick<CachedGate, 'network' | 'index'>;

function gatesWanted(context: RunContext, experiment: Experiment, sets: TrainingSets): WantedGate[] {
  return membersOf(experiment).flatMap(({ gates, seed }, network) => {
    const features = sets[network];
    if (features === undefined) return [];
    const { after, loss, l2, solver, gap, epochs, batchSize } = gates;
    // The optimum is the same for every seed: the steps that training begins with are those of one of them.
    const training: GateTraining = { loss, l2, solver, gap, epochs, batchSize, seed: solver === 'sgd' ? seed : 0 };
    const of = sets.length > 1 ? `network ${network + 1}, ` : '';
    return after.map((stage, index) => {
      const label = `${of}gate ${index + 1} (stage ${stage})`;
      return { ...gateWanted(context, features, index, training, label), network };
    });
  });
}

/** A gate as it is cached, and what makes it. */
function gateWanted(
  context: RunContext,
  features: FeatureSet,
  index: number,
  training: GateTraining,
  label: string,
): Wanted & { readonly index: number } {
  const entry = context.store.entry('gates', {
    features: features.entry.key,
    gate: index,
    training,
    engine: gateTrainer.id,
    code: codeOf('run/train', gateTrainer.module),
  });
  const make = async (): Promise<void> => {
    context.progress.note(`${label}: not in the cache; training on ${gateTrainer.id}`);
    const began = performance.now();
    const data = await features.gateData(index);
    const { gate, ...reached } = await trainGate(data, training, await gateTrainer.create(), context.progress, label);
    await writeGate(entry, gate);
    const seconds = (performance.now() - began) / 1000;
    const origin = await features.origin();
    await entry.finish({ ...reached, seconds, ...(origin && { features: origin }) });
  };
  return { entry, index, label, make };
}

async function writeGate(entry: Entry, gate: Gate): Promise<void> {
  const arrays = new Map([
    ['weights', { shape: [gate.features, gate.classes], data: gate.weights }],
    ['bias', { shape: [gate.classes], data: gate.bias }],
  ]);
  await entry.write(FILE, encodeSafetensors(arrays, { distances: 'd = x weights - bias' }));
}

async function readGate(entry: Entry, shape: { features: number; classes: number }): Promise<Gate> {
  const { tensors } = await readSafetensors(await entry.read(FILE), `${entry.directory}/${FILE}`);
  return { ...shape, weights: tensors.get('weights')!.data, bias: tensors.get('bias')!.data };
}
