import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeSafetensors, matchTensors, readCheckpoint, type Storable } from '../../src/checkpoints/load.js';
import { openContext } from '../../src/cli/context.js';
import { type ImageSource, selectImages } from '../../src/data/dataset.js';
import { normalise } from '../../src/data/preprocess.js';
import { loadDefinition } from '../../src/experiment/load.js';
import { parseSetting, resolveExperiment } from '../../src/experiment/resolve.js';
import { type OpenGated, openGated } from '../../src/gated/open.js';
import type { PlacedGate } from '../../src/gates/contracts.js';
import { cascade, defineExperiment } from '../../src/index.js';
import { networkByName } from '../../src/networks/catalogue.js';
import { type LoweredNetwork, lowerNetwork } from '../../src/networks/lower.js';
import { type Network, networkFlops, networkTensors } from '../../src/networks/network.js';
import { featureGraph, gatedModel } from '../../src/onnx/gated.js';
import { decidedAnswer } from '../../src/onnx/gated-exits.js';
import type { GatedSource } from '../../src/onnx/network.js';
import { openImages } from '../../src/run/images.js';
import { openNetwork } from '../../src/run/source.js';
import { openStages, type Stages } from '../../src/run/stages.js';
import { fullWidth } from '../pytorch-early-exit.js';
import { presentSets } from '../runner/conditions.js';
import { type Model, storeModel } from './models.js';
import type { Subject, System } from './subjects.js';

export type Say = (line: string) => void;

/** Accuracy that a system may cost on the images that choose thresholds. */
export const DROPS: readonly number[] = [0, 0.005, 0.01];
export const pointsOf = (drop: number): string => `${100 * drop} points`;
/** The row that runtimes other than dgate's run as well. */
const MIDDLE = 0.005;
const CALIBRATION_IMAGES = 512;
/** That the gates of 8-bit networks learn from. */
const INT8_TRAIN_IMAGES = 10_000;

const tableOne = { network: 'resnet101-width0.5-blocks1.1.7.1-cifar10', checkpoint: 'dgate-resnet101-small-cifar10' };
const narrow = { network: 'resnet101-width0.25-blocks1.1.7.1-cifar10', checkpoint: 'dgate-resnet101-narrow-cifar10' };

/** The cascade of Table 1's networks, thresholds chosen as in Table 1. */
export const tableOneCascade = defineExperiment({
  name: 'rivals-cascade',
  title: "The narrow ResNet, then Table 1's",
  network: cascade([narrow, tableOne]),
  thresholds: { validation: { kind: 'held-out' } },
});

/** A network with trained weights on CIFAR-10, with gates, in a cascade and beside smaller networks. */
export async function prepareTrained(folder: string, gatedName: string, cascadeOf: unknown, say: Say): Promise<void> {
  const context = await openContext({});
  const settings = [`thresholds.margins=${JSON.stringify(DROPS)}`, 'thresholds.search=joint'].map(parseSetting);
  const open = async (
    definition: unknown,
    more: readonly ReturnType<typeof parseSetting>[] = [],
  ): Promise<OpenGated> => {
    const { exported, where } =
      typeof definition === 'string' ? await loadDefinition(definition) : { exported: definition, where: 'rivals' };
    return openGated(context, resolveExperiment(exported, where, 'laptop', [...settings, ...more]));
  };
  const [gated, both] = [await open(gatedName), await open(cascadeOf)];
  const { images } = gated.parts[0]!.evaluation;
  if (both.parts[0]!.evaluation.images.join() !== images.join())
    throw new Error('gates and cascade report other images');
  const { source, experiment } = gated;
  const splits = await openImages(context, experiment, source);
  const isHeldOut = experiment.thresholds.validation.kind === 'held-out';
  const reported = selectImages(gated.test, images);
  const pixels = (of: ImageSource, bytes: Uint8Array) => normalise(bytes, source.preprocessing, of.height * of.width);
  const all = await reported.batch(Int32Array.from({ length: reported.count }, (_, i) => i));
  await writeFile(join(folder, 'images.bin'), asBytes(pixels(reported, all)));
  await writeFile(join(folder, 'labels.json'), JSON.stringify([...reported.labels]));
  const train = splits.train!;
  const step = Math.floor(train.count / CALIBRATION_IMAGES);
  const some = await train.batch(Int32Array.from({ length: CALIBRATION_IMAGES }, (_, i) => i * step));
  await writeFile(join(folder, 'calibration.bin'), asBytes(pixels(train, some)));

  const lowered = (await source.lowered()) as LoweredNetwork;
  const { network } = lowered;
  await writeStatic(folder, 'original', lowered);
  const systems: System[] = [{ name: 'original', runtime: 'onnxruntime-node', kind: 'file', file: 'original.onnx' }];
  for (const [name, opened] of Object.entries({ gated, cascade: both })) {
    systems.push(...(await writeDynamic(folder, name, name, opened)));
  }
  say('the same with 8 bits');
  for (const [name, definition] of Object.entries({ gated: gatedName, cascade: cascadeOf })) {
    const learning = name === 'gated' ? [`trainImages=${INT8_TRAIN_IMAGES}`] : [];
    const opened = await open(definition, ['int8=true', ...learning].map(parseSetting));
    systems.push(...(await writeDynamic(folder, `int8-${name}`, `8 bits and ${name}`, opened)));
  }
  systems.push({ name: '8 bits, dgate', runtime: 'onnxruntime-node', kind: 'file', file: 'int8-gated-0.onnx' });
  for (const { network: chosen, checkpoint } of experiment.baselines ?? []) {
    const smaller = await openNetwork(
      networkByName(chosen as string),
      checkpoint,
      context.modelsRoot,
      context.progress,
    );
    await writeStatic(folder, chosen as string, (await smaller.lowered()) as LoweredNetwork);
    systems.push({ name: `smaller: ${chosen}`, runtime: 'onnxruntime-node', kind: 'file', file: `${chosen}.onnx` });
  }
  const openvino = { runtime: 'openvino', kind: 'file' } as const;
  systems.push({ name: 'OpenVINO, original', ...openvino, file: 'original.onnx' });
  const middle = systems.find(({ name }) => name === `gated, ${pointsOf(MIDDLE)}`)!.thresholds!;
  systems.push({
    name: `OpenVINO, gated file, ${pointsOf(MIDDLE)}`,
    ...openvino,
    file: 'gated.onnx',
    thresholds: middle,
  });
  systems.push(...torchSystems(middle, `, ${pointsOf(MIDDLE)}`));
  await writeSubject(folder, { network, isReal: true, images: reported.count, gates: gated.gates, systems });
  const { tensors: found } = await readCheckpoint(source.checkpoint.path);
  const tensors = new Map<string, Storable>(matchTensors(networkTensors(network), found, network.name));
  await writeFile(
    join(folder, 'weights.safetensors'),
    encodeSafetensors(new Map([...tensors, ...gateArrays(gated.gates)])),
  );
  const chosen = isHeldOut ? undefined : gated.parts[0]!.selection.images;
  await writeAverages(folder, await openStages(context, experiment), chosen);
}

