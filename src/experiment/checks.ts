import { z } from 'zod';
import { looksBack } from '../gates/confidence.js';
import { canonicalJson } from '../json.js';
import { gatesSchema, hasOwnExits, isCascade, isScores, learns, withDerivedGates } from './network.js';
import { isPlain, type Plain, put, show, showKey } from './rules.js';
import { definitionSchema, type Experiment, imagesText } from './schema.js';

/** What is wrong with a value of a definition. */
export interface OptionProblem {
  /** Keys from the analysis on. */
  readonly path: readonly PropertyKey[];
  /** What would be valid. */
  readonly message: string;
  readonly input: unknown;
}

/** One kind of analysis: the schema of its options, and which of them do not fit the rest of the experiment. */
export interface AnalysisKind {
  readonly options: z.ZodObject<{ kind: z.ZodLiteral<string> }>;
  problems?(options: unknown, experiment: Experiment): OptionProblem[];
}

/** The schema of experiments with these kinds of analyses. */
export function experimentSchemaOf(kinds: readonly AnalysisKind[]) {
  const named = kinds.map(({ options }) => `{ kind: '${options.shape.kind.value}' }`);
  const error =
    named.length === 0
      ? 'left out: no analysis is known here'
      : `${named.slice(0, -1).join(', ')} or ${named.at(-1)!}, with their options`;
  const [first, ...others] = kinds.map(({ options }) => options);
  const analysis =
    first === undefined ? z.never({ error }) : z.discriminatedUnion('kind', [first, ...others], { error });
  return definitionSchema
    .extend({
      /** What is studied besides the table. */
      analysis: analysis.optional(),
    })
    .superRefine((experiment, context) => {
      const kind = kinds.find(({ options }) => options.shape.kind.value === experiment.analysis?.kind);
      for (const { path, message, input } of kind?.problems?.(experiment.analysis, experiment) ?? []) {
        context.addIssue({ code: 'custom', path: ['analysis', ...path], message, input });
      }
      for (const [wrong, path, input, message] of checksOf(experiment)) {
        if (wrong) context.addIssue({ code: 'custom', path: path.split('.'), message, input });
      }
    });
}
export type ExperimentSchema = ReturnType<typeof experimentSchemaOf>;

/** A rule between several values of a definition. */
type Check = readonly [wrong: boolean, path: string, input: unknown, valid: string];

function checksOf(experiment: Experiment): Check[] {
  const { network, dataset, checkpoint, weights, gates, thresholds, analysis } = experiment;
  const { fixed, margins, budgets = [], latencyMs = [], disagreements = [], guarantee } = thresholds;
  const isOnnx = typeof network !== 'string' && network.kind === 'onnx';
  const count = gates.after.length;
  const isRead = isScores(network) || hasOwnExits(network);
  const oneForEach = `${count === 1 ? 'one threshold' : `${count} thresholds`}, one for each gate`;
  const rows = [fixed, margins, budgets, latencyMs, disagreements, guarantee === undefined ? [] : [guarantee]].flat();
  const named = "left out: the network's name says it; with onnxNetwork(...) only";
  const oneRow = 'at least one margin, budget or row of fixed thresholds, or an analysis';
  return [
    ...cascadeChecks(experiment),
    ...scoresChecks(experiment),
    ...unlabelledChecks(experiment),
    ...gateChecks('gates', gates, experiment),
    ...fittingChecks(experiment),
    // The number of exits in a file is known only after reading it.
    ...fixed.map((row, i): Check => [row.length !== count && !isRead, `thresholds.fixed.${i}`, row, oneForEach]),
    [hasOwnExits(network) && gates.previous === true, 'gates.previous', true, 'left out: no gate is trained'],
    [isOnnx && dataset === undefined, 'dataset', undefined, imagesText],
    [typeof network === 'string' && dataset !== undefined, 'dataset', dataset, named],
    [isOnnx && checkpoint !== undefined, 'checkpoint', checkpoint, 'left out: an ONNX file holds its weights'],
    [isOnnx && weights !== undefined, 'weights', weights, 'left out: an ONNX file holds one set of weights'],
    [rows.length === 0 && analysis === undefined && !hasOwnExits(network), 'thresholds', thresholds, oneRow],
  ];
}

