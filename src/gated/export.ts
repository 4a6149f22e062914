import { openInProcess } from '../engines/onnxruntime/gated.js';
import { IsolatedRuntime, limitsFor } from '../engines/onnxruntime/session.js';
import { InputError } from '../errors.js';
import type { PresetName } from '../experiment/rules.js';
import type { Experiment } from '../experiment/schema.js';
import { gatedModel } from '../onnx/gated.js';
import { channelBlockModel, channelBlockProbe } from '../onnx/gated-branches.js';
import { decidedAnswer, floatThresholds } from '../onnx/gated-exits.js';
import { type AboutGated, gatedMetadata, readGatedFile } from '../onnx/gated-file.js';
import { version } from '../project.js';
import type { RunContext } from '../run/context.js';
import type { Row } from '../run/search.js';
import { networksOf } from '../run/source.js';
import { sha256, writeFileAtomic } from '../store/files.js';
import { elementCount } from '../tensor.js';
import { type Evaluation, evaluate, type Thresholds } from '../thresholds/evaluate.js';
import type { Guarantee } from '../thresholds/guarantee.js';
import type { SearchMethod } from '../thresholds/methods.js';
import { comparePixels, describeVerification, type OpenGated, openGated, type Verification } from './open.js';
import { loadGatedFile } from './predict.js';
import { describePixels } from './raw.js';

/**
 * A row of an experiment's table, counted from 1, or by its margin and search; by default the first. Without `search`, a
 * margin means its joint row, which never costs more on the choosing images.
 */
export interface RowChoice {
  readonly row?: number | undefined;
  readonly margin?: number | undefined;
  readonly search?: SearchMethod | undefined;
}

/** A guarantee on accuracy (the default) or agreement. */
type Promised = Guarantee & { readonly of?: 'accuracy' | 'agreement' };

interface ExportForm {
  /** The guarantee of its thresholds; that of the row by default. */
  readonly promise?: Promised;
  readonly out: string;
  readonly preset: PresetName;
  /** Adds an output: the scores of all classes at the image's exit. */
  readonly distances?: boolean | undefined;
}

/** What `dgate export` reports. Rows count from 1; a closed gate's threshold is null. */
export type Exported = Awaited<ReturnType<typeof exportOpened>>;

const VERIFIED_IMAGES = 256;
const BATCH = 32;

/**
 * Writes an experiment's gated network as one ONNX file, with the thresholds of one row. Computes what is not cached, and
 * compares the graph with the cached evaluation before it writes the file. Of a cross-fit it takes the first fold: its
 * thresholds, and the results on its images.
 *
 * @throws InputError if there is no such row; Error if the graph differs from the evaluation
 */
export async function exportGated(
  context: RunContext,
  experiment: Experiment,
  options: RowChoice & ExportForm,
): Promise<Exported> {
  checkChoice(experiment, options);
  const opened = await openGated(context, experiment);
  return exportOpened(context, opened, chosenRow(opened.rows, options), options);
}

/** The same for an open network. @param index of the row, from 0 */
export async function exportOpened(context: RunContext, opened: OpenGated, index: number, form: ExportForm) {
  const { experiment } = opened;
  const { out, preset } = form;
  const row = opened.rows[index]!;
  const thresholds = row.thresholds[0]!;
  const { about, bytes } = await fileOf(opened, row, form);
  const verified = await verify(opened, bytes, thresholds, out);
  context.progress.note(`verified: ${describeVerification(verified)}`);
  await writeFileAtomic(out, bytes);
  return {
    file: out,
    bytes: bytes.length,
    sha256: sha256(bytes),
    experiment: experiment.name,
    preset,
    row: index + 1,
    margin: row.margin ?? null,
    search: row.search ?? null,
    kind: row.kind,
    thresholds: thresholds.map((value) => (Number.isFinite(value) ? value : null)),
    choosing: {
      images: opened.parts[0]!.selection.images.length,
      fold: 1 + (opened.fold ?? 0),
      folds: opened.parts.length,
    },
    expected: about.expected,
    verified: { images: verified.images, same: verified.same, near: verified.near },
  };
}

