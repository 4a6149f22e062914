import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os';
import { promisify } from 'node:util';

/** What the run record says of an engine. */
export interface EngineDescription {
  readonly id: string;
  readonly device: string;
  /** Threads of the CPU that it may use. */
  readonly threads: number;
  readonly versions: Readonly<Record<string, string>>;
}

/** What times were measured on; null for what cannot be read here. */
export interface MachineDescription {
  readonly system: string;
  readonly node: string;
  readonly processor: string;
  readonly cores: number;
  readonly memoryBytes: number;
  /** Lowest and highest clock of the cores at the moment of asking. */
  readonly clockMhz: readonly [number, number] | null;
  /** Linux: what sets the clock (`performance`, `powersave`, ...). */
  readonly governor: string | null;
  /** One line for each NVIDIA GPU: name, driver, clock of its multiprocessors now and at most, power limit. */
  readonly gpus: readonly string[];
}

export async function describeMachine(): Promise<MachineDescription> {
  const clocks = cpus().map(({ speed }) => speed);
  const known = clocks.some((speed) => speed > 0);
  return {
    system: `${type()} ${release()}`,
    node: process.versions.node,
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    clockMhz: known ? [Math.min(...clocks), Math.max(...clocks)] : null,
    governor: await governor(),
    gpus: await nvidiaGpus(),
  };
}

async function governor(): Promise<string | null> {
  const path = '/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor';
  const text = await readFile(path, 'utf8').catch(() => null); // not on virtual machines, not outside Linux
  return text?.trim() ?? null;
}

async function nvidiaGpus(): Promise<string[]> {
  const query = '--query-gpu=name,driver_version,clocks.sm,clocks.max.sm,power.limit';
  const asked = await promisify(execFile)('nvidia-smi', [query, '--format=csv,noheader'], { timeout: 10_000 }).catch(
    () => undefined, // no NVIDIA driver
  );
  return asked?.stdout.trim().split('\n').filter(Boolean) ?? [];
}

/** What of a machine stays the same from one moment to the next. */
export function lastingPart({ system, node, processor, cores, gpus }: MachineDescription) {
  return { system, node, processor, cores, gpus: gpus.map((gpu) => gpu.split(', ').slice(0, 2)) };
}

/** Whether two descriptions are of the same machine, as far as can be told; clocks vary from moment to moment. */
export function isSameMachine(a: MachineDescription, b: MachineDescription): boolean {
  return JSON.stringify(lastingPart(a)) === JSON.stringify(lastingPart(b));
}

/** What else went on while the networks were timed. */
export interface Surroundings {
  readonly cores: number;
  /** The machine's load average over one minute. */
  readonly loadBefore: number;
  readonly loadAfter: number;
  /** Share of the processors that other programs kept busy; null where the machine shows more than it lends us. */
  readonly othersShare: number | null;
}

/** Begins to watch what else goes on; the function that it returns ends that. */
export function watchSurroundings(): () => Surroundings {
  const loadBefore = loadavg()[0]!;
  const before = spent();
  return () => {
    const after = spent();
    const all = after.busyMs + after.idleMs - before.busyMs - before.idleMs;
    const others = after.busyMs - before.busyMs - (after.ownMs - before.ownMs);
    const isWhole = cpus().length === availableParallelism() && all > 0;
    return {
      cores: availableParallelism(),
      loadBefore,
      loadAfter: loadavg()[0]!,
      othersShare: isWhole ? Math.max(0, others / all) : null,
    };
  };
}

function spent(): { busyMs: number; idleMs: number; ownMs: number } {
  const times = cpus().map((cpu) => cpu.times);
  const { user, system } = process.cpuUsage();
  return {
    busyMs: times.reduce((sum, time) => sum + time.user + time.nice + time.sys + time.irq, 0),
    idleMs: times.reduce((sum, time) => sum + time.idle, 0),
    ownMs: (user + system) / 1000,
  };
}
