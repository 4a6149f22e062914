import { availableParallelism } from 'node:os';
import type { Tensor, Tensor2D, Tensor4D } from '@tensorflow/tfjs';
import { InputError } from '../../errors.js';
import { type ConfidenceKind, type Decisions, decide } from '../../gates/confidence.js';
import type { GatedBatch, PlacedGate } from '../../gates/contracts.js';
import { withPrevious } from '../../gates/gate.js';
import type { Lowered, LoweredNetwork } from '../../networks/lower.js';
import { type MapShape, stageShapes } from '../../networks/network.js';
import { described, type GatePlace, gateFeatureCounts } from '../../networks/onnx.js';
import type { GatedSource, LoadedNetwork, NetworkOutputs } from '../../onnx/network.js';
import { rowsOf } from '../../tensor.js';
import type { EngineDescription } from '../../timing/record.js';
import type { Engine, FeatureBatch, FeatureNetwork, GatedNetwork } from '../engine.js';
import { loadTensorFlow, type TensorFlowBackend, type TfjsId } from './backend.js';
import { type DeviceNetwork, deviceNetwork, poolFeatures, replace } from './network.js';

export class TensorFlowEngine implements Engine {
  private constructor(private readonly backend: TensorFlowBackend) {}

  /** @throws EngineUnavailable */
  static async create(id: TfjsId): Promise<TensorFlowEngine> {
    return new TensorFlowEngine(await loadTensorFlow(id));
  }

  describe(): EngineDescription {
    return describeBackend(this.backend);
  }

  async loadFeatures(
    loaded: LoadedNetwork,
    places: readonly GatePlace[],
    wanted: NetworkOutputs = 'features and logits',
  ): Promise<FeatureNetwork> {
    const { tf, id, activate } = this.backend;
    const lowered = described(loaded, id);
    await activate();
    const network = deviceNetwork(tf, lowered);
    return {
      run: async (images, count): Promise<FeatureBatch> => {
        await activate();
        const outputs = tf.tidy(() => network.outputs(network.images(images, count), places, wanted));
        const read = await Promise.all(outputs.map(readOnce));
        return { features: read.slice(0, places.length), logits: read[places.length] ?? new Float32Array() };
      },
      close: async () => network.dispose(),
    };
  }

  async loadGated(
    loaded: GatedSource,
    gates: readonly PlacedGate[],
    confidence: ConfidenceKind,
  ): Promise<GatedNetwork> {
    const { id, activate } = this.backend;
    if ('members' in loaded) throw new InputError(`engine ${id}: runs no cascade; valid: ort-cpu`);
    await activate();
    return deviceGated(this.backend, described(loaded, id), gates, confidence);
  }
}

/** Describes a backend as an engine. The WASM backend has no threads in Node. */
export function describeBackend({ id, device, versions, isNode }: TensorFlowBackend): EngineDescription {
  return { id, device, threads: isNode ? availableParallelism() : 1, versions };
}

/** Reads the values of a tensor and frees it. Only asynchronous reading works on every backend. */
export async function readOnce(tensor: Tensor): Promise<Float32Array> {
  try {
    return (await tensor.data()) as Float32Array;
  } finally {
    tensor.dispose();
  }
}

/**
 * Algorithm 1 on the device; the backend must be the current one. The host reads each gate's distances and finds the images
 * that stay, which is faster than finding them on the device. A closed gate is computed and read like the others, as its
 * FLOPs are counted. Concurrent runs are executed one after another.
 */