/** Whether the gates are those that the exits of a cascade or a file of scores stand for. */
const areDerived = ({ network, gates }: Experiment): boolean =>
  canonicalJson(gates) === canonicalJson(gatesSchema.parse(withDerivedGates({ network })['gates']));

function cascadeChecks(experiment: Experiment): Check[] {
  const { network, dataset, unlabelled, checkpoint, weights, trainImages, gates } = experiment;
  if (!isCascade(network)) return [];
  const isOnnx = network.networks.every((member) => typeof member.network !== 'string');
  const isWithoutImages = isOnnx && dataset === undefined && (unlabelled === undefined || learns(network));
  const isTrained = trainImages === undefined || learns(network);
  const exits =
    'left out: an image can leave after each network of a cascade, and at the gates that a network has itself';
  const oneOf = 'left out: dgate model import takes the weights of one network from a file';
  const named = "left out: the networks' names say it; with ONNX files only";
  return [
    [!areDerived(experiment), 'gates', gates, exits],
    [checkpoint !== undefined, 'checkpoint', checkpoint, 'left out: each network of a cascade has its own'],
    [weights !== undefined, 'weights', weights, oneOf],
    [!isTrained, 'trainImages', trainImages, 'left out: a cascade without gates trains nothing'],
    [isWithoutImages, 'dataset', dataset, imagesText],
    [!isOnnx && dataset !== undefined, 'dataset', dataset, named],
    ...network.networks.flatMap(({ gates: own }, i) =>
      own === undefined ? [] : gateChecks(`network.networks.${i}.gates`, own, experiment),
    ),
  ];
}

/** Images without labels cannot answer what needs labels. */
function unlabelledChecks({ unlabelled, thresholds, ...others }: Experiment): Check[] {
  if (unlabelled === undefined) return [];
  const { margins, guarantee, validation } = thresholds;
  const drop = guarantee?.drop;
  const own = "{ kind: 'cross-fit' }: images without labels choose thresholds for each other";
  return [
    [margins.length > 0, 'thresholds.margins', margins, 'left out: accuracy needs labels, disagreements: [0.01] none'],
    [drop !== undefined, 'thresholds.guarantee.drop', drop, 'disagreement: accuracy needs labels'],
    [validation.kind !== 'cross-fit', 'thresholds.validation', validation, own],
    ...(['analysis', 'baselines', 'published'] as const).map((key): Check => {
      return [others[key] !== undefined, key, others[key], 'left out: accuracy needs labels'];
    }),
  ];
}

/** Analyses that use the scores of each part; others would mix them with scores to which nothing is fitted. */
const fitted = ['frontier', 'places', 'accuracy-flops', 'policies'];

/** Temperatures, failure prediction and offsets are fitted; other confidences, and gates with `previous`, look back at the exits before. */
function fittingChecks({ network, gates, thresholds: { perClass }, unlabelled, analysis }: Experiment): Check[] {
  const { confidence, calibrate } = gates;
  const of = isCascade(network) ? 'network' : 'gates';
  const [path, isScaled] = [`${of}.calibrate`, confidence === 'max' || confidence === 'difference'];
  const scaled = `false with ${confidence}, which a temperature only scales; true with softmax or entropy`;
  const noNumbers = 'left out: offsets are fitted to the numbers of exits, which a run has';
  const inside = isCascade(network) ? network.networks.map((one) => one.gates) : [];
  const isChained = [gates, ...inside].some((one) => one?.previous);
  const own = (looksBack(confidence) || confidence === 'failure') && `${of}.confidence: ${confidence}`;
  const asked = (isChained && 'gates.previous') || own || (perClass && 'thresholds.perClass') || (calibrate && path);
  const kinds = isChained || looksBack(confidence) ? ['policies'] : fitted;
  const isOther = analysis !== undefined && asked && !kinds.includes(analysis.kind);
  return [
    [calibrate === true && isScaled, path, true, scaled],
    [calibrate === true && unlabelled !== undefined, path, true, 'left out: a temperature is fitted to labels'],
    [perClass === true && isScores(network), 'thresholds.perClass', true, noNumbers],
    [isOther === true, 'analysis.kind', analysis?.kind, `${kinds.join(', ')} with ${asked}`],
  ];
}