async function fileOf(opened: OpenGated, row: Row, form: Omit<ExportForm, 'out'>) {
  const about = describe(opened, row, form);
  const bytes = gatedModel(await opened.lowered(), opened.gates, {
    confidence: opened.experiment.gates.confidence,
    preprocessing: opened.source.preprocessing,
    fitted: opened.fitted?.[0],
    metadata: gatedMetadata(about),
    answer: decidedAnswer(form.distances === true ? opened.test.classes.length : undefined),
  });
  return { about, bytes };
}

/**
 * The size of the file that `export` writes of the first row, and what running a batch through all of its networks adds to the
 * peak memory of a new process that has loaded ONNX Runtime and the images.
 */
export async function footprint(opened: OpenGated, preset: PresetName, batch: number) {
  const { bytes } = await fileOf(opened, opened.rows[0]!, { preset });
  const pixels = await opened.test.batch(Int32Array.from({ length: batch }, (_, i) => i % opened.test.count));
  const { input, dims } = channelBlockProbe;
  const name = 'an exported file';
  const runtime = new IsolatedRuntime(limitsFor(bytes.length), 'more memory');
  try {
    const small = await runtime.open(channelBlockModel(), name);
    const images = { type: 'uint8', data: pixels, dims: [pixels.length] } as const; // which that graph does not read
    const feeds = { images, [input]: { type: 'float32', data: new Float32Array(elementCount(dims)), dims } } as const;
    await small.run(feeds);
    const before = runtime.peakBytes;
    const file = readGatedFile(bytes, name);
    const loaded = await loadGatedFile(file, name, (graph, options) => runtime.open(graph, name, options));
    const closed = opened.gates.map(() => Number.POSITIVE_INFINITY);
    await loaded.run(pixels, batch, closed);
    return { fileBytes: bytes.length, peakBytes: runtime.peakBytes - before };
  } finally {
    await runtime.end();
  }
}

/** Checks a choice before anything is computed. @throws InputError */
export function checkChoice({ thresholds, name }: Experiment, { row, margin, search: asked }: RowChoice): void {
  const { margins, budgets = [], latencyMs = [], disagreements = [], search, guarantee, fixed } = thresholds;
  const chosen = margins.length * search.length + budgets.length + latencyMs.length + disagreements.length;
  const count = chosen + (guarantee === undefined ? 0 : 1) + fixed.length;
  if (count === 0) throw new InputError(`${name}: no thresholds, so no row; valid: an experiment with thresholds`);
  if (row !== undefined && margin !== undefined) throw new InputError('--row and --margin: valid: one of the two');
  if (row !== undefined && !(Number.isInteger(row) && row >= 1 && row <= count)) {
    throw new InputError(`--row ${row}: ${name} has no such row; valid: 1 to ${count}`);
  }
  if (asked !== undefined && margin === undefined) throw new InputError('--search: valid: with --margin');
  if (asked !== undefined && !search.includes(asked)) {
    throw new InputError(`--search ${asked}: not a search of ${name}; valid: ${search.join(', ')}`);
  }
  if (margin !== undefined && !margins.includes(margin)) {
    const valid = margins.length > 0 ? margins.join(', ') : 'none, it has fixed thresholds only: --row';
    throw new InputError(`--margin ${margin}: not a margin of ${name}; valid: ${valid}`);
  }
}

function chosenRow(rows: readonly Row[], { row, margin, search }: RowChoice): number {
  if (margin === undefined) return (row ?? 1) - 1;
  const ofMargin = rows.filter((candidate) => candidate.margin === margin);
  const chosen = ofMargin.find((candidate) => candidate.search === (search ?? 'joint')) ?? ofMargin[0]!;
  return rows.indexOf(chosen);
}

async function verify(
  opened: OpenGated,
  bytes: Uint8Array,
  thresholds: Thresholds,
  path: string,
): Promise<Verification> {
  const loaded = await loadGatedFile(readGatedFile(bytes, path), path, openInProcess(path));
  try {
    const result = await comparePixels(opened, loaded, thresholds, { batch: BATCH, limit: VERIFIED_IMAGES });
    if (result.different.length > 0) {
      throw new Error(`the graph is not what was evaluated, nothing is written: ${describeVerification(result)}`);
    }
    return result;
  } finally {
    await loaded.close();
  }
}

