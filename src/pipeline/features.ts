import { parseSafetensors, type RawTensor } from '../checkpoints/safetensors.js';
import type { EngineDescription } from '../engines/engine.js';
import type { TrainingBatch, TrainingData } from '../gates/train.js';
import { Random } from '../random.js';
import type { Entry } from '../store/store.js';

/** Names of the arrays in a shard. */
export const shardArrays = { gate: (index: number): string => `gate${index + 1}`, logits: 'logits', labels: 'labels' };

/** One cached shard: features of each gate, logits and labels of some consecutive images. */
export interface Shard {
  readonly count: number;
  /** [count] */
  readonly labels: Int32Array;
  /** [count, classes] */
  readonly logits: Float32Array;
  /** Features of gate k (counted from 0), [count, features]. */
  features(gate: number): Float32Array;
}

/** The extracted features of a set of images, in shards on the disk. */
export class FeatureSet {
  constructor(
    readonly entry: Entry,
    readonly count: number,
    readonly classes: number,
    /** Features of each gate. */
    readonly widths: readonly number[],
  ) {}

  /** The engine that extracted them; undefined where that was not recorded. */
  async extractedOn(): Promise<EngineDescription | undefined> {
    return (await this.entry.manifest())?.notes['engine'] as EngineDescription | undefined;
  }

  /** Names of the shards in order. */
  async shardNames(): Promise<string[]> {
    return Object.keys((await this.entry.manifest())?.files ?? {}).sort();
  }

  /** Shards in order, each read once and its hash checked. @throws RottenError */
  async *shards(): AsyncGenerator<Shard> {
    for (const name of await this.shardNames()) yield this.#open(name, await this.entry.read(name));
  }

  /** All features of one gate in memory, for training: [count, features] floats. @throws RottenError */
  async gateData(gate: number): Promise<TrainingData> {
    const width = this.widths[gate]!;
    const x = new Float32Array(this.count * width);
    const labels = new Int32Array(this.count);
    let start = 0;
    for await (const shard of this.shards()) {
      x.set(shard.features(gate), start * width);
      labels.set(shard.labels, start);
      start += shard.count;
    }
    return inMemory(x, labels, this.classes);
  }

  #open(name: string, bytes: Buffer): Shard {
    const { tensors } = parseSafetensors(bytes, `${this.entry.directory}/${name}`);
    const raw = (array: string): RawTensor => {
      const found = tensors.get(array);
      if (found === undefined) throw new Error(`${name}: no array "${array}"`);
      return found;
    };
    const floats = (array: string): Float32Array => view(raw(array).bytes, Float32Array);
    const labels = view(raw(shardArrays.labels).bytes, Int32Array);
    return {
      count: labels.length,
      labels,
      logits: floats(shardArrays.logits),
      features: (gate) => floats(shardArrays.gate(gate)),
    };
  }
}

/** A view of bytes as 4-byte numbers; copied only where they do not lie aligned. */
function view<T extends Float32Array | Int32Array>(
  bytes: Uint8Array,
  type: new (buffer: ArrayBufferLike, offset: number, length: number) => T,
): T {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  return new type(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
}

/** Training data held in memory. @param x [count, features] row-major */
export function inMemory(x: Float32Array, labels: Int32Array, classes: number): TrainingData {
  const count = labels.length;
  const features = x.length / count;
  return {
    count,
    features,
    classes,
    async *batches(size, order): AsyncGenerator<TrainingBatch> {
      if (order === undefined) {
        for (let start = 0; start < count; start += size) {
          const end = Math.min(count, start + size);
          yield { x: x.subarray(start * features, end * features), labels: labels.subarray(start, end) };
        }
        return;
      }
      const images = new Random(order, 'gate training').shuffle(Int32Array.from({ length: count }, (_, i) => i));
      for (let start = 0; start < count; start += size) {
        const chosen = images.subarray(start, start + size);
        const batch = new Float32Array(chosen.length * features);
        chosen.forEach((image, row) => {
          batch.set(x.subarray(image * features, (image + 1) * features), row * features);
        });
        yield { x: batch, labels: chosen.map((image) => labels[image]!) };
      }
    },
  };
}
