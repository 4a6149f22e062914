import { join } from 'node:path';
import { openContext } from '../../src/cli/context.js';
import { normalise } from '../../src/data/preprocess.js';
import { OnnxRuntimeCpu } from '../../src/engines/onnxruntime/engine.js';
import * as ort from '../../src/engines/onnxruntime/ort.js';
import { sleepsSoon } from '../../src/engines/onnxruntime/session.js';
import { loadDefinition } from '../../src/experiment/load.js';
import { resolveExperiment } from '../../src/experiment/resolve.js';
import { openGated } from '../../src/gated/open.js';
import type { GatedBatch, PlacedGate } from '../../src/gates/contracts.js';
import { type LoweredNetwork, lowerNetwork } from '../../src/networks/lower.js';
import { linearFlops, networkFlops } from '../../src/networks/network.js';
import { GraphBuilder } from '../../src/onnx/builder.js';
import { networkParts } from '../../src/onnx/gated.js';
import { silent } from '../../src/progress.js';
import { modelName } from '../../src/report/rows.js';
import { mean, median } from '../../src/statistics/intervals.js';
import { exists } from '../../src/store/files.js';
import { exitCosts } from '../../src/thresholds/evaluate.js';
import { fullWidth } from '../pytorch-early-exit.js';
import { allInTurn, pairsOf, ratioOf } from '../runner/pairs.js';
import type { Bench, Benchmark, Ratio } from '../runner/types.js';

/** A network with its gates, rows of thresholds, and images. */
interface Subject {
  readonly name: string;
  readonly lowered: LoweredNetwork;
  readonly gates: readonly PlacedGate[];
  readonly rows: readonly { readonly name: string; readonly thresholds: readonly number[] }[];
  /** [count, channels, height, width], normalised */
  readonly images: Float32Array;
  /** Batches of a turn, and rounds, by batch size. */
  readonly turns: Readonly<Record<1 | 32, { readonly batches: number; readonly rounds: number }>>;
}

const REST_MS = 3;
const TABLE_IMAGES = 3200;

export const benchmark: Benchmark = {
  name: 'efficiency',
  title: 'share of the saved FLOPs that arrives as time on ort-cpu, every row of Tables 1 and 2, and what limits it',
  peers: [],
  async run(bench) {
    const ratios: Ratio[] = [];
    for (const open of [() => ofTable('table1'), () => ofTable('table2'), ofFullWidth]) {
      const subject = await open();
      if (subject === undefined) bench.say('Tables 1 and 2 are left out: no CIFAR-10 in the cache (DGATE_CACHE)');
      else for (const batch of [1, 32] as const) ratios.push(...(await measure(bench, subject, batch)));
    }
    return ratios;
  },
};

async function ofTable(name: string): Promise<Subject | undefined> {
  const context = { ...(await openContext({})), progress: silent };
  if (!(await exists(join(context.dataRoot, 'cifar10')))) return undefined;
  const { exported } = await loadDefinition(name);
  const opened = await openGated(context, resolveExperiment(exported, name, 'laptop', []));
  const { source, test } = opened;
  const pixels = await test.batch(Int32Array.from({ length: TABLE_IMAGES }, (_, i) => i));
  return {
    name: `${name}'s network`,
    lowered: (await source.lowered()) as LoweredNetwork,
    gates: opened.gates,
    rows: opened.rows.map(({ thresholds }) => ({ name: modelName(thresholds), thresholds: thresholds[0]! })),
    images: normalise(pixels, source.preprocessing, test.height * test.width),
    turns: { 1: { batches: 64, rounds: 40 }, 32: { batches: 3, rounds: 40 } },
  };
}

async function ofFullWidth(): Promise<Subject> {
  const { network, tensors, gates, thresholds, images } = await fullWidth({ 1: 15, 32: 5 });
  return {
    name: `${network.name}, generated`,
    lowered: lowerNetwork(network, tensors),
    gates,
    rows: [{ name: 'a third leaves at each of two gates', thresholds }],
    images,
    turns: { 1: { batches: 6, rounds: 15 }, 32: { batches: 1, rounds: 9 } },
  };
}

/** Milliseconds of a batch, mean of a turn, and the images that left at each exit. */
interface Turn {
  readonly ms: number;
  readonly exits: readonly number[];
}

