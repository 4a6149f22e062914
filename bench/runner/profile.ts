import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** What V8 writes with --cpu-prof, as far as it is read here. */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string };
  }[];
  readonly samples: readonly number[];
  /** Microseconds before each sample. */
  readonly timeDeltas: readonly number[];
}

/** Milliseconds that a part of the program had the processor, or waited. */
export interface Part {
  readonly name: string;
  readonly ms: number;
}

/** Where the time of a process went, the most first. @param folder of --cpu-prof-dir; of several profiles the largest */
export async function readProfile(folder: string): Promise<Part[]> {
  const paths = (await readdir(folder))
    .filter((name) => name.endsWith('.cpuprofile'))
    .map((name) => join(folder, name));
  const sizes = await Promise.all(paths.map(async (path) => (await stat(path)).size));
  const largest = paths[sizes.indexOf(Math.max(...sizes))];
  if (largest === undefined) throw new Error(`${folder}: no profile`);
  return partsOf(JSON.parse(await readFile(largest, 'utf8')) as CpuProfile);
}

export function partsOf({ nodes, samples, timeDeltas }: CpuProfile): Part[] {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, partName(callFrame.functionName, callFrame.url)]));
  const parts = new Map<string, number>();
  for (const [i, sample] of samples.entries()) {
    const name = names.get(sample)!;
    parts.set(name, (parts.get(name) ?? 0) + Math.max(0, timeDeltas[i]!) / 1000);
  }
  return [...parts].map(([name, ms]) => ({ name, ms })).sort((a, b) => b.ms - a.ms);
}

function partName(functionName: string, url: string): string {
  if (functionName === '(idle)') return 'waiting';
  if (functionName === '(garbage collector)') return 'garbage collector';
  if (functionName === '(program)') return 'native code';
  const inPackage = (/.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url) ?? /\/vendor\/([^/.]+)/.exec(url))?.[1];
  if (inPackage !== undefined) return inPackage;
  if (/^node:(internal\/modules|internal\/vm|vm)/.test(url)) return 'loading modules';
  if (url === '' || url.startsWith('node:')) return 'Node';
  return /\/(src\/[^/]+|bin|experiments)\//.exec(url)?.[1] ?? 'else';
}

/** `src/thresholds 310 ms, waiting 200 ms, ...` */
export function profileText(parts: readonly Part[], most = 6): string {
  return parts
    .slice(0, most)
    .map(({ name, ms }) => `${name} ${ms.toFixed(0)} ms`)
    .join(', ');
}
