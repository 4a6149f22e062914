/**
 * npx tsx bench/telemetry.ts [rounds]
 *
 * Whether ONNX Runtime's telemetry, which dgate switches off, changes times: ResNet-20 at batch 1 in two processes that are alike
 * but for ORT_DISABLE_TELEMETRY, in turn, 100 images a turn. Printed: milliseconds of processor time of a turn with telemetry off and on, and
 * their ratio. The processes have an empty HOME and TMPDIR; no network where `unshare` works, otherwise telemetry would be sent.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { featureGraph } from '../src/onnx/gated.js';
import { generated } from './runner/generated.js';
import { allInTurn, pairsOf, ratioOf } from './runner/pairs.js';
import { renderRatios } from './runner/table.js';

const IMAGES = 100;

/** Answers each line with the processor time of a turn in ms, all threads together: what else runs here does not count. */
const program = `
const ort = require('onnxruntime-node');
(async () => {
  const session = await ort.InferenceSession.create(process.argv[1], { intraOpNumThreads: 1 });
  const images = new ort.Tensor('float32', new Float32Array(3072), [1, 3, 32, 32]);
  for await (const _ of require('readline').createInterface({ input: process.stdin })) {
    const before = process.cpuUsage();
    for (let i = 0; i < ${IMAGES}; i++) await session.run({ images });
    const { user, system } = process.cpuUsage(before);
    console.log((user + system) / 1000);
  }
})();`;

const isolation = spawnSync('unshare', ['-rn', 'true']).status === 0 ? ['unshare', '-rn'] : [];

/** Starts a process, and gives its turns. */
async function started(
  folder: string,
  disabled: string,
): Promise<{ child: ChildProcess; turn: () => Promise<number> }> {
  const home = join(folder, disabled);
  await mkdir(home);
  const [command, ...args] = [...isolation, process.execPath, '-e', program, join(folder, 'model.onnx')];
  const child = spawn(command!, args, {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    env: { ...process.env, HOME: home, TMPDIR: home, ORT_DISABLE_TELEMETRY: disabled },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const turn = async (): Promise<number> => {
    child.stdin.write('\n');
    return Number((await lines.next()).value);
  };
  return { child, turn };
}

const folder = await mkdtemp(join(tmpdir(), 'dgate-telemetry-'));
try {
  await writeFile(join(folder, 'model.onnx'), featureGraph(generated('resnet20-cifar10', 1).lowered, []));
  const off = await started(folder, '1');
  const on = await started(folder, '0');
  const [without, with_] = await allInTurn([off.turn, on.turn], { rounds: Number(process.argv[2] ?? 30) });
  off.child.kill();
  on.child.kill();
  const line = { what: `ResNet-20, ${IMAGES} images one by one`, against: 'telemetry on', unit: 'ms' };
  const network = isolation.length > 0 ? 'without network' : 'with network';
  process.stdout.write(`${renderRatios([ratioOf(pairsOf(without!, with_!), { ...line, note: network })])}\n`);
} finally {
  await rm(folder, { recursive: true });
}
