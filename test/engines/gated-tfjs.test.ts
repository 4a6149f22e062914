import { expect } from 'chai';
import type { Engine, FeatureBatch, GatedNetwork } from '../../src/engines/engine.js';
import { createEngine } from '../../src/engines/registry.js';
import { loadTensorFlow, type TfjsId, tfjsIds } from '../../src/engines/tfjs/backend.js';
import {
  type ConfidenceKind,
  confidenceKinds,
  type Decisions,
  decide,
  type Fitted,
  unfitted,
} from '../../src/gates/confidence.js';
import type { GatedBatch, PlacedGate } from '../../src/gates/contracts.js';
import { distances } from '../../src/gates/gate.js';
import { lowerNetwork } from '../../src/networks/lower.js';
import type { Layer, Network } from '../../src/networks/network.js';
import { type GatePlace, gateFeatureCounts } from '../../src/networks/onnx.js';
import { Random } from '../../src/random.js';
import { randomTensors } from '../networks/direct.js';
import { decideInTurn, distancesInTurn, generatedFits } from '../onnx/gated-networks.js';
import { engineOrSkip, testedEngines } from './available.js';

const IMAGES = 5;
const [NEVER, ALWAYS] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];

const conv = (name: string, input: number, output: number, kernel: number, stride = 1): Layer => {
  return { op: 'conv', name, in: input, out: output, kernel, stride, padding: (kernel - 1) / 2 };
};

/** Four stages, one with a transition; higher than wide, so that rows and columns cannot be taken for one another. */
function networkOf(classes: number): Network {
  return {
    name: 'gated-cifar10',
    dataset: 'cifar10',
    input: { channels: 3, height: 16, width: 8 },
    stem: [conv('stem', 3, 6, 3), { op: 'relu' }],
    stages: [
      {
        name: 'residual',
        layers: [{ op: 'residual', body: [conv('a', 6, 6, 3)], shortcut: [] }, { op: 'relu' }],
        transition: [],
      },
      {
        name: 'dense',
        layers: [{ op: 'denseConcat', first: 'input', body: [conv('b', 6, 4, 1)] }],
        transition: [conv('c', 10, 8, 1), { op: 'avgPool', kernel: 2, stride: 2, padding: 0 }],
      },
      { name: 'strided', layers: [conv('d', 8, 8, 3, 2), { op: 'relu' }], transition: [] },
      { name: 'last', layers: [conv('e', 8, 12, 3)], transition: [] },
    ],
    classifier: { head: [{ op: 'relu' }], name: 'linear', in: 12, out: classes },
  };
}

const network = networkOf(6);
const places: readonly GatePlace[] = [
  { stage: 1, pooling: { kind: 'grid', size: 4 } },
  { stage: 2, pooling: { kind: 'gap' } },
  { stage: 3, pooling: { kind: 'grid', size: 2 } },
];
const random = new Random(7, 'gated tfjs');
const floats = (length: number): Float32Array => Float32Array.from({ length }, () => 2 * random.uniform() - 1);
const lowered = lowerNetwork(network, randomTensors(network, random));
const pixels = 3 * 16 * 8;
// Of different brightness: gates answer differently.
const images = floats(IMAGES * pixels).map((value, i) => value * (1 + Math.floor(i / pixels)));
const gatesAt = (chosen: readonly GatePlace[], takesPrevious = false): PlacedGate[] => {
  const counts = gateFeatureCounts(network, chosen);
  return chosen.map((place, i) => {
    const [features, classes] = [counts[i]!, network.classifier.out];
    const previous = takesPrevious && i > 0 && { previous: floats(classes ** 2) };
    return {
      place,
      gate: { features, classes, weights: floats(features * classes), bias: floats(classes), ...previous },
    };
  });
};
const gates = gatesAt(places);

/** Class and confidence at each exit by the formulas of `src/gates`, from features. */
function decisionsOf(
  { features, logits }: FeatureBatch,
  placed: readonly PlacedGate[],
  kind: ConfidenceKind,
  fitted: readonly Fitted[] = [],
) {
  const classes = network.classifier.out;
  return decideInTurn([...distancesInTurn(placed, features), logits], classes, kind, fitted);
}

