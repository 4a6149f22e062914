import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { writeSafetensors } from '../checkpoints/load.js';
import type { Preprocessing } from '../data/preprocess.js';
import { datasetNamed } from '../data/registry.js';
import { checkTrainingEngine, trainingEngine } from '../engines/registry.js';
import { InputError } from '../errors.js';
import { counted, percent } from '../json.js';
import { networkByName } from '../networks/catalogue.js';
import { lowerNetwork } from '../networks/lower.js';
import { type Network, networkTensors } from '../networks/network.js';
import { version } from '../project.js';
import type { RunContext } from '../run/context.js';
import { evaluateOriginal, openSplit } from '../run/images.js';
import type { NetworkSource } from '../run/source.js';
import { canonicalJson, exists, writeFileAtomic } from '../store/files.js';
import { describeHolder, Lock, sweep } from '../store/lock.js';
import { sayWhenInterrupted } from '../store/processes.js';
import type { TensorMap } from '../tensor.js';
import { divideImages, stepsPerEpoch, type TrainingImages } from '../training/recipe.js';
import {
  checkState,
  curveCsv,
  describePosition,
  type Position,
  readState,
  type TrainingState,
  writeState,
} from '../training/state.js';
import { checkResumed, Diverged, initialTensors, planTraining, type TrainingPlan, train } from '../training/train.js';
import { openContext } from './context.js';
import { assertWhole, type TrainCommandOptions } from './options.js';
import { printEither, say } from './output.js';

/** `dgate train` */
export async function trainNetwork(options: TrainCommandOptions): Promise<void> {
  const network = networkByName(options.network);
  checkTrainingEngine(options.engine); // refused before a lock is taken
  const files = trainingFiles(options.out ?? `${network.name}.safetensors`);
  assertWhole('checkpoint-every', options.checkpointEvery, 'a whole number of steps from 1');
  const plan = planTraining(options);
  await kindOf(files, options.resume);
  const lock = await Lock.tryTake(files.lock);
  if (lock === undefined) {
    const holder = await describeHolder(files.lock);
    throw new InputError(`${files.checkpoint}: ${holder} is training it; choose another --out, or wait until it ends`);
  }
  try {
    await trainLocked(options, network, plan, files);
  } finally {
    await lock.release();
  }
}

/** Trains while no other process writes the same files. */
async function trainLocked(
  options: TrainCommandOptions,
  network: Network,
  plan: TrainingPlan,
  files: TrainingFiles,
): Promise<void> {
  const kind = await kindOf(files, options.resume);
  const begun = kind === 'resumed' ? await readState(files.state) : undefined;
  const context = await openContext(options);
  if (kind === 'finished') {
    context.progress.note(`${files.checkpoint}: this training is finished`);
    return;
  }
  const recipe = begun?.training.recipe ?? plan.recipe;
  const seed = begun?.training.seed ?? plan.seed;
  const images = await openImages(context, network, recipe, seed);
  if (begun !== undefined) {
    checkResumed(begun.training, { ...options, network: network.name, dataSha256: images.dataSha256 }, files.state);
    checkState(begun, network, stepsPerEpoch(images, recipe), files.state);
  }
  const engineId = checkTrainingEngine(begun?.training.engine ?? options.engine);
  const engine = await trainingEngine(engineId, context.progress);
  const start = begun ?? {
    training: { ...plan, network: network.name, engine: engine.describe().id, dataSha256: images.dataSha256 },
    position: { epoch: 0, step: 0, lossSum: 0, correct: 0, seconds: 0, curve: [] },
    tensors: { weights: initialTensors(network, seed, recipe.zeroInitResidual), momenta: new Map() },
  };
  await sweep(dirname(files.state));
  const work = { network, engine, images, checkpointEvery: options.checkpointEvery };
  const outcome = await trainSaving(context, start, begun !== undefined, files, work);
  if (outcome !== undefined) await finishTraining(context, outcome, files, options.json);
}

/** The kind of training, by the existing files. @throws InputError if they do not fit the options */
async function kindOf(files: TrainingFiles, resume: boolean): Promise<'new' | 'resumed' | 'finished'> {
  const [state, checkpoint] = [await exists(files.state), await exists(files.checkpoint)];
  if (resume && state) return 'resumed';
  if (resume && checkpoint) return 'finished';
  if (resume) throw new InputError(`--resume: no ${files.state}; valid: the --out of an interrupted training`);
  if (state) {
    throw new InputError(
      `${files.state}: an interrupted training; valid: --resume to resume it, another --out, or delete the file`,
    );
  }
  if (checkpoint) throw new InputError(`${files.checkpoint} already exists; choose another --out`);
  return 'new';
}

async function openImages(
  context: RunContext,
  network: Network,
  recipe: TrainingState['training']['recipe'],
  seed: number,
): Promise<TrainingImages> {
  const { preprocessing } = datasetNamed(network.dataset, context.datasets);
  const source = sourceOf(network, preprocessing, () => initialTensors(network, seed, false));
  const train = await openSplit(context, source, 'train');
  const images = divideImages(train, preprocessing, recipe, seed);
  context.progress.note(
    `${network.name}: learning from ${counted(images.learn.count)} images, ` +
      `${counted(images.heldOut.length)} held out for validation`,
  );
  return images;
}

