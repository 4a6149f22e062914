import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConfidenceKind, decide } from '../../gates/confidence.js';
import type { GatedBatch, PlacedGate } from '../../gates/contracts.js';
import { classCount } from '../../networks/onnx.js';
import { bucketSizes, gatedModel } from '../../onnx/gated.js';
import {
  branchModel,
  channelBlockModel,
  channelBlockOf,
  channelBlockProbe,
  liesInBlocks,
  straightModel,
} from '../../onnx/gated-branches.js';
import { floatThresholds, gatedGraphNames, type NumbersName, nameOfOne, plainAnswer } from '../../onnx/gated-exits.js';
import { hasEightBits, turnsImages } from '../../onnx/graph/parts.js';
import type { RunValue } from '../../onnx/graph/probe.js';
import { fittedNumbers, fittedSize, isBehind } from '../../onnx/judged.js';
import type { GatedSource } from '../../onnx/network.js';
import { decodeModel } from '../../onnx/proto.js';
import { removeOnExit } from '../../store/files.js';
import { readRegular } from '../../store/input.js';
import { elementCount } from '../../tensor.js';
import type { GatedNetwork } from '../engine.js';
import * as ort from './ort.js';
import { forBatches, type OpenSession, refusedBy, sessionOptions, sleepsSoon } from './session.js';

/** Opens sessions of one engine; `options` are added to the engine's. */
export type CreateSession = (
  model: Uint8Array,
  options?: ort.InferenceSession.SessionOptions,
) => Promise<ort.InferenceSession>;

/** Loads a gated network with the sessions and graphs that suit a device. */
type LoadGated = (
  createSession: CreateSession,
  lowered: GatedSource,
  gates: readonly PlacedGate[],
  confidence: ConfidenceKind,
  fitted?: 'input',
) => GatedNetwork | Promise<GatedNetwork>;

/** On the CPU: a session for single images and one for batches, each opened on first use. */
const loadOnCpu: LoadGated = (createSession, lowered, gates, confidence, fitted) => {
  const classes = classCount(lowered.network);
  const open = async (images: 'one' | 'any') => {
    // The optimiser would remove the transpositions that bring the images to the first axis. 8-bit weights lie in their branch:
    // several times in a graph with two branches for a part.
    if (images === 'any' && (turnsImages(lowered, gates) || hasEightBits(lowered))) {
      return createSession(wholeGraph(lowered, gates, { confidence, fitted }), forBatches);
    }
    const optimised = decodeModel(await optimise(createSession, straightModel(lowered, gates)));
    const channelBlock = liesInBlocks(optimised) ? await channelBlockOn(createSession) : undefined;
    const model = branchModel(optimised, images, {
      ...{ gates: gates.length, classes, confidence, fitted, channelBlock },
    });
    return createSession(model, images === 'any' ? forBatches : sleepsSoon);
  };
  return runGraphs(oneOrMore(open), lowered, gates, confidence, fitted);
};

/** On WebGPU: one session for any number of images. */
const loadOnDevice: LoadGated = async (createSession, lowered, gates, confidence, fitted) => {
  const session = await createSession(wholeGraph(lowered, gates, { confidence, fitted }), sleepsSoon);
  return runGraphs(onlyOne(session), lowered, gates, confidence, fitted);
};

/** One unoptimised graph with a branch for each later part. @param count the only batch size; any by default */
function wholeGraph(
  lowered: GatedSource,
  gates: readonly PlacedGate[],
  form: { readonly confidence: ConfidenceKind; readonly fitted?: 'input' | undefined; readonly count?: number },
): Uint8Array {
  const answer = plainAnswer(classCount(lowered.network) + Number(isBehind(form.confidence, form.fitted)));
  return gatedModel(lowered, gates, { ...form, answer, withoutCopies: true });
}

/**
 * On CUDA: a session for each batch size, whose later parts see a few sizes only, the buckets (`bucketSizes`). cuDNN plans a
 * convolution again whenever its number of images changes, which takes 7 ms.
 */
export function loadInBuckets(
  ...[createSession, lowered, gates, confidence, fitted]: Parameters<LoadGated>
): GatedNetwork {
  const open = (count: number) => createSession(wholeGraph(lowered, gates, { confidence, fitted, count }), sleepsSoon);
  const network = runGraphs(new SessionPool(open, release), lowered, gates, confidence, fitted);
  return { ...network, prepare: (count) => runEverySize(network.run, lowered, gates.length, count) };
}

export const loadGatedOn = { cpu: loadOnCpu, cuda: loadInBuckets, webgpu: loadOnDevice };

/** Thresholds or what was fitted as a graph takes it: all in one input, or that of each gate or exit in one. */
function feedsOf(
  { inputNames }: ort.InferenceSession,
  name: NumbersName,
  all: Float32Array,
  size = 1,
): Record<string, ort.Tensor> {
  if (inputNames.includes(name)) return { [name]: new ort.Tensor('float32', all, [all.length]) };
  const one = (i: number): ort.Tensor => new ort.Tensor('float32', all.subarray(i * size, (i + 1) * size), [size]);
  return Object.fromEntries(Array.from({ length: all.length / size }, (_, i) => [nameOfOne(name, i), one(i)]));
}

