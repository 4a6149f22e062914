import { gatedNetworks, measureExits, profileStaying, tableNetworks } from '../gated.js';
import { compareEarlyExits } from '../pytorch-early-exit.js';
import { pairsOf, ratioOf } from '../runner/pairs.js';
import type { Bench, Benchmark, Ratio } from '../runner/types.js';

/** Milliseconds an image that leaving may cost beyond its share of the FLOPs. */
const LEAVING_MS = 0.3;
/** Networks of the laptop preset are called after their tables. */
const titles = new Map<string, string>(
  Object.entries(tableNetworks).map(([table, network]) => [network, `${table}'s network`]),
);
/** Blocks of images that count, by batch size. */
const BLOCKS = { 1: 30, 32: 8 };

export const benchmark: Benchmark = {
  name: 'dynamic',
  title:
    'leaving early on ort-cpu: against the plain network, its share of the FLOPs, and an early-exit loop in PyTorch',
  peers: ['torch'],
  async run(bench) {
    const rows: Ratio[] = [];
    for (const name of gatedNetworks) {
      for (const batch of [1, 32]) rows.push(...(await againstPlain(bench, name, batch)));
    }
    if (bench.has('torch')) rows.push(...(await againstPyTorch(bench)));
    return rows;
  },
};

/** What gates cost where nobody leaves; what leaving takes, against what the FLOPs promise. */
async function againstPlain({ say }: Bench, name: string, batch: number): Promise<Ratio[]> {
  say(`${name}, batch ${batch}`);
  const { plain, byExit, shares } = await measureExits(name, batch);
  const what = `${titles.get(name) ?? name}, batch ${batch}`;
  const unit = 'ms';
  const nobody = ratioOf(pairsOf(byExit.at(-1)!, plain), {
    what: `${what}: nobody leaves`,
    against: 'plain network',
    unit,
    target: { atMost: 1.02 },
    note: await profileStaying(name, batch),
  });
  const leaving = byExit.slice(0, -1).map((times, exit) => {
    const share = shares[exit]!;
    const promised = plain.map((ms) => 1.1 * share * ms + LEAVING_MS * batch);
    return ratioOf(pairsOf(times, promised), {
      what: `${what}: all leave at exit ${exit + 1}, ${(100 * share).toFixed(1)} % of the FLOPs`,
      against: '1.1 x that share + 0.3 ms an image',
      unit,
      target: { atMost: 1 },
    });
  });
  return [nobody, ...leaving];
}

/** Times are ours / PyTorch's, so that three times as fast is at most a third. */
async function againstPyTorch({ say }: Bench): Promise<Ratio[]> {
  const found = await compareEarlyExits(BLOCKS, say);
  return found.map(({ name, batch, ours, theirs, exits, differing, images }) => {
    const leave = exits.map((share) => (100 * share).toFixed(0)).join(' ');
    return ratioOf(pairsOf(ours, theirs), {
      what: `${name.replace(/^(table\d), laptop: .*/, "$1's network")}, batch ${batch}`,
      against: 'PyTorch, early-exit loop',
      unit: 'ms',
      ...(batch === 1 && { target: { atMost: Number((1 / 3).toFixed(4)) } }),
      note: `exits ${leave} %; class or exit of ${differing} of ${images} images differ`,
    });
  });
}
