import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OnnxRuntimeCpu } from '../../src/engines/onnxruntime/engine.js';
import * as ort from '../../src/engines/onnxruntime/ort.js';
import { forBatches, sleepsSoon } from '../../src/engines/onnxruntime/session.js';
import { mean, median } from '../../src/statistics/intervals.js';
import { allInTurn, pairsOf, quantile, ratioOf } from '../runner/pairs.js';
import { type PythonScript, startScript } from '../runner/python-script.js';
import type { Bench, Peer, Ratio } from '../runner/types.js';
import { loadModel } from './models.js';
import { generatedModel } from './prepare.js';
import type { Subject, System } from './subjects.js';

/** What a system says of some images, and how long each batch took. */
interface Answers {
  readonly milliseconds: readonly number[];
  readonly classes: readonly number[];
  readonly exits: readonly number[];
}

/** A loaded system. */
type Run = (first: number, last: number, batch: number) => Promise<Answers>;

interface Loaded {
  readonly systems: ReadonlyMap<string, Run>;
  close(): Promise<void>;
}

/** What a system answers and takes apart from time. */
export interface Answered {
  readonly classes: readonly number[];
  readonly exits: readonly number[];
  /** Highest resident memory of a Python process that runs it alone, on single images and batches of 32. */
  readonly peakMb?: number;
}

const SCRIPT = 'rivals/rivals.py';
const BATCH = 32;
const peersOf: Readonly<Partial<Record<System['runtime'], Peer>>> = { openvino: 'openvino', torch: 'torch' };

/** Whether what a system needs can be run here. */
const canRun =
  ({ has }: Bench) =>
  ({ runtime, kind }: System): boolean => {
    const peer = peersOf[runtime];
    return (peer === undefined || has(peer)) && (kind !== 'earlyon' || has('earlyon'));
  };

/** Loads every system that can be run here: those of this process, and one process for each runtime of Python. */
async function load(subject: Subject, bench: Bench): Promise<Loaded> {
  const engine = await OnnxRuntimeCpu.create();
  const bytes = await readFile(join(subject.folder, 'images.bin'));
  const images = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  const size = subject.input.reduce((product, side) => product * side, 1);
  const systems = new Map<string, Run>();
  const timed = (answer: (images: Float32Array, count: number) => Promise<Omit<Answers, 'milliseconds'>>): Run => {
    return async (first, last, batch) => {
      const found = { milliseconds: [] as number[], classes: [] as number[], exits: [] as number[] };
      for (let start = first; start < last; start += batch) {
        const count = Math.min(batch, last - start);
        const some = images.subarray(start * size, (start + count) * size);
        const began = performance.now();
        const { classes, exits } = await answer(some, count);
        found.milliseconds.push(performance.now() - began);
        found.classes.push(...classes);
        found.exits.push(...exits);
      }
      return found;
    };
  };
  for (const { name, kind, model, file, thresholds } of subject.systems.filter(({ runtime }) => isOurs(runtime))) {
    if (kind === 'file') {
      systems.set(name, timed(await fileAnswers(engine, join(subject.folder, file!), subject.input)));
      continue;
    }
    const { source, gates, confidence } =
      kind === 'generated' ? await generatedModel() : await loadModel(subject.folder, model!);
    const gated = await engine.loadGated(source, gates, confidence);
    const numbers = thresholds!.map(Number);
    systems.set(
      name,
      timed(async (some, count) => {
        const { classes, exits } = await gated.run(some, count, numbers);
        return { classes: [...classes], exits: [...exits] };
      }),
    );
  }
  const scripts: PythonScript<{ systems: string[]; failed: Record<string, string> }>[] = [];
  const runtimes = new Set(subject.systems.filter(canRun(bench)).map(({ runtime }) => runtime));
  for (const runtime of [...runtimes].filter((one) => !isOurs(one))) {
    const script: (typeof scripts)[number] = await startScript(SCRIPT, [subject.folder, runtime]);
    scripts.push(script);
    for (const [name, why] of Object.entries(script.hello.failed)) bench.say(`left out: ${name}: ${why}`);
    for (const name of script.hello.systems) {
      systems.set(name, (first, last, batch) => script.ask(`${name}\t${first} ${last} ${batch}`));
    }
  }
  return { systems, close: async () => void (await Promise.all(scripts.map((script) => script.close()))) };
}