/** Algorithm 1. */
function follow(decisions: readonly Decisions[], thresholds: readonly number[], count: number): GatedBatch {
  const rows = Array.from({ length: count }, (_, image) => {
    const gate = thresholds.findIndex((threshold, k) => decisions[k]!.confidences[image]! >= threshold);
    const exit = gate === -1 ? thresholds.length : gate;
    return { exit, class: decisions[exit]!.classes[image]!, confidence: decisions[exit]!.confidences[image]! };
  });
  return {
    classes: Int32Array.from(rows, (row) => row.class),
    exits: Int32Array.from(rows, (row) => row.exit),
    confidences: Float32Array.from(rows, (row) => row.confidence),
  };
}

function expectSame(found: GatedBatch, expected: GatedBatch, what: string): void {
  expect([...found.exits], `${what}: exits`).to.deep.equal([...expected.exits]);
  expect([...found.classes], `${what}: classes`).to.deep.equal([...expected.classes]);
  found.confidences.forEach((value, image) => {
    const reference = expected.confidences[image]!;
    expect(value, `${what}: confidence`).to.be.closeTo(reference, 1e-4 * Math.max(1, Math.abs(reference)));
  });
}

/** A threshold far from every confidence: between two of them, or beyond all. */
function clearThreshold(confidences: Float32Array): number {
  const sorted = [ALWAYS, ...[...confidences].sort((a, b) => a - b), NEVER];
  const gaps = sorted.slice(1).map((high, i) => [sorted[i]!, high] as const);
  const clear = gaps.filter(([low, high]) => high - low > 0.01 * Math.max(1, Math.min(Math.abs(low), Math.abs(high))));
  const [low, high] = clear[random.below(clear.length)]!;
  return (low + high) / 2;
}

