import { readFile, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { expect } from 'chai';
import { OnnxRuntimeCpu } from '../../src/engines/onnxruntime/engine.js';
import * as ort from '../../src/engines/onnxruntime/ort.js';
import { gateFeatureCounts } from '../../src/networks/onnx.js';
import { gatedModel } from '../../src/onnx/gated.js';
import { decidedAnswer } from '../../src/onnx/gated-exits.js';
import { gatedMetadata, readGatedFile } from '../../src/onnx/gated-file.js';
import { isEightBitWeight } from '../../src/onnx/graph/values.js';
import { decodeModel, encodeModel, type GraphMessage, type ModelMessage } from '../../src/onnx/proto.js';
import { Random } from '../../src/random.js';
import { about } from './about.js';
import { asNetwork, type Opened, UserGraph } from './user-graphs.js';

const written: string[] = [];
after(() => Promise.all(written.map((path) => rm(dirname(path), { recursive: true, force: true }))));

export type Change = (model: ModelMessage) => ModelMessage;
export async function write(graph: UserGraph, change: Change = (model) => model): Promise<string> {
  const path = await graph.write();
  written.push(path);
  await writeFile(path, encodeModel(change(decodeModel(await readFile(path)))));
  return path;
}
/** The input's type or sizes in another form. */
export const input =
  (elem_type: number, dims?: readonly (number | string)[]): Change =>
  (model) => {
    const [{ name, type }] = model.graph.input as [(typeof model.graph.input)[0]];
    const dim = dims?.map((size) => (typeof size === 'number' ? { dim_value: size } : { dim_param: size }));
    const shape = dim === undefined ? type.tensor_type.shape : { dim };
    return { ...model, graph: { ...model.graph, input: [{ name, type: { tensor_type: { elem_type, shape } } }] } };
  };

/** 8-bit weights that a node reads from another graph than its own: ONNX Runtime brings them into their order in every run. */
export function weightsElsewhere(graph: GraphMessage): string[] {
  const branchesOf = ({ node }: GraphMessage): GraphMessage[] =>
    node.flatMap(({ attribute }) => attribute.flatMap(({ g }) => (g == null ? [] : [g])));
  const all = (inner: GraphMessage): GraphMessage[] => [inner, ...branchesOf(inner).flatMap(all)];
  const weights = new Set(
    all(graph)
      .flatMap(({ initializer }) => initializer.filter(isEightBitWeight))
      .map(({ name }) => name),
  );
  return all(graph).flatMap(({ node, initializer }) => {
    const own = new Set(initializer.map(({ name }) => name));
    return node.flatMap(({ input }) => input.filter((name) => weights.has(name) && !own.has(name)));
  });
}

const IMAGES = 3;
export const random = new Random(8, 'wild');
export const [FLOAT, UINT8, FLOAT16, FLOAT64] = [1, 2, 10, 11];

/** The gated file with gates that stay closed says of images together what the file says of each alone. */
export async function expectSame(
  opened: Opened,
  path: string,
  {
    dims,
    tolerance = 1e-5,
    executed = false,
    toLogits = (row: number[]) => row,
  }: {
    readonly dims: readonly number[];
    readonly tolerance?: number;
    /** Also as `dgate run` executes it. */
    readonly executed?: boolean;
    readonly toLogits?: (row: number[]) => number[];
  },
): Promise<void> {
  const user = asNetwork(opened, 'auto');
  const { input: size, classes } = user.network;
  const places = user.network.stages.map((_, i) => ({ stage: i + 1, pooling: { kind: 'gap' } as const }));
  const gates = gateFeatureCounts(user.network, places).map((features, i) => ({
    place: places[i]!,
    gate: {
      features,
      classes,
      weights: new Float32Array(features * classes).fill(0.1),
      bias: new Float32Array(classes),
    },
  }));
  const each = size.channels * size.height * size.width;
  const bytes = opened.graph.model.input.type === UINT8;
  const images = Float32Array.from({ length: IMAGES * each }, () =>
    bytes ? random.below(256) : 2 * random.uniform() - 1,
  );
  const metadata = gatedMetadata({ ...about(gates.length, 'max') });
  const file = gatedModel(user, gates, { confidence: 'max', answer: decidedAnswer(classes), metadata });
  expect(weightsElsewhere(decodeModel(file).graph)).to.deep.equal([]);
  readGatedFile(file, 'exported'); // its operators are those that dgate predict accepts
  const engine = await OnnxRuntimeCpu.create();
  const session = await engine.createSession(file);
  const answers = async (threshold: number) =>
    session.run({
      images: new ort.Tensor('float32', images, [IMAGES, size.channels, size.height, size.width]),
      thresholds: new ort.Tensor('float32', new Float32Array(gates.length).fill(threshold), [gates.length]),
    });
  const { distances } = await answers(Number.POSITIVE_INFINITY);
  const original = await ort.InferenceSession.create(await readFile(path), { logSeverityLevel: 4 });
  const name = original.inputNames[0]!;
  for (let i = 0; i < IMAGES; i++) {
    const image = images.subarray(i * each, (i + 1) * each);
    const feed = bytes
      ? new ort.Tensor('uint8', Uint8Array.from(image), [...dims])
      : new ort.Tensor('float32', image, [...dims]);
    const wanted = toLogits(
      Array.from((await original.run({ [name]: feed }))[original.outputNames[0]!]!.data as Float32Array),
    );
    const largest = Math.max(...wanted.map(Math.abs));
    wanted.forEach((value, c) => {
      expect((distances!.data as Float32Array)[i * classes + c]! / largest, `image ${i}, class ${c}`).to.be.closeTo(
        value / largest,
        tolerance,
      );
    });
  }
  const { exit } = await answers(Number.NEGATIVE_INFINITY);
  expect(Array.from(exit!.data as BigInt64Array, Number)).to.deep.equal(new Array(IMAGES).fill(0));
  await Promise.all([session.release(), original.release()]);
  if (!executed) return;
  const gated = await engine.loadGated(user, gates, 'max');
  const far = new Array<number>(gates.length).fill(Number.POSITIVE_INFINITY);
  const closed = await gated.run(images, IMAGES, far);
  expect([...closed.exits]).to.deep.equal(new Array(IMAGES).fill(gates.length));
  const first = await gated.run(images, IMAGES, far.with(0, Number.NEGATIVE_INFINITY));
  const most = Math.max(...first.confidences); // one image leaves, the others go on
  const left = await gated.run(images, IMAGES, far.with(0, most));
  expect([...left.exits]).to.deep.equal([...first.confidences].map((value) => (value >= most ? 0 : gates.length)));
  // Those that go on are themselves: the end says of them what it says where nobody leaves.
  for (const [image, exit] of left.exits.entries()) {
    if (exit === 0) continue;
    expect(left.classes[image]).to.equal(closed.classes[image]);
    expect(left.confidences[image]).to.be.closeTo(
      closed.confidences[image]!,
      1e-3 * Math.abs(closed.confidences[image]!),
    );
  }
  await gated.close();
}

/** Four convolutions, and what comes before and behind them. */
export function images(
  name: string,
  {
    dims = ['batch', 3, 8, 8],
    channels = 3,
    before = (_: UserGraph, x: string) => x,
    tail = classify,
  }: {
    readonly dims?: readonly (number | string)[];
    readonly channels?: number;
    readonly before?: (graph: UserGraph, input: string) => string;
    readonly tail?: (graph: UserGraph, value: string) => void;
  } = {},
): UserGraph {
  const graph = new UserGraph(name);
  let value = graph.relu(graph.conv(before(graph, graph.input(dims)), channels, 8), 'r0');
  for (let i = 1; i < 4; i++) value = graph.relu(graph.conv(value, 8, 8), `r${i}`);
  tail(graph, value);
  return graph;
}
/** Four float16 convolutions between float32 images and logits. @param shared further inputs of each */
export function halfGraph(name: string, shared: (graph: UserGraph) => readonly string[] = () => []): UserGraph {
  const graph = new UserGraph(name);
  const half = (value: string): string => graph.builder.node('Cast', [value], { to: FLOAT16 });
  const further = shared(graph);
  let value = half(graph.input(['batch', 3, 8, 8]));
  for (let i = 0; i < 4; i++) {
    const kernel = half(graph.weight([8, i === 0 ? 3 : 8, 3, 3]));
    value = graph.relu(graph.builder.node('Conv', [value, kernel, ...further], { pads: [1, 1, 1, 1] }));
  }
  const row = graph.builder.node('Flatten', [graph.builder.node('GlobalAveragePool', [value])]);
  const product = graph.builder.node('MatMul', [row, half(graph.weight([8, 5]))]);
  graph.builder.node('Cast', [product], { to: FLOAT }, 'logits');
  return graph.output('logits', 5);
}
export const classify = (graph: UserGraph, value: string): void => void graph.classify(value, 8, 5);
export const ints = (graph: UserGraph, values: readonly number[]): string =>
  graph.builder.ints(graph.builder.fresh('ints'), values);
export const shares = ({ cuts }: Opened): number[] =>
  cuts.proposed.map((i) => Math.round((100 * cuts.cuts[i]!.flops) / cuts.flops.total));
