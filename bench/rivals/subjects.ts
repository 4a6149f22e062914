import { spawnSync } from 'node:child_process';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder } from '../../src/cli/command.js';
import type { Network } from '../../src/networks/network.js';
import { DROPS, pointsOf, prepareGenerated, prepareTrained, type Say, tableOneCascade } from './prepare.js';

/** One system of the table. */
export interface System {
  /** As the table has it; unique within the subject. */
  readonly name: string;
  /** What runs it: dgate's engine or an ONNX Runtime session in this process, or a Python process. */
  readonly runtime: 'dgate' | 'onnxruntime-node' | 'onnxruntime' | 'openvino' | 'torch';
  readonly kind: 'model' | 'generated' | 'file' | 'compiled' | 'eager' | 'loop' | 'earlyon';
  /** Of `model`: its name in the folder (models.ts). */
  readonly model?: string;
  /** In the folder: what is deployed. */
  readonly file?: string;
  /** Of the gates, as texts: Python's float() reads "Infinity". */
  readonly thresholds?: readonly string[];
}

/** What is in a subject's folder. */
export interface Subject {
  readonly name: string;
  readonly folder: string;
  readonly images: number;
  /** Whether accuracy means something: trained weights, real images. */
  readonly isReal: boolean;
  /** [channels, height, width] */
  readonly input: readonly number[];
  readonly network: Network;
  /** Of PyTorch's loop and of earlyon: where exits sit. */
  readonly gates: readonly { readonly stage: number; readonly pooling: unknown }[];
  /** FLOPs up to each of them, as shares of the network's. */
  readonly shares: readonly number[];
  readonly drops: readonly number[];
  readonly hasVnni: boolean;
  readonly systems: readonly System[];
  /** What could not be prepared, and why. */
  readonly leftOut: Readonly<Record<string, string>>;
}

/** Another one wherever what is prepared changes. */
const VERSION = 1;

/** What the benchmark compares on. Prepared once, in `rivals/` of the cache; measured from there. */
export const subjects: Readonly<Record<string, (folder: string, say: Say) => Promise<void>>> = {
  'resnet56-cifar10': (folder, say) => prepareTrained(folder, 'resnet56', 'cascade', say),
  'table1-cifar10': (folder, say) => prepareTrained(folder, 'table1', tableOneCascade, say),
  'resnet101-cifar10': prepareGenerated,
};

/** A subject, from its folder or prepared into it. @param python the peers' interpreter */
export async function openSubject(name: string, python: string, say: Say): Promise<Subject> {
  const folder = join(cacheFolder({}), 'rivals', `${name}-${VERSION}`);
  const path = join(folder, 'subject.json');
  const read = async (): Promise<Subject> => JSON.parse(await readFile(path, 'utf8')) as Subject;
  const there = await read().catch(() => undefined);
  if (there !== undefined && there.folder === folder) return there;
  say(`${name}: prepared once (many minutes): thresholds, 8-bit networks, earlyon's exits`);
  const making = `${folder}.making`;
  await rm(making, { recursive: true, force: true });
  await mkdir(making, { recursive: true });
  await subjects[name]!(making, say);
  const script = fileURLToPath(new URL('prepare.py', import.meta.url));
  const made = spawnSync(python, [script, making], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  const result = /^RESULT (.*)$/m.exec(made.stdout)?.[1];
  const found = JSON.parse(result ?? '{}') as Record<string, { file?: string; failed?: string }>;
  const partial = JSON.parse(await readFile(join(making, 'subject.json'), 'utf8')) as Subject;
  const systems: System[] = [...partial.systems];
  const leftOut: Record<string, string> = {};
  for (const [what, { file, failed }] of Object.entries(found)) {
    if (failed !== undefined) leftOut[what] = failed;
    else if (what === 'int8-onnxruntime')
      systems.push({ name: '8 bits, ONNX Runtime', runtime: 'onnxruntime-node', kind: 'file', file: file! });
    else if (what === 'int8-openvino')
      systems.push({ name: '8 bits, OpenVINO (nncf)', runtime: 'openvino', kind: 'file', file: file! });
    else
      for (const drop of DROPS) {
        const name = `earlyon, ${pointsOf(drop)}`;
        systems.push({ name, runtime: 'torch', kind: 'earlyon', file: `earlyon-${drop}.pt` });
      }
  }
  await writeFile(join(making, 'subject.json'), JSON.stringify({ ...partial, name, folder, systems, leftOut }));
  await rm(folder, { recursive: true, force: true });
  await rename(making, folder);
  return read();
}
