import { mkdtempSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import { type ConfidenceKind, decide } from '../../gates/confidence.js';
import { classCount } from '../../networks/onnx.js';
import { gatedModel } from '../../onnx/gated.js';
import { cutModel, straightModel } from '../../onnx/gated-cut.js';
import { floatThresholds, gatedGraphNames, plainAnswer } from '../../onnx/gated-exits.js';
import type { LoadedNetwork } from '../../onnx/loaded.js';
import { removeOnExit } from '../../store/files.js';
import type { GatedBatch, GatedNetwork, PlacedGate } from '../engine.js';
import { sleepsAfterRuns } from './session.js';

/** Opens sessions of one engine, with these options besides its own. */
export type CreateSession = (
  model: Uint8Array,
  options?: ort.InferenceSession.SessionOptions,
) => Promise<ort.InferenceSession>;

/**
 * A gated network on ONNX Runtime: one session, one graph, whose later parts are branches.
 *
 * @param blocked whether the provider has its own layout for convolutions that it does not use inside branches (the
 *   CPU's): the network is then optimised whole and cut into branches afterwards
 */
export async function loadGatedNetwork(
  createSession: CreateSession,
  blocked: boolean,
  lowered: LoadedNetwork,
  gates: readonly PlacedGate[],
  confidence: ConfidenceKind,
): Promise<GatedNetwork> {
  const classes = classCount(lowered.network);
  const answer = plainAnswer(classes);
  const model = blocked
    ? cutModel(await optimise(createSession, straightModel(lowered, gates)), gates.length, confidence, answer)
    : gatedModel(lowered, gates, { confidence, answer, withoutCopies: true });
  const session = await createSession(model, sleepsAfterRuns);
  const { channels, height, width } = lowered.network.input;
  return {
    async run(images, count, thresholds): Promise<GatedBatch> {
      if (thresholds.length !== gates.length) {
        throw new RangeError(`${thresholds.length} thresholds for ${gates.length} gates`);
      }
      const results = await session.run({
        [gatedGraphNames.images]: new ort.Tensor('float32', images, [count, channels, height, width]),
        [gatedGraphNames.thresholds]: new ort.Tensor('float32', floatThresholds(thresholds), [gates.length]),
      });
      const exits = Int32Array.from(results[gatedGraphNames.exits]!.data as BigInt64Array, Number);
      return { exits, ...decide(results[gatedGraphNames.distances]!.data as Float32Array, classes, confidence) };
    },
    close: () => session.release(),
  };
}

/** The model as ONNX Runtime would run it. It gives that as a file only, which is removed again. */
async function optimise(createSession: CreateSession, model: Uint8Array): Promise<Uint8Array> {
  const folder = mkdtempSync(join(tmpdir(), 'dgate-optimised-'));
  const keep = removeOnExit(folder);
  try {
    const path = join(folder, 'network.onnx');
    await (await createSession(model, { optimizedModelFilePath: path })).release();
    return await readFile(path);
  } finally {
    await rm(folder, { recursive: true, force: true });
    keep();
  }
}
