import { dirname, isAbsolute, resolve } from 'node:path';
import { knownCheckpoints } from '../checkpoints/known.js';
import { InputError } from '../errors.js';
import { parseJson } from '../json.js';
import { networkByName } from '../networks/catalogue.js';
import { type MapShape, stageShapes } from '../networks/network.js';
import { MOST_EXITS, type OnnxStage } from '../networks/onnx.js';
import { checkExperiment, describeIssues, type ExperimentSchema, experimentSchemaOf } from './checks.js';
import { withDerivedGates } from './network.js';
import { isPlain, type Plain, type PresetName, plainCopy, presetNames, put, show } from './rules.js';
import { type Experiment, presetsSchema } from './schema.js';

/** Most keys in the path of a setting. */
const DEEPEST = 10;

/** An option of the command line that overrides a value of a definition: `--set path=value` and others. */
export interface Override {
  /** Path in the definition: `gates.epochs`. */
  readonly path: string;
  readonly value: unknown;
}

const withoutAnalyses = experimentSchemaOf([]);

/**
 * Checks the export of a definition file.
 *
 * @param where name of the file or experiment, for messages
 * @param schema with the known analyses; none by default
 * @throws InputError with all problems of the definition at once: path, value, what would be valid
 */
export function resolveExperiment(
  exported: unknown,
  where: string,
  preset: PresetName,
  overrides: readonly Override[] = [],
  schema: ExperimentSchema = withoutAnalyses,
): Experiment {
  const definition = seenFrom(definitionFolder(where), plainCopy(exported, where));
  if (!isPlain(definition)) {
    throw new InputError(
      `${where}: its default export is ${show(definition)}; valid: export default defineExperiment({...})`,
    );
  }
  const { presets, ...base } = definition;
  const sizes = sizesIn(presets);
  const chosen = sizes[preset];
  const settings = overrides.map(({ path, value }) => nest(path.split('.'), plainCopy(value, where)));
  const merged = completed(settings.reduce(merge, merge(base, chosen ?? {})));
  const { experiment, problems } = checkExperiment(merged, schema);
  const all = new Set([
    ...presetsProblems(presets),
    ...(chosen === undefined && preset !== 'laptop'
      ? [`no preset "${preset}"; valid: ${namesOf(sizes).join(', ')}`]
      : []),
    ...eachPresetProblems(base, sizes, problems, schema),
    ...problems,
  ]);
  if (experiment === undefined || all.size > 0) {
    throw new InputError([...all].map((problem) => `${where}: ${problem}`));
  }
  return experiment;
}

type Sizes = Readonly<Partial<Record<PresetName, Plain>>>;

/** The presets that are objects. */
function sizesIn(presets: unknown): Sizes {
  if (!isPlain(presets)) return {};
  return Object.fromEntries(presetNames.flatMap((name) => (isPlain(presets[name]) ? [[name, presets[name]]] : [])));
}

const namesOf = (sizes: Sizes): PresetName[] => presetNames.filter((name) => name === 'laptop' || name in sizes);

/** The definition with the values that follow from others. */
const completed = (definition: Plain): Plain => withDerivedGates(withBest(withPlaces(withValidationKind(definition))));

/**
 * Expands `gates: 'search'`: gates at all stages of a network, or at nine places of an ONNX file, and the analysis `places`;
 * and `gates: 'own'`: the exits of an ONNX file.
 */
function withPlaces(definition: Plain): Plain {
  const { gates, network, analysis = { kind: 'places' }, thresholds = {} } = definition;
  const given = gates === SEARCH || gates === OWN ? { after: gates } : gates;
  const isOwn = isPlain(given) && given['after'] === OWN && isPlain(network) && network['kind'] === 'onnx';
  if (isOwn && (network['gatesAfter'] ?? OWN) === OWN) {
    const after = Array.from({ length: MOST_EXITS }, (_, i) => i + 1);
    return { ...definition, gates: { ...given, after }, network: { ...network, gatesAfter: OWN }, thresholds };
  }
  if (!isPlain(given) || given['after'] !== SEARCH) return definition;
  const withGates = (count: number) => {
    const after = Array.from({ length: count }, (_, i) => i + 1);
    return { ...definition, gates: { ...given, after }, analysis, thresholds };
  };
  if (typeof network === 'string') return withGates(shapesOf(network).length - 1);
  if (!isPlain(network) || network['kind'] !== 'onnx') return definition;
  const { gatesAfter = 'spread' } = network;
  // The number of places is known only after reading the file (`withFoundPlaces`).
  const count = Array.isArray(gatesAfter) ? gatesAfter.length : MOST_PLACES;
  return { ...withGates(count), network: { ...network, gatesAfter } };
}

/** What saves most FLOPs by the choosing images of the networks on record with `dgate run policies` (docs/policies.md). */
const best = { loss: 'hinge', confidence: 'difference' } as const;

/** Expands `gates: 'best'`: gates at all stages of a network, or at all places of an ONNX file. */
function withBest(definition: Plain): Plain {
  const { gates, network } = definition;
  if (gates !== BEST) return definition;
  const withGates = (after: readonly (MapShape | undefined)[]) => {
    return {
      ...definition,
      gates: { ...best, after: after.map((_, i) => i + 1), pooling: after.map((shape) => bestPooling(shape)) },
    };
  };
  if (typeof network === 'string') return withGates(shapesOf(network).slice(0, -1));
  if (!isPlain(network) || network['kind'] !== 'onnx' || network['gatesAfter'] === OWN) return definition;
  // Places and maps are known only after reading the file (`withFoundPlaces`).
  const places = new Array<undefined>(
    Array.isArray(network['gatesAfter']) ? network['gatesAfter'].length : MOST_PLACES,
  );
  return { ...withGates(places.fill(undefined)), network: { ...network, pooling: BEST } };
}

