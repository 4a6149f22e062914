/**
 * npx tsx bench/own-networks.ts FOLDER COUNTS.json IMAGES [NAME...]
 *
 * The whole way of a network of one's own, through the command line, for every file that PyTorch exported:
 * FOLDER/<name>.onnx of `bench/make-onnx.py export FOLDER`, COUNTS.json of `bench/make-onnx.py count` (PyTorch's own
 * FlopCounterMode), IMAGES a folder of photographs `<wnid>_<name>.JPEG`, which are put into 1,000 class folders. For each:
 * `dgate model inspect`, `dgate run`, `dgate export --distances`; then the original file and the exported one on the
 * test images in onnxruntime-node, and in Python's onnxruntime where DGATE_PYTHON (else python3) has one:
 * - thresholds that nobody reaches: class and logits of every image against the original file's;
 * - thresholds that send images to every exit: class and exit against Algorithm 1.
 * The weights are generated, so nothing is said about accuracy. About ten minutes on two cores.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { imageFolderDataset } from '../src/data/image-folder/index.js';
import { wnids } from '../src/data/imagenet/layout.js';
import { normalise, preprocessings } from '../src/data/preprocess.js';
import { OnnxRuntimeCpu } from '../src/engines/onnxruntime/engine.js';
import * as ort from '../src/engines/onnxruntime/ort.js';
import { decide } from '../src/gates/confidence.js';
import { renderColumns } from '../src/report/findings.js';

const [folder, counts, photographs, ...chosen] = process.argv.slice(2);
if (photographs === undefined) throw new Error('own-networks.ts FOLDER COUNTS.json IMAGES [NAME...]');
const peer = JSON.parse(readFileSync(counts!, 'utf8')) as Record<string, { flops: number }>;
const names = (chosen.length > 0 ? chosen : Object.keys(peer)).filter((name) =>
  readdirSync(folder!).includes(`${name}.onnx`),
);
const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'dgate-own-networks-'));
const images = makeClassFolders();
/** Images that the files are compared on, and how many go in at a time. */
const [COMPARED, BATCH] = [32, 8];
const SIDE = 224;
const DIMS = [BATCH, 3, SIDE, SIDE];
const python = process.env['DGATE_PYTHON'] ?? 'python3';
const hasPython = spawnSync(python, ['-c', 'import numpy, onnxruntime']).status === 0;
if (!hasPython) process.stderr.write(`Python left out: ${python} has no onnxruntime (DGATE_PYTHON names another)\n`);

/** What `dgate model inspect --json` says, as far as it is read here. */
interface Inspection {
  readonly flops: number;
  readonly unknownCost: readonly string[];
  readonly cuts: readonly { readonly layout: string; readonly share: number; readonly proposed: boolean }[];
}

const head = ['Network', 'FLOPs', "PyTorch's", 'Gates at (%)', 'Exported'];
const ends = ['Original, unoptimised', 'To the end, Node', 'To the end, Python', 'Exits, Node', 'Exits, Python'];
const rows: string[][] = [];
try {
  for (const name of names) {
    rows.push(await wholeWay(name));
    process.stderr.write(`${rows.at(-1)!.join('  ')}\n`);
  }
} finally {
  rmSync(work, { recursive: true });
}
process.stdout.write(`${renderColumns([...head, ...ends], rows)}\n`);

async function wholeWay(name: string): Promise<string[]> {
  const file = resolve(folder!, `${name}.onnx`);
  const found = JSON.parse(dgate('model', 'inspect', file, '--json')) as Inspection;
  const { flops } = peer[name]!;
  if (found.unknownCost.length > 0) throw new Error(`${name}: ${found.unknownCost.join(', ')} of unknown cost`);
  const places = found.cuts.filter(({ proposed }) => proposed);
  const experiment = writeExperiment(name, file, places);
  dgate('run', experiment);
  const out = join(work, `${name}-gated.onnx`);
  dgate('export', experiment, '--row', '2', '--distances', '--out', out);
  const compared = await compare(file, out, places.length);
  const megabytes = `${(readFileSync(out).length / 1e6).toFixed(1)} MB`;
  rmSync(out);
  return [
    name,
    found.flops.toLocaleString('en'),
    `${(100 * (found.flops / flops - 1)).toFixed(4)} %`,
    places.map(({ share }) => (100 * share).toFixed(1)).join(' '),
    megabytes,
    ...compared,
  ];
}

