import { availableParallelism } from 'node:os';
import { InputError, messageOf } from '../../errors.js';
import type { RunValue } from '../../onnx/graph/probe.js';
import type { InferenceSession } from './ort.js';

/** A value that goes into a run. */
export interface Feed {
  readonly type: 'float32' | 'uint8';
  readonly dims: readonly number[];
  readonly data: Float32Array | Uint8Array;
}

/** A run's result. */
export interface RunResult {
  readonly values: ReadonlyMap<string, RunValue>;
  /** Duration of ONNX Runtime's run alone. */
  readonly ms: number;
}

/** A session of ONNX Runtime on the CPU, in this process (`in-process.ts`) or in an isolated one (`isolated-runtime.ts`). */
export interface Session {
  /** @param outputs names of the outputs to return; all by default */
  run(feeds: Readonly<Record<string, Feed>>, outputs?: readonly string[]): Promise<RunResult>;
  close(): Promise<void>;
}

/** Opens a model. @throws InputError if ONNX Runtime refuses it */
export type OpenSession = (model: Uint8Array, options?: InferenceSession.SessionOptions) => Promise<Session>;

/** Options that all sessions share. @param threads all cores by default */
export function sessionOptions(provider: string, threads = availableParallelism()): InferenceSession.SessionOptions {
  return {
    executionProviders: [provider],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    logSeverityLevel: 3,
  };
}

/**
 * A session whose threads sleep about a millisecond after a run. By default they spin for tens of milliseconds, waiting for
 * the next run, and take the processors from other work: another session, the decoding of images. (With two sessions of
 * 18 ms a run on two cores, a run of one right after a run of the other took 40 ms.) Back-to-back runs find them awake;
 * waking them costs a run some 20 microseconds.
 */
export const sleepsSoon: InferenceSession.SessionOptions = {
  extra: { session: { intra_op: { spin_duration_us: '500' } } },
};

/**
 * The same for batches on the CPU, without ONNX Runtime's memory plan for each shape: with it a DenseNet-201 is 4 % slower at
 * batch 32, a narrow one 10 %, and nothing is faster. A single image is not slower with it.
 */
export const forBatches: InferenceSession.SessionOptions = { ...sleepsSoon, enableMemPattern: false };

/** ONNX Runtime's reason for refusing a model, in one line. */
export function refusedBy(path: string, error: unknown): InputError {
  return new InputError(`${path}: ONNX Runtime refuses it: ${messageOf(error).trim().split('\n')[0]}`, {
    cause: error,
  });
}
