import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { OnnxRuntime } from '../../src/engines/onnxruntime/engine.js';
import type { InferenceSession } from '../../src/engines/onnxruntime/ort.js';
import { median } from '../../src/statistics/intervals.js';

/** An event of ONNX Runtime's profile, as far as it is read here. */
interface Event {
  readonly cat: string;
  readonly name: string;
  /** Microseconds. */
  readonly dur: number;
  readonly args: { readonly op_name?: string };
}

/** ONNX Runtime on the CPU with its profiler on. */
class Profiled extends OnnxRuntime {
  #sessions = 0;

  constructor(readonly folder: string) {
    super({ id: 'ort-cpu', device: 'profiled', provider: 'cpu', threads: availableParallelism() }, '');
  }

  override createSession(model: Uint8Array, options: InferenceSession.SessionOptions = {}) {
    // A session that only optimises a graph runs nothing.
    if (options.optimizedModelFilePath !== undefined) return super.createSession(model, options);
    const prefix = join(this.folder, String(this.#sessions++));
    return super.createSession(model, { ...options, enableProfiling: true, profileFilePrefix: prefix });
  }
}

/** Opened on an engine: what is to be profiled. */
interface Profilable {
  readonly run: () => Promise<unknown>;
  readonly close: () => Promise<void>;
}

/** Microseconds of a run by operator, of each node the median over the runs, and how many nodes there are of it. */
export async function kernelTimes(
  runs: number,
  open: (engine: OnnxRuntime) => Promise<Profilable>,
): Promise<Map<string, { readonly us: number; readonly nodes: number }>> {
  const folder = await mkdtemp(join(tmpdir(), 'dgate-profile-'));
  try {
    const opened = await open(new Profiled(folder));
    for (let i = 0; i < runs; i++) await opened.run();
    await opened.close(); // writes the profile
    const byNode = new Map<string, { operator: string; times: number[] }>();
    for (const name of await readdir(folder)) {
      for (const { cat, name: node, dur, args } of JSON.parse(await readFile(join(folder, name), 'utf8')) as Event[]) {
        if (cat !== 'Node' || !node.endsWith('_kernel_time')) continue;
        const one = byNode.get(node) ?? { operator: args.op_name ?? '', times: [] };
        one.times.push(dur);
        byNode.set(node, one);
      }
    }
    const byOperator = new Map<string, { us: number; nodes: number }>();
    for (const { operator, times } of byNode.values()) {
      if (times.length < runs) continue; // of a session that finds out how the machine lays values out
      const { us, nodes } = byOperator.get(operator) ?? { us: 0, nodes: 0 };
      byOperator.set(operator, { us: us + median(times), nodes: nodes + 1 });
    }
    return byOperator;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
