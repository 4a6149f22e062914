import { stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import type { Dataset } from '../data/dataset.js';
import { imageFolderDataset } from '../data/image-folder/index.js';
import { checkPreprocessing, type Preprocessing, preprocessingNamed } from '../data/preprocess.js';
import { datasetNamed } from '../data/registry.js';
import { runModelOf } from '../engines/onnxruntime/session.js';
import { InputError, ifThere } from '../errors.js';
import type { ImageFolderChoice, OnnxNetworkChoice } from '../experiment/network.js';
import type { Experiment } from '../experiment/schema.js';
import type { OnnxNetwork } from '../networks/onnx.js';
import { describeGraph, findCuts } from '../onnx/graph/cuts.js';
import { describe, exitPaths, withPassedExits } from '../onnx/graph/exits.js';
import { graphFlops } from '../onnx/graph/flops.js';
import { inCurrentOpset } from '../onnx/graph/opsets.js';
import { prepareGraph } from '../onnx/graph/prepare.js';
import { readUserFile } from '../onnx/graph/read.js';
import { checkUserModel, type ModelOptions, type UserModel } from '../onnx/graph/user-model.js';
import type { UserNetwork } from '../onnx/network.js';
import { dataTypes } from '../onnx/proto.js';
import type { RunContext } from './context.js';
import type { NetworkSource } from './source.js';

/** An exit of a file, in words, and the FLOPs of an image that leaves there; the last one is the end. */
export interface CostedExit {
  readonly leaves: string;
  readonly threshold?: number;
  readonly flops: number;
}

/** The exits that a file already has. @throws InputError */
export async function inspectExits(path: string, options: ModelOptions = {}): Promise<CostedExit[]> {
  const { file } = inCurrentOpset(await readUserFile(path));
  const paths = exitPaths(file) ?? [];
  const { passed } = paths.at(-1) ?? { passed: [] };
  const found: CostedExit[] = [];
  for (const [exit, way] of paths.entries()) {
    const graph = withPassedExits(way, options.logits);
    const model = checkUserModel({ ...file, model: { ...file.model, graph } }, { inputSize: options.inputSize });
    const { total } = graphFlops(await prepareGraph(model, runModelOf(path)));
    const left = passed[exit];
    const threshold = left?.threshold;
    const leaves = left === undefined ? 'all others' : describe(left);
    found.push({ leaves, ...(threshold !== undefined && { threshold }), flops: total });
  }
  return found;
}

/**
 * Reads an ONNX file, runs it once and searches it for places to cut it. The graph has its own exits passed, if it has some.
 *
 * @throws InputError if the file cannot be read or is not supported
 */
export async function inspectFile(path: string, options: ModelOptions = {}) {
  const run = runModelOf(path);
  const graph = await prepareGraph(checkUserModel(await readUserFile(path), options), run);
  const cuts = await findCuts(graph, run);
  return { graph: { ...graph, notes: [...graph.notes, ...cuts.notes] }, cuts };
}

/** The last inspected file: commands check an experiment before they run it, and run several seeds. */
let last: { readonly key: string; readonly inspected: ReturnType<typeof inspectFile> } | undefined;

function inspectOnce(path: string, options: ModelOptions, state: string) {
  const key = JSON.stringify([resolve(path), options, state]);
  if (last?.key !== key) last = { key, inspected: inspectFile(path, options) };
  return last.inspected;
}

/** The network of an experiment that names an ONNX file. @throws InputError */
export async function openUserNetwork(choice: OnnxNetworkChoice, dataset: string): Promise<UserNetwork> {
  const { file, logits, inputSize, gatesAfter } = choice;
  const found = await ifThere(file, stat(file));
  const { graph, cuts } = await inspectOnce(file, { logits, inputSize }, `${found?.size} ${found?.mtimeMs}`);
  const name = basename(file).replace(/\.onnx$/, '');
  return { graph, network: describeGraph(graph, cuts, { name, dataset, gatesAfter }) };
}

export function datasetLabel(dataset: Experiment['dataset']): string {
  if (dataset === undefined || typeof dataset === 'string') return dataset ?? '';
  return basename(resolve(dataset.folder));
}

/** The source of a user's network. @throws InputError if network and images do not fit each other */
export function userSource(user: UserNetwork, experiment: Experiment, context: RunContext): NetworkSource {
  const { network, graph } = user;
  const choice = experiment.network as OnnxNetworkChoice;
  const dataset = experiment.dataset ? openDataset(experiment.dataset, context, network.classes) : undefined;
  for (const note of dataset?.notes ?? []) context.progress.note(note);
  const preprocessing =
    choice.preprocess === undefined
      ? (dataset?.preprocessing ?? missingPreprocessing(choice))
      : preprocessingNamed(choice.preprocess as string | Preprocessing);
  checkPreprocessing(preprocessing);
  const misfit = dataset && checkFit(network, dataset, preprocessing);
  checkBytes(graph.model, preprocessing);
  const { path, sha256 } = graph.model.file;
  if (graph.notes.length > 0) context.progress.note(`${path}: changed on reading: ${graph.notes.join('; ')}`);
  return {
    network,
    ...(dataset && { dataset }),
    checkpoint: { path, sha256, known: undefined },
    modules: ['run/user-network'],
    preprocessing,
    ...(misfit !== undefined && { misfit }),
    heldOut: () => {
      const valid = "valid: thresholds.validation { kind: 'cross-fit' }";
      return Promise.reject(
        new InputError(`${path}: does not name the images that were held out of its training; ${valid}`),
      );
    },
    lowered: async () => user,
  };
}

function missingPreprocessing({ file }: OnnxNetworkChoice): never {
  const valid = "onnxNetwork('model.onnx', { preprocess: 'torchvision-v2' }), or a dataset that says it";
  throw new InputError(`${file}: nothing says how it wants its pixels; valid: ${valid}`);
}

function openDataset(dataset: string | ImageFolderChoice, { datasets }: RunContext, outputs: number): Dataset {
  if (typeof dataset === 'string') return datasetNamed(dataset, datasets);
  const { folder, preprocess, testShare, seed } = dataset;
  return imageFolderDataset(folder, { preprocess: preprocess as Preprocessing, testShare, seed, outputs });
}

/** A network that normalises its input itself needs raw pixels. @throws InputError */
function checkBytes({ input, file }: UserModel, { mean, std }: Preprocessing): void {
  const isPlain = mean.every((value) => value === 0) && std.every((value) => Math.abs(255 * value - 1) < 1e-6);
  if (input.type !== dataTypes.uint8 || isPlain) return;
  const valid = "valid: preprocess 'bytes', or { mean: [0, 0, 0], std: [1 / 255, 1 / 255, 1 / 255], resize, crop }";
  throw new InputError(`${file.path}: takes bytes and normalises them itself; ${valid}`);
}

/** @returns what is wrong with the size. @throws InputError if classes or channels do not fit */
function checkFit(
  { name, input, classes }: OnnxNetwork,
  dataset: Dataset,
  preprocessing: Preprocessing,
): string | undefined {
  const problems: string[] = [];
  if (dataset.classes.length !== classes) {
    problems.push(
      `${name}: ${classes} classes, ${dataset.name} has ${dataset.classes.length}; valid: a folder for each class, in the order of the outputs when sorted by name`,
    );
  }
  const side = preprocessing.crop ?? dataset.input.height;
  const { channels, height, width } = input;
  if (dataset.input.channels !== channels || preprocessing.mean.length !== channels) {
    const valid =
      channels === 1
        ? '; valid: preprocess { mean: [m], std: [s], resize, crop }: one number each makes images grey'
        : '';
    problems.push(
      `${name}: takes ${channels} channels, images of ${dataset.name} have ${dataset.input.channels}${valid}`,
    );
  }
  if (problems.length > 0) throw new InputError(problems);
  if (height === side && width === side) return undefined;
  const resize = Math.round((height * 8) / 7);
  return `${name}: takes ${height} x ${width} pixels, ${dataset.name} gives ${side} x ${side}; valid: preprocess { mean, std, resize: ${resize}, crop: ${height} }, or an export for ${side} x ${side}`;
}
