import * as ort from 'onnxruntime-node';
import { InputError, messageOf } from '../../errors.js';
import { floatThresholds, gatedGraphNames } from '../../onnx/gated-exits.js';
import type { GatedFile } from '../../onnx/gated-file.js';
import type { GatedBatch } from '../engine.js';
import { OnnxRuntimeCpu } from './engine.js';

/** A file of `dgate export` on ONNX Runtime's CPU. */
export interface LoadedFile {
  /**
   * @param pixels bytes [count, 3, height, width], channels in the file's order
   */
  run(pixels: Uint8Array, count: number, thresholds: readonly number[]): Promise<GatedBatch>;
  close(): Promise<void>;
}

/** @throws InputError where ONNX Runtime refuses the file */
export async function loadGatedFile({ about, model }: GatedFile, path: string): Promise<LoadedFile> {
  const engine = await OnnxRuntimeCpu.create();
  const refused = (error: unknown): InputError =>
    new InputError(`${path}: ONNX Runtime refuses it: ${messageOf(error).trim().split('\n')[0]}`, { cause: error });
  const session = await engine.createSession(model, { logSeverityLevel: 4 }).catch((error: unknown) => {
    throw refused(error);
  });
  const { images, thresholds: name, classes, exits, confidences } = gatedGraphNames;
  return {
    async run(pixels, count, thresholds): Promise<GatedBatch> {
      const { height, width } = about.preprocessing;
      const results = await session
        .run({
          [images]: new ort.Tensor('uint8', pixels, [count, 3, height, width]),
          [name]: new ort.Tensor('float32', floatThresholds(thresholds), [thresholds.length]),
        })
        .catch((error: unknown) => {
          throw refused(error);
        });
      const found = [results[classes]?.data, results[exits]?.data, results[confidences]?.data];
      const [winners, ways, confident] = found;
      if (
        !(winners instanceof BigInt64Array && ways instanceof BigInt64Array && confident instanceof Float32Array) ||
        found.some((values) => values?.length !== count) ||
        winners.some((winner) => winner < 0 || winner >= about.classes.length) ||
        ways.some((way) => way < 0 || way > about.gates.length)
      ) {
        throw new InputError(`${path}: does not answer with a class, an exit and a confidence for each image`);
      }
      return {
        classes: Int32Array.from(winners, Number),
        exits: Int32Array.from(ways, Number),
        confidences: confident,
      };
    },
    close: () => session.release(),
  };
}