/** A class folder for every class of ImageNet, most of them empty. */
function makeClassFolders(): string {
  const target = join(work, 'images');
  for (const wnid of wnids) mkdirSync(join(target, wnid), { recursive: true });
  for (const file of readdirSync(photographs!)) {
    const wnid = file.split('_')[0]!;
    copyFileSync(join(photographs!, file), join(target, wnid, file));
  }
  return target;
}

function writeExperiment(name: string, file: string, places: Inspection['cuts']): string {
  const poolings = places.map(({ layout }) => (layout.startsWith('tokens') ? "'class-token'" : "'gap'"));
  const path = join(work, `${name}.ts`);
  writeFileSync(
    path,
    `import { defineExperiment, imageFolder, onnxNetwork } from 'dgate';
export default defineExperiment({
  name: '${name.replaceAll('_', '-')}', title: '${name}, generated weights',
  network: onnxNetwork(${JSON.stringify(file)}),
  dataset: imageFolder(${JSON.stringify(images)}, { preprocess: 'torchvision', testShare: 0.5 }),
  gates: { after: [${places.map((_, i) => i + 1).join(', ')}], pooling: [${poolings.join(', ')}], epochs: 5 },
  thresholds: { margins: [0.01], fixed: [[${places.map(() => 'Infinity').join(', ')}]] },
});
`,
  );
  return path;
}

/** Runs the command line on sources, with caches and results in the temporary folder. */
function dgate(...args: string[]): string {
  const command = ['--import', here('../node_modules/tsx/dist/loader.mjs'), here('../bin/dgate.ts'), ...args];
  const env = { ...process.env, DGATE_CACHE: join(work, 'cache') };
  return execFileSync(process.execPath, command, {
    cwd: work,
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 2 ** 28,
  });
}

/** One answer of an exported file, or of the original one (class and logits only). */
interface Answers {
  readonly classes: readonly number[];
  readonly exits: readonly number[];
  readonly confidences: readonly number[];
  readonly distances: Float32Array;
}

/** @returns what the table says of both files, in Node and in Python */
async function compare(original: string, exported: string, gates: number): Promise<string[]> {
  const dataset = imageFolderDataset(images, { preprocess: 'torchvision', testShare: 0.5 });
  const source = await dataset.load('', 'test');
  const pixels = await source.batch(Int32Array.from({ length: COMPARED }, (_, i) => i));
  const logits = await runOriginal(original, pixels);
  // How much rounding alone does: the same file with and without ONNX Runtime's optimiser.
  const rounding = difference(await runOriginal(original, pixels, 'disabled'), logits).toExponential(1);
  const engine = await OnnxRuntimeCpu.create();
  const session = await engine.createSession(readFileSync(exported));
  const closed = new Array<number>(gates).fill(Number.POSITIVE_INFINITY);
  const last = await runExported(session, pixels, closed);
  // Every gate opened alone tells what it would say of every image.
  const opened: Answers[] = [];
  for (let gate = 0; gate < gates; gate++) {
    opened.push(await runExported(session, pixels, closed.with(gate, Number.NEGATIVE_INFINITY)));
  }
  const { thresholds, expected } = algorithm1([...opened, last]);
  const answered = await runExported(session, pixels, thresholds);
  await session.release();
  const toEnd = (classes: readonly number[], distances: ArrayLike<number>, wanted: Float32Array): string => {
    const winners = decide(wanted, wanted.length / COMPARED, 'max').classes;
    const same = classes.filter((winner, i) => winner === winners[i]).length;
    return `${same} of ${COMPARED}, ${difference(distances, wanted).toExponential(1)}`;
  };
  const exits = (classes: readonly number[], ways: readonly number[]): string => {
    const same = ways.filter((way, i) => `${way}:${classes[i]}` === expected[i]).length;
    return `${same} of ${COMPARED}, ${new Set(ways).size} exits`;
  };
  const [endInNode, exitsInNode] = [
    toEnd(last.classes, last.distances, logits),
    exits(answered.classes, answered.exits),
  ];
  if (!hasPython) return [rounding, endInNode, '', exitsInNode, ''];
  const there = runPython(original, exported, pixels, thresholds);
  return [
    rounding,
    endInNode,
    toEnd(there.last.classes, there.last.distances, Float32Array.from(there.logits)),
    exitsInNode,
    exits(there.answered.classes, there.answered.exits),
  ];
}