function deviceGated(
  { tf, activate }: TensorFlowBackend,
  lowered: LoweredNetwork,
  gates: readonly PlacedGate[],
  kind: ConfidenceKind,
): GatedNetwork {
  checkGates(lowered, gates);
  const { name, classifier } = lowered.network;
  const network = deviceNetwork(tf, lowered);
  const exits = deviceExits(network, gates);
  let last: Promise<unknown> = Promise.resolve();
  const alone = <T>(work: () => Promise<T>): Promise<T> => {
    const result = last.then(work);
    last = result.catch(() => {}); // the caller receives the error through `result`
    return result;
  };
  let isClosed = false;

  const run: GatedNetwork['run'] = async (images, count, thresholds, fitted) => {
    if (isClosed) throw new Error(`${name}: run after close`);
    if (thresholds.length !== gates.length) {
      throw new Error(`${name}: ${thresholds.length} thresholds for ${gates.length} gates`);
    }
    const answer = {
      classes: new Int32Array(count),
      exits: new Int32Array(count),
      confidences: new Float32Array(count),
    };
    let staying = Int32Array.from({ length: count }, (_, image) => image);
    let before: Float32Array | undefined;
    let distancesBefore: Float32Array | undefined;
    await activate();
    let value = network.images(images, count);
    try {
      for (const [exit, { layers, distances }] of exits.entries()) {
        const { end, seen } = tf.tidy(() => {
          const end = replace(value, (x) => network.apply(layers, x));
          return { end, seen: distances(end) };
        });
        value = end;
        const { out } = classifier;
        const own = await readOnce(seen);
        const numbers = exit < gates.length ? withPrevious(gates[exit]!.gate, own, distancesBefore) : own;
        const decisions = decide(numbers, out, kind, out, { fitted: fitted?.[exit], before, exit });
        const rows = leave(answer, staying, decisions, exit, thresholds[exit]);
        if (rows.length === 0) break;
        await activate(); // another backend may have become the current one during the wait
        if (rows.length < staying.length) {
          value = replace(end, (x) => tf.tidy(() => tf.gather(x, tf.tensor1d(rows, 'int32'))));
        }
        staying = rows.map((row) => staying[row]!);
        before = decisions.carried && rowsOf(decisions.carried, rows, out);
        distancesBefore = rowsOf(numbers, rows, out);
      }
      return answer;
    } finally {
      value.dispose();
    }
  };
  return {
    run: (...batch) => alone(() => run(...batch)),
    close: () =>
      alone(async () => {
        isClosed = true;
        network.dispose();
      }),
  };
}

/**
 * Records the images that leave at an exit: those that reach the threshold.
 *
 * @param staying positions in the batch of the images that have not left; `decisions` are theirs
 * @param threshold undefined at the original classifier, where all leave
 * @returns rows of the images that stay
 */
function leave(
  { classes, exits, confidences }: GatedBatch,
  staying: Int32Array,
  decisions: Decisions,
  exit: number,
  threshold: number | undefined,
): Int32Array {
  const rows: number[] = [];
  staying.forEach((image, row) => {
    const confidence = decisions.confidences[row]!;
    if (threshold !== undefined && !(confidence >= threshold)) {
      rows.push(row);
      return;
    }
    classes[image] = decisions.classes[row]!;
    exits[image] = exit;
    confidences[image] = confidence;
  });
  return Int32Array.from(rows);
}

/** @throws Error if a gate was trained on other features than its place gives (a defect of dgate) */
function checkGates({ network }: LoweredNetwork, gates: readonly PlacedGate[]): void {
  const places = gates.map(({ place }) => place);
  gateFeatureCounts(network, places).forEach((features, index) => {
    const { gate } = gates[index]!;
    if (gate.features !== features || gate.classes !== network.classifier.out) {
      throw new Error(
        `gate ${index + 1} of ${network.name}: ${gate.features} features and ${gate.classes} classes; ` +
          `its place gives ${features} and ${network.classifier.out}`,
      );
    }
  });
}

interface DeviceExit {
  /** From the previous exit (the first: from the images) to this one. */
  readonly layers: readonly Lowered[];
  /** Distances to the decision boundaries, or the original classifier's logits, [batch, classes]. */
  readonly distances: (end: Tensor4D) => Tensor2D;
}

function deviceExits(network: DeviceNetwork, gates: readonly PlacedGate[]): DeviceExit[] {
  const { stem, stages, network: description } = network.lowered;
  const shapes = stageShapes(description);
  const exits: DeviceExit[] = [];
  let layers: Lowered[] = [...stem];
  for (const [index, stage] of stages.entries()) {
    layers.push(...stage.layers);
    const placed = gates.find(({ place }) => place.stage === index + 1);
    if (placed !== undefined) {
      exits.push({ layers, distances: deviceGate(network, placed, shapes[index]!) });
      layers = [];
    }
    layers.push(...stage.transition);
  }
  return [...exits, { layers, distances: (end) => network.classify(end) }];
}

/** A gate's pooling and distances [batch, classes] on the device. */
function deviceGate(network: DeviceNetwork, { place, gate }: PlacedGate, shape: MapShape): DeviceExit['distances'] {
  const { tf } = network;
  const weights = network.keep(() => tf.tensor2d(gate.weights, [gate.features, gate.classes]));
  const bias = network.keep(() => tf.tensor1d(gate.bias));
  // Not fused: on tfjs-node the fused product is slower.
  return (end) => tf.sub(tf.matMul(poolFeatures(tf, end, place.pooling, shape), weights), bias);
}
