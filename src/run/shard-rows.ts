import type { Storable } from '../checkpoints/safetensors.js';
import type { NetworkBatch } from './batches.js';
import { shardArrays } from './features.js';

/**
 * What a shard holds, filled batch by batch. Its memory is used again for the next shard: arrays that live as long as a
 * shard takes are collected late, and memory would grow by several of them.
 */
export class ShardRows {
  readonly #features: Float32Array[];
  #logits = new Float32Array();
  #positions = new Int32Array();
  #leftOut: number[] = [];
  #rows = 0;
  #covered = 0;

  /**
   * @param widths features of each gate
   * @param classes of the logits; 0 where none are kept
   */
  constructor(
    private readonly widths: readonly number[],
    private readonly classes: number,
  ) {
    this.#features = widths.map(() => new Float32Array());
  }

  /** Images that the batches so far cover, those that could not be decoded included. */
  get covered(): number {
    return this.#covered;
  }

  /** Forgets what it holds. */
  clear(): void {
    [this.#rows, this.#covered, this.#leftOut] = [0, 0, []];
  }

  /** Makes room, where it holds nothing. @param images of the shard that comes */
  begin(images: number): void {
    if (this.#positions.length >= images) return;
    for (const [gate, width] of this.widths.entries()) this.#features[gate] = new Float32Array(images * width);
    this.#logits = new Float32Array(images * this.classes);
    this.#positions = new Int32Array(images);
  }

  /** Copies a batch, whose arrays are then free. @throws RangeError where it is more than was said */
  add({ count, positions, result, leftOut }: NetworkBatch): void {
    for (const [gate, width] of this.widths.entries()) {
      this.#features[gate]!.set(result.features[gate]!, this.#rows * width);
    }
    this.#logits.set(result.logits, this.#rows * this.classes);
    this.#positions.set(positions, this.#rows);
    this.#leftOut.push(...leftOut);
    this.#rows += positions.length;
    this.#covered += count;
  }

  /** The shard's arrays, [images, ...], as views: good until `clear`. @param ofAll label of every image of the source */
  content(ofAll: Int32Array): Map<string, Storable> {
    const rows = this.#rows;
    const floats = (data: Float32Array, width: number): Storable => {
      return { dtype: 'F32', shape: [rows, width], data: data.subarray(0, rows * width) };
    };
    const labels = this.#positions.subarray(0, rows).map((position) => ofAll[position]!);
    const leftOut = Int32Array.from(this.#leftOut);
    return new Map<string, Storable>([
      ...this.widths.map((width, gate): [string, Storable] => {
        return [shardArrays.gate(gate), floats(this.#features[gate]!, width)];
      }),
      ...(this.classes > 0 ? [[shardArrays.logits, floats(this.#logits, this.classes)] as [string, Storable]] : []),
      [shardArrays.labels, { dtype: 'I32', shape: [rows], data: labels }],
      ...(leftOut.length > 0
        ? [[shardArrays.leftOut, { dtype: 'I32', shape: [leftOut.length], data: leftOut }] as [string, Storable]]
        : []),
    ]);
  }
}
