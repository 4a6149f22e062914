import { asFloat16, asInt8 } from '../checkpoints/dtypes.js';
import { takeCheckpoint } from '../checkpoints/fetch.js';
import { checkpointOfHash, findCheckpoint } from '../checkpoints/known.js';
import { fittingNetworks, readCheckpoint, type Storable, weightsOf, writeSafetensors } from '../checkpoints/load.js';
import { geometryOf, type Preprocessing, usualGeometry } from '../data/preprocess.js';
import { datasetNamed } from '../data/registry.js';
import { InputError } from '../errors.js';
import { visible } from '../escape.js';
import { counted, percent } from '../json.js';
import { networkByName } from '../networks/catalogue.js';
import { type Network, networkTensors } from '../networks/network.js';
import { type AboutGated, aboutOf } from '../onnx/gated-file.js';
import { type Cuts, mapLayoutOf, whyNone } from '../onnx/graph/cuts.js';
import type { PreparedGraph } from '../onnx/graph/prepare.js';
import { readUserFile } from '../onnx/graph/read.js';
import { renderColumns } from '../report/findings.js';
import { evaluateOriginal } from '../run/images.js';
import { obtainCheckpoint, openNetwork, parseHeldOut, parsePreprocessing } from '../run/source.js';
import { type CostedExit, inspectExits, inspectFile } from '../run/user-network.js';
import { readText } from '../store/input.js';
import { elementCount } from '../tensor.js';
import type { Given, GlobalOptions } from './command.js';
import { openContext } from './context.js';
import {
  assertOut,
  assertPixels,
  type evalOptions,
  type importOptions,
  type inspectOptions,
  normalisationFrom,
  sizeFrom,
} from './options.js';
import { print, printEither } from './output.js';

/** `dgate model fetch` */
export async function fetchModel(
  options: GlobalOptions & { readonly id: string; readonly from: string | undefined },
): Promise<void> {
  const known = findCheckpoint(options.id);
  const { modelsRoot, progress } = await openContext(options);
  const path =
    options.from === undefined
      ? await obtainCheckpoint(known, modelsRoot, progress)
      : (await takeCheckpoint(known, options.from, modelsRoot, progress)).path;
  print(`${path}\n${known.network}, licence ${known.licence}, ${known.reference}`);
}

type ImportOptions = Given<typeof importOptions>;

/** `dgate model import` */
export async function importModel(options: ImportOptions): Promise<void> {
  const { file, out } = options;
  assertOut(out, 'safetensors');
  if (options.half && options.int8) throw new InputError('--half --int8; valid: one of them');
  const network = networkByName(options.network);
  checkGiven(options, network);
  const checkpoint = await readCheckpoint(file);
  const weights = weightsOf(networkTensors(network), checkpoint.dictionaries, `${file} for ${network.name}`, options);
  const { tensors, taken, doubt, normalisation } = weights;
  const known = checkpointOfHash(checkpoint.sha256);
  const recorded = checkpoint.metadata['preprocessing'];
  const own = normalisation && { ...datasetNamed(network.dataset).preprocessing, ...normalisation };
  const found = recorded ? parsePreprocessing(recorded, file) : (known?.preprocessing ?? own);
  const preprocessing = withGiven(options, network, found);
  const positions = options.heldOut;
  const heldOut = positions === undefined ? undefined : parseHeldOut(await readText(positions), positions);
  const stored = [...tensors].flatMap(([name, tensor]): [string, Storable][] =>
    options.int8 ? asInt8(name, tensor) : [[name, options.half ? asFloat16(tensor) : tensor]],
  );
  await writeSafetensors(out, new Map(stored), {
    ...checkpoint.metadata,
    network: network.name,
    source_sha256: checkpoint.sha256,
    ...(known && { source: known.id, licence: known.licence }),
    ...(preprocessing && { preprocessing: JSON.stringify(preprocessing) }),
    ...(heldOut && { held_out: JSON.stringify([...heldOut]) }),
  });
  const note = preprocessing ? '' : '; preprocessing unknown: record it with --mean and --std';
  print(`${out}: ${tensors.size} tensors of ${network.name}${note}`);
  if (taken !== undefined) print(`${file}: ${taken}`);
  if (normalisation) print(`${file}: the saved model normalises its images; recorded as preprocessing`);
  if (doubt !== undefined && known === undefined) print(`${file}: ${doubt}`);
}

const givenSizes = ({ resize, crop, interpolation }: ImportOptions): Partial<Preprocessing> => ({
  ...(resize !== undefined && { resize }),
  ...(crop !== undefined && { crop }),
  ...(interpolation && { interpolation }),
});

/** @throws InputError on sizes for images that are never resized, or numbers that are none */
function checkGiven(options: ImportOptions, network: Network): void {
  const [size] = Object.entries(givenSizes(options));
  if (size !== undefined && datasetNamed(network.dataset).preprocessing.resize === undefined) {
    throw new InputError(
      `--${size[0]} ${size[1]}: images of ${network.dataset} are used as they are; valid: for networks of imagenet`,
    );
  }
  for (const name of ['resize', 'crop'] as const) assertPixels(name, options[name]);
  normalisationFrom(options);
}

