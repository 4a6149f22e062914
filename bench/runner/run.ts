import { conditionsOf } from './conditions.js';
import { saveRatios } from './csv.js';
import { peerNames, peerVersions, python } from './peers.js';
import { benchmarkNames } from './suite.js';
import { renderRatios } from './table.js';
import type { Benchmark } from './types.js';

/** Runs one benchmark, prints its table and writes its lines. */
export async function runBenchmark(benchmark: Benchmark, csv: string): Promise<void> {
  const { name, title, peers } = benchmark;
  const say = (line: string): void => void process.stderr.write(`${name}: ${line}\n`);
  const versions = peerVersions(peers);
  const missing = peers.filter((peer) => !versions.has(peer)).map((peer) => peerNames[peer]);
  if (missing.length > 0) {
    say(`left out: what is measured against ${missing.join(', ')}: not here; bench/peers.sh installs it`);
  }
  const conditions = await conditionsOf(versions);
  const ratios = await benchmark.run({ say, python, conditions, has: (peer) => versions.has(peer) });
  const { processor, cores, date } = conditions;
  process.stdout.write(
    `\n${name}: ${title}\n${ratios.length === 0 ? 'nothing could be measured here' : renderRatios(ratios)}\n` +
      `${date}, ${processor}, ${cores} cores; ${conditions.versions}\n`,
  );
  if (ratios.length === 0) return;
  // Against a peer that is not here nothing was measured; its old lines, with their date, still hold.
  const keep = (against: string): boolean => missing.some((peer) => against.startsWith(peer));
  await saveRatios(csv, name, ratios, conditions, benchmarkNames, keep);
}