const isOurs = (runtime: System['runtime']): boolean => runtime === 'dgate' || runtime === 'onnxruntime-node';

/** A session for single images and one for batches, each with its fastest options, as dgate's engine has them. */
async function fileAnswers(engine: OnnxRuntimeCpu, path: string, input: readonly number[]) {
  const model = await readFile(path);
  const [one, many] = [await engine.createSession(model, sleepsSoon), await engine.createSession(model, forBatches)];
  return async (images: Float32Array, count: number): Promise<Omit<Answers, 'milliseconds'>> => {
    const session = count === 1 ? one : many;
    const results = await session.run({ images: new ort.Tensor('float32', images, [count, ...input]) });
    const logits = results[session.outputNames[0]!]!.data as Float32Array;
    const classes = logits.length / count;
    const best = (row: Float32Array): number => row.indexOf(Math.max(...row));
    return {
      classes: Array.from({ length: count }, (_, i) => best(logits.subarray(i * classes, (i + 1) * classes))),
      exits: [],
    };
  };
}

/** What every system answers to every image, and its memory; kept in the folder, since it does not depend on the hour. */
export async function answersOf(subject: Subject, bench: Bench): Promise<Readonly<Record<string, Answered>>> {
  const path = join(subject.folder, 'answers.json');
  const known: Record<string, Answered> = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {};
  const missing = subject.systems.filter(canRun(bench)).filter(({ name }) => known[name] === undefined);
  if (missing.length === 0) return known;
  const { systems, close } = await load(subject, bench);
  try {
    for (const { name, kind, runtime } of missing) {
      const run = systems.get(name);
      if (run === undefined) continue;
      bench.say(`${subject.name}, ${name}: answers to ${subject.images} images, once`);
      // A batch of earlyon's leaves together, when its hardest image may: image by image it is what it was calibrated as.
      const all = subject.isReal ? await run(0, subject.images, kind === 'earlyon' ? 1 : BATCH) : undefined;
      const peakMb = peakOf(subject, name, isOurs(runtime) ? 'onnxruntime' : runtime, bench);
      const { classes = [], exits = [] } = all ?? {};
      known[name] = { classes, exits, ...(peakMb !== undefined && { peakMb }) };
      await writeFile(path, JSON.stringify(known));
    }
  } finally {
    await close();
  }
  return known;
}

function peakOf({ folder }: Subject, name: string, runtime: string, { has, python }: Bench): number | undefined {
  if (runtime === 'onnxruntime' && !has('onnxruntime')) return undefined;
  const script = fileURLToPath(new URL('rivals.py', import.meta.url));
  const { stdout } = spawnSync(python, [script, folder, runtime, name], { encoding: 'utf8', timeout: 300_000 });
  const line = /^\{"peakMb": ([\d.]+)\}$/m.exec(stdout ?? '')?.[1];
  return line === undefined ? undefined : Number(line);
}

/** Times of a system at one batch size. */
export interface Times {
  /** Milliseconds of a batch: median and ninth decile over all batches. */
  readonly ms: number;
  readonly p90: number;
  readonly imagesPerSecond: number;
  /** Of the original in the same round: median of the rounds and their quartiles. */
  readonly ratio: Ratio;
  /** Millijoules of an image, where the processor's counter can be read. */
  readonly millijoules?: number;
}

export interface Measured {
  readonly times: Readonly<Record<string, Readonly<Record<1 | 32, Times>>>>;
}

/** Time that a turn of the original takes about, and rounds. */
const TURN_MS = { 1: 200, 32: 220 };
const ROUNDS = { 1: 8, 32: 6 };
/** Of the full-width network, whose batches take a second. */
const WIDE_ROUNDS = { 1: 7, 32: 4 };

