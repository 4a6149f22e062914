/**
 * npx tsx bench/gated.ts [network ...]
 *
 * What exits cost and what leaving saves on ort-cpu: the gated network against the plain one on the same engine, in turn
 * in one process, generated weights. For batch 1 and 32: the time when nobody leaves over the plain network's (at most
 * 1.03 is wanted), and the time of a batch that leaves at exit k, against 1.1 x (the exit's share of the FLOPs) x (the
 * plain network's time) + 0.3 ms an image.
 *
 * Printed: medians over the turns, and of the ratio the median over the turns with its quartiles. As in `dgate time`, each
 * has turns of about 50 ms of runs back to back; before a turn the process rests for 2 ms and the network runs once, untimed,
 * on one image. By default resnet101-cifar10 with three gates and the
 * small networks that ship, as Tables 1 and 2 use them: about three minutes on two idle cores. A busy machine shows in the
 * quartiles.
 */
import { availableParallelism, cpus } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { GatedNetwork } from '../src/engines/engine.js';
import { createEngine } from '../src/engines/registry.js';
import type { PlacedGate } from '../src/gates/contracts.js';
import { networkByName } from '../src/networks/catalogue.js';
import { lowerNetwork } from '../src/networks/lower.js';
import { linearFlops, networkFlops } from '../src/networks/network.js';
import { type GatePlace, gateFeatureCounts } from '../src/networks/onnx.js';
import { Random } from '../src/random.js';
import { renderColumns } from '../src/report/findings.js';
import { exitCosts } from '../src/thresholds/evaluate.js';
import { batchesPerTurn, monotonicClock, timed } from '../src/timing/pairs.js';
import { generatedImages, generatedTensors } from '../test/parity.js';
import { kernelTimes } from './runner/kernels.js';

/** Networks of the laptop preset, by table. */
export const tableNetworks = {
  table1: 'resnet101-width0.5-blocks1.1.7.1-cifar10',
  table2: 'densenet201-growth32-blocks1.2.16.8-cifar10',
} as const;
export const gatedNetworks = ['resnet101-cifar10', ...Object.values(tableNetworks)];
const MEASURED_SECONDS = 12;
const LEAST_ROUNDS = 7;
/** Runs of a turn where they are short: the first one after a rest, which can take twice as long, does not decide. */
const LEAST_RUNS = 5;

/** Gates after every stage but the last, with the poolings of Tables 1 and 2. */
function placedGates(name: string): PlacedGate[] {
  const network = networkByName(name);
  const places = network.stages.slice(0, -1).map((_, i): GatePlace => {
    return { stage: i + 1, pooling: i < 2 ? { kind: 'grid', size: 4 } : { kind: 'gap' } };
  });
  const random = new Random(1, name);
  const { out } = network.classifier;
  return gateFeatureCounts(network, places).map((features, i) => {
    const weights = Float32Array.from({ length: features * out }, () => (random.uniform() - 0.5) / Math.sqrt(features));
    return { place: places[i]!, gate: { features, classes: out, weights, bias: new Float32Array(out) } };
  });
}

/** What a network and its gated one took on the same images, round by round. */
export interface ExitTimes {
  /** Milliseconds of the plain network. */
  readonly plain: readonly number[];
  /** Milliseconds where all images leave at that exit, the original classifier last. */
  readonly byExit: readonly (readonly number[])[];
  /** FLOPs of each exit as a share of the plain network's. */
  readonly shares: readonly number[];
}

/** A network of generated weights with its gates, and a batch of images. */
function generated(name: string, batch: number) {
  const network = networkByName(name);
  const two = generatedImages(network);
  const images = Float32Array.from({ length: (batch * two.length) / 2 }, (_, i) => two[i % two.length]!);
  return { network, lowered: lowerNetwork(network, generatedTensors(network)), gates: placedGates(name), images };
}

export async function measureExits(name: string, batch: number): Promise<ExitTimes> {
  const { network, lowered, gates, images } = generated(name, batch);
  const engine = await createEngine('ort-cpu');
  const plain = await engine.loadFeatures(lowered, []);
  const gated = await engine.loadGated(lowered, gates, 'max');
  const one = images.slice(0, images.length / batch);
  const [original, byExit] = await inTurn(
    (exit, count) => {
      const some = count === 1 ? one : images;
      return exit === undefined ? plain.run(some, count) : leaveAt(gated, some, count, gates.length, exit);
    },
    gates.length + 1,
    batch,
  );
  await plain.close();
  await gated.close();
  const flops = networkFlops(network);
  const ofGates = gates.map(({ gate }) => linearFlops(gate.features, gate.classes));
  const cumulative = gates.map(({ place }) => flops.stages[place.stage - 1]!.cumulativeFlops);
  const shares = exitCosts(cumulative, ofGates, flops.flops).map((cost) => cost / flops.flops);
  return { plain: original, byExit, shares };
}

