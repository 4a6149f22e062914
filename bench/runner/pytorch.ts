import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeSafetensors, type Storable } from '../../src/checkpoints/load.js';
import type { Network } from '../../src/networks/network.js';
import type { TensorMap } from '../../src/tensor.js';
import { type PythonScript, startScript } from './python-script.js';

/** What PyTorch is to run. */
export interface PyTorchSubject {
  readonly network: Network;
  /** The network's tensors, and others that the script wants. */
  readonly tensors: TensorMap;
  /** What else the script finds in network.json. */
  readonly described: Readonly<Record<string, unknown>>;
  /** [count, channels, height, width], normalised */
  readonly images: Float32Array;
}

export type PyTorch<Hello> = PythonScript<Hello>;

/** Starts a script of bench/ on a subject, which it finds in a folder: network.json, weights.safetensors, images.bin. */
export async function startPyTorch<Hello>(script: string, subject: PyTorchSubject): Promise<PyTorch<Hello>> {
  const folder = await mkdtemp(join(tmpdir(), 'dgate-bench-'));
  const remove = (): Promise<void> => rm(folder, { recursive: true });
  try {
    await exportSubject(subject, folder);
    const started = await startScript<Hello>(script, [folder]);
    return { ...started, close: () => started.close().then(remove) };
  } catch (error) {
    await remove();
    throw error;
  }
}

async function exportSubject({ network, tensors, described, images }: PyTorchSubject, folder: string): Promise<void> {
  await writeFile(join(folder, 'weights.safetensors'), encodeSafetensors(new Map<string, Storable>(tensors)));
  await writeFile(join(folder, 'network.json'), JSON.stringify({ network, ...described }));
  await writeFile(join(folder, 'images.bin'), new Uint8Array(images.buffer, images.byteOffset, images.byteLength));
}
