import { decodeImage, imageSize } from '../data/image-folder/decode.js';
import { FORMATS, imageFiles, otherFilesBelow } from '../data/image-folder/listing.js';
import { channelsIn } from '../data/preprocess.js';
import { IsolatedRuntime, limitsFor, type OpenSession } from '../engines/onnxruntime/session.js';
import { InputError, messageOf } from '../errors.js';
import { floatThresholds, gatedGraphNames } from '../onnx/gated-exits.js';
import { type AboutGated, readIfGated } from '../onnx/gated-file.js';
import { type Progress, silent } from '../progress.js';
import { readInput } from '../store/input.js';
import { type PredictingFile, type RawOptions, rawFile } from './raw.js';

interface Prediction {
  readonly image: string;
  readonly class: string;
  readonly classIndex: number;
  /** Counted from 1, the original classifier last. */
  readonly exit: number;
  readonly confidence: number;
  /** Time of the graph alone, after a warm-up. */
  readonly ms: number;
  /** The file's size, if it is not the network's. */
  readonly resizedFrom?: { readonly width: number; readonly height: number };
}

/** What `dgate predict` reports. */
export interface Predictions {
  readonly model: string;
  /** Number of exits, the original classifier included. */
  readonly exits: number;
  /** null for a closed gate. */
  readonly thresholds: readonly (number | null)[];
  readonly input: AboutGated['preprocessing'];
  readonly predictions: readonly Prediction[];
}

/** An open classifier. */
export interface Predictor {
  readonly classes: readonly string[];
  readonly thresholds: readonly number[];
  /**
   * Runs images one by one.
   *
   * @param images paths of image files, and of folders for all images below
   * @param thresholds the file's own by default
   * @throws InputError naming everything that cannot be read
   */
  predict(images: readonly string[], thresholds?: readonly number[]): Promise<Predictions>;
  close(): Promise<void>;
}

/** So many images need no progress. */
const FEW = 20;

/** Opens a file of `dgate export`, or another ONNX classifier with what it leaves open, in an isolated process. @throws InputError */
export async function openPredictor(model: string, raw: RawOptions = {}, progress = silent): Promise<Predictor> {
  const gated = readIfGated(await readInput(model), model);
  const [given] = Object.entries(raw).find(([, value]) => value !== undefined) ?? [];
  if (gated !== undefined && given !== undefined) {
    throw new InputError(`${model}: a file of dgate export, which says its ${given} itself; valid: without it`);
  }
  const file = gated ?? (await rawFile(model, raw));
  const { about } = file;
  const valid = gated === undefined ? 'an ONNX model that ONNX Runtime runs' : 'a file of dgate export';
  const runtime = new IsolatedRuntime(limitsFor(file.model.length), valid); // starts while images are decoded
  let loaded: LoadedFile | undefined;
  return {
    classes: about.classes,
    thresholds: about.thresholds,
    close: () => runtime.end(),
    async predict(images, thresholds = about.thresholds) {
      const gates = about.gates.length;
      if (thresholds.length !== gates) {
        const valid = `valid: ${gates}, one for each gate of ${model}`;
        throw new InputError(`--thresholds: ${thresholds.length} given; ${valid}`);
      }
      const predictions: Prediction[] = [];
      const files = images.map(imageFiles);
      const without = images.filter((_, i) => files[i]!.length === 0);
      const problems = without.map((path) => `${path}: no images; valid: ${FORMATS} files`);
      const paths = files.flat();
      for (const line of images.flatMap(otherFilesBelow)) progress.note(line);
      const task = (paths.length > FEW ? progress : silent).begin('predicting', paths.length, 'images');
      for (const [done, path] of paths.entries()) {
        task.update(done);
        const image = await decode(path, about.preprocessing).catch((error: unknown) => {
          if (!(error instanceof InputError)) throw error;
          problems.push(...error.problems);
        });
        if (image === undefined || problems.length > 0) continue;
        if (loaded === undefined) {
          loaded = await loadGatedFile(file, model, (graph, options) => runtime.open(graph, model, options));
          await loaded.run(image.pixels, 1, thresholds); // the first run allocates
        }
        predictions.push(await predictOne(loaded, image, about, thresholds));
      }
      task.end();
      if (problems.length > 0) throw new InputError(problems);
      const shown = thresholds.map((value) => (Number.isFinite(value) ? value : null));
      return { model, exits: gates + 1, thresholds: shown, input: about.preprocessing, predictions };
    },
  };
}

/** Runs images through a file, one by one. @throws InputError naming everything that cannot be read */
export async function predict(
  model: string,
  images: readonly string[],
  thresholds?: readonly number[],
  raw?: RawOptions,
  progress?: Progress,
): Promise<Predictions> {
  const predictor = await openPredictor(model, raw, progress);
  try {
    return await predictor.predict(images, thresholds);
  } finally {
    await predictor.close();
  }
}

async function predictOne(
  loaded: LoadedFile,
  { path, pixels, width, height }: Decoded,
  about: PredictingFile['about'],
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

type Decoded = Awaited<ReturnType<typeof decode>>;

/** @returns pixels [3, height, width] as the network takes them, and the file's size @throws InputError if it cannot be read */
async function decode(path: string, preprocessing: AboutGated['preprocessing']) {
  const bytes = await readInput(path);
  const { height: side, resize, interpolation, squash, order } = preprocessing;
  try {
    const { width, height } = await imageSize(bytes);
    // An image of the network's size is not resized.
    const fits = width === side && height === side;
    const geometry = { resize: fits ? side : resize, crop: side, interpolation, squash, order };
    return { path, pixels: await decodeImage(bytes, geometry), width, height };
  } catch (error) {
    throw new InputError(`${path}: cannot be decoded (${messageOf(error).trim().split('\n')[0]}); valid: an image`);
  }
}

/** A file of `dgate export` on ONNX Runtime's CPU. */
export type LoadedFile = Awaited<ReturnType<typeof loadGatedFile>>;

/** Loads a file of `dgate export`. @param open isolated for files of unknown origin @throws InputError if it is refused */
export async function loadGatedFile({ about, model }: PredictingFile, path: string, open: OpenSession) {
  const session = await open(model, { logSeverityLevel: 4 });
  const { images, thresholds: name, classes, exits, confidences } = gatedGraphNames;
  return {
    /** @param pixels bytes [count, 3, height, width], channels in the file's order @returns also the time of the graph alone */
    async run(pixels: Uint8Array, count: number, thresholds: readonly number[]) {
      const { height, width, order } = about.preprocessing;
      const feeds = {
        [images]: { type: 'uint8', data: pixels, dims: [count, channelsIn({ order }), height, width] },
        [name]: { type: 'float32', data: floatThresholds(thresholds), dims: [thresholds.length] },
      } as const;
      const { values, ms } = await session.run(feeds, [classes, exits, confidences]);
      const found = [classes, exits, confidences].map((output) => values.get(output)?.data);
      const [winners, taken, confident] = found;
      if (
        !(winners instanceof BigInt64Array && taken instanceof BigInt64Array && confident instanceof Float32Array) ||
        found.some((data) => data?.length !== count) ||
        winners.some((winner) => winner < 0 || winner >= about.classes.length) ||
        taken.some((exit) => exit < 0 || exit > about.gates.length)
      ) {
        throw new InputError(
          `${path}: does not return a class, an exit and a confidence for each image; valid: a file of dgate export`,
        );
      }
      const [winner, exit] = [Int32Array.from(winners, Number), Int32Array.from(taken, Number)];
      return { classes: winner, exits: exit, confidences: confident, ms };
    },
    close: () => session.close(),
  };
}
