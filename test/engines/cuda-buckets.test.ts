import { expect } from 'chai';
import { OnnxRuntimeCpu } from '../../src/engines/onnxruntime/engine.js';
import { type CreateSession, loadInBuckets, SessionPool } from '../../src/engines/onnxruntime/gated.js';
import { confidenceKinds, looksBack } from '../../src/gates/confidence.js';
import type { GatePlace } from '../../src/networks/onnx.js';
import { bucketSizes, gatedModel } from '../../src/onnx/gated.js';

import { plainAnswer } from '../../src/onnx/gated-exits.js';
import { decodeModel, type GraphMessage } from '../../src/onnx/proto.js';
import { Random } from '../../src/random.js';
import { algorithm1, CLASSES, type GatedCase, gatedCase, randomThresholds, rowsOf } from '../onnx/gated-networks.js';

const COUNT = 20; // parts of 1, 2, 3, 6, 9, 12, 15, 18, 20 images
const PIXELS = 3072;

const cases: readonly { name: string; places: GatePlace[] }[] = [
  {
    name: 'resnet101-width0.25-blocks1.1.1.1-cifar10',
    places: [
      { stage: 1, pooling: { kind: 'gap' } },
      { stage: 2, pooling: { kind: 'grid', size: 2 } },
      { stage: 3, pooling: { kind: 'gap' } },
    ],
  },
  {
    name: 'densenet201-growth8-blocks1.2.1.1-cifar10', // transitions lie between a gate and the next part
    places: [
      { stage: 1, pooling: { kind: 'grid', size: 4 } },
      { stage: 3, pooling: { kind: 'gap' } },
    ],
  },
];

describe('gated networks for batches of one size (as on CUDA, here on the CPU)', () => {
  for (const { name, places } of cases) {
    describe(name, () => {
      let subject: GatedCase;
      let createSession: CreateSession;
      before(async () => {
        subject = await gatedCase(name, places, COUNT);
        const engine = await OnnxRuntimeCpu.create(1);
        createSession = (model, options) => engine.createSession(model, options);
      });

      for (const kind of ['max', 'difference', 'patience', 'average'] as const) {
        it(`${kind}: class, exit and confidence of Algorithm 1, however many go on behind each gate`, async () => {
          const decisions = subject.decisions(kind);
          const network = loadInBuckets(createSession, subject.lowered, subject.gates, kind);
          const random = new Random(3, `${name} ${kind}`);
          // At the first gate every number of images from none to all; then anything.
          const first = [...decisions[0]!.confidences].sort((a, b) => a - b);
          const all = [
            ...[-Infinity, ...first.map((c) => c + 1e-3), Infinity].map((threshold) => [
              threshold,
              ...places.slice(1).map(() => Infinity),
            ]),
            ...Array.from({ length: 20 }, () => randomThresholds(decisions, random)),
          ];
          for (const count of [1, 2, COUNT]) {
            const some = Array.from({ length: count }, (_, i) => i);
            for (const thresholds of all) {
              const expected = algorithm1(decisions, thresholds, some);
              const found = rowsOf(await network.run(subject.images.slice(0, count * PIXELS), count, thresholds));
              const what = `${count} images, thresholds ${thresholds.join(', ')}`;
              expect(found.map((row) => [row.exit, row.class])).to.deep.equal(
                expected.map((row) => [row.exit, row.class]),
                what,
              );
              found.forEach((row, i) => {
                expect(row.confidence).to.be.closeTo(expected[i]!.confidence, 2e-5, what);
              });
            }
          }
          await network.close();
        });
      }

      it('every convolution behind a gate sees one number of images only', () => {
        const { graph } = decodeModel(
          gatedModel(subject.lowered, subject.gates, { confidence: 'max', answer: plainAnswer(CLASSES), count: COUNT }),
        );
        const parts = subject.gates.length;
        const sizes = branchesWithConvolutions(graph).map((branch) => cutSizes(branch, graph));
        expect(sizes).to.have.length(parts * bucketSizes(COUNT).length);
        for (const found of sizes) expect(found).to.have.length(1);
        const perSize = bucketSizes(COUNT).map((size) => sizes.filter(([found]) => found === size).length);
        expect(perSize).to.deep.equal(bucketSizes(COUNT).map(() => parts));
      });

      for (const kind of confidenceKinds) {
        it(`${kind}: gets ready for every size: each is gone through once, to the end`, async () => {
          const runs: string[] = [];
          const recorded: CreateSession = async (model, options) => {
            const session = await createSession(model, options);
            const run = session.run.bind(session);
            session.run = (async (feeds: Parameters<typeof run>[0]) => {
              const results = await run(feeds);
              const exits = [...(results['distances']!.data as Float32Array)].filter(
                (_, i) => (i + 1) % (looksBack(kind) ? 12 : 11) === 0,
              );
              runs.push(exits.filter((exit) => exit > 0).join(' '));
              return results;
            }) as typeof session.run;
            return session;
          };
          const network = loadInBuckets(recorded, subject.lowered, subject.gates, kind);
          await network.prepare!(COUNT);
          await network.close();
          const last = subject.gates.length;
          expect(runs).to.deep.equal(bucketSizes(COUNT).map((size) => new Array<number>(size).fill(last).join(' ')));
        });
      }
    });
  }
});

