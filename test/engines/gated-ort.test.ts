import { expect } from 'chai';
import type { GatedNetwork } from '../../src/engines/engine.js';
import { OnnxRuntimeCpu } from '../../src/engines/onnxruntime/engine.js';
import { type CreateSession, loadInBuckets, openInProcess } from '../../src/engines/onnxruntime/gated.js';
import { type LoadedFile, loadGatedFile } from '../../src/gated/predict.js';
import { type ConfidenceKind, confidenceKinds, type Fitted } from '../../src/gates/confidence.js';
import type { GatePlace } from '../../src/networks/onnx.js';
import { gatedModel } from '../../src/onnx/gated.js';
import { gatedMetadata, readGatedFile } from '../../src/onnx/gated-file.js';
import { Random } from '../../src/random.js';
import { about } from '../onnx/about.js';
import {
  algorithm1,
  type GatedCase,
  gatedCase,
  generatedFits,
  preprocessing,
  randomThresholds,
  rowsOf,
} from '../onnx/gated-networks.js';
import { processorMs } from '../processorTime.js';

const TOLERANCE = 2e-5;
const COUNT = 7;

const cases: readonly { name: string; places: GatePlace[] }[] = [
  {
    name: 'resnet20-width0.25-cifar10', // option A shortcuts, which stay out of the blocked layout
    places: [
      { stage: 1, pooling: { kind: 'grid', size: 4 } },
      { stage: 2, pooling: { kind: 'gap' } },
    ],
  },
  {
    name: 'resnet101-width0.25-blocks1.1.1.1-cifar10',
    places: [
      { stage: 1, pooling: { kind: 'gap' } },
      { stage: 2, pooling: { kind: 'grid', size: 2 } },
      { stage: 3, pooling: { kind: 'grid', size: 4 } },
    ],
  },
  {
    name: 'densenet201-growth8-blocks1.2.1.1-cifar10', // transitions lie between a gate and the next part
    places: [
      { stage: 1, pooling: { kind: 'grid', size: 4 } },
      { stage: 3, pooling: { kind: 'gap' } }, // none after stage 2
    ],
  },
];

for (const [{ name, places }, previous] of cases.flatMap((one) => [[one, false] as const, [one, true] as const])) {
  describe(`a gated ${name} on ort-cpu and as an exported graph${previous ? ', distances handed on' : ''}`, () => {
    let subject: GatedCase;
    let engine: OnnxRuntimeCpu;
    before(async () => {
      subject = await gatedCase(name, places, COUNT, previous);
      engine = await OnnxRuntimeCpu.create(1);
    });

    for (const kind of previous ? (['max', 'average'] as const) : confidenceKinds) {
      it(`${kind}: class, exit and confidence of Algorithm 1, batches of 1 to ${COUNT}, any thresholds`, async () => {
        const decisions = subject.decisions(kind);
        const [network, file] = await loadBoth(subject, engine, kind);
        const random = new Random(2, `${name} ${kind}`);
        const gates = places.map(() => 0);
        const fixed = [
          gates.map(() => -Infinity),
          gates.map(() => Infinity),
          gates.map((_, i) => (i ? -1e9 : Infinity)),
        ];
        for (let count = 1; count <= COUNT; count++) {
          const some = Array.from({ length: count }, (_, i) => i);
          for (const thresholds of [
            ...fixed,
            randomThresholds(decisions, random),
            randomThresholds(decisions, random),
          ]) {
            const expected = algorithm1(decisions, thresholds, some);
            const what = `${count} images, thresholds ${thresholds.join(', ')}`;
            const loaded = await network.run(subject.images.slice(0, count * 3072), count, thresholds);
            expectSame(rowsOf(loaded), expected, what);
            const exported = await file.run(subject.pixels.slice(0, count * 3072), count, thresholds);
            expectSame(rowsOf(exported), expected, `exported, ${what}`);
          }
        }
        await network.close();
        await file.close();
      });
    }
  });
}

describe('what was fitted to exits, on ort-cpu, in buckets as on CUDA, and in an exported graph', () => {
  for (const [i, kind] of confidenceKinds.entries()) {
    it(`${kind}: temperatures, offsets by answer and factors change class, exit and confidence as the cache says`, async () => {
      const { name, places } = cases[1]!;
      const subject = await gatedCase(name, places, COUNT, i % 2 === 0);
      const engine = await OnnxRuntimeCpu.create(1);
      const random = new Random(5, kind);
      const fits = [1, 2].map(() => generatedFits(places.length + 1, random));
      const network = await engine.loadGated(subject.lowered, subject.gates, kind, 'input');
      const create: CreateSession = (model, options) => engine.createSession(model, options);
      const buckets = await loadInBuckets(create, subject.lowered, subject.gates, kind, 'input');
      for (const fitted of fits) {
        const decisions = subject.decisions(kind, fitted);
        expect(decisions[0]!.confidences).to.not.deep.equal(subject.decisions(kind)[0]!.confidences);
        const file = await fileOf(subject, kind, fitted);
        for (const count of [1, 5, COUNT]) {
          const thresholds = randomThresholds(decisions, random);
          const expected = algorithm1(decisions, thresholds, [...Array(count).keys()]);
          const images = subject.images.slice(0, count * 3072);
          for (const each of [network, buckets]) {
            expectSame(rowsOf(await each.run(images, count, thresholds, fitted)), expected, `${count} images`);
          }
          const exported = await file.run(subject.pixels.slice(0, count * 3072), count, thresholds);
          expectSame(rowsOf(exported), expected, `exported, ${count} images`);
        }
        await file.close();
      }
      await network.close();
      await buckets.close();
    });
  }
});