/** The full-width network with generated weights: times and sizes only. A third of the images leaves at each of two gates. */
export async function prepareGenerated(folder: string): Promise<void> {
  const { network, tensors, gates, thresholds, images } = await fullWidth({ 1: 20, 32: 6 });
  const lowered = lowerNetwork(network, tensors);
  const [channels, height, width] = inputOf(network);
  await writeFile(join(folder, 'images.bin'), asBytes(images));
  await writeFile(join(folder, 'calibration.bin'), asBytes(images.subarray(0, 64 * channels! * height! * width!)));
  await writeFile(
    join(folder, 'weights.safetensors'),
    encodeSafetensors(new Map([...new Map<string, Storable>(tensors), ...gateArrays(gates)])),
  );
  await writeStatic(folder, 'original', lowered);
  await writeGraph(folder, 'gated', { source: lowered, gates, confidence: 'max' });
  const texts = thresholds.map(String);
  const leaving = ', a third leaves at each of two gates';
  const openvino = { runtime: 'openvino', kind: 'file' } as const;
  const systems: System[] = [
    { name: 'original', runtime: 'onnxruntime-node', kind: 'file', file: 'original.onnx' },
    { name: `gated${leaving}`, runtime: 'dgate', kind: 'generated', file: 'gated.onnx', thresholds: texts },
    { name: 'OpenVINO, original', ...openvino, file: 'original.onnx' },
    { name: `OpenVINO, gated file${leaving}`, ...openvino, file: 'gated.onnx', thresholds: texts },
    ...torchSystems(texts, leaving),
  ];
  const count = images.length / (channels! * height! * width!);
  await writeSubject(folder, { network, isReal: false, images: count, gates, systems });
}

/** What `loadModel` finds for the trained networks. */
export async function generatedModel(): Promise<Model> {
  const { network, tensors, gates } = await fullWidth({ 1: 1, 32: 1 });
  return { source: lowerNetwork(network, tensors), gates, confidence: 'max' };
}

const asBytes = ({ buffer, byteOffset, byteLength }: Float32Array) => new Uint8Array(buffer, byteOffset, byteLength);
const inputOf = ({ input }: Network): number[] => [input.channels, input.height, input.width];

/** NAME.onnx: float images in, logits out. */
async function writeStatic(folder: string, name: string, lowered: LoweredNetwork): Promise<void> {
  await writeFile(join(folder, `${name}.onnx`), featureGraph(lowered, []));
}

