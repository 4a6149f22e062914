import { readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { loadInBuckets } from '../../src/engines/onnxruntime/cuda-buckets.js';
import { OnnxRuntimeCpu } from '../../src/engines/onnxruntime/engine.js';
import { loadGatedFile } from '../../src/engines/onnxruntime/gated-file.js';
import { openInProcess } from '../../src/engines/onnxruntime/in-process.js';
import { resolveExperiment } from '../../src/experiment/resolve.js';
import type { Experiment } from '../../src/experiment/schema.js';
import { exportGated } from '../../src/gated/export.js';
import { openGated } from '../../src/gated/open.js';
import { compareDynamic, comparePixels } from '../../src/gated/verify.js';
import { networkByName } from '../../src/networks/catalogue.js';
import { readGatedFile } from '../../src/onnx/gated-file.js';
import { decodeModel } from '../../src/onnx/proto.js';
import { silent } from '../../src/progress.js';
import { writeExported } from '../onnx/exported-graph.js';
import { generatedTensors } from '../parity.js';
import { makeWorkplace, type Workplace, writeTinyCheckpoint } from '../run/workplace.js';

// Two networks of the registry, which want different pixels, with an ONNX file between them.
describe('a cascade as one graph', () => {
  let place: Workplace;
  let onnx: string;
  const [small, middle, large] = [
    'resnet20-width0.25-cifar10',
    'resnet20-width0.5-cifar10',
    'resnet32-width0.5-cifar10',
  ];
  before(async () => {
    place = await makeWorkplace({ train: 20, test: 40 });
    await writeTinyCheckpoint(join(place.folder, 'small'), { network: small!, mean: 0.5 });
    await writeTinyCheckpoint(join(place.folder, 'large'), { network: large!, mean: 0.4 });
    const network = networkByName(middle!);
    onnx = await writeExported(network, generatedTensors(network));
  });
  after(async () => {
    await place.remove();
    await rm(dirname(onnx), { recursive: true });
  });

  /** @param inside gates in all three networks */
  function experimentOf(confidence: string, inside = false): Experiment {
    const gates = (...after: number[]) => (inside ? { gates: { after, epochs: 2, loss: 'cross-entropy' } } : {});
    const networks = [
      { network: small, checkpoint: join(place.folder, 'small'), ...gates(1, 2) },
      { network: { kind: 'onnx', file: onnx }, ...gates(2) },
      { network: large, checkpoint: join(place.folder, 'large'), ...gates(2) },
    ];
    const network = { kind: 'cascade', networks, confidence };
    const thresholds = { margins: [0.02, 0.2], search: 'sequential' };
    return resolveExperiment({ name: 'c', title: 'A cascade', network, thresholds }, 'c', 'laptop');
  }

  // The nodes of each confidence are tested with gates: two kinds are enough here.
  for (const [kind, inside] of [
    ['softmax', false],
    ['difference', false],
    ['max', true],
  ] as const) {
    const name = inside ? `${kind}, gates inside` : kind;
    it(`${name}: class and exit of all images as in the cache, exported and on an engine, any batch`, async () => {
      const out = join(place.folder, `${name}.onnx`);
      const { verified, thresholds } = await exportGated(place.context, experimentOf(kind, inside), {
        out,
        preset: 'laptop',
        row: 2,
      });
      expect(verified.same + verified.near).to.equal(40);
      const opened = await openGated(place.context, experimentOf(kind, inside));
      const file = await loadGatedFile(readGatedFile(await readFile(out), out), out, openInProcess(out));
      const engine = await OnnxRuntimeCpu.create(1);
      const gated = await engine.loadGated(await opened.lowered(), opened.gates, kind);
      const quantiles = [0.3, 0.7].map((share) =>
        opened.scores.confidences.map((of) => of.toSorted()[Math.round(40 * share)]!),
      );
      const closed = opened.gates.map(() => Number.POSITIVE_INFINITY);
      for (const chosen of [...quantiles, closed, thresholds.map((t) => t ?? Number.POSITIVE_INFINITY)]) {
        for (const batch of [1, 7]) {
          const found = await comparePixels(opened, file, chosen, { batch });
          expect(found.same + found.near, `${kind} ${chosen}`).to.equal(40);
        }
      }
      for (const batch of [1, 7]) {
        for (const row of opened.rows) {
          const found = await compareDynamic(opened, gated, row, { batch, progress: silent });
          expect([found.same + found.near, found.different]).to.deep.equal([40, []]);
        }
      }
      if (inside) {
        const { about } = readGatedFile(await readFile(out), out);
        const own = about.gates.map(({ network, stage }) => [network, stage]);
        expect(own).to.deep.equal([
          [1, 1],
          [1, 2],
          [1, undefined],
          [2, 2],
          [2, undefined],
          [3, 2],
        ]);
        const create = (model: Uint8Array, options?: object) => engine.createSession(model, options);
        const buckets = await loadInBuckets(create, await opened.lowered(), opened.gates, kind);
        const found = await compareDynamic(opened, buckets, opened.rows[1]!, { batch: 7, progress: silent });
        expect([found.same + found.near, found.different]).to.deep.equal([40, []]);
        await buckets.close();
      }
      await gated.close();
      await file.close();
    });
  }

  it('holds the weights of every network once, and says what it is', async () => {
    const out = join(place.folder, 'softmax.onnx');
    const bytes = await readFile(out);
    const { about } = readGatedFile(bytes, out);
    expect(about.networks).to.deep.equal([small, onnx.split('/').at(-1)!.replace('.onnx', ''), large]);
    expect(about.gates).to.deep.equal([1, 2].map((network) => ({ network, features: 10 })));
    const names = decodeModel(bytes).graph.initializer.map(({ name }) => name);
    expect(new Set(names).size).to.equal(names.length);
    for (const prefix of ['network1/', 'network2/', 'network3/']) {
      expect(
        names.filter((name) => name.startsWith(prefix)),
        prefix,
      ).to.have.length.above(20);
    }
  });
});
