/**
 * Networks on CUDA, where every convolution is planned anew whenever the number of images differs from the last one
 * (7 ms each; ONNX Runtime keeps one plan a convolution, and Node cannot tell it to choose without measuring): sessions
 * that see batches of one size only, and gated networks whose later parts see a few sizes (`gated-sizes.ts`).
 */
import type { ConfidenceKind } from '../../gates/confidence.js';
import { classCount } from '../../networks/onnx.js';
import { partSizes, sizedModel } from '../../onnx/gated-sizes.js';
import type { LoadedNetwork } from '../../onnx/loaded.js';
import type { GatedBatch, GatedNetwork, PlacedGate } from '../engine.js';
import { answerOf, type CreateSession, runnerOf } from './gated.js';
import { sleepsSoon } from './session.js';

/** Sizes of batches whose sessions are kept; each holds the weights on the device. */
const MOST_SIZES = 4;

/** What is opened for a size of batches, when it is first asked for; the size that was not used for longest is closed. */
export class BySize<Opened> {
  readonly #opened = new Map<number, Promise<Opened>>();

  constructor(
    readonly open: (size: number) => Promise<Opened>,
    readonly close: (opened: Opened) => Promise<void>,
  ) {}

  /** What is open for a size. Calls may overlap, but not more than four sizes at a time. @throws what opening throws */
  get(size: number): Promise<Opened> {
    const known = this.#opened.get(size);
    if (known !== undefined) {
      this.#opened.delete(size);
      this.#opened.set(size, known); // the last one used stands last
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

  /** Closes everything that is open. */
  async closeAll(): Promise<void> {
    while (this.#opened.size > 0) await this.#closeOne();
  }

  async #closeOne(): Promise<void> {
    const [size, opened] = [...this.#opened][0]!;
    this.#opened.delete(size);
    await opened.then(this.close, () => undefined); // what failed to open was said when it was asked for
  }
}

/** A gated network with a session for each size of batches. */
export function loadSized(
  createSession: CreateSession,
  lowered: LoadedNetwork,
  gates: readonly PlacedGate[],
  confidence: ConfidenceKind,
): GatedNetwork {
  const classes = classCount(lowered.network);
  const open = async (count: number) => {
    const session = await createSession(sizedModel(lowered, gates, confidence, count), sleepsSoon);
    return { session, run: runnerOf(session, lowered, gates.length) };
  };
  const sessions = new BySize(open, ({ session }) => session.release());
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
 * Runs every part in every size once. Images of NaN are sure to stay at every gate: NaN reaches no threshold, nor does
 * what a device may make of it in a maximum, the lowest number there is.
 */
async function runEverySize(
  run: GatedNetwork['run'],
  { network }: LoadedNetwork,
  gates: number,
  count: number,
): Promise<void> {
  const { channels, height, width } = network.input;
  const pixels = channels * height * width;
  const thresholds = [LOW, ...new Array<number>(gates - 1).fill(Infinity)];
  for (const size of partSizes(count)) {
    await run(new Float32Array(count * pixels).fill(Number.NaN, 0, size * pixels), count, thresholds);
  }
}

/** A threshold that every confidence reaches, and the lowest float32 does not. */
const LOW = -1e38;
