/**
 * Networks on CUDA, where every convolution is planned anew whenever the number of images differs from the last one
 * (7 ms each; ONNX Runtime keeps one plan a convolution, and Node cannot tell it to choose without measuring): sessions
 * that see batches of one size only, and gated networks whose later parts see a few sizes (`gated-sizes.ts`).
 */
import type { ConfidenceKind } from '../../gates/confidence.js';
import { classCount } from '../../networks/onnx.js';
import { partSizes, sizedModel } from '../../onnx/gated-sizes.js';
import type { LoadedNetwork } from '../../onnx/loaded.js';
import { Random } from '../../random.js';
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

  async get(size: number): Promise<Opened> {
    const known = this.#opened.get(size);
    this.#opened.delete(size);
    if (known === undefined && this.#opened.size === MOST_SIZES) await this.#closeOne();
    const opened = known ?? this.open(size);
    this.#opened.set(size, opened); // the last one used stands last
    try {
      return await opened;
    } catch (error) {
      this.#opened.delete(size);
      throw error;
    }
  }

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

/** Runs every part in every size once, on noise, with thresholds at the first gate that so many images do not reach. */
async function runEverySize(
  run: GatedNetwork['run'],
  { network }: LoadedNetwork,
  gates: number,
  count: number,
): Promise<void> {
  const { channels, height, width } = network.input;
  const random = new Random(1, 'images for every size');
  const images = Float32Array.from({ length: count * channels * height * width }, () => 4 * random.uniform() - 2);
  const first = (threshold: number) => [threshold, ...new Array<number>(gates - 1).fill(Infinity)];
  const { confidences } = await run(images, count, first(-Infinity));
  const sorted = confidences.toSorted();
  for (const size of partSizes(count)) await run(images, count, first(size < count ? sorted[size]! : Infinity));
}