describe('bucketSizes', () => {
  it('are steps of an eighth, and powers of two below the first', () => {
    expect(bucketSizes(1)).to.deep.equal([1]);
    expect(bucketSizes(2)).to.deep.equal([1, 2]);
    expect(bucketSizes(32)).to.deep.equal([1, 2, 4, 8, 12, 16, 20, 24, 28, 32]);
    expect(bucketSizes(256)).to.deep.equal([1, 2, 4, 8, 16, 32, 64, 96, 128, 160, 192, 224, 256]);
    for (let count = 1; count <= 300; count++) {
      const sizes = bucketSizes(count);
      expect(sizes).to.deep.equal([...new Set(sizes)].sort((a, b) => a - b));
      expect(sizes.at(-1)).to.equal(count);
    }
  });
});

describe('SessionPool', () => {
  const opening = () => {
    const events: string[] = [];
    const sizes = new SessionPool(
      async (size) => {
        if (size === 13) throw new Error('no');
        events.push(`open ${size}`);
        return size;
      },
      async (size) => {
        events.push(`close ${size}`);
      },
    );
    return { events, sizes };
  };

  it('opens a size once, keeps the four that were used last, and closes them all', async () => {
    const { events, sizes } = opening();
    for (const size of [1, 2, 3, 4, 1, 5, 2]) expect(await sizes.get(size)).to.equal(size);
    expect(events).to.deep.equal(
      [1, 2, 3, 4].map((size) => `open ${size}`).concat(['close 2', 'open 5', 'close 3', 'open 2']),
    );
    events.length = 0;
    await sizes.closeAll();
    expect(events).to.deep.equal(['close 4', 'close 1', 'close 5', 'close 2']);
  });

  it('opens a size once for calls that overlap, and keeps no more than four', async () => {
    const { events, sizes } = opening();
    await Promise.all([1, 2, 3, 4, 5, 6, 5, 6, 5].map((size) => sizes.get(size)));
    await sizes.closeAll();
    const [opened, closed] = ['open', 'close'].map((what) => events.filter((event) => event.startsWith(what)));
    expect(opened!.sort()).to.deep.equal([1, 2, 3, 4, 5, 6].map((size) => `open ${size}`));
    expect(closed!.sort()).to.deep.equal([1, 2, 3, 4, 5, 6].map((size) => `close ${size}`));
  });

  it('a size that fails to open is not kept, and says so each time', async () => {
    const { events, sizes } = opening();
    for (let i = 0; i < 2; i++) expect(await sizes.get(13).catch((error: Error) => error.message)).to.equal('no');
    await sizes.closeAll();
    expect(events).to.deep.equal([]);
  });
});

/** Branches that convolutions stand in, however deep. */
function branchesWithConvolutions(graph: GraphMessage): GraphMessage[] {
  const branches = graph.node.flatMap(({ attribute }) => attribute.flatMap(({ g }) => (g == null ? [] : [g])));
  return branches.flatMap((branch) => [
    ...(branch.node.some(({ op_type }) => op_type === 'Conv') ? [branch] : []),
    ...branchesWithConvolutions(branch),
  ]);
}

/** How many positions the slices of a branch take, by the constants that they name. */
function cutSizes(branch: GraphMessage, { initializer }: GraphMessage): number[] {
  return branch.node
    .filter(({ op_type }) => op_type === 'Slice')
    .flatMap(({ input }) => initializer.filter(({ name }) => name === input[2]))
    .map(({ raw_data }) => new DataView(raw_data!.buffer, raw_data!.byteOffset).getInt32(0, true));
}
