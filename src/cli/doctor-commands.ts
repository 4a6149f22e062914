import { spawnSync } from 'node:child_process';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { type Diagnosis, diagnose } from '../engines/doctor/diagnose.js';
import { setupOrtCuda } from '../engines/onnxruntime/setup.js';
import { engineNamed, listEngines } from '../engines/registry.js';
import { setupTfjsNode } from '../engines/tfjs/setup/index.js';
import { InputError } from '../errors.js';
import { renderColumns } from '../report/columns.js';
import { cacheFolder } from './context.js';
import type { DoctorOptions } from './doctor.js';
import { print, printJson, say } from './output.js';
import { consoleProgress } from './progress.js';

/** `dgate doctor` */
export async function doctor(options: DoctorOptions): Promise<void> {
  const ofTensorFlow = [options.gpu && '--gpu', options.sitePackages && '--site-packages'].filter(Boolean);
  if (options.setup !== 'tfjs-node' && ofTensorFlow.length > 0) {
    throw new InputError(`${ofTensorFlow.join(', ')}: only with --setup tfjs-node`);
  }
  if (options.setup === 'tfjs-node') return setupTensorFlow(options);
  if (options.setup === 'ort-cuda') return setupCuda(options);
  if (options.wheel !== undefined) throw new InputError('--wheel: only with --setup');

  const progress = consoleProgress();
  const ids = listEngines().map(({ id }) => id);
  const task = progress.begin('engines', ids.length, 'engines');
  const engines: Diagnosis[] = [];
  for (const id of ids) {
    task.update(engines.length, id);
    engines.push(await diagnose(id)); // one after the other, so that none slows another
  }
  task.end(`${ids.length} engines checked`);
  const machine = describeMachine();
  if (options.json) printJson({ machine, auto: engineNamed('auto').id, engines });
  else print(renderReport(machine, engines));
}

/** What the doctor says of the machine. */
export type Machine = ReturnType<typeof describeMachine>;

function describeMachine() {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    nvidiaGpus: nvidiaGpus(),
    platform: `${process.platform} ${process.arch}`,
    node: process.versions.node,
  };
}

/** Name, memory and driver of each NVIDIA GPU; none where nvidia-smi is missing or finds none. */
function nvidiaGpus(): string[] {
  const query = ['--query-gpu=name,memory.total,driver_version', '--format=csv,noheader'];
  const { status, stdout } = spawnSync('nvidia-smi', query, { encoding: 'utf8', timeout: 20_000 });
  return status === 0 ? stdout.trim().split('\n').filter(Boolean) : [];
}

/** The report for people: a table of all engines; under it, why those that do not work do not, and what would change it. */
export function renderReport(machine: Machine, engines: readonly Diagnosis[]): string {
  const rows = engines.map((engine) =>
    engine.works
      ? [
          engine.id,
          'yes',
          engine.gflopsPerSecond.toFixed(engine.gflopsPerSecond < 10 ? 2 : 0),
          engine.imagesPerSecond.toFixed(engine.imagesPerSecond < 10 ? 1 : 0),
          String(engine.batch),
          engine.device,
        ]
      : [engine.id, 'no', '', '', '', ''],
  );
  const broken = engines.flatMap((engine) =>
    engine.works ? [] : [`${engine.id}: ${engine.reason}\n  run: ${engine.command}`],
  );
  const gpus = machine.nvidiaGpus.length > 0 ? machine.nvidiaGpus.join('; ') : 'none';
  return [
    `${machine.cpu}, ${machine.cores} cores; NVIDIA GPUs: ${gpus}; ${machine.platform}, Node ${machine.node}`,
    renderColumns(['Engine', 'Works', 'GFLOP/s', 'Images/s', 'Batch', 'Device'], rows, 'text'),
    'Measured for about a second each on ResNet-20, 32 x 32 images. `--engine auto` takes ' +
      `${engineNamed('auto').id}.`,
    ...broken,
    '',
  ].join('\n');
}

const log = (line: string): void => say(line);

async function setupTensorFlow({ gpu, wheel, sitePackages, json, cache }: DoctorOptions): Promise<void> {
  const extracted = join(cacheFolder({ cache }), 'tensorflow');
  const done = await setupTfjsNode({ gpu, wheel, sitePackages, cache: extracted, log });
  const device = done.gpu ? 'on the GPU' : 'on the CPU';
  if (json) printJson(done);
  else print(`${done.package}: TensorFlow ${done.tensorflow} ${device}${done.changed ? '' : ', as it was'}\n`);
}

async function setupCuda({ wheel, json }: DoctorOptions): Promise<void> {
  const done = await setupOrtCuda({ wheel, log });
  const state = done.works
    ? `ort-cuda works${done.changed ? '' : ', as it did'}`
    : `ort-cuda does not work yet: ${done.reason}; run: ${done.command}`;
  if (json) printJson(done);
  else print(`onnxruntime-node ${done.version}: ${state}\n`);
  if (!done.works) process.exitCode = 1;
}
