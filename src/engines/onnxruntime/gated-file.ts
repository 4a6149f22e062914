import { channelsIn } from '../../data/image-folder/geometry.js';
import { InputError } from '../../errors.js';
import type { GatedBatch } from '../../gates/contracts.js';
import { floatThresholds, gatedGraphNames } from '../../onnx/gated-exits.js';
import type { GatedFile } from '../../onnx/gated-file.js';
import type { OpenSession } from './session.js';

/** A file of `dgate export` on ONNX Runtime's CPU. */
export interface LoadedFile {
  /**
   * @param pixels bytes [count, 3, height, width], channels in the file's order
   * @returns the answers, and the time of the graph alone
   */
  run(pixels: Uint8Array, count: number, thresholds: readonly number[]): Promise<GatedBatch & { readonly ms: number }>;
  close(): Promise<void>;
}

/**
 * Opens a file of `dgate export`.
 *
 * @param open in this process or, for a file of unknown origin, in an isolated one
 * @throws InputError if ONNX Runtime refuses the file
 */
export async function loadGatedFile({ about, model }: GatedFile, path: string, open: OpenSession): Promise<LoadedFile> {
  const session = await open(model, { logSeverityLevel: 4 });
  const { images, thresholds: name, classes, exits, confidences } = gatedGraphNames;
  return {
    async run(pixels, count, thresholds) {
      const { height, width, order } = about.preprocessing;
      const feeds = {
        [images]: { type: 'uint8', data: pixels, dims: [count, channelsIn({ order }), height, width] },
        [name]: { type: 'float32', data: floatThresholds(thresholds), dims: [thresholds.length] },
      } as const;
      const { values, ms } = await session.run(feeds, [classes, exits, confidences]);
      const found = [classes, exits, confidences].map((output) => values.get(output)?.data);
      const [winners, ways, confident] = found;
      if (
        !(winners instanceof BigInt64Array && ways instanceof BigInt64Array && confident instanceof Float32Array) ||
        found.some((data) => data?.length !== count) ||
        winners.some((winner) => winner < 0 || winner >= about.classes.length) ||
        ways.some((way) => way < 0 || way > about.gates.length)
      ) {
        throw new InputError(
          `${path}: does not return a class, an exit and a confidence for each image; valid: a file of dgate export`,
        );
      }
      return {
        classes: Int32Array.from(winners, Number),
        exits: Int32Array.from(ways, Number),
        confidences: confident,
        ms,
      };
    },
    close: () => session.close(),
  };
}
