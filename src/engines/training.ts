import { InputError } from '../errors.js';
import type { Progress } from '../progress.js';
import type { TrainingEngine } from '../training/trainer.js';

const trainable = ['tfjs-node', 'tfjs-webgpu', 'tfjs-cpu'] as const;
type Trainable = (typeof trainable)[number];

const notTrainable: Readonly<Record<string, string>> = {
  'tfjs-wasm': "TensorFlow.js's WASM backend has no gradient of a convolution (Conv2DBackpropFilter)",
  'ort-cpu': 'ONNX Runtime in Node only runs networks',
  'ort-webgpu': 'ONNX Runtime in Node only runs networks',
  'ort-cuda': 'ONNX Runtime in Node only runs networks',
};

/** Checks an engine's name before any work is done. @throws InputError if it cannot train */
export function checkTrainingEngine(id: string): 'auto' | Trainable {
  const found = (['auto', ...trainable] as const).find((name) => name === id);
  if (found !== undefined) return found;
  const why = notTrainable[id] === undefined ? 'unknown' : `cannot train: ${notTrainable[id]}`;
  throw new InputError(`engine ${id}: ${why}; valid: auto, ${trainable.join(', ')}`);
}

/**
 * The engine of this id; `auto` is the first of tfjs-node, tfjs-webgpu and tfjs-cpu that works on this machine. Reports
 * which one, and why earlier ones do not work.
 *
 * @throws InputError if it does not work on this machine
 */
export async function trainingEngine(id: 'auto' | Trainable, progress: Progress): Promise<TrainingEngine> {
  const reasons: string[] = [];
  for (const candidate of id === 'auto' ? trainable : [id]) {
    try {
      const engine = await load(candidate);
      const { device, threads, versions } = engine.describe();
      const version = Object.entries(versions).map(([name, value]) => `${name} ${value}`);
      for (const reason of reasons) progress.note(reason);
      progress.note(
        `engine: ${candidate} on ${device}, ${threads} thread${threads === 1 ? '' : 's'} (${version.join(', ')})`,
      );
      if (candidate === 'tfjs-cpu') progress.warn('tfjs-cpu is plain JavaScript, for tests and the smallest networks');
      return engine;
    } catch (error) {
      if (!(error instanceof InputError) || id !== 'auto') throw error;
      reasons.push(`not ${error.problems.join('; ')}`);
    }
  }
  throw new InputError(reasons);
}

async function load(id: Trainable): Promise<TrainingEngine> {
  const { loadTensorFlow } = await import('./tfjs/backend.js');
  const { tfjsTraining } = await import('./tfjs/training/trainer.js');
  return tfjsTraining(await loadTensorFlow(id));
}
