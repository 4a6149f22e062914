import { spawnSync } from 'node:child_process';
import { availableParallelism, cpus } from 'node:os';
import type { Diagnosis } from '../engines/doctor/diagnose.js';
import { engineNamed } from '../engines/registry.js';
import { renderColumns } from '../report/columns.js';

/** What the doctor says of the machine. */
export type Machine = ReturnType<typeof machineReport>;

/** Processor, GPUs, system and Node of this machine. */
export function machineReport() {
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

/** The console report: a table of all engines; below it, why engines do not work and the command that helps. */
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