/** @param path of the gates in the definition */
function gateChecks(
  path: string,
  { after, pooling, loss, target, l2, weights, previous }: Omit<Experiment['gates'], 'confidence' | 'calibrate'>,
  { thresholds: { validation, guarantee }, analysis }: Experiment,
): Check[] {
  const isChosen = new Set([l2].flat()).size > 1; // neither by reported images nor by those that certify
  const isPromised = guarantee !== undefined || analysis?.kind === 'frontier'; // which comes with a guarantee of its own
  const one = "one number, as 0.002; a list with thresholds.validation: { kind: 'held-out' }, and without a promise";
  const chained = 'false, or with one l2 and at least two gates';
  const isAscending = after.every((stage, i) => i === 0 || stage > after[i - 1]!);
  const poolings = `one pooling, or a list of ${after.length}, one for each gate`;
  return [
    [!isAscending, `${path}.after`, after, 'stages in their order, none twice: [1, 2]'],
    [Array.isArray(pooling) && pooling.length !== after.length, `${path}.pooling`, pooling, poolings],
    [isChosen && (validation.kind !== 'held-out' || isPromised), `${path}.l2`, l2, one],
    [isChosen && weights === 'survivors', `${path}.weights`, weights, 'equal, or with one l2'],
    [(isChosen || after.length === 1) && previous === true, `${path}.previous`, true, chained],
    [target === 'network' && loss === 'hinge', `${path}.target`, target, "'labels', or with loss: 'cross-entropy'"],
  ];
}

function scoresChecks(experiment: Experiment): Check[] {
  const { network, gates, thresholds, analysis, baselines = [] } = experiment;
  if (!isScores(network)) return [];
  const isFitting = (thresholds.validation.kind === 'held-out') === (network.choosing !== undefined);
  const kinds = "{ kind: 'held-out' } with scores(file, { choosing }), { kind: 'cross-fit' } without";
  return [
    ...(['dataset', 'unlabelled', 'checkpoint', 'int8', 'trainImages', 'testImages'] as const).map((key): Check => {
      return [experiment[key] !== undefined, key, experiment[key], 'left out: the file of scores is all'];
    }),
    [!areDerived(experiment), 'gates', gates, 'left out: exits and costs are in the file'],
    [baselines.length > 0, 'baselines', baselines, 'left out, or []: there are no images to run networks on'],
    [analysis !== undefined && analysis.kind !== 'frontier', 'analysis', analysis, "{ kind: 'frontier' }, or left out"],
    [thresholds.latencyMs !== undefined, 'thresholds.latencyMs', thresholds.latencyMs, 'left out: scores take no time'],
    [!isFitting, 'thresholds.validation', thresholds.validation, kinds],
  ];
}

/** Beyond this many problems, hidden ones are not searched for. */
const MOST_PATCHED = 100;

/** The experiment, or all its problems: a line for each, with path, value and what would be valid. */
export function checkExperiment(
  definition: Plain,
  schema: ExperimentSchema,
): { experiment: Experiment | undefined; problems: string[] } {
  const checked = schema.safeParse(definition, { reportInput: true });
  if (checked.success) return { experiment: checked.data, problems: [] };
  const issues = [...checked.error.issues, ...hiddenIssues(definition, checked.error.issues, schema)];
  return { experiment: undefined, problems: describeIssues(issues, definition, [], schema) };
}

type Issue = z.core.$ZodIssue;

/**
 * The schema skips rules between several values while one value has the wrong type. This replaces such values by valid ones and
 * checks again, without problems that the replacements may cause.
 */
function hiddenIssues(definition: Plain, issues: readonly Issue[], schema: ExperimentSchema): Issue[] {
  let patched: Plain = { name: 'x', title: 'x', network: 'x', ...definition };
  const paths = issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...issue.path, key]) : [issue.path],
  );
  if (paths.length > MOST_PATCHED) return [];
  for (const path of paths) patched = replaced(patched, path.map(String)) as Plain;
  const again = schema.safeParse(patched, { reportInput: true }).error?.issues ?? [];
  const said = issues.map(({ path }) => path.map(String));
  const isNew = ({ code, path }: Issue): boolean =>
    code === 'custom' && !said.some((other) => path.every((key, i) => String(key) === other[i]));
  return again.filter(isNew);
}