/**
 * Where the time goes when nobody leaves: what ONNX Runtime's profiler counts for operators that the gated network has more of than
 * the plain one, beyond what these take there, in microseconds of a batch; its own time for a node, some microseconds, is in it.
 */
export async function profileStaying(name: string, batch: number): Promise<string> {
  const { lowered, gates, images } = generated(name, batch);
  const runs = batch === 1 ? 300 : 30;
  const plain = await kernelTimes(runs, async (engine) => {
    const loaded = await engine.loadFeatures(lowered, []);
    return { run: () => loaded.run(images, batch), close: () => loaded.close() };
  });
  const gated = await kernelTimes(runs, async (engine) => {
    const loaded = await engine.loadGated(lowered, gates, 'max');
    return { run: () => leaveAt(loaded, images, batch, gates.length, gates.length), close: () => loaded.close() };
  });
  const more = [...gated]
    .filter(([operator, { nodes }]) => operator !== 'If' && nodes > (plain.get(operator)?.nodes ?? 0))
    .map(([operator, { us }]) => ({ operator, us: us - (plain.get(operator)?.us ?? 0) }))
    .sort((a, b) => b.us - a.us);
  return `profile, microseconds beyond the plain network's: ${more.map(({ operator, us }) => `${operator} ${us.toFixed(0)}`).join(', ')}`;
}

async function measure(name: string, batch: number): Promise<string[]> {
  const { plain, byExit, shares } = await measureExits(name, batch);
  const plainMs = quantile(plain, 0.5);
  const ratios = byExit.at(-1)!.map((ms, round) => ms / plain[round]!);
  const spread = [0.25, 0.75].map((q) => quantile(ratios, q).toFixed(3)).join('-');
  const exits = byExit.slice(0, -1).map((times, exit) => {
    const limit = 1.1 * shares[exit]! * plainMs + 0.3 * batch;
    return `${quantile(times, 0.5).toFixed(2)} / ${limit.toFixed(2)}`;
  });
  const rounds = String(plain.length);
  return [name, String(batch), plainMs.toFixed(2), `${quantile(ratios, 0.5).toFixed(3)} (${spread})`, ...exits, rounds];
}

function leaveAt(network: GatedNetwork, images: Float32Array, count: number, gates: number, exit: number) {
  const thresholds = Array.from({ length: gates }, (_, gate) => (gate === exit ? -Infinity : Infinity));
  return network.run(images, count, thresholds);
}

/** Milliseconds of a run of the plain network and of each exit, median of each turn, in an order that turns round. */
async function inTurn(
  run: (exit: number | undefined, count: number) => Promise<unknown>,
  exits: number,
  batch: number,
): Promise<[number[], number[][]]> {
  const all = [undefined, ...Array.from({ length: exits }, (_, exit) => exit)];
  const times = all.map((): number[] => []);
  for (let warm = 0; warm < 2; warm++) for (const exit of all) await run(exit, batch);
  const { ms: plainMs } = await timed(monotonicClock, () => run(undefined, batch));
  const perTurn = Math.max(plainMs < 100 ? LEAST_RUNS : 1, batchesPerTurn(plainMs, Infinity));
  const began = performance.now();
  for (let round = 0; round < LEAST_ROUNDS || performance.now() - began < MEASURED_SECONDS * 1000; round++) {
    for (let i = 0; i < all.length; i++) {
      const at = round % 2 === 0 ? i : all.length - 1 - i;
      await delay(2);
      await run(all[at], 1);
      const turn: number[] = [];
      while (turn.length < perTurn) turn.push((await timed(monotonicClock, () => run(all[at], batch))).ms);
      times[at]!.push(quantile(turn, 0.5));
    }
  }
  return [times[0]!, times.slice(1)];
}

function quantile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(share * (values.length - 1))]!;
}

async function main(): Promise<void> {
  const names = process.argv.length > 2 ? process.argv.slice(2) : gatedNetworks;
  const rows: string[][] = [];
  for (const name of names) for (const batch of [1, 32]) rows.push(await measure(name, batch));
  const head = [
    'Network',
    'Batch',
    'Plain (ms)',
    'Nobody leaves / plain',
    'Exit 1 / limit',
    'Exit 2',
    'Exit 3',
    'Rounds',
  ];
  const width = Math.max(...rows.map((row) => row.length));
  const filled = rows.map((row) => [
    ...row.slice(0, -1),
    ...new Array<string>(width - row.length).fill(''),
    row.at(-1)!,
  ]);
  process.stdout.write(
    `ort-cpu, ${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, node ${process.versions.node}\n` +
      `${renderColumns([...head.slice(0, width - 1), 'Rounds'], filled)}\n`,
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
