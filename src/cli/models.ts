import { asFloat16, asInt8 } from '../checkpoints/dtypes.js';
import { takeCheckpoint } from '../checkpoints/fetch.js';
import { findCheckpoint, knownCheckpoints } from '../checkpoints/known.js';
import {
  fittingNetworks,
  readCheckpoint,
  type Storable,
  type WeightsChoice,
  weightsOf,
  writeSafetensors,
} from '../checkpoints/load.js';

import { geometryOf, type Preprocessing, usualGeometry } from '../data/preprocess.js';
import { datasetNamed } from '../data/registry.js';
import { InputError } from '../errors.js';
import { visible } from '../escape.js';
import { counted, decimalNumber, percent } from '../json.js';
import { networkByName } from '../networks/catalogue.js';
import { type Network, networkTensors } from '../networks/network.js';
import { renderColumns } from '../report/findings.js';
import { evaluateOriginal } from '../run/images.js';
import { obtainCheckpoint, openNetwork, parseHeldOut, parsePreprocessing } from '../run/source.js';
import { readText } from '../store/input.js';
import { elementCount } from '../tensor.js';
import type { GlobalOptions } from './command.js';
import { openContext } from './context.js';
import { assertWhole } from './options.js';
import { print, printJson } from './output.js';

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

interface ImportOptions extends GlobalOptions, WeightsChoice {
  readonly file: string;
  readonly network: string;
  readonly out: string;
  readonly mean: string | undefined;
  readonly std: string | undefined;
  readonly resize: number | undefined;
  readonly crop: number | undefined;
  readonly interpolation: 'bilinear' | 'bicubic' | undefined;
  readonly heldOut: string | undefined;
  readonly half: boolean;
  readonly int8: boolean;
}

/** `dgate model import` */
export async function importModel(options: ImportOptions): Promise<void> {
  const { file, out } = options;
  if (options.half && options.int8) throw new InputError('--half --int8; valid: one of them');
  const network = networkByName(options.network);
  checkGiven(options, network);
  const checkpoint = await readCheckpoint(file);
  const weights = weightsOf(networkTensors(network), checkpoint.dictionaries, `${file} for ${network.name}`, options);
  const { tensors, taken, doubt, normalisation } = weights;
  const known = knownCheckpoints.find((entry) => entry.sha256 && checkpoint.sha256.startsWith(entry.sha256));
  const recorded = checkpoint.metadata['preprocessing'];
  const own = normalisation && { ...datasetNamed(network.dataset).preprocessing, ...normalisation };
  const found = recorded ? parsePreprocessing(recorded, file) : (known?.preprocessing ?? own);
  const preprocessing = withGiven(options, network, found);
  const heldOut =
    options.heldOut === undefined ? undefined : parseHeldOut(await readText(options.heldOut), options.heldOut);
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
  const note = preprocessing ? '' : '; preprocessing not known: --mean and --std record it';
  print(`${out}: ${tensors.size} tensors of ${network.name}${note}`);
  if (taken !== undefined) print(`${file}: ${taken}`);
  if (normalisation) print(`${file}: the saved model normalises: recorded as preprocessing`);
  if (doubt !== undefined && known === undefined) print(`${file}: ${doubt}`);
}

/** The resizing and cropping that the options request. */
const givenSizes = ({ resize, crop, interpolation }: ImportOptions): Partial<Preprocessing> => ({
  ...(resize !== undefined && { resize }),
  ...(crop !== undefined && { crop }),
  ...(interpolation && { interpolation }),
});

/** @throws InputError if sizes are given for images that are never resized, or one of --mean and --std is missing */
function checkGiven(options: ImportOptions, network: Network): void {
  const [size] = Object.entries(givenSizes(options));
  if (size !== undefined && datasetNamed(network.dataset).preprocessing.resize === undefined) {
    throw new InputError(
      `--${size[0]} ${size[1]}: images of ${network.dataset} are used as they are; valid: for networks of imagenet`,
    );
  }
  for (const name of ['resize', 'crop'] as const) {
    assertWhole(name, options[name], 'a whole number of pixels from 1 to 4096', 4096);
  }
  if ((options.mean === undefined) !== (options.std === undefined)) {
    throw new InputError(`--${options.mean === undefined ? 'std' : 'mean'} alone; valid: --mean and --std together`);
  }
}