/** A gated network on sessions of graphs with `plainAnswer`. */
function runGraphs(
  sessions: Sessions,
  { network }: GatedSource,
  gates: readonly PlacedGate[],
  confidence: ConfidenceKind,
  form?: 'input',
): GatedNetwork {
  const { channels, height, width } = network.input;
  const classes = classCount(network);
  const areBehind = isBehind(confidence, form);
  const stride = classes + Number(areBehind) + 1;
  return {
    async run(images, count, thresholds, fitted): Promise<GatedBatch> {
      if (thresholds.length !== gates.length) {
        throw new RangeError(`${thresholds.length} thresholds for ${gates.length} gates`);
      }
      const session = await sessions.get(count);
      const results = await session.run({
        [gatedGraphNames.images]: new ort.Tensor('float32', images, [count, channels, height, width]),
        ...feedsOf(session, 'thresholds', floatThresholds(thresholds)),
        ...(fitted && feedsOf(session, 'fits', fittedNumbers(...fitted), fittedSize(classes))),
      });
      const answers = results[gatedGraphNames.distances]!.data as Float32Array;
      const exits = Int32Array.from({ length: answers.length / stride }, (_, i) => answers[(i + 1) * stride - 1]!);
      return { exits, ...decide(answers, classes, confidence, stride, { areBehind }) };
    },
    close: () => sessions.closeAll(),
  };
}

/** A threshold that every confidence reaches, and the lowest float32 does not. */
const LOW = -1e38;

/**
 * Runs every part in every bucket once. Images of NaN pass every gate: NaN reaches no threshold, nor does the lowest float32,
 * which some devices return as the maximum of NaNs.
 */
async function runEverySize(
  run: GatedNetwork['run'],
  { network }: GatedSource,
  gates: number,
  count: number,
): Promise<void> {
  const { channels, height, width } = network.input;
  const pixels = channels * height * width;
  const thresholds = Array.from({ length: gates }, (_, gate) => (gate === 0 ? LOW : Infinity));
  for (const size of bucketSizes(count)) {
    await run(new Float32Array(count * pixels).fill(Number.NaN, 0, size * pixels), count, thresholds);
  }
}

/** Channels per block of ONNX Runtime's NCHWc layout on this machine. */
async function channelBlockOn(createSession: CreateSession): Promise<number | undefined> {
  const { input, output, dims } = channelBlockProbe;
  const session = await createSession(channelBlockModel());
  const positions = Float32Array.from({ length: elementCount(dims) }, (_, i) => i);
  const results = await session.run({ [input]: new ort.Tensor('float32', positions, dims) });
  await session.release();
  return channelBlockOf(results[output]!.data as Float32Array);
}

/** The model after ONNX Runtime's optimisation, which only a file can take. */
async function optimise(createSession: CreateSession, model: Uint8Array): Promise<Uint8Array> {
  const folder = join(tmpdir(), `dgate-optimised-${randomBytes(8).toString('hex')}`);
  const keep = removeOnExit(folder);
  mkdirSync(folder, { mode: 0o700 });
  try {
    const path = join(folder, 'network.onnx');
    await (await createSession(model, { optimizedModelFilePath: path })).release();
    return await readRegular(path);
  } finally {
    await rm(folder, { recursive: true, force: true });
    keep();
  }
}

/** Sessions kept open; each holds the weights on the device. */
const MOST_SIZES = 4;

/** Sessions by batch size, opened on first use. The least recently used one is closed. */
export class SessionPool<Opened> {
  readonly #opened = new Map<number, Promise<Opened>>();

  constructor(
    readonly open: (size: number) => Promise<Opened>,
    readonly close: (opened: Opened) => Promise<void>,
  ) {}

  /** The session for a batch size. Calls may overlap, for at most four sizes at a time. @throws whatever `open` throws */
  get(size: number): Promise<Opened> {
    const known = this.#opened.get(size);
    if (known !== undefined) {
      this.#opened.delete(size);
      this.#opened.set(size, known); // the most recently used one is last
      return known;
    }
    const closed = this.#opened.size >= MOST_SIZES ? this.#closeOne() : Promise.resolve();
    const opening = closed.then(() => this.open(size));
    this.#opened.set(size, opening);
    opening.catch(() => {
      if (this.#opened.get(size) === opening) this.#opened.delete(size);
    });
    return opening;
  }

  async closeAll(): Promise<void> {
    while (this.#opened.size > 0) await this.#closeOne();
  }

  async #closeOne(): Promise<void> {
    const [size, opened] = [...this.#opened][0]!;
    this.#opened.delete(size);
    await opened.then(this.close, () => undefined); // `get` has reported a failure to open
  }
}

export type Sessions = Pick<SessionPool<ort.InferenceSession>, 'get' | 'closeAll'>;

export const release = (session: ort.InferenceSession): Promise<void> => session.release();

/** One session for single images and one for batches, each opened on first use. */
export function oneOrMore(open: (images: 'one' | 'any') => Promise<ort.InferenceSession>): Sessions {
  const sizes = new SessionPool((size) => open(size === 1 ? 'one' : 'any'), release);
  return { get: (count) => sizes.get(Math.min(count, 2)), closeAll: () => sizes.closeAll() };
}

export const onlyOne = (session: ort.InferenceSession): Sessions => ({
  get: () => Promise.resolve(session),
  closeAll: () => release(session),
});

/** Opens models in this process, which a malicious graph can crash: only for models that dgate has just written. */
export function openInProcess(path: string): OpenSession {
  const refused = (error: unknown): never => {
    throw refusedBy(path, error);
  };
  return async (model, options) => {
    const all = { ...sessionOptions('cpu'), ...options };
    const session = await ort.InferenceSession.create(model, all).catch(refused);
    return {
      async run(feeds, outputs) {
        const { found, ms } = await ort.runFeeds(session, feeds, outputs).catch(refused);
        return { values: new Map(Object.entries(found) as unknown as [string, RunValue][]), ms };
      },
      close: () => session.release(),
    };
  };
}
