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
import { decide } from '../gates/confidence.js';
import type { OnnxNetwork, OnnxStage } from '../networks/onnx.js';
import { featureGraph } from '../onnx/gated.js';
import { describe, type FoundExit, ownThreshold } from '../onnx/graph/conditions.js';
import { describeGraph, findCuts } from '../onnx/graph/cuts.js';
import { ownExits } from '../onnx/graph/exits.js';
import { graphFlops } from '../onnx/graph/flops.js';
import { inCurrentOpset } from '../onnx/graph/opsets.js';
import { chosenOutput } from '../onnx/graph/outputs.js';
import { prepareGraph } from '../onnx/graph/prepare.js';
import { noise, type RunModel } from '../onnx/graph/probe.js';
import { readUserFile, type UserFile } from '../onnx/graph/read.js';
import { checkUserModel, type ModelOptions, type UserModel, withFloatImages } from '../onnx/graph/user-model.js';
import { batchAxis, neededNodes, splitNodes } from '../onnx/graph/values.js';
import { featureGraphNames, type UserNetwork } from '../onnx/network.js';
import { dataTypes, encodeModel } from '../onnx/proto.js';
import { exitCosts } from '../thresholds/evaluate.js';
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
  const found = await openOwn(path, options);
  if (found === undefined) return [];
  const { exits, network } = found;
  const { stages, flops } = network;
  const [before, heads] = [stages.map((stage) => stage.cumulativeFlops), stages.map(({ own }) => own!.flops)];
  return exitCosts(before, heads, flops).map((cost, i) => {
    const threshold = exits[i]?.threshold;
    const leaves = exits[i] === undefined ? 'all others' : describe(exits[i]);
    return { leaves, ...(threshold !== undefined && { threshold }), flops: cost };
  });
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

/** Keeps the last opened file: commands check an experiment before they run it, and run several seeds. */
function keepingLast<T>(open: (path: string, options: ModelOptions) => Promise<T>) {
  let last: { readonly key: string; readonly opened: Promise<T> } | undefined;
  return (path: string, options: ModelOptions, state: string): Promise<T> => {
    const key = JSON.stringify([resolve(path), options, state]);
    if (last?.key !== key) last = { key, opened: open(path, options) };
    return last.opened;
  };
}

const inspectOnce = keepingLast(inspectFile);
const openOwnOnce = keepingLast((path, options) => openOwn(path, options));

/** The network of an experiment that names an ONNX file. @throws InputError */
export async function openUserNetwork(choice: OnnxNetworkChoice, dataset: string): Promise<UserNetwork> {
  const { file, logits, inputSize, gatesAfter } = choice;
  const found = await ifThere(file, stat(file));
  const state = `${found?.size} ${found?.mtimeMs}`;
  if (gatesAfter === 'own') {
    const own = await openOwnOnce(file, { logits, inputSize }, state);
    if (own === undefined)
      throw new InputError(`${file}: has no exits of its own (an If each); valid: gates: { after: [1, 2] }`);
    return { graph: own.graph, network: { ...own.network, dataset } };
  }
  const { graph, cuts } = await inspectOnce(file, { logits, inputSize }, state);
  return { graph, network: describeGraph(graph, cuts, { name: nameOf(file), dataset, gatesAfter }) };
}

const nameOf = (file: string): string => basename(file).replace(/\.onnx$/, '');

type OwnNetwork = UserNetwork & { readonly exits: readonly FoundExit[] };

/**
 * A file's network with its own exits in the place of gates; undefined for one without.
 *
 * @throws InputError if they cannot be read, or the file gives other answers
 */
