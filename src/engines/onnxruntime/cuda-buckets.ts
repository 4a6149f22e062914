/**
 * Networks on CUDA, where every convolution is planned again whenever the number of images changes (7 ms each; ONNX Runtime
 * keeps one plan per convolution, and Node cannot make it choose without measuring). Each session therefore sees batches of
 * one size only, and the later parts of a gated network see a few sizes, the buckets (`gated-buckets.ts`).
 */
import type { ConfidenceKind } from '../../gates/confidence.js';
import type { GatedBatch, PlacedGate } from '../../gates/contracts.js';
import { classCount } from '../../networks/onnx.js';
import { bucketModel, bucketSizes } from '../../onnx/gated-buckets.js';
import type { GatedSource } from '../../onnx/loaded.js';
import type { GatedNetwork } from '../engine.js';
import { answerOf, type CreateSession, runnerOf } from './gated.js';
import { sleepsSoon } from './session.js';
import { SessionPool } from './session-pool.js';

/** A gated network with a session for each batch size. */
export function loadInBuckets(
  createSession: CreateSession,
  lowered: GatedSource,
  gates: readonly PlacedGate[],
  confidence: ConfidenceKind,
): GatedNetwork {
  const classes = classCount(lowered.network);
  const open = async (count: number) => {
    const session = await createSession(bucketModel(lowered, gates, confidence, count), sleepsSoon);
    return { session, run: runnerOf(session, lowered, gates.length) };
  };
  const sessions = new SessionPool(open, ({ session }) => session.release());
  const run = async (images: Float32Array, count: number, thresholds: readonly number[]): Promise<GatedBatch> => {
    const opened = await sessions.get(count);
    return answerOf(await opened.run(images, count, thresholds), classes, confidence);
  };
  return {
    run,
    prepare: (count) => runEverySize(run, lowered, gates.length, count),
    close: () => sessions.closeAll(),
  };
}

/**
 * Runs every part in every bucket once. Images of NaN pass every gate: NaN reaches no threshold, and neither does the lowest
 * float32, which some devices return as the maximum of NaNs.
 */
async function runEverySize(
  run: GatedNetwork['run'],
  { network }: GatedSource,
  gates: number,
  count: number,
): Promise<void> {
  const { channels, height, width } = network.input;
  const pixels = channels * height * width;
  const thresholds = [LOW, ...new Array<number>(gates - 1).fill(Infinity)];
  for (const size of bucketSizes(count)) {
    await run(new Float32Array(count * pixels).fill(Number.NaN, 0, size * pixels), count, thresholds);
  }
}

/** A threshold that every confidence reaches, and the lowest float32 does not. */
const LOW = -1e38;