function describe(
  opened: OpenGated,
  row: Row,
  { preset, promise = row.guarantee }: Omit<ExportForm, 'out'>,
): AboutGated {
  const { experiment, gates, exits, test, parts, costs } = opened;
  const all = networksOf(opened.source);
  // Positions in the cascade of the networks in the file.
  const used = [...new Set(exits.map(({ network }) => network))];
  const source = all[used.at(-1)!]!;
  const thresholds = row.thresholds[0]!;
  const { scores, images } = parts[0]!.evaluation;
  const { checkpoint } = source;
  const { confidence, calibrate } = experiment.gates;
  const [fitted = []] = opened.fitted ?? [];
  const hasOffsets = confidence === 'failure' || experiment.thresholds.perClass === true;
  return {
    format: 1,
    usage:
      `input images: uint8 [batch, ${test.channels}, height, width], pixels 0-255 as they come; input thresholds: float32 ` +
      '[gates], those of dgate.thresholds or others, +inf closes a gate; output class: int64, index into classes; output exit: int64, 0 for the first gate, ' +
      'the number of gates for the original classifier; output confidence: float32, what that exit held against its ' +
      "threshold; output distances (--distances): float32 [batch, classes], the exit's number for each " +
      'class, divided by its dgate.temperatures where there are any, as for the confidence, which dgate.offsets, where there are ' +
      "any, raise by the gate's answer; an image leaves where the " +
      'confidence is >= the threshold',
    classes: [...test.classes],
    preprocessing: describePixels(opened.source.preprocessing, test),
    gates: gates.map(({ gate: { features } }, i) => {
      const { network, place } = exits[i]!;
      return {
        ...(used.length > 1 && { network: used.indexOf(network) + 1 }),
        ...(place && { stage: place.stage }),
        features,
      };
    }),
    ...(used.length > 1 && { networks: used.map((one) => all[one]!.network.name) }),
    confidence,
    ...(calibrate === true && { temperatures: fitted.map(({ temperature }) => temperature) }),
    ...(confidence === 'failure' && { factors: fitted.map(({ factors }) => [...factors]) }),
    ...(hasOffsets && { offsets: fitted.map(({ offsets }) => [...offsets]) }),
    thresholds: [...floatThresholds(thresholds)],
    expected: expectedOf(evaluate(scores, thresholds, costs, images), opened),
    provenance: {
      dgate: version(),
      experiment: experiment.name,
      preset,
      network: source.network.name,
      checkpoint: { sha256: checkpoint.sha256, id: checkpoint.known?.id ?? null },
      row: { kind: row.kind, margin: row.margin ?? null, search: row.search ?? null },
      ...(promise && {
        promise: {
          [promise.of === 'agreement' ? 'disagreement' : 'drop']: promise.drop,
          confidence: promise.confidence,
        },
      }),
      validation: experiment.thresholds.validation,
      splits: {
        expected:
          parts.length > 1 ? `fold ${1 + (opened.fold ?? 0)} of ${parts.length} of the test images` : 'the test images',
      },
      loss: experiment.gates.loss,
      seed: experiment.seed,
      engine: opened.engine.entry.id,
    },
  };
}

function expectedOf(evaluation: Evaluation, { parts, reference, experiment }: OpenGated): AboutGated['expected'] {
  const { scores, images } = parts[0]!.evaluation;
  const isKnown = experiment.unlabelled === undefined;
  const right = images.reduce((sum, i) => sum + (reference.answers[i] === scores.labels[i] ? 1 : 0), 0);
  return {
    images: evaluation.count,
    accuracy: isKnown ? evaluation.accuracy : null,
    originalAccuracy: isKnown ? right / images.length : null,
    flops: evaluation.flops,
    originalFlops: reference.flops,
    flopsReduction: 1 - evaluation.flops / reference.flops,
    exits: evaluation.exits.map((number) => number / evaluation.count),
  };
}
