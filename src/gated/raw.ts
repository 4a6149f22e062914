import {
  checkPreprocessing,
  geometryOf,
  type Preprocessing,
  preprocessingNamed,
  usualGeometry,
} from '../data/preprocess.js';
import { InputError } from '../errors.js';
import type { PlacedGate } from '../gates/contracts.js';
import { gateOfFeatures } from '../gates/gate.js';
import { gatedModel } from '../onnx/gated.js';
import { type AnswerForm, decidedAnswer } from '../onnx/gated-exits.js';
import type { AboutGated } from '../onnx/gated-file.js';
import type { ModelOptions } from '../onnx/graph/user-model.js';
import { writtenConfidence } from '../onnx/judged.js';
import type { UserNetwork } from '../onnx/network.js';
import { dataTypes } from '../onnx/proto.js';
import { openOwn, openUserNetwork } from '../run/user-network.js';

/** What an ONNX file that `dgate export` has not written leaves open. */
export interface RawOptions extends ModelOptions {
  /** How it wants its pixels: a name, or numbers. Not for files that take bytes. */
  readonly preprocess?: string | Pick<Preprocessing, 'mean' | 'std'> | undefined;
  /** Of images of other sizes, instead of the named preprocessing's; by default the shorter side gets the network's size. */
  readonly resize?: number | undefined;
  readonly interpolation?: 'bilinear' | 'bicubic' | undefined;
  /** Names of the classes; their numbers by default. */
  readonly classes?: readonly string[] | undefined;
}

/** A file that predicts: its graph takes bytes, as one of `dgate export`. */
export type PredictingFile = Awaited<ReturnType<typeof rawFile>>;

/**
 * Anybody's classifier as a file of `dgate export`: pixels are normalised inside, its own exits take the place of gates. Each exit's
 * confidence is the softmax of its answer, whatever it compares with its threshold.
 *
 * @throws InputError if it cannot be read, or nothing says how it wants its pixels
 */
export async function rawFile(path: string, options: RawOptions) {
  const { logits, inputSize } = options;
  const own = await openOwn(path, { logits, inputSize });
  const sides = inputSize && ([...inputSize] as [number, number]);
  const user =
    own ?? (await openUserNetwork({ kind: 'onnx', file: path, gatesAfter: [], logits, inputSize: sides }, ''));
  const { stages, classes: count } = user.network;
  const asked = pixelsOf(path, user, options);
  const classes = options.classes ?? Array.from({ length: count }, (_, i) => `${i}`);
  if (classes.length !== count) {
    throw new InputError(`--classes: ${classes.length} names; valid: ${count}, one for each output of ${path}`);
  }
  const gates = stages.map((_, i): PlacedGate => {
    return { place: { stage: i + 1, pooling: { kind: 'gap' } }, gate: gateOfFeatures(count) };
  });
  const { outputs, write } = decidedAnswer();
  const softmax = writtenConfidence('softmax', undefined);
  const answer: AnswerForm = { outputs, write: (to, row, exit) => write(to, row, exit, softmax) };
  const thresholds = stages.map(({ own: exit }) => exit!.threshold ?? Number.POSITIVE_INFINITY);
  const about = {
    classes: [...classes],
    preprocessing: describePixels(asked, user.network.input),
    gates: stages.map(() => ({ features: count })),
    thresholds,
  };
  return { about, model: gatedModel(user, gates, { confidence: 'max', preprocessing: asked, answer }) };
}

/** @throws InputError if the options do not say it, or do not fit the network */
function pixelsOf(path: string, { network, graph }: UserNetwork, options: RawOptions): Preprocessing {
  const { channels, height, width } = network.input;
  if (height !== width) {
    throw new InputError(`${path}: takes ${height} x ${width} pixels; valid: a network of square images`);
  }
  const isBytes = graph.model.input.type === dataTypes.uint8;
  const { preprocess = isBytes ? 'bytes' : undefined, resize, interpolation } = options;
  if (isBytes && preprocess !== 'bytes') {
    throw new InputError(`${path}: takes bytes and normalises them itself; valid: no --preprocess, --mean, --std`);
  }
  const numbers = `--mean and --std with ${channels === 1 ? 'a number' : 'three numbers'} each`;
  const valid = `valid: ${channels === 1 ? '' : '--preprocess torchvision-v2 (or another name), or '}${numbers}`;
  if (preprocess === undefined) throw new InputError(`${path}: nothing says how it wants its pixels; ${valid}`);
  const named: Preprocessing = preprocessingNamed(preprocess);
  checkPreprocessing(named);
  const [mean, std] = [named.mean, named.std].map((of) =>
    new Set(of).size > 1 ? of : Array<number>(channels).fill(of[0]!),
  );
  if (mean!.length !== channels || std!.length !== channels) {
    const given = Math.max(mean!.length, std!.length);
    throw new InputError(`${path}: a preprocessing of ${given} channels, its images have ${channels}; ${valid}`);
  }
  const sizes = { resize: resize ?? (named.crop === height ? named.resize : undefined) ?? height, crop: height };
  const asked = { ...named, mean: mean!, std: std!, ...sizes, ...(interpolation && { interpolation }) };
  geometryOf(asked, usualGeometry); // checks the sizes
  return asked;
}

export function describePixels(
  { mean, std, resize, interpolation, squash, order }: Preprocessing,
  { height, width }: { readonly height: number; readonly width: number },
): AboutGated['preprocessing'] {
  return {
    height,
    width,
    order: mean.length === 1 ? 'grey' : (order ?? 'rgb'),
    mean: [...mean],
    std: [...std],
    resize: Math.max(resize ?? 0, height, width),
    interpolation: interpolation ?? 'bilinear',
    squash: squash ?? false,
  };
}
