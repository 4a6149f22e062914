import { existsSync, readFileSync } from 'node:fs';
import { packageVersion } from '../../src/engines/onnxruntime/engine.js';
import { describeMachine } from '../../src/timing/record.js';
import type { Conditions } from './csv.js';
import { peerNames } from './peers.js';
import type { Peer } from './types.js';

/** What stands in every line of what is measured now. */
export async function conditionsOf(peers: ReadonlyMap<Peer, string>): Promise<Conditions> {
  const { processor, cores, system, node } = await describeMachine();
  const versions = [`node ${node}`, `onnxruntime-node ${await packageVersion()}`];
  for (const [peer, version] of peers) versions.push(`${peerNames[peer]} ${version}`);
  const sets = presentSets();
  const hidden = process.env['DGATE_BENCH_HIDDEN'] === undefined ? [] : ['all others hidden from programs by avx2.c'];
  const named = sets.length === 0 ? processor : `${processor} (${[...sets, ...hidden].join(', ')})`;
  const date = new Date().toISOString().slice(0, 10);
  return { date, processor: named, cores, system, versions: versions.join('; ') };
}

/** What programs find of this processor's instruction sets (`instructionSets`): AVX2 alone where `avx2.c` hides the others. */
export function presentSets(): string[] {
  if (process.env['DGATE_BENCH_HIDDEN'] !== undefined) return ['AVX2'];
  return instructionSets(existsSync('/proc/cpuinfo') ? readFileSync('/proc/cpuinfo', 'utf8') : '');
}

/** What matters to these benchmarks among a processor's instruction sets. @param cpuinfo as Linux has it */
export function instructionSets(cpuinfo: string): string[] {
  const flags = new Set(/^(?:flags|Features)\s*:\s*(.*)$/m.exec(cpuinfo)?.[1]?.split(/\s+/));
  const sets = {
    AVX2: 'avx2',
    'AVX-512': 'avx512f',
    'AVX-512 VNNI': 'avx512_vnni',
    'AVX VNNI': 'avx_vnni',
    'AVX-512 BF16': 'avx512_bf16',
    AMX: 'amx_int8',
  };
  return Object.entries({ ...sets, 'dot product': 'asimddp' }).flatMap(([name, flag]) =>
    flags.has(flag) ? [name] : [],
  );
}
