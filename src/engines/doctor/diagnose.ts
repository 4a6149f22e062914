import { fork } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { networkByName } from '../../networks/catalogue.js';
import { lowerNetwork } from '../../networks/lower.js';
import { networkFlops } from '../../networks/network.js';
import { Random } from '../../random.js';
import type { EngineDescription } from '../../timing/record.js';
import { initialTensors } from '../../training/train.js';
import { type Engine, loaders } from '../engine.js';

type Measurement = Awaited<ReturnType<typeof measureEngine>>;

const NETWORK = 'resnet20-cifar10';
const BATCH = 32;
const SECONDS = 1;
/** An engine slower than this on one image is measured on single images. */
const SLOW_SECONDS = 0.1;

/** Measures an engine for about a second on ResNet-20 with random weights, after a warm-up. */
export async function measureEngine(engine: Engine, network = networkByName(NETWORK)) {
  const { flops } = networkFlops(network);
  const { channels, height, width } = network.input;
  const random = new Random(0, 'doctor');
  const images = Float32Array.from({ length: BATCH * channels * height * width }, () => 2 * random.uniform() - 1);
  const loaded = await engine.loadFeatures(lowerNetwork(network, initialTensors(network, 0, false)), []);
  const run = async (batch: number): Promise<number> => {
    const start = performance.now();
    await loaded.run(images.subarray(0, batch * channels * height * width), batch);
    return (performance.now() - start) / 1000;
  };
  try {
    await run(1); // compiles kernels and shaders
    const batch = (await run(1)) > SLOW_SECONDS ? 1 : BATCH;
    if (batch > 1) await run(batch); // the first run of a size allocates
    let [count, seconds] = [0, 0];
    while (seconds < SECONDS) {
      seconds += await run(batch);
      count += batch;
    }
    const imagesPerSecond = count / seconds;
    return { gflopsPerSecond: (imagesPerSecond * flops) / 1e9, imagesPerSecond, batch };
  } finally {
    await loaded.close();
  }
}

/** Whether an engine works on this machine. */
export type Diagnosis =
  | ({ readonly works: true } & EngineDescription & Measurement)
  | { readonly works: false; readonly id: string; readonly reason: string; readonly command: string };

/** What the child process sends: `ready` once the engine is loaded. */
export type Report = 'ready' | Diagnosis;

/** Software graphics drivers compile their shaders for half a minute. */
const TIMEOUT_SECONDS = 120;

/** Loads and measures an engine in a separate process, which may crash or hang. @param timeoutSeconds until it is killed */
export function diagnose(id: string, timeoutSeconds = TIMEOUT_SECONDS): Promise<Diagnosis> {
  // .ts under tsx, .js when built
  const script = new URL(`./child${extname(fileURLToPath(import.meta.url))}`, import.meta.url);
  const child = fork(script, [id], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    execArgv: loaders(),
    timeout: timeoutSeconds * 1000,
    killSignal: 'SIGKILL',
  });
  return new Promise((resolve) => {
    let diagnosis: Diagnosis | undefined;
    let isReady = false;
    let errors = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      errors = `${errors}${chunk.toString()}`.slice(-2000);
    });
    child.on('message', (report: Report) => {
      if (report === 'ready') isReady = true;
      else diagnosis = report;
    });
    child.on('error', (error) => {
      errors = error.message;
    });
    child.on('close', (status, signal) => {
      const isLate = child.killed;
      const when = isReady ? 'while running a network' : 'while loading';
      const how = isLate ? `no answer within ${timeoutSeconds} s` : `its process ended with ${signal ?? status}`;
      const said = isLate ? '' : (errors.trim().split('\n').at(-1)?.trim() ?? '');
      const reason = `${how} ${when}${said && `: ${said}`}`;
      resolve(diagnosis ?? { works: false, id, reason, command: isLate ? 'dgate doctor' : remedy(id) });
    });
  });
}

function remedy(id: string): string {
  return id === 'tfjs-node' || id === 'ort-cuda' ? `dgate doctor --setup ${id}` : 'npm ci';
}
