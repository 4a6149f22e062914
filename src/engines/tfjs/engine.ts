import { availableParallelism } from 'node:os';
import type { Rank, Tensor, Tensor2D, Tensor4D } from '@tensorflow/tfjs';
import { InputError } from '../../errors.js';
import { type ConfidenceKind, type Decisions, decide } from '../../gates/confidence.js';
import type { GatedBatch, PlacedGate } from '../../gates/contracts.js';
import type { LoweredNetwork } from '../../networks/lower.js';
import { type MapShape, stageShapes } from '../../networks/network.js';
import { described, type GatePlace, gateFeatureCounts } from '../../networks/onnx.js';
import type { GatedSource, LoadedNetwork, NetworkOutputs } from '../../onnx/loaded.js';
import type { EngineDescription } from '../../timing/machine.js';
import type { Engine, FeatureBatch, FeatureNetwork, GatedNetwork } from '../engine.js';
import { loadTensorFlow, type TensorFlow, type TensorFlowBackend, type TfjsId } from './backend.js';
import { type DeviceParts, deviceNetwork, deviceParts, type Keep, replace, type Step } from './network.js';

/** An exit of the network, on the device. */
interface DeviceExit {
  /** From the previous exit (the first: from the images) to this one; frees its input. */
  readonly advance: Step;
  /** Distances to the decision boundaries, or the original classifier's logits, [batch, classes]. */
  readonly distances: (x: Tensor4D) => Tensor2D;
}

/**
 * Algorithm 1 on the device. The host reads each gate's distances, a few numbers per image, which waits for the device and
 * determines the images that stay. (Computing class and confidence on the device takes several kernels, which cost more than
 * the transfer that they save.) A closed gate is computed and read like the others, so that the timing matches the counted
 * FLOPs. Concurrent runs are executed one after another.
 *
 * The caller has made the backend the current one.
 */
function deviceGated(
  { tf, activate }: TensorFlowBackend,
  lowered: LoweredNetwork,
  gates: readonly PlacedGate[],
  kind: ConfidenceKind,
): GatedNetwork {
  checkGates(lowered, gates);
  const { channels, height, width } = lowered.network.input;
  const classes = lowered.network.classifier.out;
  const parts = deviceParts(tf, lowered);
  const exits = deviceExits(tf, parts, lowered, gates);
  const alone = oneAtATime();
  let isClosed = false;

  const run = async (images: Float32Array, count: number, thresholds: readonly number[]): Promise<GatedBatch> => {
    if (isClosed) throw new Error(`${lowered.network.name}: run after close`);
    if (thresholds.length !== gates.length) {
      throw new Error(`${lowered.network.name}: ${thresholds.length} thresholds for ${gates.length} gates`);
    }
    const answer = new Answer(count, [...thresholds, Number.NEGATIVE_INFINITY]);
    await activate();
    let value = tf.tensor4d(images, [count, channels, height, width]);
    try {
      for (const [exit, { advance, distances }] of exits.entries()) {
        const { end, seen } = tf.tidy(() => {
          const end = advance(value);
          return { end, seen: distances(end) };
        });
        value = end;
        const rows = answer.record(exit, decide(await read(seen), classes, kind));
        if (rows.length === 0) break;
        await activate(); // another backend may have become the current one during the wait
        if (rows.length < end.shape[0])
          value = replace(end, (x) => tf.tidy(() => tf.gather(x, tf.tensor1d(rows, 'int32'))));
      }
      return answer;
    } finally {
      value.dispose();
    }
  };
  return {
    run: (images, count, thresholds) => alone(() => run(images, count, thresholds)),
    close: () =>
      alone(async () => {
        isClosed = true;
        parts.dispose();
      }),
  };
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

/** The gates in order, then the original classifier, each with the layers that lead to it. */
function deviceExits(
  tf: TensorFlow,
  { stem, stages, classifier, keep }: DeviceParts,
  { network }: LoweredNetwork,
  gates: readonly PlacedGate[],
): DeviceExit[] {
  const shapes = stageShapes(network);
  const exits: DeviceExit[] = [];
  let steps: Step[] = [stem];
  const addExit = (distances: (x: Tensor4D) => Tensor2D): void => {
    const path = steps;
    exits.push({ advance: (x) => path.reduce(replace, x), distances });
    steps = [];
  };
  for (const [index, { layers, transition }] of stages.entries()) {
    steps.push(layers);
    const placed = gates.find(({ place }) => place.stage === index + 1);
    if (placed !== undefined) addExit(deviceGate(tf, placed, shapes[index]!, keep));
    steps.push(transition);
  }
  addExit(classifier);
  return exits;
}

/** A gate's pooling and distances [batch, classes] on the device. */
function deviceGate(
  tf: TensorFlow,
  { place, gate }: PlacedGate,
  { channels, height, width }: MapShape,
  keep: Keep,
): (end: Tensor4D) => Tensor2D {
  const size = place.pooling.kind === 'grid' ? place.pooling.size : 1;
  const cell: [number, number] = [height / size, width / size];
  // Features are ordered channel, row, column; here channels are innermost: transpose the weights once, not each map.
  const weights = keep<Rank.R2>(() => {
    const byChannel = tf.tensor3d(gate.weights, [channels, size ** 2, gate.classes]);
    return tf.reshape(tf.transpose(byChannel, [1, 0, 2]), [gate.features, gate.classes]);
  });
  const bias = keep(() => tf.tensor1d(gate.bias));
  return (end) => {
    const cells = size === 1 ? tf.mean(end, [1, 2]) : tf.avgPool(end, cell, cell, 'valid');
    // Not fused: on tfjs-node the fused product is the slower one.
    return tf.sub(tf.matMul<Tensor2D>(tf.reshape(cells, [-1, gate.features]), weights), bias);
  };
}

/** The answers of a batch so far; `record` is called for each exit in turn. */
class Answer implements GatedBatch {
  readonly classes: Int32Array;
  readonly exits: Int32Array;
  readonly confidences: Float32Array;
  readonly #thresholds: readonly number[];
  /** Positions in the batch of the images that have not left, in the order of the device's rows. */
  #staying: Int32Array;

  /** @param thresholds one for each exit */
  constructor(count: number, thresholds: readonly number[]) {
    this.classes = new Int32Array(count);
    this.exits = new Int32Array(count);
    this.confidences = new Float32Array(count);
    this.#thresholds = thresholds;
    this.#staying = Int32Array.from({ length: count }, (_, image) => image);
  }

  /**
   * Lets the images leave that reach the threshold; at the last exit, all that remain.
   *
   * @param decisions the exit's decisions for the images that have not left
   * @returns rows of the images that stay
   */
  record(exit: number, { classes, confidences }: Decisions): Int32Array {
    const isLast = exit === this.#thresholds.length - 1;
    const goOn: number[] = [];
    this.#staying.forEach((image, row) => {
      const confidence = confidences[row]!;
      if (!isLast && !(confidence >= this.#thresholds[exit]!)) {
        goOn.push(row);
        return;
      }
      this.classes[image] = classes[row]!;
      this.exits[image] = exit;
      this.confidences[image] = confidence;
    });
    const rows = Int32Array.from(goOn);
    this.#staying = rows.map((row) => this.#staying[row]!);
    return rows;
  }
}

