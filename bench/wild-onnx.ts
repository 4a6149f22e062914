/**
 * npx tsx bench/wild-onnx.ts [--counts COUNTS.json] [--input-size HxW] [--logits NAME] [--json] [--csv TABLE.csv] FILE.onnx...
 *
 * ONNX classifiers as they are in the wild, one row a file: what `dgate model inspect` says of it (cost, gates), and the file
 * with generated gates at the proposed places, written as `dgate export` writes it:
 * - to the end: thresholds that no image reaches; the largest difference of the logits from the untouched file's, which gets
 *   the images one by one, as a share of the largest (behind a softmax or sigmoid that is left out: of the probabilities);
 * - exits: thresholds that send the images to every exit; how many of them take the same exit with the same class in the
 *   exported file, where they go in together, and in the graph that `dgate run` and `dgate time` execute.
 *
 * COUNTS.json has `{ name: { flops, versions } }` of PyTorch's own counter (`bench/exporters.py`). Images are generated. Where DGATE_PYTHON
 * names a Python with onnxruntime, both files run there too. TABLE.csv gets a line for each `<network>.<exporter>-<images>.onnx`
 * that it does not have yet.
 */
import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { csvOf, parseCsv } from '../src/csv.js';
import { OnnxRuntimeCpu } from '../src/engines/onnxruntime/engine.js';
import * as ort from '../src/engines/onnxruntime/ort.js';
import { InputError } from '../src/errors.js';
import type { PlacedGate } from '../src/gates/contracts.js';
import { gateFeatureCounts } from '../src/networks/onnx.js';
import { gatedModel } from '../src/onnx/gated.js';
import { decidedAnswer } from '../src/onnx/gated-exits.js';
import { describeGraph } from '../src/onnx/graph/cuts.js';
import type { UserModel } from '../src/onnx/graph/user-model.js';
import type { UserNetwork } from '../src/onnx/network.js';
import { Random } from '../src/random.js';
import { renderColumns } from '../src/report/findings.js';
import { inspectFile } from '../src/run/user-network.js';

const IMAGES = 6;
const args = process.argv.slice(2);
const option = (name: string): string | undefined =>
  args.includes(name) ? args.splice(args.indexOf(name), 2)[1] : undefined;
const counts = option('--counts');
const sides = option('--input-size')?.split('x').map(Number) as [number, number] | undefined;
const logits = option('--logits');
const table = option('--csv');
const isJson = args.includes('--json');
const python = process.env['DGATE_PYTHON'];
const COLUMNS =
  'network,form,flops,difference_to_pytorch_percent,gates_percent,largest_relative_difference,images_same_exit_exported,' +
  'images_same_exit_executed,largest_relative_difference_python,images_same_exit_python,images_same_class_python,images,exits,' +
  'command,date,machine,versions';
const known = new Set(
  table !== undefined && existsSync(table)
    ? parseCsv(readFileSync(table, 'utf8'), table).map(({ network, form }) => `${network}.${form}`)
    : [],
);
if (table !== undefined && known.size === 0) writeFileSync(table, `${COLUMNS}\n`);
const peer =
  counts === undefined
    ? {}
    : (JSON.parse(readFileSync(counts, 'utf8')) as Record<string, { flops: number; versions: string }>);
const engine = await OnnxRuntimeCpu.create();
const random = new Random(3, 'wild');

const rows: string[][] = [];
for (const file of args.filter((name) => !name.startsWith('--'))) {
  const name = basename(file).replace(/\.onnx$/, '');
  if (known.has(name)) continue;
  const row = await rowOf(file, name).catch((error: unknown) => {
    if (error instanceof InputError) return [name, error.message.replaceAll(file, name)];
    process.exitCode = 1;
    return [name, `defect: ${(error as Error).stack}`];
  });
  rows.push(row);
  process.stderr.write(`${row.join('  ')}\n`);
}
const head = [
  'File',
  'FLOPs',
  "PyTorch's",
  'Of 8 bits',
  'Gates at (%)',
  'To the end',
  'Exits, exported',
  'Exits, executed',
  'To the end, Python',
  'Exits, Python',
];
process.stdout.write(isJson ? `${JSON.stringify(rows)}\n` : `${renderColumns(head, rows)}\n`);

