import { type ChildProcess, spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { extname } from 'node:path';
import type { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { InputError, messageOf } from '../../errors.js';
import { featureGraph } from '../../onnx/gated.js';
import type { PreparedGraph } from '../../onnx/graph/prepare.js';
import type { RunModel, RunValue } from '../../onnx/graph/probe.js';
import { featureGraphNames, type UserNetwork } from '../../onnx/network.js';
import { loaders } from '../engine.js';
import type { Feed, InferenceSession } from './ort.js';

interface RunResult {
  readonly values: ReadonlyMap<string, RunValue>;
  /** Duration of ONNX Runtime's run alone. */
  readonly ms: number;
}

/** A session of ONNX Runtime on the CPU, opened by `openInProcess` or `openIsolated`. */
interface Session {
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
 * Lets a session's threads sleep about a millisecond after a run. By default they spin for tens of milliseconds and take the
 * processors from other work. (With two sessions of 18 ms a run on two cores, a run of one right after a run of the other
 * took 40 ms.) Back-to-back runs find them awake; waking them costs some 20 microseconds.
 */
export const sleepsSoon: InferenceSession.SessionOptions = {
  extra: { session: { intra_op: { spin_duration_us: '500' } } },
};

/**
 * The same for batches on the CPU, without a memory plan for each shape: the plans slow down a DenseNet-201 by 4 % at batch
 * 32, a narrow one by 10 %, and speed up nothing.
 */
export const forBatches: InferenceSession.SessionOptions = { ...sleepsSoon, enableMemPattern: false };

/** ONNX Runtime's reason for refusing a model, in one line. */
export function refusedBy(path: string, error: unknown): InputError {
  return new InputError(`${path}: ONNX Runtime refuses it: ${messageOf(error).trim().split('\n')[0]}`, {
    cause: error,
  });
}

/** Limits of a process that runs a model of unknown origin. */
export interface Limits {
  /** For opening a model, and for each run. */
  readonly seconds: number;
  /** Limit on the process's data in MB (RLIMIT_DATA; Linux only). */
  readonly memoryMb: number;
  /** Limit on the size of a run's outputs, in MB. */
  readonly outputMb: number;
}

/** Limits far above what a valid model of this size needs on a busy machine: several copies of its bytes, and a stack for each thread. */
export function limitsFor(modelBytes: number): Limits {
  const mb = modelBytes / 1e6;
  return { seconds: 300 + mb, memoryMb: 2000 + 10 * mb + 16 * availableParallelism(), outputMb: 256 + 2 * mb };
}

/** A request to the isolated process. A model's bytes are sent through {@link MODEL_PIPE}. */
export type Ask =
  | { readonly modelBytes: number; readonly options: InferenceSession.SessionOptions }
  | {
      readonly feeds: Readonly<Record<string, Feed>>;
      readonly outputs: readonly string[] | undefined;
      readonly mostBytes: number;
    };

/** The process's file descriptor for models; it gets it as its argument. */
const MODEL_PIPE = 4;

export type Answer =
  | { readonly opened: true }
  | {
      readonly values: readonly (RunValue & { readonly name: string })[];
      readonly ms: number;
      readonly peakBytes: number;
    }
  | { readonly refused: string };

/**
 * ONNX Runtime in an isolated process. A malicious or corrupt graph can crash native code, block it forever, or use up all
 * memory. Here that ends only the isolated process, and the error is one line.
 */
export class IsolatedRuntime {
  readonly #child: ChildProcess;
  readonly #limits: Limits;
  readonly #ended: Promise<string>;
  readonly #models: Writable;
  /** Most memory that the process had held after its last run. */
  peakBytes = 0;
  readonly #kill = (): void => void this.#child.kill('SIGKILL');
  #isEnded = false;
  #isLate = false;

  /** @param valid what to open instead, for messages */
  constructor(
    limits: Limits,
    readonly valid: string,
  ) {
    this.#limits = limits;
    this.#child = startProcess(limits);
    process.once('exit', this.#kill);
    this.#models = this.#child.stdio[MODEL_PIPE] as Writable;
    this.#models.on('error', () => {}); // the process has ended
    let said = '';
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said = `${said}${text}`.slice(-4000);
    });
    this.#ended = new Promise((resolve) => {
      this.#child.once('error', (error) => resolve(`could not be started (${error.message})`));
      this.#child.once('close', (status, signal) => resolve(this.#reason(status, signal, said)));
    });
    this.#ended.then(() => {
      this.#isEnded = true;
      process.off('exit', this.#kill);
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** An ended process can open no other model. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Opens a model and closes the previous one. @throws InputError if ONNX Runtime refuses the model or crashes on it */
  async open(model: Uint8Array, path: string, options: InferenceSession.SessionOptions = {}): Promise<Session> {
    const all = { ...sessionOptions('cpu'), ...options };
    this.#models.write(model);
    await this.#ask({ modelBytes: model.byteLength, options: all }, path, 'opened');
    return {
      run: async (feeds, outputs): Promise<RunResult> => {
        const mostBytes = this.#limits.outputMb * 1e6;
        const answer = await this.#ask({ feeds, outputs, mostBytes }, path, 'run');
        if (!('values' in answer)) throw new Error('ONNX Runtime gave no values');
        this.peakBytes = answer.peakBytes;
        return { values: new Map(answer.values.map((value) => [value.name, value])), ms: answer.ms };
      },
      close: async () => {},
    };
  }

  async end(): Promise<void> {
    this.#kill();
    await this.#ended;
  }

  async #ask(ask: Ask, path: string, what: string): Promise<Exclude<Answer, { refused: string }>> {
    const late = setTimeout(() => {
      this.#isLate = true;
      this.#kill();
    }, this.#limits.seconds * 1000);
    try {
      const answer = await Promise.race([this.#answerTo(ask), this.#ended]);
      if (typeof answer === 'string') {
        const idle = this.#isLate ? 'the file on an idle machine, or ' : '';
        throw new InputError(
          `${path}: ONNX Runtime's process ${answer} when it was ${what}; valid: ${idle}${this.valid}`,
        );
      }
      if (!('refused' in answer)) return answer;
      if (!outOfMemory.test(answer.refused)) throw refusedBy(path, answer.refused);
      throw new InputError(`${path}: ONNX Runtime ${this.#needsMemory()} when it was ${what}; valid: ${this.valid}`);
    } finally {
      clearTimeout(late);
    }
  }

  /** Never settles if the process ends first. */
  #answerTo(ask: Ask): Promise<Answer> {
    return new Promise((resolve) => {
      this.#child.once('message', (answer: Answer) => resolve(answer));
      this.#child.send(ask, () => {});
    });
  }

  #reason(status: number | null, signal: string | null, said: string): string {
    if (this.#isLate)
      return `had not answered after ${Math.round(this.#limits.seconds)} s (a busy machine, or a graph without end) and was ended`;
    if (outOfMemory.test(said)) return `${this.#needsMemory()} and ended`;
    const why = said.split('\n').find((line) => line.includes('Error: '));
    return `ended (${signal ?? `exit status ${status}`}${why === undefined ? '' : `: ${why.trim()}`})`;
  }

  #needsMemory(): string {
    return `wanted more than ${Math.round(this.#limits.memoryMb)} MB of memory`;
  }
}

/** What native code, V8 and ONNX Runtime say at the memory limit. */
const outOfMemory = /bad.?alloc|out of memory|failed to allocate|allocation failed|cannot allocate/i;

/** Opens each model in an isolated process, which ends with the session. @param path the model's name in messages */
export function openIsolated(path: string, valid: string, limits?: Limits): OpenSession {
  return async (model, options) => {
    const runtime = new IsolatedRuntime(limits ?? limitsFor(model.byteLength), valid);
    try {
      const session = await runtime.open(model, path, options);
      return { run: session.run, close: () => runtime.end() };
    } catch (error) {
      await runtime.end();
      throw error;
    }
  };
}

function startProcess({ memoryMb }: Limits): ChildProcess {
  // .ts under tsx, .js when built
  const script = fileURLToPath(new URL(`./isolated-child${extname(fileURLToPath(import.meta.url))}`, import.meta.url));
  const command = [process.execPath, ...loaders(), script, String(MODEL_PIPE)];
  const limited = ['/bin/sh', '-c', `ulimit -d ${Math.ceil(memoryMb * 1000)}; exec "$0" "$@"`];
  const [program, ...args] = process.platform === 'win32' ? command : [...limited, ...command];
  return spawn(program!, args, { stdio: ['ignore', 'ignore', 'pipe', 'ipc', 'pipe'], serialization: 'advanced' });
}

const VALID = 'an ONNX model that ONNX Runtime runs';

/** Runs a user's models, unoptimised. @throws InputError if ONNX Runtime refuses a model or crashes on it */
export function runModelOf(path: string, open: OpenSession = openIsolated(path, VALID)): RunModel {
  return async (model, batches) => {
    // A memory plan takes time quadratic in the number of nodes.
    const options = { graphOptimizationLevel: 'disabled', enableMemPattern: false, logSeverityLevel: 4 } as const;
    const session = await open(model, options);
    try {
      const results = [];
      for (const { name, dims, data } of batches) {
        results.push((await session.run({ [name]: { type: 'float32', data, dims } })).values);
      }
      return results;
    } finally {
      await session.close();
    }
  };
}

const tried = new WeakSet<PreparedGraph>();

/**
 * Runs one image through a user's network in an isolated process, once and optimised as in this one. A model that crashes
 * ONNX Runtime is therefore never opened here.
 *
 * @throws InputError
 */
export async function tryIsolated(user: UserNetwork): Promise<void> {
  if (tried.has(user.graph)) return;
  const { channels, height, width } = user.network.input;
  const session = await openIsolated(user.graph.model.file.path, VALID)(featureGraph(user, []));
  try {
    const data = new Float32Array(channels * height * width);
    await session.run({ [featureGraphNames.input]: { type: 'float32', dims: [1, channels, height, width], data } });
  } finally {
    await session.close();
  }
  tried.add(user.graph);
}