/** The file's preprocessing with the options; the dataset's if only sizes are known. @throws InputError on misfits */
function withGiven(options: ImportOptions, network: Network, known: Preprocessing | undefined) {
  const { mean, std } = options;
  const sizes = givenSizes(options);
  const hasSizes = Object.keys(sizes).length > 0;
  if (mean === undefined && !hasSizes) return known;
  const base = known ?? (mean === undefined ? datasetNamed(network.dataset).preprocessing : undefined);
  const given = { ...base, ...normalisationFrom(options), ...sizes };
  const preprocessing = parsePreprocessing(JSON.stringify(given), '--mean, --std');
  const { channels } = network.input;
  if (preprocessing.mean.length !== channels) {
    throw new InputError(`--mean ${mean} --std ${std}; valid: ${channels === 3 ? 'three numbers' : 'a number'} each`);
  }
  const { width } = network.input;
  const crop = hasSizes ? geometryOf(preprocessing, usualGeometry).crop : width;
  if (crop !== width) {
    throw new InputError(`--crop ${crop}: ${network.name} takes ${width} x ${width}; valid: ${width}`);
  }
  return preprocessing;
}

/** `dgate model info` */
export async function describeModel(options: { readonly file: string; readonly json: boolean }): Promise<void> {
  const { dictionaries, metadata, sha256, format } = await readCheckpoint(options.file);
  const known = checkpointOfHash(sha256);
  const list = dictionaries.flatMap(({ path, shapes }) =>
    [...shapes].map(([name, { shape }]) => ({ name: path === '' ? name : `${path}.${name}`, shape })),
  );
  const fits = fittingNetworks(dictionaries);
  const document = { file: options.file, format, sha256, known: known?.id ?? null, fits, metadata, tensors: list };
  const values = list.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const facts = [`format ${format}`, `sha256 ${sha256}`, `${list.length} tensors, ${counted(values)} values`];
  if (known) facts.push(`known as ${known.id}: ${known.network}, ${percent(known.reportedAccuracy, 2)}`);
  if (dictionaries.length > 1) {
    facts.push(...dictionaries.map(({ path, shapes }) => visible(`${path || 'the top'}: ${shapes.size} tensors`)));
  }
  if (fits.length > 0) facts.push(`fits ${fits.join(', ')}`);
  facts.push(...Object.entries(metadata).map(([key, value]) => visible(`${key}: ${value}`)));
  const rows = list.map(({ name, shape }) => [name, `[${shape.join(', ')}]`]);
  const text = (): string => [options.file, ...facts, renderColumns(['Tensor', 'Shape'], rows)].join('\n');
  printEither(options.json, document, text);
}

/** `dgate model eval` */
export async function evaluateModel(options: Given<typeof evalOptions>): Promise<void> {
  const network = networkByName(options.network);
  const context = await openContext(options);
  const source = await openNetwork(network, options.checkpoint, context.modelsRoot, context.progress, options);
  const result = await evaluateOriginal(context, source, options);
  const what = `${percent(result.accuracy, 2)} of ${counted(result.images)} ${options.split} images`;
  printEither(options.json, result, `${network.name}: ${what}, ${result.seconds.toFixed(1)} s on ${result.engine}`);
}

/** `dgate model inspect` */
export async function inspectModel({ file, logits, inputSize, json }: Given<typeof inspectOptions>): Promise<void> {
  const options = { logits, inputSize: inputSize === undefined ? undefined : sizeFrom(inputSize) };
  const about = aboutOf((await readUserFile(file)).model, file);
  if (about !== undefined) return printEither(json, about, () => renderExport(file, about));
  const { graph, cuts } = await inspectFile(file, options);
  const notes = [...graph.notes];
  const exits = await inspectExits(file, options).catch((error: unknown) => {
    if (!(error instanceof InputError)) throw error;
    notes.push(`its exits cannot be taken as they are: ${error.message}`);
    return [];
  });
  const document = inspection(file, { ...graph, notes }, cuts, exits);
  printEither(json, document, () => renderInspection(document));
}

/** The exits of a file of `dgate export`, from its metadata. */
export function renderExport(file: string, about: AboutGated): string {
  const { gates, thresholds, temperatures, confidence, expected, classes, preprocessing, networks } = about;
  const rows = expected.exits.map((share, exit) => {
    const gate = gates[exit];
    const network = networks?.[(gate?.network ?? networks.length) - 1];
    const where = [network ?? [], gate?.stage === undefined ? [] : `stage ${gate.stage}`].flat().join(', ');
    const at = temperatures === undefined ? '' : ` at temperature ${temperatures[exit]?.toPrecision(4)}`;
    const leaves = gate === undefined ? 'all others' : `${confidence}${at} >= ${thresholds[exit]}`;
    return [`${exit + 1}`, where || 'the original classifier', leaves, percent(share)];
  });
  const { images, accuracy, originalAccuracy, flops, originalFlops } = expected;
  const measured = accuracy === null ? '' : ` accuracy ${percent(accuracy)} (original ${percent(originalAccuracy!)}),`;
  const pixels = `${preprocessing.height} x ${preprocessing.width} pixels`;
  return [
    visible(`${file}: a file of dgate export, ${classes.length} classes, ${pixels}`),
    renderColumns(['Exit', 'Behind', 'Leaves where', 'Images'], rows, 'text'),
    `On ${counted(images)} images:${measured} ${counted(Math.round(flops))} FLOPs an image (${counted(originalFlops)}).`,
    'dgate predict runs it; dgate time --verify takes the experiment that it was exported from.',
  ].join('\n');
}