/** Largest difference, relative to the largest of the wanted numbers. */
function difference(found: ArrayLike<number>, wanted: Float32Array): number {
  const largest = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return wanted.reduce((most, value, i) => Math.max(most, Math.abs(value - found[i]!)), 0) / largest;
}

/** Logits of the untouched file, [COMPARED, classes]. */
async function runOriginal(path: string, pixels: Uint8Array, level: 'all' | 'disabled' = 'all'): Promise<Float32Array> {
  const engine = await OnnxRuntimeCpu.create();
  const session = await engine.createSession(readFileSync(path), { graphOptimizationLevel: level });
  const parts: Float32Array[] = [];
  for (const part of batches(pixels)) {
    const floats = normalise(part, preprocessings.torchvision, SIDE * SIDE);
    const result = await session.run({ [session.inputNames[0]!]: new ort.Tensor('float32', floats, DIMS) });
    parts.push(result[session.outputNames[0]!]!.data as Float32Array);
  }
  await session.release();
  return concatenated(parts);
}

async function runExported(
  session: ort.InferenceSession,
  pixels: Uint8Array,
  thresholds: readonly number[],
): Promise<Answers> {
  const results: ort.InferenceSession.OnnxValueMapType[] = [];
  for (const part of batches(pixels)) {
    const given = new ort.Tensor('float32', Float32Array.from(thresholds), [thresholds.length]);
    results.push(await session.run({ images: new ort.Tensor('uint8', part, DIMS), thresholds: given }));
  }
  const numbers = (name: string): number[] =>
    results.flatMap((result) => Array.from(result[name]!.data as BigInt64Array, Number));
  const distances = concatenated(results.map((result) => result['distances']!.data as Float32Array));
  return { classes: numbers('class'), exits: numbers('exit'), confidences: numbers('confidence'), distances };
}

function batches(pixels: Uint8Array): Uint8Array[] {
  const size = pixels.length / (COMPARED / BATCH);
  return Array.from({ length: COMPARED / BATCH }, (_, i) => pixels.slice(i * size, (i + 1) * size));
}

function concatenated(parts: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Thresholds at which as many images leave at every exit, and `exit:class` of each image with them. */
function algorithm1(answers: readonly Answers[]): { thresholds: number[]; expected: string[] } {
  const expected = new Array<string>(COMPARED);
  let left = Array.from({ length: COMPARED }, (_, i) => i);
  const thresholds = answers.slice(0, -1).map(({ confidences, classes }, exit) => {
    const sorted = left.map((i) => confidences[i]!).sort((a, b) => b - a);
    const leaving = Math.round(left.length / (answers.length - exit));
    const threshold = Math.fround((sorted[leaving - 1]! + sorted[leaving]!) / 2);
    for (const i of left) if (confidences[i]! >= threshold) expected[i] = `${exit}:${classes[i]}`;
    left = left.filter((i) => confidences[i]! < threshold);
    return threshold;
  });
  for (const i of left) expected[i] = `${answers.length - 1}:${answers.at(-1)!.classes[i]}`;
  return { thresholds, expected };
}

interface FromPython {
  readonly logits: readonly number[];
  readonly last: { readonly classes: readonly number[]; readonly distances: readonly number[] };
  readonly answered: { readonly classes: readonly number[]; readonly exits: readonly number[] };
}

function runPython(original: string, exported: string, pixels: Uint8Array, thresholds: readonly number[]): FromPython {
  const command = [
    here('own_networks.py'),
    original,
    exported,
    JSON.stringify([COMPARED, ...DIMS.slice(1)]),
    String(BATCH),
    JSON.stringify(thresholds),
    'uint8',
  ];
  return JSON.parse(
    execFileSync(python, command, {
      input: pixels,
      encoding: 'utf8',
      stdio: ['pipe', 'pipe', 'inherit'],
      maxBuffer: 2 ** 28,
    }),
  ) as FromPython;
}