/** NAME.onnx: the file that `dgate export` writes, but for the normalisation of pixels. */
async function writeGraph(folder: string, name: string, { source, gates, confidence }: Model): Promise<void> {
  const answer = decidedAnswer();
  await writeFile(join(folder, `${name}.onnx`), gatedModel(source, gates, { confidence, answer }));
}

/** A system for each drop of accuracy: the row that was searched for it. */
async function writeDynamic(folder: string, name: string, label: string, opened: OpenGated): Promise<System[]> {
  const { confidence } = opened.experiment.gates;
  const source: GatedSource = await opened.lowered();
  await storeModel(folder, name, opened);
  await writeGraph(folder, name, { source, gates: opened.gates, confidence });
  return DROPS.map((drop): System => {
    const row = opened.rows.find(({ kind, margin }) => kind === 'margin' && margin === drop)!;
    const thresholds = row.thresholds[0]!.map(String);
    const system = `${label}, ${pointsOf(drop)}`;
    return { name: system, runtime: 'dgate', kind: 'model', model: name, file: `${name}.onnx`, thresholds };
  });
}

function torchSystems(thresholds: readonly string[], label: string): System[] {
  return [
    { name: 'PyTorch, eager', runtime: 'torch', kind: 'eager', file: 'weights.safetensors' },
    { name: 'torch.compile, frozen', runtime: 'torch', kind: 'compiled', file: 'weights.safetensors' },
    {
      name: `PyTorch, early-exit loop${label}`,
      runtime: 'torch',
      kind: 'loop',
      file: 'weights.safetensors',
      thresholds,
    },
  ];
}

function gateArrays(gates: readonly PlacedGate[]): [string, Storable][] {
  return gates.flatMap(({ gate: { features, classes, weights, bias } }, k): [string, Storable][] => [
    [`gate${k + 1}.weights`, { dtype: 'F32', shape: [features, classes], data: weights }],
    [`gate${k + 1}.bias`, { dtype: 'F32', shape: [classes], data: bias }],
  ]);
}

async function writeSubject(
  folder: string,
  {
    network,
    gates,
    ...rest
  }: Pick<Subject, 'network' | 'isReal' | 'images' | 'systems'> & { gates: readonly PlacedGate[] },
): Promise<void> {
  const flops = networkFlops(network);
  const places = gates.map(({ place }) => place);
  const hasVnni = presentSets().some((name) => /VNNI|AMX|dot/.test(name));
  const shares = places.map(({ stage }) => flops.stages[stage - 1]!.cumulativeFlops / flops.flops);
  const subject = {
    ...rest,
    network,
    input: inputOf(network),
    gates: places,
    shares,
    drops: DROPS,
    hasVnni,
  };
  await writeFile(join(folder, 'subject.json'), JSON.stringify(subject));
}

/**
 * What earlyon's exits read: the averages of every channel behind the gates' stages, of the gates' own features, whose grid of
 * equal cells they are the mean of; and the logits, which training images have none of and need none of.
 */
async function writeAverages(folder: string, stages: Stages, choosing: Int32Array | undefined): Promise<void> {
  const { features, plan } = stages;
  const classes = features.test.classes;
  const cells = plan.places.map(({ pooling }) => (pooling.kind === 'grid' ? pooling.size ** 2 : 1));
  const sets = { train: features.train!, choosing: choosing === undefined ? features.heldOut! : features.test };
  for (const [name, set] of Object.entries(sets)) {
    const rows: number[][][] = [...plan.places, undefined].map(() => []);
    const labels: number[] = [];
    for await (const shard of set.shards()) {
      labels.push(...shard.labels);
      const count = shard.labels.length;
      for (const [k, cell] of cells.entries()) {
        const values = shard.features(k);
        const width = values.length / count;
        for (let i = 0; i < count; i++) {
          const row = new Array<number>(width / cell).fill(0);
          for (let j = 0; j < width; j++) row[Math.floor(j / cell)]! += values[i * width + j]! / cell;
          rows[k]!.push(row);
        }
      }
      const logits = name === 'train' ? new Float32Array(count * classes) : shard.logits;
      for (let i = 0; i < count; i++) rows.at(-1)!.push([...logits.subarray(i * classes, (i + 1) * classes)]);
    }
    const wanted = name === 'choosing' && choosing !== undefined ? [...choosing] : [...labels.keys()];
    const arrays = rows.map((all, k): [string, Storable] => {
      const data = Float32Array.from(wanted.flatMap((i) => all[i]!));
      return [
        k < cells.length ? `gate${k + 1}` : 'logits',
        { dtype: 'F32', shape: [wanted.length, data.length / wanted.length], data },
      ];
    });
    // read as float32 by the scripts beside this one
    arrays.push([
      'labels',
      { dtype: 'F32', shape: [wanted.length], data: Float32Array.from(wanted, (i) => labels[i]!) },
    ]);
    await writeFile(join(folder, `${name}.safetensors`), encodeSafetensors(new Map(arrays)));
  }
}