/** Removes the value at a path. An element of a list becomes 1, a required text `x`. */
function replaced(item: unknown, [key, ...rest]: readonly string[]): unknown {
  if (key === undefined) return undefined;
  if (Array.isArray(item)) {
    return item.map((each: unknown, i) => (String(i) === key ? (replaced(each, rest) ?? 1) : each));
  }
  if (!isPlain(item)) return item;
  const { [key]: value, ...others } = item;
  const after = replaced(value, rest) ?? (['name', 'title', 'network'].includes(key) ? 'x' : undefined);
  const copy: Record<string, unknown> = { ...others };
  if (after !== undefined) put(copy, key, after);
  return copy;
}

/** One line per problem: path, value, what would be valid. */
export function describeIssues(
  issues: readonly Issue[],
  value: unknown,
  within: readonly string[],
  schema: z.ZodType,
): string[] {
  return issues.flatMap((issue) => {
    const path = issue.path.map(String);
    const at = (keys: readonly string[]): string => [...within, ...keys].map(showKey).join('.');
    const found = path.reduce<unknown>((item, key) => own(item, key), value);
    if (issue.code === 'unrecognized_keys') {
      const kind = isPlain(found) && typeof found['kind'] === 'string' ? found['kind'] : undefined;
      const valid = keysAt(schema, path, kind).join(', ');
      return issue.keys.map((key) => `${at([...path, key])}: unknown key; valid: ${valid}`);
    }
    // Problems inside an object say more than that it matches no option of the union.
    const inside = issue.code === 'invalid_union' && isPlain(found) ? issue.errors.find(isOfObject) : undefined;
    if (inside !== undefined) {
      const issues = inside.map((problem) => ({ ...problem, path: [...issue.path, ...problem.path] }));
      return describeIssues(issues, value, within, schema);
    }
    // A rule between several values may name an absent one, whose default does not fit.
    const shown = found === undefined && issue.code === 'custom' ? issue.input : found;
    return `${at(path)}: ${shown === undefined ? 'missing' : show(shown)}; valid: ${issue.message}`;
  });
}

/** Whether a union's option is this kind of object, so that its issues lie inside. */
function isOfObject(issues: readonly Issue[]): boolean {
  return issues.every(({ code, path }) => (path.length > 0 && path[0] !== 'kind') || code === 'unrecognized_keys');
}

function own(item: unknown, key: string): unknown {
  return typeof item === 'object' && item !== null && Object.hasOwn(item, key) ? (item as Plain)[key] : undefined;
}

/** Keys of the schema at a path, for this kind of object if there are several. */
function keysAt(schema: z.ZodType, path: readonly string[], kind: string | undefined): string[] {
  const objects = [schema].flatMap(objectsIn);
  const reached = path.reduce((candidates, key) => {
    if (/^\d+$/.test(key)) return candidates; // an element of a list: `objectsIn` has unwrapped the list
    return candidates.flatMap((object) => objectsIn(object.shape[key] as z.ZodType | undefined));
  }, objects);
  const ofKind = reached.filter(({ shape }) => {
    const literal = shape['kind'] as z.ZodType | undefined;
    return literal instanceof z.ZodLiteral && literal.value === kind;
  });
  return [...new Set((ofKind.length > 0 ? ofKind : reached).flatMap((object) => Object.keys(object.shape)))];
}

/** The object schemas inside defaults, optionals and unions. */
function objectsIn(schema: z.ZodType | undefined): z.ZodObject[] {
  if (schema instanceof z.ZodObject) return [schema];
  if (schema instanceof z.ZodArray) return objectsIn(schema.element as z.ZodType);
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((option) => objectsIn(option as z.ZodType));
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional) {
    return objectsIn(schema.unwrap() as z.ZodType);
  }
  if (schema instanceof z.ZodPipe) return objectsIn(schema.in as z.ZodType);
  return [];
}
