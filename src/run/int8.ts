import { normalise } from '../data/preprocess.js';
import { datasetNamed } from '../data/registry.js';
import { runModelOf } from '../engines/onnxruntime/session.js';
import { engineNamed } from '../engines/registry.js';
import { InputError } from '../errors.js';
import { Budget } from '../json.js';
import { networkFlops, stageShapes } from '../networks/network.js';
import type { GatePlace, OnnxStage } from '../networks/onnx.js';
import { featureGraph } from '../onnx/gated.js';
import { type PreparedGraph, prepareGraph } from '../onnx/graph/prepare.js';
import { eightBitName, quantisedModel, type Ranges, rangeGraph } from '../onnx/graph/quantise.js';
import { checkUserModel } from '../onnx/graph/user-model.js';
import { producersOf } from '../onnx/graph/values.js';
import { featureGraphNames, isUser, type LoadedNetwork, type UserNetwork } from '../onnx/network.js';
import { decodeModel, encodeModel } from '../onnx/proto.js';
import { codeOf } from '../store/code.js';
import { canonicalJson, sha256 } from '../store/files.js';
import { makeAll } from '../store/store.js';
import type { RunContext } from './context.js';
import { type NetworkSource, once } from './source.js';

/** Training images that the ranges of activations are taken from: none is reported, and none chooses thresholds but held-out ones. */
const IMAGES = 512;
const BATCH = 16;

/**
 * The network with 8-bit weights and activations in the place of its float32 ones. It is made when its weights are first needed;
 * gates, scores and thresholds are then its own.
 *
 * @throws InputError where the engine runs no ONNX graphs
 */
export function inEightBits(context: RunContext, source: NetworkSource, engine: string): NetworkSource {
  const { id } = engineNamed(engine);
  if (!id.startsWith('ort-')) {
    throw new InputError(`engine ${id}: runs no 8-bit network; valid with int8: ort-cpu, ort-webgpu, ort-cuda`);
  }
  const modules = [...source.modules, 'run/int8'];
  return { ...source, int8: IMAGES, modules, lowered: once(() => quantise(context, source)) };
}

async function quantise(context: RunContext, source: NetworkSource): Promise<UserNetwork> {
  const real = await asGraph(await source.lowered());
  const ranges = await rangesOf(context, source, real);
  const { path } = real.graph.model.file;
  const graph = await prepared(encodeModel(quantisedModel(real, ranges)), `${path}, 8 bits`, real.graph.logits);
  const stages = real.network.stages.map((stage) => {
    return stage.name in ranges ? { ...stage, name: eightBitName(stage.name) } : stage;
  });
  return { graph, network: { ...real.network, logits: graph.logits, stages } };
}

/** A network as a graph of float32 numbers, its stages named by their tensors. */
async function asGraph(loaded: LoadedNetwork): Promise<UserNetwork> {
  if (isUser(loaded)) return loaded;
  const { network } = loaded;
  const { name, dataset, input, classifier } = network;
  const shapes = stageShapes(network).slice(0, -1);
  const places = shapes.map((_, i): GatePlace => ({ stage: i + 1, pooling: { kind: 'gap' } }));
  const bytes = featureGraph(loaded, places);
  const graph = await prepared(bytes, name, featureGraphNames.logits);
  const makers = producersOf(decodeModel(bytes).graph.node);
  const before = (value: string): string => makers.get(value)!.input[0]!;
  const { parameters, flops, stages } = networkFlops(network);
  const described = shapes.map((shape, i): OnnxStage => {
    const name = before(before(before(featureGraphNames.gate(i))));
    return { ...shape, name, layout: 'maps-first', cumulativeFlops: stages[i]!.cumulativeFlops };
  });
  const counts = { classes: classifier.out, parameters, flops };
  return {
    graph,
    network: { format: 'onnx', name, dataset, input, logits: graph.logits, ...counts, stages: described },
  };
}

function prepared(bytes: Uint8Array, path: string, logits: string): Promise<PreparedGraph> {
  const budget = new Budget(path, bytes.length, 'a smaller network');
  const file = { path, sha256: sha256(bytes), model: decodeModel(bytes, budget), budget };
  return prepareGraph(checkUserModel(file, { logits }), runModelOf(path));
}

/** Ranges of activations on training images, spread over all of them: from the cache or into it. */
async function rangesOf(context: RunContext, source: NetworkSource, real: UserNetwork): Promise<Ranges> {
  const { store, dataRoot, datasets, progress, download } = context;
  const { network, preprocessing, checkpoint, modules } = source;
  const dataset = source.dataset ?? datasetNamed(network.dataset, datasets);
  const fetched = { root: dataRoot, from: dataset.sources[0]!, progress, download };
  if (!(await dataset.isThere(dataRoot))) await dataset.fetch(fetched);
  const images = await dataset.load(dataRoot, 'train', preprocessing);
  const count = Math.min(IMAGES, images.count);
  const entry = store.entry('int8', {
    images: images.sha256,
    preprocessing,
    network: sha256(canonicalJson(network)),
    checkpoint: checkpoint.sha256,
    ...(source.weights && { weights: source.weights }),
    code: codeOf('run/int8', ...modules),
  });
  const label = `ranges of the activations of ${network.name} on ${count} training images`;
  const make = async (): Promise<void> => {
    const { bytes, rangesOf: read } = rangeGraph(real);
    const batches = [];
    for (let start = 0; start < count; start += BATCH) {
      const some = Array.from({ length: Math.min(BATCH, count - start) }, (_, i) =>
        Math.floor(((start + i) * images.count) / count),
      );
      const data = normalise(await images.batch(some), preprocessing, images.height * images.width);
      batches.push({
        name: real.graph.model.input.value,
        dims: [some.length, images.channels, images.height, images.width],
        data,
      });
    }
    await entry.finish({ ranges: read(await runModelOf(real.graph.model.file.path)(bytes, batches)) });
  };
  await makeAll(progress, [{ entry, label, make }]);
  return (await entry.manifest())!.notes['ranges'] as Ranges;
}
