import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConfidenceKind, decide } from '../../gates/confidence.js';
import type { GatedBatch, PlacedGate } from '../../gates/contracts.js';
import { classCount } from '../../networks/onnx.js';
import { gatedModel } from '../../onnx/gated.js';
import { branchModel, straightModel } from '../../onnx/gated-branches.js';
import { floatThresholds, gatedGraphNames, plainAnswer, thresholdName } from '../../onnx/gated-exits.js';
import { turnsImages } from '../../onnx/graph/parts.js';
import type { GatedSource } from '../../onnx/loaded.js';
import { channelBlockModel, channelBlockOf, channelBlockProbe, liesInBlocks } from '../../onnx/nchwc.js';
import { decodeModel } from '../../onnx/proto.js';
import { removeOnExit } from '../../store/files.js';
import { readRegular } from '../../store/input.js';
import type { GatedNetwork } from '../engine.js';
import * as ort from './ort.js';
import { forBatches, sleepsSoon } from './session.js';
import { oneOrMore } from './session-pool.js';

/** Opens sessions of one engine; `options` are added to the engine's. */
export type CreateSession = (
  model: Uint8Array,
  options?: ort.InferenceSession.SessionOptions,
) => Promise<ort.InferenceSession>;

/**
 * A gated network on ONNX Runtime's CPU: a session for single images and one for batches, each opened on first use.
 */
export function loadOnCpu(
  createSession: CreateSession,
  lowered: GatedSource,
  gates: readonly PlacedGate[],
  confidence: ConfidenceKind,
): GatedNetwork {
  const classes = classCount(lowered.network);
  const load = async (images: 'one' | 'any') => {
    // The optimiser removes turns between parts, and images could not be gathered along the first axis.
    if (images === 'any' && turnsImages(lowered, gates))
      return wholeGraph(createSession, lowered, gates, confidence, forBatches);
    const optimised = decodeModel(await optimise(createSession, straightModel(lowered, gates)));
    const channelBlock = liesInBlocks(optimised) ? await channelBlockOn(createSession) : undefined;
    const model = branchModel(optimised, images, { gates: gates.length, classes, confidence, channelBlock });
    const session = await createSession(model, images === 'any' ? forBatches : sleepsSoon);
    return { session, run: runnerOf(session, lowered, gates.length, oneByOne) };
  };
  const sessions = oneOrMore(load, ({ session }) => session.release());
  return {
    async run(images, count, thresholds): Promise<GatedBatch> {
      const { run } = await sessions.get(count);
      return answerOf(await run(images, count, thresholds), classes, confidence);
    },
    close: () => sessions.closeAll(),
  };
}

/** A gated network on WebGPU: one session, one graph for any number of images, whose later parts are branches. */
export async function loadOnDevice(
  createSession: CreateSession,
  lowered: GatedSource,
  gates: readonly PlacedGate[],
  confidence: ConfidenceKind,
): Promise<GatedNetwork> {
  const classes = classCount(lowered.network);
  const { session, run } = await wholeGraph(createSession, lowered, gates, confidence, sleepsSoon);
  return {
    run: async (images, count, thresholds) => answerOf(await run(images, count, thresholds), classes, confidence),
    close: () => session.release(),
  };
}

/** One session for any number of images, whose later parts are branches as they are written. */
async function wholeGraph(
  createSession: CreateSession,
  lowered: GatedSource,
  gates: readonly PlacedGate[],
  confidence: ConfidenceKind,
  options: ort.InferenceSession.SessionOptions,
) {
  const answer = plainAnswer(classCount(lowered.network));
  const session = await createSession(gatedModel(lowered, gates, { confidence, answer, withoutCopies: true }), options);
  return { session, run: runnerOf(session, lowered, gates.length) };
}

/** Feeds thresholds to a graph's inputs. */
type ThresholdFeeds = (thresholds: Float32Array) => Record<string, ort.Tensor>;

const allAtOnce: ThresholdFeeds = (thresholds) => ({
  [gatedGraphNames.thresholds]: new ort.Tensor('float32', thresholds, [thresholds.length]),
});

const oneByOne: ThresholdFeeds = (thresholds) =>
  Object.fromEntries(
    Array.from(thresholds, (_, i) => [thresholdName(i), new ort.Tensor('float32', thresholds.subarray(i, i + 1), [1])]),
  );

/** Runs a graph on images and thresholds. */
export function runnerOf(
  session: ort.InferenceSession,
  { network }: GatedSource,
  gates: number,
  feedsOf: ThresholdFeeds = allAtOnce,
) {
  const { channels, height, width } = network.input;
  return (images: Float32Array, count: number, thresholds: readonly number[]) => {
    if (thresholds.length !== gates) throw new RangeError(`${thresholds.length} thresholds for ${gates} gates`);
    return session.run({
      [gatedGraphNames.images]: new ort.Tensor('float32', images, [count, channels, height, width]),
      ...feedsOf(floatThresholds(thresholds)),
    });
  };
}

/** The answers of a graph that was written with `plainAnswer`. */
export function answerOf(
  results: ort.InferenceSession.OnnxValueMapType,
  classes: number,
  confidence: ConfidenceKind,
): GatedBatch {
  const answers = results[gatedGraphNames.distances]!.data as Float32Array;
  const stride = classes + 1;
  const exits = new Int32Array(answers.length / stride);
  for (let image = 0; image < exits.length; image++) exits[image] = answers[image * stride + classes]!;
  return { exits, ...decide(answers, classes, confidence, stride) };
}

/** Channels per block of ONNX Runtime's NCHWc layout on this machine. */
async function channelBlockOn(createSession: CreateSession): Promise<number | undefined> {
  const { input, output, dims } = channelBlockProbe;
  const session = await createSession(channelBlockModel());
  const positions = Float32Array.from({ length: dims.reduce((count, size) => count * size, 1) }, (_, i) => i);
  const results = await session.run({ [input]: new ort.Tensor('float32', positions, dims) });
  await session.release();
  return channelBlockOf(results[output]!.data as Float32Array);
}

/** The model as ONNX Runtime optimises it. ONNX Runtime writes that to a file only, which is removed afterwards. */
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