/** How `gates: 'best'` reads a map: large ones averaged in 4 x 4 cells. */
export function bestPooling(shape?: MapShape | OnnxStage): 'gap' | '4x4' {
  if (shape === undefined || ('layout' in shape && !shape.layout.startsWith('maps'))) return 'gap';
  const { height, width } = shape;
  return Math.min(height, width) >= 16 && height % 4 === 0 && width % 4 === 0 ? '4x4' : 'gap';
}

const BEST = 'best';
const SEARCH = 'search';
const OWN = 'own';
/** Most places of an ONNX file: one near each tenth of its FLOPs. */
const MOST_PLACES = 9;

/** Maps at the ends of a network's stages; two for an unknown name, which is reported later. */
function shapesOf(name: string): MapShape[] {
  try {
    return stageShapes(networkByName(name));
  } catch (error) {
    if (error instanceof InputError) return new Array<MapShape>(2).fill({ channels: 1, height: 1, width: 1 });
    throw error;
  }
}

/** The default kind of validation: `--set thresholds.validation.folds=5` needs no kind, nor do scores with `choosing`. */
function withValidationKind(definition: Plain): Plain {
  const { thresholds, network } = definition;
  if (!isPlain(thresholds)) return definition;
  const choosing = isPlain(network) && network['kind'] === 'scores' && network['choosing'] !== undefined;
  const { validation = choosing ? {} : undefined } = thresholds;
  if (!isPlain(validation) || validation['kind'] !== undefined) return definition;
  const kind = choosing ? 'held-out' : 'cross-fit';
  return { ...definition, thresholds: { ...thresholds, validation: { ...validation, kind } } };
}

/** The folder of a definition's file; undefined for the name of an experiment. */
export function definitionFolder(nameOrPath: string): string | undefined {
  return /[\\/]|\.(?:[cm]?[jt]s|npz|safetensors|csv)$/i.test(nameOrPath) ? dirname(resolve(nameOrPath)) : undefined;
}

/** Keys of a definition whose texts are paths. */
const pathKeys = ['file', 'folder', 'choosing', 'checkpoint', 'unlabelled'];

/** Makes paths absolute that are relative to the definition's file. */
function seenFrom(folder: string | undefined, value: unknown): unknown {
  if (folder === undefined) return value;
  if (Array.isArray(value)) return value.map((item: unknown) => seenFrom(folder, item));
  if (!isPlain(value)) return value;
  const result: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    const isPath = pathKeys.includes(key) && typeof item === 'string' && item !== '' && !isAbsolute(item);
    const isKnown = key === 'checkpoint' && knownCheckpoints.some(({ id }) => id === item);
    put(result, key, isPath && !isKnown ? resolve(folder, item) : seenFrom(folder, item));
  }
  return result;
}

/** Problems that only the presets cause, including those that do not run now. */
function eachPresetProblems(base: Plain, sizes: Sizes, own: readonly string[], schema: ExperimentSchema): string[] {
  const problemsOf = (definition: Plain): string[] => checkExperiment(completed(definition), schema).problems;
  const said = new Set([...own, ...problemsOf(base)]);
  return Object.entries(sizes).flatMap(([name, change]) => {
    const problems = problemsOf(merge(base, change)).filter((problem) => !said.has(problem));
    return problems.map((problem) => `presets.${name}.${problem}`);
  });
}

/** Unknown names of presets, and presets that are not objects. */
function presetsProblems(presets: unknown): string[] {
  const { error } = presetsSchema.safeParse(presets ?? {});
  return error === undefined ? [] : describeIssues(error.issues, presets, ['presets'], presetsSchema);
}

/** Parses `gates.epochs=5`; a value that is not JSON is text. */
export function parseSetting(setting: string): Override {
  const [, path, value] = /^([A-Za-z][\w.]*)=(.*)$/s.exec(setting) ?? [];
  if (path === undefined || value === undefined || path.split('.').length > DEEPEST) {
    throw new InputError(
      `--set ${setting}; valid: path=value, for example gates.epochs=10 or thresholds.margins=[0.01]`,
    );
  }
  // JSON has no Infinity, the threshold of a closed gate.
  const numbers = /^[[\-I]/.test(value) ? value.replaceAll('Infinity', '1e999') : value;
  try {
    return { path, value: parseJson(numbers, path) };
  } catch {
    return { path, value };
  }
}

function nest(path: readonly string[], value: unknown): Plain {
  const [key = '', ...rest] = path;
  const result = {};
  put(result, key, rest.length === 0 ? value : nest(rest, value));
  return result;
}

/** Merges objects key by key; an object of another `kind`, a list or a value replaces the old one. */
function merge(base: Plain, change: Plain): Plain {
  const result: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(change)) {
    const before = Object.hasOwn(result, key) ? result[key] : undefined;
    const sameKind = isPlain(before) && isPlain(value) && (value['kind'] ?? before['kind']) === before['kind'];
    put(result, key, sameKind ? merge(before, value) : value);
  }
  return result;
}