/**
 * The preprocessing of the options, completed from what is known of the file. If only sizes are given and nothing is
 * known, mean and standard deviation are the dataset's.
 *
 * @throws InputError if the values do not fit together
 */
function withGiven(options: ImportOptions, network: Network, known: Preprocessing | undefined) {
  const { mean, std } = options;
  const sizes = givenSizes(options);
  const hasSizes = Object.keys(sizes).length > 0;
  if (mean === undefined && !hasSizes) return known;
  const base = known ?? (mean === undefined ? datasetNamed(network.dataset).preprocessing : undefined);
  const numbers = (text: string | undefined): number[] | undefined =>
    text?.split(',').map((part) => decimalNumber(part.trim()) ?? Number.NaN);
  const given = { ...base, ...(mean !== undefined && { mean: numbers(mean), std: numbers(std) }), ...sizes };
  const preprocessing = parsePreprocessing(JSON.stringify(given), '--mean, --std');
  const { channels } = network.input;
  if (preprocessing.mean.length !== channels) {
    throw new InputError(`--mean ${mean} --std ${std}; valid: ${channels === 3 ? 'three numbers' : 'a number'} each`);
  }
  if (hasSizes) checkSizes(preprocessing, network);
  return preprocessing;
}

function checkSizes(preprocessing: Preprocessing, network: Network): void {
  const { crop } = geometryOf(preprocessing, usualGeometry);
  const { width } = network.input;
  if (crop !== width)
    throw new InputError(`--crop ${crop}: ${network.name} takes ${width} x ${width}; valid: ${width}`);
}

/** `dgate model info` */
export async function describeModel(options: { readonly file: string; readonly json: boolean }): Promise<void> {
  const { dictionaries, metadata, sha256, format } = await readCheckpoint(options.file);
  const known = knownCheckpoints.find((entry) => entry.sha256 && sha256.startsWith(entry.sha256));
  const list = dictionaries.flatMap(({ path, shapes }) =>
    [...shapes].map(([name, { shape }]) => ({ name: path === '' ? name : `${path}.${name}`, shape })),
  );
  const fits = fittingNetworks(dictionaries);
  if (options.json) {
    return printJson({ file: options.file, format, sha256, known: known?.id ?? null, fits, metadata, tensors: list });
  }
  const values = list.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const rows = list.map(({ name, shape }) => [name, `[${shape.join(', ')}]`]);
  const facts = [`format ${format}`, `sha256 ${sha256}`, `${list.length} tensors, ${counted(values)} values`];
  if (known) facts.push(`known as ${known.id}: ${known.network}, ${percent(known.reportedAccuracy, 2)}`);
  if (dictionaries.length > 1) {
    facts.push(...dictionaries.map(({ path, shapes }) => visible(`${path || 'the top'}: ${shapes.size} tensors`)));
  }
  if (fits.length > 0) facts.push(`fits ${fits.join(', ')}`);
  facts.push(...Object.entries(metadata).map(([key, value]) => visible(`${key}: ${value}`)));
  print(() => `${options.file}\n${facts.join('\n')}\n${renderColumns(['Tensor', 'Shape'], rows)}`);
}

interface EvalOptions extends GlobalOptions, WeightsChoice {
  readonly network: string;
  readonly checkpoint: string | undefined;
  readonly split: 'train' | 'test';
  readonly limit: number | undefined;
  readonly engine: string;
  readonly json: boolean;
}

/** `dgate model eval` */
export async function evaluateModel(options: EvalOptions): Promise<void> {
  const network = networkByName(options.network);
  const context = await openContext(options);
  const source = await openNetwork(network, options.checkpoint, context.modelsRoot, context.progress, options);
  const result = await evaluateOriginal(context, source, options);
  const { accuracy, images, seconds, engine } = result;
  const what = `${percent(accuracy, 2)} of ${counted(images)} ${options.split} images`;
  if (options.json) printJson(result);
  else print(`${network.name}: ${what}, ${seconds.toFixed(1)} s on ${engine}`);
}
