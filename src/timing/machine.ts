import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os';
import { promisify } from 'node:util';

/** An engine in a run record. */
export interface EngineDescription {
  readonly id: string;
  readonly device: string;
  /** Most CPU threads that it uses. */
  readonly threads: number;
  readonly versions: Readonly<Record<string, string>>;
}

/** The machine of a timing; null for what cannot be read. */
export interface MachineDescription {
  readonly system: string;
  readonly node: string;
  readonly processor: string;
  readonly cores: number;
  readonly memoryBytes: number;
  /** Lowest and highest current clock of the cores. */
  readonly clockMhz: readonly [number, number] | null;
  /** Linux: the frequency governor (`performance`, `powersave`, ...). */
  readonly governor: string | null;
  /** One line for each NVIDIA GPU: name, driver, current and highest clock of its multiprocessors, power limit. */
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

/** The properties of a machine that do not vary from moment to moment. */
export function lastingPart({ system, node, processor, cores, gpus }: MachineDescription) {
  return { system, node, processor, cores, gpus: gpus.map((gpu) => gpu.split(', ').slice(0, 2)) };
}

/** Whether two descriptions are of the same machine, judged by its lasting properties. */
export function isSameMachine(a: MachineDescription, b: MachineDescription): boolean {
  return JSON.stringify(lastingPart(a)) === JSON.stringify(lastingPart(b));
}

/** Load of the machine while the networks were timed. */
export interface Surroundings {
  readonly cores: number;
  /** The machine's load average over one minute. */
  readonly loadBefore: number;
  readonly loadAfter: number;
  /** Share of the processors that other programs kept busy; null if the process may use only some of the processors. */
  readonly othersShare: number | null;
}

/** Starts to measure the load of the machine; the returned function ends the measurement. */
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