/** Measures every system in turn with the original: the same images, the same threads. Kept until the whole benchmark is done. */
export async function measureSubject(subject: Subject, bench: Bench): Promise<Measured> {
  const path = measuredPath(subject);
  if (existsSync(path)) {
    bench.say(`${subject.name}: measured already by the run that was interrupted`);
    return JSON.parse(readFileSync(path, 'utf8')) as Measured;
  }
  bench.say(`${subject.name}: loading`);
  const { systems, close } = await load(subject, bench);
  try {
    const times: Record<string, Partial<Record<1 | 32, Times>>> = {};
    for (const batch of [1, 32] as const) {
      bench.say(`${subject.name}: ${systems.size} systems in turn, batch ${batch}`);
      for (const [name, found] of Object.entries(await inTurns(subject, systems, batch))) {
        times[name] = { ...times[name], [batch]: found };
      }
    }
    const measured = { times } as Measured;
    await writeFile(path, JSON.stringify(measured));
    return measured;
  } finally {
    await close();
  }
}

export const measuredPath = ({ folder }: Subject): string => join(folder, 'measured.json');

async function inTurns(subject: Subject, systems: ReadonlyMap<string, Run>, batch: 1 | 32) {
  const original = systems.get('original')!;
  await original(0, 2 * batch, batch);
  const { milliseconds } = await original(0, 4 * batch, batch);
  const most = Math.floor(subject.images / batch / 2);
  const batches = Math.max(1, Math.min(most, batch === 1 ? 128 : 6, Math.round(TURN_MS[batch] / median(milliseconds))));
  const blocks = Math.floor(subject.images / (batches * batch));
  const names = [...systems.keys()];
  const all = names.map((): { ms: readonly number[]; joules: number | undefined }[] => []);
  const works = names.map((name, i) => async (): Promise<number> => {
    const run = systems.get(name)!;
    const first = (all[i]!.length % blocks) * batches * batch;
    await run(first, first + batch, batch); // the first one after a rest is slower
    const before = joulesSpent();
    const { milliseconds: ms } = await run(first, first + batches * batch, batch);
    const after = joulesSpent();
    const spent = before === undefined || after === undefined || after < before ? undefined : after - before;
    all[i]!.push({ ms, joules: spent });
    return mean(ms);
  });
  const found = await allInTurn(works, { rounds: (subject.isReal ? ROUNDS : WIDE_ROUNDS)[batch] });
  const base = found[names.indexOf('original')]!;
  return Object.fromEntries(
    names.map((name, i): [string, Times] => {
      const turns = all[i]!.slice(1); // the first round is not counted
      const ms = turns.flatMap((turn) => turn.ms);
      const images = batch * batches;
      const joules = turns.flatMap((turn) => (turn.joules === undefined ? [] : [turn.joules]));
      const p90 = quantile(ms, 0.9);
      const ratio = ratioOf(pairsOf(found[i]!, base), {
        what: `${subject.name}, ${name}, batch ${batch}`,
        against: 'original, ONNX Runtime',
        unit: 'ms',
        note: `ninth decile ${p90.toPrecision(3)} ms`,
      });
      const imagesPerSecond = 1000 / (mean(found[i]!) / batch);
      const energy = joules.length === turns.length ? { millijoules: (1000 * median(joules)) / images } : {};
      return [name, { ms: median(ms), p90, imagesPerSecond, ratio, ...energy }];
    }),
  );
}

/** Joules that the processors have spent by their own counters (RAPL); undefined where they cannot be read. */
function joulesSpent(): number | undefined {
  let joules = 0;
  for (let socket = 0; ; socket++) {
    const path = `/sys/class/powercap/intel-rapl:${socket}/energy_uj`;
    if (!existsSync(path)) return socket === 0 ? undefined : joules;
    try {
      joules += Number(readFileSync(path, 'utf8')) / 1e6;
    } catch {
      return undefined;
    }
  }
}