/** Reads a tensor's values and frees it. */
async function read(tensor: Tensor2D): Promise<Float32Array> {
  try {
    return (await tensor.data()) as Float32Array;
  } finally {
    tensor.dispose();
  }
}

/** Runs pieces of work one after another. */
function oneAtATime(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const result = last.then(work);
    last = result.catch(() => {}); // the caller receives the error through `result`
    return result;
  };
}

/** TensorFlow.js on any of its backends. */
export class TensorFlowEngine implements Engine {
  readonly #tensorFlow: TensorFlowBackend;

  private constructor(tensorFlow: TensorFlowBackend) {
    this.#tensorFlow = tensorFlow;
  }

  /** @throws EngineUnavailable */
  static async create(id: TfjsId): Promise<TensorFlowEngine> {
    return new TensorFlowEngine(await loadTensorFlow(id));
  }

  describe(): EngineDescription {
    const { id, device, versions, isNode } = this.#tensorFlow;
    // The WASM backend has no threads in Node.
    return { id, device, threads: isNode ? availableParallelism() : 1, versions };
  }

  async loadFeatures(
    loaded: LoadedNetwork,
    places: readonly GatePlace[],
    wanted?: NetworkOutputs,
  ): Promise<FeatureNetwork> {
    const lowered = described(loaded, this.#tensorFlow.id);
    const { tf, activate } = this.#tensorFlow;
    await activate();
    const network = deviceNetwork(tf, lowered, places, wanted);
    const { channels, height, width } = lowered.network.input;
    return {
      run: async (images, count): Promise<FeatureBatch> => {
        await activate();
        const { features, logits } = tf.tidy(() => network.run(tf.tensor4d(images, [count, channels, height, width])));
        const read = await readAll([...features, ...(logits ? [logits] : [])]);
        return { features: read.slice(0, features.length), logits: read[features.length] ?? new Float32Array() };
      },
      close: async () => network.dispose(),
    };
  }

  async loadGated(
    loaded: GatedSource,
    gates: readonly PlacedGate[],
    confidence: ConfidenceKind,
  ): Promise<GatedNetwork> {
    if ('members' in loaded) throw new InputError(`engine ${this.#tensorFlow.id}: runs no cascade; valid: ort-cpu`);
    await this.#tensorFlow.activate();
    return deviceGated(this.#tensorFlow, described(loaded, this.#tensorFlow.id), gates, confidence);
  }
}

/** Reads the values of tensors and frees them. Only asynchronous reading works on every backend. */
async function readAll(tensors: readonly Tensor[]): Promise<Float32Array[]> {
  try {
    return await Promise.all(tensors.map(async (tensor) => (await tensor.data()) as Float32Array));
  } finally {
    for (const tensor of tensors) tensor.dispose();
  }
}