export async function openOwn(
  path: string,
  { logits, inputSize }: ModelOptions,
  run: RunModel = runModelOf(path),
): Promise<OwnNetwork | undefined> {
  const { file } = inCurrentOpset(await readUserFile(path));
  const output = chosenOutput(file, logits);
  const own = ownExits(file, output);
  if (own === undefined) return undefined;
  const { exits, values } = own;
  const model = checkUserModel(own.file, { inputSize });
  // Its conditions hold for one image.
  const joined = await prepareGraph({ ...model, input: { ...model.input, batch: 1 } }, run);
  const { input } = joined.model;
  const given = new Map<string, unknown>([...joined.constants, ...joined.constantNodes, [input.value, input]]);
  const needed = (names: readonly string[]) => neededNodes(joined.nodes, given, names, path);
  const graph = { ...joined, logits: values.at(-1)!, nodes: needed(values) };
  const { perNode, total } = graphFlops(graph);
  const { pieces, handedOn } = splitNodes(graph.nodes, input.value, values);
  const classesOf = (value: string): number => graph.shapes.get(value)![0][1]!;
  const classes = classesOf(graph.logits);
  let [cumulativeFlops, heads] = [0, 0];
  const stages = exits.map((exit, i): OnnxStage => {
    const [name, where] = [values[i]!, `${path}: exit ${i + 1} (${describe(exit)})`];
    const found = classesOf(name);
    if (found !== classes) throw new InputError(`${where}: ${found} classes, the end has ${classes}; valid: as many`);
    const fixed = handedOn[i]!.find((value) => batchAxis(graph.shapes.get(value)) === undefined);
    if (fixed !== undefined) throw new InputError(`${where}: ${fixed}, needed behind it, has no axis of images`);
    const [own, later] = [new Set(pieces[i]), new Set(needed(values.slice(i + 1)))];
    const costOf = (isHead: boolean): number =>
      perNode.reduce((sum, cost, at) => {
        const node = graph.nodes[at]!;
        return own.has(node) && later.has(node) !== isHead ? sum + cost : sum;
      }, 0);
    cumulativeFlops += costOf(false);
    heads += costOf(true);
    const head = { flops: costOf(true), leaves: describe(exit), threshold: ownThreshold(exit) };
    return { name, channels: classes, height: 1, width: 1, layout: 'row', cumulativeFlops, own: head };
  });
  const { channels, height, width } = input;
  const network = {
    ...{
      format: 'onnx' as const,
      name: nameOf(path),
      dataset: '',
      input: { channels, height, width },
      classes,
      stages,
    },
    ...{ logits: graph.logits, parameters: graph.parameters, flops: total - heads },
  };
  const opened = { graph, network, exits };
  const isWhole = stages.every((stage) => stage.own!.threshold !== undefined);
  const isSame = file.model.graph.input[0]?.type.tensor_type.elem_type === input.type;
  if (isWhole && isSame) await compareExits(opened, file, output, run);
  return opened;
}

const TRIED_IMAGES = 6;

/** Runs generated images through a file, one by one, and through its exits as read. @throws InputError for other answers */
async function compareExits({ graph, network }: OwnNetwork, { model, path }: UserFile, output: string, run: RunModel) {
  const { input } = graph.model;
  const { channels, height, width } = input;
  const size = channels * height * width;
  const isBytes = input.type === dataTypes.uint8;
  // Weak and strong images, for small and large confidences.
  const strength = (i: number): number => (isBytes ? 1 : 4 ** (Math.floor(i / size) - 3));
  const images = noise(TRIED_IMAGES * size, isBytes).map((value, i) => value * strength(i));
  const batchOf = (name: string, from: number, count: number) => {
    return { name, dims: [count, channels, height, width], data: images.subarray(from * size, (from + count) * size) };
  };
  const { graph: whole, value } = withFloatImages(model.graph, input);
  const answering = { ...whole, output: whole.output.filter(({ name }) => name === output) };
  const alone = Array.from({ length: TRIED_IMAGES }, (_, i) => batchOf(value, i, 1));
  const said = await run(encodeModel({ ...model, graph: answering, metadata_props: [] }), alone);
  const places = network.stages.map((_, i) => ({ stage: i + 1, pooling: { kind: 'gap' as const } }));
  const together = batchOf(featureGraphNames.input, 0, TRIED_IMAGES);
  const [read] = await run(featureGraph({ graph, network }, places), [together]);
  const names = [...places.map((_, i) => featureGraphNames.gate(i)), featureGraphNames.logits];
  const exits = names.map((name) => decide(read!.get(name)!.data as Float32Array, network.classes, 'max'));
  for (const [image, values] of said.entries()) {
    const row = values.get(output)?.data;
    const beyond = network.stages.map(({ own }, i) => exits[i]!.confidences[image]! - own!.threshold!);
    const isNear = beyond.some((distance) => Math.abs(distance) < NEAR_THRESHOLD);
    const exit = exits.at(beyond.findIndex((distance) => distance >= 0))!;
    if (!(row instanceof Float32Array) || isNear) continue;
    if (decide(row, network.classes, 'max').classes[0] === exit.classes[image]) continue;
    const valid = 'valid: gates: { after: [1, 2] }, which leaves its exits out';
    throw new InputError(`${path}: answers otherwise than its exits as they were read; ${valid}`);
  }
}

/** Numbers this close to a threshold may fall on either side. */
const NEAR_THRESHOLD = 1e-4;

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
  // Small images are usually seen whole; larger ones as torchvision cuts them.
  const resize = height <= 64 ? height : Math.round((height * 8) / 7);
  const numbers = [preprocessing.mean, preprocessing.std].map(
    (of) => `[${of.map((value) => +value.toPrecision(6)).join(', ')}]`,
  );
  const valid = `preprocess { mean: ${numbers[0]}, std: ${numbers[1]}, resize: ${resize}, crop: ${height} } with the network's own mean and std`;
  return `${name}: takes ${height} x ${width} pixels, ${dataset.name} gives ${side} x ${side}; valid: ${valid}, or an export for ${side} x ${side}`;
}