for (const { id } of testedEngines().filter((engine) => (tfjsIds as readonly string[]).includes(engine.id))) {
  describe(`gated network on ${id}`, () => {
    let engine: Engine;
    /** Features of all images, from this engine and from ort-cpu. */
    let references: Map<string, FeatureBatch>;
    const opened: GatedNetwork[] = [];
    const open = async (placed: readonly PlacedGate[], kind: ConfidenceKind): Promise<GatedNetwork> => {
      opened.push(await engine.loadGated(lowered, placed, kind));
      return opened.at(-1)!;
    };
    before(async function () {
      engine = await engineOrSkip(this, id);
      references = new Map();
      for (const name of [id, 'ort-cpu']) {
        const loaded = await (await createEngine(name)).loadFeatures(lowered, places);
        references.set(name, await loaded.run(images, IMAGES));
        await loaded.close();
      }
    });
    afterEach(async () => {
      for (const gated of opened.splice(0)) await gated.close();
    });

    it('follows Algorithm 1 for every confidence, at random thresholds, in batches of 1 to 5', async () => {
      const taken = new Set<number>();
      const chained = gatesAt(places, true);
      const each = confidenceKinds.flatMap((kind) => [[kind, gates] as const, [kind, chained] as const]);
      for (const [kind, gates] of each) {
        const gated = await open(gates, kind);
        const expected = new Map([...references].map(([name, batch]) => [name, decisionsOf(batch, gates, kind)]));
        const decisions = expected.get('ort-cpu')!;
        for (let round = 0; round < 6; round++) {
          const count = 1 + (round % IMAGES);
          const thresholds = gates.map((_, k) => clearThreshold(decisions[k]!.confidences));
          const found = await gated.run(images.subarray(0, count * pixels), count, thresholds);
          for (const exit of found.exits) taken.add(exit);
          for (const [name, reference] of expected) {
            expectSame(found, follow(reference, thresholds, count), `${kind}, ${thresholds}, ${name}`);
          }
        }
      }
      expect(taken.size).to.equal(gates.length + 1); // no exit was left untried
    });

    it('divides the numbers of each exit by its temperature', async () => {
      const temperatures = [2, 0.5, 3, 1.5];
      const { features, logits } = references.get('ort-cpu')!;
      const cooled = [...gates.map(({ gate }, i) => distances(gate, features[i]!)), logits].map((numbers, exit) =>
        decide(
          numbers.map((value) => value / temperatures[exit]!),
          network.classifier.out,
          'softmax',
        ),
      );
      const gated = await open(gates, 'softmax');
      const thresholds = gates.map((_, k) => clearThreshold(cooled[k]!.confidences));
      const found = await gated.run(
        images,
        IMAGES,
        thresholds,
        temperatures.map((temperature) => ({ ...unfitted(network.classifier.out), temperature })),
      );
      expectSame(found, follow(cooled, thresholds, IMAGES), 'at temperatures');
    });

    it('adds what was fitted to each gate, for confidences that look back too', async () => {
      for (const kind of ['difference', 'patience', 'failure'] as const) {
        const fitted = generatedFits(gates.length + 1, new Random(6, kind), network.classifier.out);
        const decisions = decisionsOf(references.get('ort-cpu')!, gates, kind, fitted);
        const gated = await open(gates, kind);
        for (let round = 0; round < 6; round++) {
          const thresholds = gates.map((_, k) => clearThreshold(decisions[k]!.confidences));
          expectSame(await gated.run(images, IMAGES, thresholds, fitted), follow(decisions, thresholds, IMAGES), kind);
        }
      }
    });

    it('all leave, none leaves, one leaves or one stays, at each gate', async () => {
      const gated = await open(gates, 'max');
      const decisions = decisionsOf(references.get('ort-cpu')!, gates, 'max');
      for (const [k] of gates.entries()) {
        const sorted = [...decisions[k]!.confidences].sort((a, b) => a - b);
        const between = (i: number): number => (sorted[i - 1]! + sorted[i]!) / 2;
        for (const threshold of [ALWAYS, between(1), between(IMAGES - 1), NEVER]) {
          const thresholds = gates.map((_, other) => (other === k ? threshold : NEVER));
          const found = await gated.run(images, IMAGES, thresholds);
          expectSame(found, follow(decisions, thresholds, IMAGES), `gate ${k + 1} at ${threshold}`);
        }
      }
    });

    it('an image leaves where its confidence equals the threshold', async () => {
      const gated = await open(gates, 'max');
      const { confidences } = await gated.run(images, IMAGES, [ALWAYS, NEVER, NEVER]);
      const highest = Math.max(...confidences);
      const { exits } = await gated.run(images, IMAGES, [highest, NEVER, NEVER]);
      expect([...exits]).to.deep.equal([...confidences].map((value) => (value === highest ? 0 : gates.length)));
    });

    it('takes any stages: one gate, none', async () => {
      const one = gatesAt([places[1]!]);
      const batch = references.get(id)!;
      const seen = { features: [batch.features[1]!], logits: batch.logits };
      const gated = await open(one, 'difference');
      for (const threshold of [ALWAYS, clearThreshold(decisionsOf(seen, one, 'difference')[0]!.confidences), NEVER]) {
        const found = await gated.run(images, IMAGES, [threshold]);
        expectSame(
          found,
          follow(decisionsOf(seen, one, 'difference'), [threshold], IMAGES),
          `one gate at ${threshold}`,
        );
      }
      const plain = await open([], 'entropy');
      expectSame(await plain.run(images, IMAGES, []), follow(decisionsOf(batch, [], 'entropy'), [], IMAGES), 'no gate');
    });

    it('gives the first of equal classes, of few and of many', async () => {
      for (const [classes, equals] of [
        [6, [1, 4]],
        [40, [5, 37]],
        [40, [0, 39]],
      ] as const) {
        const wide = networkOf(classes);
        const bias = Float32Array.from({ length: classes }, (_, c) =>
          (equals as readonly number[]).includes(c) ? -1 : 1,
        );
        const gate = { features: 10, classes, weights: new Float32Array(10 * classes), bias };
        const tensors = randomTensors(wide, new Random(1, 'ties'));
        for (const [kind, confidence] of [
          ['max', 1],
          ['difference', 0],
        ] as const) {
          const gated = await engine.loadGated(lowerNetwork(wide, tensors), [{ place: places[1]!, gate }], kind);
          opened.push(gated);
          const found = await gated.run(images.subarray(0, 2 * pixels), 2, [ALWAYS]);
          expect([...found.classes]).to.deep.equal([equals[0], equals[0]]);
          expect([...found.confidences]).to.deep.equal([confidence, confidence]);
        }
      }
    });

    it('runs that are asked for at once answer as they do alone; closing waits for them', async () => {
      const gated = await open(gates, 'max');
      const decisions = decisionsOf(references.get(id)!, gates, 'max');
      const asked = Array.from({ length: 4 }, () => gates.map((_, k) => clearThreshold(decisions[k]!.confidences)));
      const runs = asked.map((thresholds) => gated.run(images, IMAGES, thresholds));
      await gated.close();
      for (const [i, found] of (await Promise.all(runs)).entries()) {
        expectSame(found, follow(decisions, asked[i]!, IMAGES), `run ${i}`);
      }
      expect(await messageOfRejected(gated.run(images, IMAGES, [0, 0, 0]))).to.match(/run after close/);
    });

    it('keeps its number of tensors, through errors too, and none after closing', async () => {
      const { tf } = await loadTensorFlow(id as TfjsId);
      const before = tf.memory().numTensors;
      const gated = await open(gates, 'max');
      const loaded = tf.memory().numTensors;
      const decisions = decisionsOf(references.get(id)!, gates, 'max');
      const someLeave = gates.map((_, k) => {
        const sorted = [...decisions[k]!.confidences].sort((a, b) => a - b);
        return (sorted[3]! + sorted[4]!) / 2;
      });
      const run = () => gated.run(images, IMAGES, someLeave);
      const kernels = await withKernels(tf, undefined, run);
      expect(tf.memory().numTensors).to.equal(loaded);
      await Promise.all([run(), gated.run(images, IMAGES, [ALWAYS, NEVER, NEVER]), run()]);
      expect(tf.memory().numTensors).to.equal(loaded);

      expect(await messageOfRejected(gated.run(images, IMAGES, [1]))).to.match(/1 thresholds for 3 gates/);
      expect(await messageOfRejected(gated.run(images, IMAGES + 1, someLeave))).to.not.equal('');
      expect(tf.memory().numTensors).to.equal(loaded);
      for (let broken = 0; broken < kernels; broken += 9) {
        expect(await messageOfRejected(withKernels(tf, broken, run))).to.equal(`kernel ${broken}`);
        expect(tf.memory().numTensors, `after an error in kernel ${broken}`).to.equal(loaded);
      }
      expect(await messageOfRejected(withBrokenReading(tf, run))).to.equal('lost');
      expect(tf.memory().numTensors).to.equal(loaded);
      expectSame(await run(), follow(decisions, someLeave, IMAGES), 'after the errors');
      await gated.close();
      expect(tf.memory().numTensors).to.equal(before);
    });

    it('refuses gates that do not fit their places, with nothing left on the device', async () => {
      const { tf } = await loadTensorFlow(id as TfjsId);
      const before = tf.memory().numTensors;
      const wrong = [{ place: places[0]!, gate: gates[1]!.gate }];
      expect(await messageOfRejected(engine.loadGated(lowered, wrong, 'max'))).to.match(/gate 1 .* 10 features .* 96/);
      expect(tf.memory().numTensors).to.equal(before);
    });
  });
}

async function messageOfRejected(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'no error',
    (error: unknown) => (error as Error).message,
  );
}

type Tf = Awaited<ReturnType<typeof loadTensorFlow>>['tf'];

/** Does work in which the kernel of this number throws; without one, counts its kernels. */
async function withKernels(tf: Tf, broken: number | undefined, work: () => Promise<unknown>): Promise<number> {
  const engine = tf.engine();
  const runKernel = engine.runKernel;
  let kernels = 0;
  engine.runKernel = ((...args: Parameters<typeof runKernel>) => {
    if (kernels++ === broken) throw new Error(`kernel ${broken}`);
    return runKernel.apply(engine, args);
  }) as typeof runKernel;
  try {
    await work();
    return kernels;
  } finally {
    engine.runKernel = runKernel;
  }
}

/** Does work while nothing can be read from the device. */
async function withBrokenReading(tf: Tf, work: () => Promise<unknown>): Promise<void> {
  const backend = tf.backend();
  const read = backend.read;
  backend.read = () => Promise.reject(new Error('lost'));
  try {
    await work();
  } finally {
    backend.read = read;
  }
}
