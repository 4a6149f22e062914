import { decodeImage, imageSize } from '../data/image-folder/decode.js';
import { channelsIn } from '../data/image-folder/geometry.js';
import { IsolatedRuntime, limitsFor, type OpenSession } from '../engines/onnxruntime/session.js';
import { InputError, messageOf } from '../errors.js';
import type { GatedBatch } from '../gates/contracts.js';
import { floatThresholds, gatedGraphNames } from '../onnx/gated-exits.js';
import { type AboutGated, type GatedFile, readGatedFile } from '../onnx/gated-file.js';
import { readInput } from '../store/input.js';

/** What a gated network says of one image. */
interface Prediction {
  readonly image: string;
  readonly class: string;
  readonly classIndex: number;
  /** Exit that it took, counted from 1; as many as there are exits for the original classifier. */
  readonly exit: number;
  readonly confidence: number;
  /** Time of the graph on this image alone, after a warm-up; reading and decoding it not included. */
  readonly ms: number;
  /** Its size before it was brought to the network's; absent where that was its size already. */
  readonly resizedFrom?: { readonly width: number; readonly height: number };
}

/** What `dgate predict` reports. */
export interface Predictions {
  readonly model: string;
  /** Number of exits, the original classifier included. */
  readonly exits: number;
  /** null for a gate that is closed. */
  readonly thresholds: readonly (number | null)[];
  readonly input: { readonly width: number; readonly height: number };
  readonly predictions: readonly Prediction[];
}

/** A file of `dgate export`, opened: images go through it one by one. */
export interface Predictor {
  readonly classes: readonly string[];
  /** Of its gates. */
  readonly thresholds: readonly number[];
  /**
   * @param images paths of image files
   * @param thresholds the file's own if absent
   * @throws InputError naming everything that cannot be read
   */
  predict(images: readonly string[], thresholds?: readonly number[]): Promise<Predictions>;
  close(): Promise<void>;
}

/**
 * Opens a file of `dgate export`. Nothing else is read, and ONNX Runtime opens it in a process of its own: it may come from
 * anywhere.
 *
 * @throws InputError where it cannot be read or is none
 */
export async function openPredictor(model: string): Promise<Predictor> {
  const bytes = await readInput(model);
  const runtime = new IsolatedRuntime(limitsFor(bytes.length), 'a file of dgate export'); // starts while images are decoded
  let loaded: LoadedFile | undefined;
  try {
    const file = readGatedFile(bytes, model);
    const { about } = file;
    return {
      classes: about.classes,
      thresholds: about.thresholds,
      close: () => runtime.end(),
      async predict(images, thresholds = about.thresholds) {
        const gates = about.gates.length;
        if (thresholds.length !== gates) {
          const given = `${thresholds.length} given; valid: ${gates}, one for each gate of ${model}`;
          throw new InputError(`--thresholds: ${given}`);
        }
        const decoded = await decodeAll(images, about);
        if (loaded === undefined && decoded.length > 0) {
          loaded = await loadGatedFile(file, model, (graph, options) => runtime.open(graph, model, options));
          await loaded.run(decoded[0]!.pixels, 1, thresholds); // the first run allocates
        }
        const predictions: Prediction[] = [];
        for (const image of decoded) predictions.push(await predictOne(loaded!, image, about, thresholds));
        const { width, height } = about.preprocessing;
        const shown = thresholds.map((value) => (Number.isFinite(value) ? value : null));
        return { model, exits: gates + 1, thresholds: shown, input: { width, height }, predictions };
      },
    };
  } catch (error) {
    await runtime.end();
    throw error;
  }
}

/** Runs images through a file of `dgate export`, one by one. @throws InputError naming everything that cannot be read */
export async function predict(
  model: string,
  images: readonly string[],
  thresholds?: readonly number[],
): Promise<Predictions> {
  const predictor = await openPredictor(model);
  try {
    return await predictor.predict(images, thresholds);
  } finally {
    await predictor.close();
  }
}

async function predictOne(
  loaded: LoadedFile,
  { path, pixels, width, height }: Decoded,
  about: AboutGated,
  thresholds: readonly number[],
): Promise<Prediction> {
  const { classes, exits, confidences, ms } = await loaded.run(pixels, 1, thresholds);
  const fits = width === about.preprocessing.width && height === about.preprocessing.height;
  return {
    image: path,
    class: about.classes[classes[0]!]!,
    classIndex: classes[0]!,
    exit: exits[0]! + 1,
    confidence: confidences[0]!,
    ms,
    ...(!fits && { resizedFrom: { width, height } }),
  };
}

interface Decoded {
  readonly path: string;
  /** Bytes [3, height, width] as the network takes them. */
  readonly pixels: Uint8Array;
  /** Of the file. */
  readonly width: number;
  readonly height: number;
}

/** @throws InputError naming every image that is missing or cannot be decoded */
async function decodeAll(paths: readonly string[], about: AboutGated): Promise<Decoded[]> {
  const decoded: Decoded[] = [];
  const problems: string[] = [];
  for (const path of paths) {
    try {
      decoded.push(await decode(path, about.preprocessing));
    } catch (error) {
      if (error instanceof InputError) problems.push(...error.problems);
      else problems.push(`${path}: cannot be decoded (${messageOf(error).trim().split('\n')[0]}); valid: an image`);
    }
  }
  if (problems.length > 0) throw new InputError(problems);
  return decoded;
}

async function decode(path: string, preprocessing: AboutGated['preprocessing']): Promise<Decoded> {
  const bytes = await readInput(path);
  const { width, height } = await imageSize(bytes);
  const { height: side, resize, interpolation, squash, order } = preprocessing;
  // A file that has the network's size already is taken as it is.
  const fits = width === side && height === side;
  const geometry = { resize: fits ? side : resize, crop: side, interpolation, squash, order };
  return { path, pixels: await decodeImage(bytes, geometry), width, height };
}

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