describe('exits of ort-cpu', () => {
  let subject: GatedCase;
  let network: GatedNetwork;
  let file: LoadedFile;
  before(async () => {
    const { name, places } = cases[1]!;
    subject = await gatedCase(name, places, COUNT);
    [network, file] = await loadBoth(subject, await OnnxRuntimeCpu.create(1), 'max');
  });
  after(async () => {
    await network.close();
    await file.close();
  });

  // One image has a graph of its own.
  for (const [what, count] of [
    ['one image', 1],
    ['a batch', COUNT],
  ] as const) {
    it(`${what}: whose confidence equals the threshold leaves; just above it, it stays`, async () => {
      const run = (threshold: number) =>
        network.run(subject.images.slice(0, count * 3072), count, [threshold, Infinity, Infinity]);
      const first = await run(-Infinity);
      const last = count - 1;
      const threshold = first.confidences[last]!;
      expect((await run(threshold)).exits[last]).to.equal(0);
      // A double between two float32: no confidence equals it, and rounding it down would let the image go.
      expect((await run(threshold + Math.abs(threshold) * 2 ** -26)).exits[last]).to.equal(3);
    });
  }

  it('one image of NaN leaves at no gate', async () => {
    const nothing = new Float32Array(3072).fill(Number.NaN);
    expect((await network.run(nothing, 1, [0, 0, 0])).exits[0]).to.equal(3);
  });

  it('an image of NaN leaves at no gate and changes nothing for the others', async () => {
    const thresholds = [...subject.decisions('max').slice(0, 3)].map(({ confidences }) => median(confidences));
    const clean = rowsOf(await network.run(subject.images, COUNT, thresholds));
    for (const spoilt of [0, 3, COUNT - 1]) {
      const images = subject.images.slice();
      images.fill(Number.NaN, spoilt * 3072, (spoilt + 1) * 3072);
      const rows = rowsOf(await network.run(images, COUNT, thresholds));
      expect(rows[spoilt]!.exit).to.equal(3);
      rows.forEach((row, i) => {
        if (i !== spoilt) expectSame([row], [clean[i]!], `image ${i} beside NaN at ${spoilt}`);
      });
    }
  });

  it('an image that leaves at the first exit does not pay for the rest', async () => {
    const cost = (thresholds: number[]): Promise<number> =>
      processorMs(async () => {
        for (let i = 0; i < 40; i++) await network.run(subject.images, COUNT, thresholds);
      });
    const all = await cost([Infinity, Infinity, Infinity]);
    expect(await cost([-Infinity, Infinity, Infinity])).to.be.below(0.7 * all);
  });

  it('refuses thresholds that are not as many as its gates', async () => {
    const error = await network.run(subject.images, COUNT, [0]).catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(RangeError);
  });
});

async function loadBoth(
  subject: GatedCase,
  engine: OnnxRuntimeCpu,
  kind: ConfidenceKind,
): Promise<[GatedNetwork, LoadedFile]> {
  return [await engine.loadGated(subject.lowered, subject.gates, kind), await fileOf(subject, kind)];
}

async function fileOf(
  { lowered, gates }: GatedCase,
  kind: ConfidenceKind,
  fitted?: readonly Fitted[],
): Promise<LoadedFile> {
  const metadata = gatedMetadata(about(gates.length, kind));
  const bytes = gatedModel(lowered, gates, { confidence: kind, preprocessing, metadata, ...(fitted && { fitted }) });
  return loadGatedFile(readGatedFile(bytes, 'test.onnx'), 'test.onnx', openInProcess('test.onnx'));
}

type Rows = ReturnType<typeof rowsOf>;

function expectSame(found: Rows, expected: Rows, what: string): void {
  expect(
    found.map(({ exit, class: c }) => [exit, c]),
    what,
  ).to.deep.equal(expected.map(({ exit, class: c }) => [exit, c]));
  found.forEach(({ confidence }, i) => {
    const scale = 1 + Math.abs(expected[i]!.confidence);
    expect(confidence, what).to.be.closeTo(expected[i]!.confidence, TOLERANCE * scale);
  });
}

function median(values: Float32Array): number {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[Math.floor(sorted.length / 2)]! + sorted[Math.floor(sorted.length / 2) - 1]!) / 2;
}