async function rowOf(file: string, name: string): Promise<string[]> {
  const { graph, cuts } = await inspectFile(file, { inputSize: sides, logits });
  const { total, perNode, widths } = cuts.flops;
  const { flops: wanted, versions = '' } = peer[name.replace(/\..*/, '')] ?? {};
  const narrow = perNode.reduce((sum, flops, i) => sum + (widths[i] === 8 ? flops : 0), 0);
  const shown = [
    name,
    total.toLocaleString('en') + (cuts.flops.unknown.length > 0 ? ` and ${cuts.flops.unknown.join(', ')}` : ''),
    wanted === undefined ? '' : `${(100 * (total / wanted - 1)).toFixed(4)} %`,
    narrow === 0 ? '' : `${((100 * narrow) / total).toFixed(1)} %`,
    cuts.proposed.map((i) => ((100 * cuts.cuts[i]!.flops) / total).toFixed(1)).join(' '),
  ];
  const network = describeGraph(graph, cuts, { name, dataset: 'generated', gatesAfter: 'auto' });
  const user = { graph, network };
  const images = noise(graph.model);
  const gates = generatedGates(user);
  const exported = gatedModel(user, gates, { confidence: 'max', answer: decidedAnswer(network.classes) });
  const session = await engine.createSession(exported);
  const answer = (thresholds: readonly number[]) => runExported(session, user, images, thresholds);
  const closed = new Array<number>(gates.length).fill(Number.POSITIVE_INFINITY);
  const last = await answer(closed);
  const original = await runOriginal(file, graph.model, images);
  const end =
    typeof original === 'string' ? original : difference(last.distances, original, network.classes, graph.model.end);
  const { thresholds, expected } = await algorithm1(answer, closed, last);
  const found = await answer(thresholds);
  const gated = await engine.loadGated(user, gates, 'max');
  const executed = await gated.run(images, IMAGES, thresholds);
  await Promise.all([gated.close(), session.release()]);
  const counted = ({ exits, classes }: Pick<Answers, 'exits' | 'classes'>): number =>
    Array.from(exits).filter((exit, i) => `${exit}:${classes[i]}` === expected[i]).length;
  const same = (answers: Pick<Answers, 'exits' | 'classes'>): string =>
    `${counted(answers)} of ${IMAGES}, ${new Set(answers.exits).size} exits`;
  const there = python === undefined ? undefined : runPython(python, file, exported, user, images, thresholds);
  const endThere =
    there && difference(Float32Array.from(there.last.distances), there.logits, network.classes, graph.model.end);
  if (table !== undefined && there !== undefined) {
    const [network = '', form = ''] = name.split('.');
    const winners = Array.from({ length: IMAGES }, (_, i) => {
      const row = there.logits.slice(i * user.network.classes, (i + 1) * user.network.classes);
      return row.indexOf(Math.max(...row));
    });
    const sameClass = there.last.classes.filter((winner, i) => winner === winners[i]).length;
    const values = [
      ...[network, form, total, shown[2]!.replace(' %', ''), shown[4], end, counted(found), counted(executed)],
      ...[endThere, counted(there.answered), sameClass, IMAGES, new Set(there.answered.exits).size],
      ...['python bench/exporters.py FOLDER; npx tsx bench/wild-onnx.ts', new Date().toISOString().slice(0, 10)],
      `${cpus()[0]!.model.replace(/ \d.*/, '')} ${availableParallelism()} cores`,
      `node ${process.versions.node}; onnxruntime-node ${engine.describe().versions['onnxruntime-node']}; Python onnxruntime ${there.version}; ${versions}`,
    ];
    appendFileSync(table, csvOf([values]));
  }
  return [...shown, end, same(found), same(executed), ...(there ? [endThere!, same(there.answered)] : ['', ''])];
}

