import { rm } from 'node:fs/promises';
import { writeSafetensors } from '../checkpoints/safetensors.js';
import type { Preprocessing } from '../data/preprocess.js';
import { InputError } from '../errors.js';
import { lowerNetwork } from '../networks/lower.js';
import type { Network } from '../networks/network.js';
import { networkTensors } from '../networks/tensors.js';
import { version } from '../project.js';
import type { RunContext } from '../run/context.js';
import { evaluateOriginal } from '../run/evaluate.js';
import type { NetworkSource } from '../run/source.js';
import { canonicalJson, writeFileAtomic } from '../store/files.js';
import type { TensorMap } from '../tensor.js';
import { curveCsv } from '../training/curve.js';
import type { TrainingImages } from '../training/images.js';
import type { Position, Training } from '../training/state.js';
import type { TrainingEngine } from '../training/trainer.js';
import { print, printJson } from './output.js';

/** Reads the test images: another engine than trained, the one that experiments run on. */
const TEST_ENGINE = 'ort-cpu';

/** Files of a training. */
export interface TrainingFiles {
  readonly checkpoint: string;
  /** All that is needed to go on after an interruption; removed when the checkpoint is there. */
  readonly state: string;
  readonly curve: string;
  /** Held by the process that writes them. */
  readonly lock: string;
}

/** What a training came to. */
export interface TrainingOutcome {
  readonly engine: TrainingEngine;
  readonly images: TrainingImages;
  readonly training: Training;
  readonly weights: TensorMap;
  readonly curve: Position['curve'];
}

/** @throws InputError where the name is not that of a safetensors file */
export function trainingFiles(out: string): TrainingFiles {
  const stem = /^(.*[^/])\.safetensors$/.exec(out)?.[1];
  if (stem === undefined) throw new InputError(`--out ${out}; valid: a file whose name ends in .safetensors`);
  return { checkpoint: out, state: `${stem}.state.safetensors`, curve: `${stem}.csv`, lock: `${stem}.lock` };
}

/** A network whose weights are in memory. */
export function sourceOf(network: Network, preprocessing: Preprocessing, tensors: () => TensorMap): NetworkSource {
  return {
    network,
    preprocessing,
    checkpoint: { path: network.name, sha256: '', known: undefined },
    modules: [],
    heldOut: () => Promise.reject(new Error('not asked for in training')),
    lowered: async () => lowerNetwork(network, tensors()),
  };
}

/** Tests a trained network, once, and writes its checkpoint. */
export async function finishTraining(
  context: RunContext,
  network: Network,
  { engine, images, training, weights, curve }: TrainingOutcome,
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
  const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;
  if (json) printJson(document);
  else
    print(
      `${files.checkpoint}: ${network.name}, ${percent(test.accuracy)} of ${test.images.toLocaleString('en')} test ` +
        `images (${test.engine}), ${percent(last.validationAccuracy)} of ${images.heldOut.length.toLocaleString('en')} ` +
        `held out; ${last.epoch} epochs, ${last.seconds.toFixed(0)} s on ${training.engine}\ncurve: ${files.curve}\n`,
    );
}