/** Trains and saves states; undefined if it diverged, which is reported. */
async function trainSaving(
  { progress }: RunContext,
  start: TrainingState,
  isResumed: boolean,
  files: TrainingFiles,
  work: Omit<Parameters<typeof train>[1], 'progress' | 'save'>,
) {
  let saved = start.position;
  const keep = (position: Position): void => {
    saved = position;
    sayWhenInterrupted(
      `interrupted; saved: ${describePosition(saved)}; resume with: ` +
        `dgate train ${work.network.name} --out ${files.checkpoint} --resume`,
    );
  };
  const save = async (state: TrainingState): Promise<void> => {
    await writeState(files.state, state);
    keep(state.position);
    if (state.position.curve.length > 0) await writeFileAtomic(files.curve, curveCsv(state.position.curve));
  };
  if (isResumed) {
    progress.note(`resuming at ${describePosition(saved)}`);
    keep(saved);
  } else {
    await save(start);
  }
  try {
    return { ...work, training: start.training, ...(await train(start, { ...work, progress, save })) };
  } catch (error) {
    if (!(error instanceof Diverged)) throw error;
    say(
      `dgate: ${error.message}: training stopped; last good checkpoint: ${files.state} (${describePosition(saved)}); ` +
        'a lower --learning-rate may help',
    );
    process.exitCode = 1;
    return undefined;
  } finally {
    sayWhenInterrupted(null);
  }
}

/** For the test images: the engine of experiments, not of training. */
const TEST_ENGINE = 'ort-cpu';

type TrainingFiles = ReturnType<typeof trainingFiles>;

/** Files of a training; its `state`, to resume, is removed when the checkpoint is complete. @throws InputError if the name does not end in .safetensors */
export function trainingFiles(out: string) {
  const stem = /^(.*[^/])\.safetensors$/.exec(out)?.[1];
  if (stem === undefined) throw new InputError(`--out ${out}; valid: a file whose name ends in .safetensors`);
  return { checkpoint: out, state: `${stem}.state.safetensors`, curve: `${stem}.csv`, lock: `${stem}.lock` };
}

/** A network whose weights are in memory. */
function sourceOf(network: Network, preprocessing: Preprocessing, tensors: () => TensorMap): NetworkSource {
  return {
    network,
    preprocessing,
    checkpoint: { path: network.name, sha256: '', known: undefined },
    modules: [],
    heldOut: () => Promise.reject(new Error('unused in training')),
    lowered: async () => lowerNetwork(network, tensors()),
  };
}

/** Tests a trained network once and writes its checkpoint. */
async function finishTraining(
  context: RunContext,
  { network, engine, images, training, weights, curve }: NonNullable<Awaited<ReturnType<typeof trainSaving>>>,
  files: TrainingFiles,
  json: boolean,
): Promise<void> {
  const source = sourceOf(network, images.preprocessing, () => weights);
  const test = await evaluateOriginal(context, source, { split: 'test', engine: TEST_ENGINE });
  const last = curve.at(-1)!;
  const { mean, std } = images.preprocessing;
  const ordered = new Map(networkTensors(network).map(({ name }) => [name, weights.get(name)!]));
  await writeSafetensors(files.checkpoint, ordered, {
    network: network.name,
    preprocessing: JSON.stringify({ mean, std }),
    recipe: canonicalJson({ preset: training.preset, ...training.recipe }),
    seed: String(training.seed),
    data_sha256: images.dataSha256,
    train_images: String(images.learn.count),
    epochs: String(last.epoch),
    validation_accuracy: String(last.validationAccuracy),
    test_accuracy: String(test.accuracy),
    test_images: String(test.images),
    test_engine: test.engine,
    held_out: JSON.stringify([...images.heldOut]),
    engine: canonicalJson({ ...engine.describe(), dgate: version() }),
    seconds: last.seconds.toFixed(1),
    date: new Date().toISOString(),
  });
  await writeFileAtomic(files.curve, curveCsv(curve));
  await rm(files.state, { force: true });
  const document = {
    network: network.name,
    checkpoint: files.checkpoint,
    curve: files.curve,
    epochs: last.epoch,
    validationAccuracy: last.validationAccuracy,
    validationImages: images.heldOut.length,
    testAccuracy: test.accuracy,
    testImages: test.images,
    seconds: last.seconds,
    engine: training.engine,
  };
  printEither(
    json,
    document,
    `${files.checkpoint}: ${network.name}, ${percent(test.accuracy, 2)} of ${counted(test.images)} test ` +
      `images (${test.engine}), ${percent(last.validationAccuracy, 2)} of ${counted(images.heldOut.length)} ` +
      `held out; ${last.epoch} epochs, ${last.seconds.toFixed(0)} s on ${training.engine}\ncurve: ${files.curve}\n`,
  );
}
