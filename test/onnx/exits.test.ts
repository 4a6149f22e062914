import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import sharp from 'sharp';
import { OnnxRuntimeCpu } from '../../src/engines/onnxruntime/engine.js';
import { openInProcess } from '../../src/engines/onnxruntime/gated.js';
import * as ort from '../../src/engines/onnxruntime/ort.js';
import { runModelOf } from '../../src/engines/onnxruntime/session.js';
import { resolveExperiment } from '../../src/experiment/resolve.js';
import { exportGated } from '../../src/gated/export.js';
import { predict } from '../../src/gated/predict.js';
import type { PlacedGate } from '../../src/gates/contracts.js';
import { gateOfFeatures } from '../../src/gates/gate.js';
import type { UserNetwork } from '../../src/onnx/network.js';
import { Random } from '../../src/random.js';
import { runFacts } from '../../src/run/facts.js';
import { withFoundPlaces } from '../../src/run/plan.js';
import { runExperiment } from '../../src/run/run.js';
import { openOwn } from '../../src/run/user-network.js';
import { workplaceAt } from '../run/workplace.js';
import { type BranchyForm, branchyGraph } from './user-graphs.js';

const engine = await OnnxRuntimeCpu.create();
const [IMAGES, SIZE] = [16, 3 * 8 * 8];
const random = new Random(3, 'exits');
/** Weak and strong ones, which leave at different exits. */
const images = Float32Array.from(
  { length: IMAGES * SIZE },
  (_, i) => 4 ** ((Math.floor(i / SIZE) % 5) - 2) * (2 * random.uniform() - 1),
);

const open = async (file: string) =>
  (await openOwn(file, { logits: 'answer' }, runModelOf(file, openInProcess(file))))!;

/** Class and exit of each image, in the words of the file itself. */
async function saidByFile(path: string, classes: string, exits: string) {
  const session = await ort.InferenceSession.create(path);
  const found = { classes: [] as number[], exits: [] as number[] };
  for (let i = 0; i < IMAGES; i++) {
    const x = new ort.Tensor('float32', images.slice(i * SIZE, (i + 1) * SIZE), [1, 3, 8, 8]);
    const results = await session.run({ x });
    const row = Array.from(results[classes]!.data as Float32Array);
    found.classes.push(row.indexOf(Math.max(...row)));
    found.exits.push(Number((results[exits]!.data as BigInt64Array)[0]));
  }
  await session.release();
  return found;
}

/** The same as dgate executes the exits that it has read, in batches of this size. */
async function saidByDgate({ network, graph }: UserNetwork, batch: number) {
  const gates = network.stages.map((_, i): PlacedGate => {
    return { place: { stage: i + 1, pooling: { kind: 'gap' } }, gate: gateOfFeatures(network.classes) };
  });
  const thresholds = network.stages.map(({ own }) => own!.threshold!);
  const gated = await engine.loadGated({ network, graph }, gates, 'max');
  const found = { classes: [] as number[], exits: [] as number[] };
  for (let start = 0; start < IMAGES; start += batch) {
    const some = images.subarray(start * SIZE, (start + batch) * SIZE);
    const { classes, exits } = await gated.run(some, batch, thresholds);
    found.classes.push(...classes);
    found.exits.push(...exits);
  }
  await gated.close();
  return found;
}

describe('exits of a file, taken as they are', () => {
  const two: BranchyForm = {
    exits: [
      { measure: 'softmax', threshold: 0.3 },
      { measure: 'softmax', threshold: 0.35 },
    ],
  };
  const forms: Record<string, BranchyForm> = {
    'nested, of any number of images': { ...two, batch: 'n' },
    'one behind the other, numbers reduced over all axes': { ...two, form: 'sequential', reduce: 'all' },
    'numbers that keep their axes, probabilities as answers': { ...two, reduce: 'kept', answers: 'probabilities' },
    'entropy over all axes, thresholds inside the branches': {
      exits: [
        { measure: 'entropy', threshold: 1.5, bound: 'branch' },
        { measure: 'entropy', threshold: 1.2, bound: 'branch' },
      ],
      reduce: 'all',
    },
    'mixed, with Not, exchanged sides and a threshold as a node': {
      exits: [
        { measure: 'entropy', threshold: 1.5, relation: 'GreaterOrEqual', isNot: true, bound: 'node' },
        { measure: 'max', threshold: 0.5, relation: 'LessOrEqual', isExchanged: true },
      ],
    },
    'in the else branch, a threshold that is computed': {
      exits: [
        { ...two.exits[0]!, leaves: 'else', bound: 'computed' },
        { ...two.exits[1]!, leaves: 'else' },
      ],
    },
    'heads inside the branches, opset 11': { ...two, headIn: 'branch', opset: 11, reduce: 'all' },
    'the first image of one': { ...two, reduce: 'first' },
    'a squeezed row, counted as torch.all does': {
      exits: two.exits.map((exit) => ({ ...exit, isCounted: true })),
      reduce: 'squeezed',
    },
    'thresholds in a list of several': {
      exits: two.exits.map((exit) => ({ ...exit, bound: 'list' })),
    },
    'a row as a vector, margins, opset 13': {
      exits: [
        { measure: 'margin', threshold: 0.05 },
        { measure: 'margin', threshold: 0.1 },
      ],
      reduce: 'flat',
      opset: 13,
    },
    'numbers that swallow the logits': {
      exits: [
        { measure: 'billions', threshold: 4e8 },
        { measure: 'billions', threshold: 3e8 },
      ],
    },
    'three exits, a condition of two comparisons, opset 18': {
      exits: [{ measure: 'softmax', threshold: 0.3, and: 0.1 }, two.exits[1]!, { measure: 'softmax', threshold: 0.5 }],
      opset: 18,
      reduce: 'all',
    },
  };
  for (const [name, form] of Object.entries(forms)) {
    it(`${name}: class and exit of each image are the file's, one by one and in batches`, async () => {
      const path = await branchyGraph(form).write();
      const wanted = await saidByFile(path, 'answer', 'exit');
      const own = await open(path);
      expect(new Set(wanted.exits).size, `exits ${wanted.exits}`).to.be.above(1);
      // What an exit compares and its threshold are read wherever it is one comparison with a constant.
      const isRead = ({ and, bound }: BranchyForm['exits'][number]): boolean =>
        and === undefined && bound !== 'computed';
      for (const [i, exit] of form.exits.entries()) {
        if (isRead(exit))
          expect(own.exits[i]!.threshold, `exit ${i + 1}`).to.be.closeTo(exit.threshold, 1e-6 * exit.threshold);
      }
      expect(await saidByDgate(own, 1)).to.deep.equal(wanted);
      expect(await saidByDgate(own, IMAGES)).to.deep.equal(wanted);
      await rm(dirname(path), { recursive: true });
    });
  }
});