async function measure({ say }: Bench, subject: Subject, batch: 1 | 32): Promise<Ratio[]> {
  say(`${subject.name}, batch ${batch}`);
  const { lowered, gates, rows } = subject;
  const { batches, rounds } = subject.turns[batch];
  const engine = await OnnxRuntimeCpu.create();
  const [plain, gated] = [await engine.loadFeatures(lowered, []), await engine.loadGated(lowered, gates, 'max')];
  const cuts = await Promise.all(gates.map((_, exit) => cutAt(engine, lowered, gates, exit)));
  const turns: Turn[][] = [];
  const size = lowered.network.input.channels * lowered.network.input.height * lowered.network.input.width;
  const blocks = Math.floor(subject.images.length / (size * batch * batches));
  const work = (run: (images: Float32Array) => Promise<GatedBatch | unknown>) => {
    const found: Turn[] = [];
    turns.push(found);
    return async (): Promise<number> => {
      const first = (found.length % blocks) * batches * batch;
      const exits = [...gates, undefined].map(() => 0);
      const at = (index: number) => subject.images.subarray(index * size, (index + batch) * size);
      await run(at(first)); // the first one after a rest is slower
      const times: number[] = [];
      for (let i = 0; i < batches; i++) {
        const images = at(first + i * batch);
        const start = performance.now();
        const answer = await run(images);
        times.push(performance.now() - start);
        if (isGated(answer)) for (const exit of answer.exits) exits[exit]!++;
      }
      found.push({ ms: mean(times), exits });
      return mean(times);
    };
  };
  const works = [
    work((images) => plain.run(images, batch)),
    ...cuts.map((run) => work((images) => run(images, batch))),
    ...rows.map(({ thresholds }) => work((images) => gated.run(images, batch, thresholds))),
  ];
  await allInTurn(works, { rounds, restMs: REST_MS });
  await plain.close();
  await gated.close();
  const [original, ...rest] = turns as [Turn[], ...Turn[][]];
  const ofCuts = rest.slice(0, cuts.length);
  return rows.map(({ name }, row) => {
    const what = `${subject.name}, ${name}, batch ${batch}`;
    return efficiency(what, subject, { original, ofCuts, ofRow: rest[cuts.length + row]! });
  });
}

function isGated(answer: unknown): answer is GatedBatch {
  return typeof answer === 'object' && answer !== null && 'exits' in answer;
}

/** The line of a row, from the turns in which it and what it is held against ran. */
function efficiency(
  what: string,
  { lowered, gates }: Subject,
  {
    original,
    ofCuts,
    ofRow,
  }: { original: readonly Turn[]; ofCuts: readonly (readonly Turn[])[]; ofRow: readonly Turn[] },
): Ratio {
  const flops = networkFlops(lowered.network);
  const costs = exitCosts(
    gates.map(({ place }) => flops.stages[place.stage - 1]!.cumulativeFlops),
    gates.map(({ gate }) => linearFlops(gate.features, gate.classes)),
    flops.flops,
  ).map((cost) => cost / flops.flops);
  const saved = ofRow.map(({ exits }) => 1 - weighted(exits, costs));
  const limits = original.map(({ ms }, round) => {
    const shares = [...ofCuts.map((turns) => turns[round]!.ms / ms), 1];
    return (1 - weighted(ofRow[round]!.exits, shares)) / saved[round]!;
  });
  const exits = costs.map((_, exit) => mean(ofRow.map((turn) => turn.exits[exit]! / total(turn.exits))));
  return ratioOf(
    pairsOf(
      ofRow.map(({ ms }, round) => 1 - ms / original[round]!.ms),
      saved,
    ),
    {
      what,
      against: 'share of the FLOPs saved',
      unit: 'of the original',
      target: { atLeast: 0.9 },
      note:
        `${median(limits).toFixed(3)} where gates and moving images cost nothing; exits ` +
        `${exits.map((share) => (100 * share).toFixed(0)).join(' ')} %`,
    },
  );
}

const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

/** Mean of some values, weighted by how many images took each exit. */
function weighted(exits: readonly number[], values: readonly number[]): number {
  return total(exits.map((images, exit) => images * values[exit]!)) / total(exits);
}

/** The plain network up to one exit, with that exit's gate, without those before it and without a way past it. */
async function cutAt(engine: OnnxRuntimeCpu, lowered: LoweredNetwork, gates: readonly PlacedGate[], exit: number) {
  const builder = new GraphBuilder(lowered.network.name);
  const { channels, height, width } = lowered.network.input;
  const parts = networkParts(lowered, gates);
  let values: readonly string[] = [builder.input('images', 'float', ['batch', channels, height, width])];
  for (let part = 0; part <= exit; part++) {
    const { distances, next } = parts.write(builder, part, values);
    values = next;
    if (part < exit) continue; // not an output, so that nothing computes it
    builder.node('Identity', [distances], {}, 'distances');
    builder.output('distances', 'float', ['batch', gates[exit]!.gate.classes]);
  }
  const session = await engine.createSession(builder.encode(), sleepsSoon);
  return (images: Float32Array, count: number): Promise<unknown> =>
    session.run({ images: new ort.Tensor('float32', images, [count, channels, height, width]) });
}