interface FromPython {
  readonly version: string;
  readonly logits: number[];
  readonly last: { readonly classes: number[]; readonly distances: number[] };
  readonly answered: { readonly classes: number[]; readonly exits: number[] };
}

/** The original and the exported file in Python's ONNX Runtime. */
function runPython(
  command: string,
  file: string,
  exported: Uint8Array,
  { network: { input } }: UserNetwork,
  images: Float32Array,
  thresholds: readonly number[],
): FromPython {
  const folder = mkdtempSync(join(tmpdir(), 'dgate-wild-'));
  const gated = join(folder, 'gated.onnx');
  writeFileSync(gated, exported);
  const sizes = [IMAGES, input.channels, input.height, input.width];
  const script = fileURLToPath(new URL('own_networks.py', import.meta.url));
  const given = [script, file, gated, JSON.stringify(sizes), IMAGES, JSON.stringify(thresholds), 'float32'].map(String);
  try {
    const options = { input: Buffer.from(images.buffer), encoding: 'utf8', maxBuffer: 2 ** 28 } as const;
    return JSON.parse(execFileSync(command, given, options)) as FromPython;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function noise({ input }: UserModel): Float32Array {
  const size = IMAGES * input.channels * input.height * input.width;
  return Float32Array.from({ length: size }, () => (input.type === 2 ? random.below(256) : 4 * random.uniform() - 2));
}

function generatedGates({ network }: UserNetwork): PlacedGate[] {
  const places = network.stages.map((_, i) => ({ stage: i + 1, pooling: { kind: 'gap' } as const }));
  return gateFeatureCounts(network, places).map((features, i): PlacedGate => {
    const floats = (length: number): Float32Array => Float32Array.from({ length }, () => random.uniform() - 0.5);
    const { classes } = network;
    return {
      place: places[i]!,
      gate: { features, classes, weights: floats(features * classes), bias: floats(classes) },
    };
  });
}

interface Answers {
  readonly classes: ArrayLike<number> & Iterable<number>;
  readonly exits: ArrayLike<number> & Iterable<number>;
  readonly confidences: Float32Array;
  readonly distances: Float32Array;
}

async function runExported(
  session: ort.InferenceSession,
  { network: { input } }: UserNetwork,
  images: Float32Array,
  thresholds: readonly number[],
): Promise<Answers> {
  const results = await session.run({
    images: new ort.Tensor('float32', images, [IMAGES, input.channels, input.height, input.width]),
    thresholds: new ort.Tensor('float32', Float32Array.from(thresholds), [thresholds.length]),
  });
  const numbers = (name: string): number[] => Array.from(results[name]!.data as BigInt64Array, Number);
  const floats = (name: string): Float32Array => results[name]!.data as Float32Array;
  return {
    classes: numbers('class'),
    exits: numbers('exit'),
    confidences: floats('confidence'),
    distances: floats('distances'),
  };
}

/** What the untouched file says of each image alone, or why ONNX Runtime does not run it. */
async function runOriginal(file: string, { input }: UserModel, images: Float32Array): Promise<number[] | string> {
  const { channels, height, width, order } = input;
  const size = channels * height * width;
  try {
    const session = await ort.InferenceSession.create(file, { logSeverityLevel: 4 });
    const output = session.outputNames.find((name) => name === logits) ?? session.outputNames[0]!;
    const type = session.inputMetadata.find(({ name }) => name === input.name) as { type: string };
    const numbers: number[] = [];
    for (let i = 0; i < IMAGES; i++) {
      const image = images.slice(i * size, (i + 1) * size);
      const turned =
        order === 'NHWC'
          ? Float32Array.from(image, (_, at) => image[(at % channels) * height * width + Math.floor(at / channels)]!)
          : image;
      const dims = {
        NCHW: [1, channels, height, width],
        NHWC: [1, height, width, channels],
        NHW: [1, height, width],
        flat: [1, size],
      }[order];
      const result = await session.run({ [input.name]: asTensor(type.type, turned, dims) });
      const { data, type: kind } = result[output]!;
      numbers.push(...Array.from(data as Float32Array, kind === 'float16' ? fromHalf : Number));
    }
    await session.release();
    return numbers;
  } catch (error) {
    return `original not run: ${(error as Error).stack!.slice(0, 60)}`;
  }
}

function asTensor(type: string, data: Float32Array, dims: number[]): ort.Tensor {
  if (type === 'uint8') return new ort.Tensor('uint8', Uint8Array.from(data), dims);
  if (type === 'float64') return new ort.Tensor('float64', Float64Array.from(data), dims);
  if (type === 'float16') return new ort.Tensor('float16', Uint16Array.from(data, toHalf), dims);
  return new ort.Tensor('float32', data, dims);
}

/** Bits of the nearest float16 of a number of moderate size. */
function toHalf(value: number): number {
  const size = Math.abs(value);
  const exponent = Math.max(-14, Math.floor(Math.log2(size || 1e-9)));
  const steps = Math.round((size / 2 ** exponent) * 1024);
  const bits = size < 2 ** -14 ? Math.round(size * 2 ** 24) : ((exponent + 15) << 10) + steps - 1024;
  return value < 0 ? bits | 0x8000 : bits;
}

function fromHalf(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const size = exponent === 0 ? (bits & 1023) * 2 ** -24 : (1024 + (bits & 1023)) * 2 ** (exponent - 25);
  return bits & 0x8000 ? -size : size;
}

/** Largest difference, relative to the largest of the wanted numbers. */
function difference(found: Float32Array, wanted: readonly number[], classes: number, end: string | undefined): string {
  const rows = Array.from({ length: IMAGES }, (_, i) => Array.from(found.subarray(i * classes, (i + 1) * classes)));
  const softmax = (row: number[]): number[] => {
    const most = Math.max(...row);
    const all = row.map((value) => Math.exp(value - most));
    const sum = all.reduce((a, b) => a + b, 0);
    return all.map((value) => value / sum);
  };
  const ours = rows.flatMap((row) => {
    if (end === 'Softmax') return softmax(row);
    if (end === 'Sigmoid')
      return wanted.length === IMAGES ? [softmax(row)[1]!] : row.map((z) => 1 / (1 + Math.exp(-z)));
    if (wanted.length === IMAGES) return [row[1]!]; // one number stands for two classes
    return row;
  });
  if (ours.length !== wanted.length) return `${ours.length} numbers for ${wanted.length}`;
  const largest = Math.max(...wanted.map(Math.abs), 1e-30);
  return (Math.max(...wanted.map((value, i) => Math.abs(value - ours[i]!))) / largest).toExponential(1);
}

/** Thresholds at which as many images leave at every exit, and `exit:class` of each image with them. */
async function algorithm1(
  answer: (thresholds: readonly number[]) => Promise<Answers>,
  closed: readonly number[],
  last: Answers,
) {
  const expected = new Array<string>(IMAGES);
  let left = Array.from({ length: IMAGES }, (_, i) => i);
  const thresholds: number[] = [];
  for (let gate = 0; gate < closed.length; gate++) {
    const { confidences, classes } = await answer(closed.with(gate, Number.NEGATIVE_INFINITY));
    const sorted = left.map((i) => confidences[i]!).sort((a, b) => b - a);
    const leaving = Math.round(left.length / (closed.length + 1 - gate));
    const threshold = Math.fround(((sorted[leaving - 1] ?? 1e9) + (sorted[leaving] ?? -1e9)) / 2);
    for (const i of left) if (confidences[i]! >= threshold) expected[i] = `${gate}:${classes[i]}`;
    left = left.filter((i) => confidences[i]! < threshold);
    thresholds.push(threshold);
  }
  for (const i of left) expected[i] = `${closed.length}:${last.classes[i]}`;
  return { thresholds, expected };
}