describe('an experiment on the exits of a file', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dgate-exits-'));
    for (const [label, name] of ['ash', 'birch', 'cedar', 'elm', 'fir'].entries()) {
      await mkdir(join(folder, 'trees', name), { recursive: true });
      for (let i = 0; i < 12; i++) {
        const pixels = Uint8Array.from({ length: SIZE }, (_, at) => 20 * i + ((label * 37 * at) % 30));
        const image = sharp(pixels, { raw: { width: 8, height: 8, channels: 3 } });
        await image.png().toFile(join(folder, 'trees', name, `${i}.png`));
      }
    }
  });
  after(() => rm(folder, { recursive: true }));

  const exits = [
    { measure: 'softmax', threshold: 0.3 },
    { measure: 'entropy', threshold: 1.5 },
  ] as const;
  async function experiment(form: BranchyForm, changes: Record<string, unknown> = {}) {
    const file = await branchyGraph(form).write();
    const preprocess = { mean: [0.5, 0.5, 0.5], std: [0.1, 0.1, 0.1], resize: 8, crop: 8 };
    const definition = {
      name: 'exits',
      title: 'Exits of a file',
      network: { kind: 'onnx', file, logits: 'answer' },
      dataset: { kind: 'image-folder', folder: join(folder, 'trees'), preprocess, testShare: 0.5 },
      gates: 'own',
      ...changes,
    };
    return withFoundPlaces(resolveExperiment(definition, 'exits', 'laptop'));
  }

  it('has a row with the thresholds of the file, trains nothing, and is exported and predicts', async () => {
    const { context } = workplaceAt(folder);
    const asked = await experiment({ exits }, { thresholds: { margins: [0.05] } });
    const outcome = await runExperiment(context, asked);
    expect(outcome.splits).to.include({ train: 0, test: 30 });
    expect(runFacts(outcome).filter(([name]) => name === 'Exits' || name === '')).to.deep.include([
      'Exits',
      "the file's own: Softmax, ReduceMax > 0.3; Softmax, Mul, ReduceSum, Neg < 1.5",
    ]);
    expect(outcome.rows.map(({ kind }) => kind)).to.deep.equal(['margin', 'fixed']);
    const [first, second] = outcome.rows[1]!.thresholds[0]!;
    expect(first).to.be.closeTo(0.3, 1e-6);
    expect(second).to.be.closeTo(-1.5, 1e-6);
    expect(outcome.flops.flops).to.be.below(outcome.exitCosts.at(-1)!);
    expect(await withFoundPlaces(asked)).to.deep.equal(asked);
    const out = join(folder, 'own.onnx');
    const exported = await exportGated(context, asked, { out, preset: 'laptop', row: 2 });
    expect(exported.verified).to.deep.equal({ images: 30, same: 30, near: 0 });
    const { predictions } = await predict(out, [join(folder, 'trees', 'elm', '3.png')]);
    expect(predictions).to.have.length(1);
  });

  it('refuses a file without exits, wrong numbers of thresholds; an unknown threshold is a closed exit', async () => {
    const none = await branchyGraph({ exits: [] }).write();
    const network = { kind: 'onnx', file: none, logits: 'answer' };
    expect(await experiment({ exits }, { network }).catch(String)).to.match(/has no exits of its own/);
    const fixed = experiment({ exits }, { thresholds: { fixed: [[0.5]] } });
    expect(await fixed.catch(String)).to.match(/thresholds.fixed: \[0.5\]; valid: 2 numbers/);
    const asked = { ...network, file: 'test/fixtures/exits/input.onnx', logits: undefined };
    const closed = await experiment({ exits }, { network: asked });
    expect(closed.thresholds.fixed).to.deep.equal([[Number.POSITIVE_INFINITY]]);
  });
});