/** What `dgate model inspect --json` prints. */
function inspection(file: string, graph: PreparedGraph, found: Cuts, exits: readonly CostedExit[]) {
  const { model, shapes } = graph;
  const { flops, cuts, proposed, missing } = found;
  const flopsOf = (bits: number): number =>
    flops.perNode.reduce((sum, each, i) => sum + (flops.widths[i] === bits ? each : 0), 0);
  // Why there are fewer than four proposals.
  const why = missing.map((one) => `none at ${Math.round(100 * one.share)} % of the FLOPs: ${one.why}`).join('; ');
  const { channels, height, width, order, name } = model.input;
  return {
    file,
    sha256: model.file.sha256,
    opset: model.opset,
    input: { name, channels, height, width, order },
    output: { name: model.logits, classes: shapes.get(graph.logits)![0][1]! },
    parameters: graph.parameters,
    flops: flops.total,
    flopsByBits: Object.fromEntries([8, 16, 32].map((bits) => [bits, flopsOf(bits)])),
    notCounted: flops.notCounted,
    unknownCost: flops.unknown,
    cuts: cuts.map((cut, index) => ({
      tensor: cut.tensor,
      operator: cut.op,
      shape: cut.shape,
      layout: mapLayoutOf(cut).layout,
      flops: cut.flops,
      flops8Bit: cut.flops8,
      share: cut.flops / flops.total,
      proposed: proposed.includes(index),
      alike: cut.alike.map(({ tensor }) => tensor),
    })),
    exits,
    notes: graph.notes,
    why: proposed.length === 0 ? whyNone(found) : why || null,
  };
}

type Inspection = ReturnType<typeof inspection>;

/** Most places in the table: the layout of thousands takes minutes. */
const MOST_ROWS = 200;

function renderInspection(found: Inspection): string {
  const { input, output, flops, notCounted, unknownCost, cuts, why } = found;
  const every = Math.ceil(cuts.length / MOST_ROWS);
  const gates = cuts.filter((cut) => cut.proposed);
  const shown = cuts.filter((cut, i) => cut.proposed || i % every === 0);
  const has8Bit = found.flopsByBits[8] !== 0;
  const rows = shown.map((cut) => [
    cut.proposed ? `${gates.indexOf(cut) + 1}` : '',
    cut.tensor,
    cut.operator,
    cut.shape.join(' x '),
    cut.layout,
    counted(cut.flops),
    ...(has8Bit ? [counted(cut.flops8Bit)] : []),
    percent(cut.share),
  ]);
  const proposed = gates.map(({ tensor }) => `'${tensor}'`);
  const above = [
    `${found.file}: ${counted(flops)} FLOPs, ${counted(found.parameters)} parameters, opset ${found.opset}`,
    `input ${input.name}: ${input.order}, ${input.channels} channels, ${input.height} x ${input.width}; output ${output.name}: ${output.classes} classes`,
    `Not counted: ${notCounted.map(({ op, count }) => `${op} ${count}`).join(', ') || 'nothing'}`,
    ...(unknownCost.length > 0 ? [`Of unknown cost, so the FLOPs are too low: ${unknownCost.join(', ')}`] : []),
  ];
  const table = renderColumns(
    ['Gate', 'Tensor', 'Made by', 'One image', 'Layout', 'FLOPs so far', ...(has8Bit ? ['Of 8 bits'] : []), 'Share'],
    rows,
  );
  const ways = found.exits.map(({ leaves, flops: cost }, i) => {
    return [`${i + 1}`, leaves, counted(cost), percent(cost / found.exits.at(-1)!.flops)];
  });
  const own = renderColumns(['Exit', 'Leaves where', 'FLOPs', 'Share'], ways, 'text');
  const below = [
    ...found.notes.map((note) => `Changed on reading: ${note}`),
    ...(every > 1 ? [`${counted(shown.length)} of ${counted(cuts.length)} places; all of them: --json`] : []),
    'FLOPs are 2 x multiply-accumulates of convolutions, linear layers and matrix products, for one image.',
    ...(why === null ? [] : [`${proposed.length === 0 ? 'No gates: ' : ''}${why}`]),
    ...(proposed.length === 0
      ? []
      : [`Gates as gates: { after: [1] } counts them, with gatesAfter: 'auto', or [${proposed.join(', ')}]`]),
  ];
  const exits = ways.length === 0 ? [] : ["Exits of the file, which gates: 'own' takes:", own];
  return [...above.map(visible), ...exits, table, ...below.map(visible)].join('\n');
}
