import { mkdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import sharp from 'sharp';
import { renderExport } from '../../src/cli/models.js';
import { OnnxRuntimeCpu } from '../../src/engines/onnxruntime/engine.js';
import { loadInBuckets, openInProcess } from '../../src/engines/onnxruntime/gated.js';
import { resolveExperiment } from '../../src/experiment/resolve.js';
import type { Experiment } from '../../src/experiment/schema.js';
import { exportGated, exportOpened } from '../../src/gated/export.js';
import { compareDynamic, comparePixels, onlyExits, openGated } from '../../src/gated/open.js';
import { loadGatedFile } from '../../src/gated/predict.js';

import { networkByName } from '../../src/networks/catalogue.js';
import { readGatedFile } from '../../src/onnx/gated-file.js';
import { dialectOf, type GatedSource } from '../../src/onnx/network.js';
import { decodeModel } from '../../src/onnx/proto.js';
import { silent } from '../../src/progress.js';
import { Random } from '../../src/random.js';
import { costsOfExits } from '../../src/run/plan.js';
import type { Part } from '../../src/run/search.js';
import { evaluate } from '../../src/thresholds/evaluate.js';
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
  function experimentOf(confidence: string, inside = false, calibrate = false): Experiment {
    const gates = (...after: number[]) => (inside ? { gates: { after, epochs: 2, loss: 'cross-entropy' } } : {});
    const networks = [
      { network: small, checkpoint: join(place.folder, 'small'), ...gates(1, 2) },
      { network: { kind: 'onnx', file: onnx }, ...gates(2) },
      { network: large, checkpoint: join(place.folder, 'large'), ...gates(2) },
    ];
    const network = { kind: 'cascade', networks, confidence, ...(calibrate && { calibrate }) };
    const thresholds = { margins: [0.02, 0.2], search: 'sequential' };
    return resolveExperiment({ name: 'c', title: 'A cascade', network, thresholds }, 'c', 'laptop');
  }

  it('of files of different operator sets names each, and what to do', () => {
    const of = (version: number) => {
      const model = { opset_import: [{ domain: '', version }], ir_version: 8 };
      return { loaded: { graph: { model: { file: { model } } } } };
    };
    const cascade = (...versions: number[]) => ({ members: versions.map(of) }) as unknown as GatedSource;
    expect(dialectOf(cascade(17, 17))!.opsets).to.have.length(1);
    expect(() => dialectOf(cascade(16, 20))).to.throw(
      'cascade: file 1 is of opset 16; file 2 is of opset 20; one file takes one: export all with the same opset_version',
    );
  });

  // The nodes of each confidence are tested with gates: two kinds are enough here.
  for (const [kind, inside, calibrate] of [
    ['softmax', false, false],
    ['difference', false, false],
    ['max', true, false],
    ['entropy', true, true],
    ['patience', true, true],
    ['failure', false, true],
  ] as const) {
    const name = `${kind}${inside ? ', gates inside' : ''}${calibrate ? ', at temperatures' : ''}`;
    it(`${name}: class and exit of all images as in the cache, exported and on an engine, any batch`, async () => {
      const out = join(place.folder, `${name}.onnx`);
      const { verified, thresholds } = await exportGated(place.context, experimentOf(kind, inside, calibrate), {
        out,
        preset: 'laptop',
        row: 2,
      });
      expect(verified.same + verified.near).to.equal(40);
      const opened = await openGated(place.context, experimentOf(kind, inside, calibrate));
      const file = await loadGatedFile(readGatedFile(await readFile(out), out), out, openInProcess(out));
      const engine = await OnnxRuntimeCpu.create(1);
      const fitted = calibrate ? ('input' as const) : undefined;
      const gated = await engine.loadGated(await opened.lowered(), opened.gates, kind, fitted);
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
        expect(about.temperatures?.length).to.equal(calibrate ? 7 : undefined);
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
        const buckets = await loadInBuckets(create, await opened.lowered(), opened.gates, kind, fitted);
        const found = await compareDynamic(opened, buckets, opened.rows[1]!, { batch: 7, progress: silent });
        expect([found.same + found.near, found.different]).to.deep.equal([40, []]);
        await buckets.close();
      }
      await gated.close();
      await file.close();
    });
  }

  it('is shown by dgate model inspect with the network and the stage of each exit, and its temperature', async () => {
    for (const [name, kind] of [
      ['max, gates inside', 'max'],
      ['entropy, gates inside, at temperatures', 'entropy at temperature \\S+'],
    ]) {
      const out = join(place.folder, `${name}.onnx`);
      const { about } = readGatedFile(await readFile(out), out);
      const shown = renderExport(out, about);
      const middleStage = `${about.networks![1]}, stage 2`;
      for (const [exit, behind] of [`${small}, stage 1`, `${small}, stage 2`, small, middleStage].entries()) {
        expect(shown).to.match(new RegExp(`│ ${exit + 1} +│ ${behind} +│ ${kind} >= `));
      }
      expect(shown).to.match(new RegExp(`│ 6 +│ ${large}, stage 2 .*\\n.*│ 7 +│ ${large} +│ all others`));
    }
  });

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

  it('is written with some of its exits only: a network alone, one cut at a gate, a smaller cascade', async () => {
    const single = { name: 's', title: 's', network: small, checkpoint: join(place.folder, 'small') };
    const gates = { after: [1, 2], epochs: 2 };
    const alone = resolveExperiment({ ...single, gates, thresholds: { margins: [0] } }, 's', 'laptop');
    const cases: [Experiment, number[][]][] = [
      [experimentOf('max', true), [[0], [2], [6], [0, 2], [1, 4], [0, 5], [3, 5, 6]]],
      [alone, [[0], [2], [0, 1], [1, 2]]],
    ];
    for (const [experiment, choices] of cases) {
      const opened = await openGated(place.context, experiment);
      const whole = await readFile(join(place.folder, 'max, gates inside.onnx'));
      for (const exits of choices) {
        const name = exits.join(' ');
        const thresholds = exits.slice(0, -1).map((exit) => opened.scores.confidences[exit]!.toSorted()[20]!);
        const some = onlyExits(opened, { exits, thresholds }, 0);
        const out = join(place.folder, `${name}.onnx`);
        const written = await exportOpened(place.context, some, 0, { out, preset: 'laptop' });
        expect(written.verified.same + written.verified.near, name).to.equal(40);
        expect(written.expected.originalFlops, name).to.equal(opened.costs[0]);
        const { about } = readGatedFile(await readFile(out), out);
        const networks = new Set(exits.map((exit) => opened.plan.exits[exit]!.network)).size;
        expect([about.gates.length, about.networks?.length ?? 1], name).to.deep.equal([exits.length - 1, networks]);
        if (experiment !== alone && networks < 3) expect(written.bytes, name).to.be.below(whole.length);
        // What the file costs is what the frontier says that it costs.
        const costs = costsOfExits(opened.plan, exits);
        const [{ evaluation }] = some.parts as [Part];
        const { flops } = evaluate(evaluation.scores, thresholds, costs, evaluation.images);
        expect(written.expected.flops, name).to.equal(flops);
      }
    }
  });

  describe('with networks that take other pixels', () => {
    const stored = { mean: [0.45, 0.5, 0.4], std: [0.3, 0.25, 0.2] };
    const files: string[] = [];
    /** ResNet-20's layers on images of another size. */
    async function sized(name: string, height: number, width = height): Promise<string> {
      const network = networkByName(name);
      const input = { ...network.input, height, width };
      files.push(await writeExported({ ...network, input }, generatedTensors(network)));
      return files.at(-1)!;
    }
    after(() => Promise.all(files.map((file) => rm(dirname(file), { recursive: true }))));

    async function agree(definition: Record<string, unknown>, images: number, name: string): Promise<void> {
      const experiment = resolveExperiment(
        { name: 'c', title: 'c', thresholds: { margins: [0.05, 0.3] }, ...definition },
        'c',
        'laptop',
      );
      const out = join(place.folder, `${name}.onnx`);
      await exportGated(place.context, experiment, { out, preset: 'laptop', row: 2 });
      const opened = await openGated(place.context, experiment);
      const file = await loadGatedFile(readGatedFile(await readFile(out), out), out, openInProcess(out));
      const gated = await (await OnnxRuntimeCpu.create(1)).loadGated(await opened.lowered(), opened.gates, 'softmax');
      const somewhere = opened.scores.confidences.map((of) => of.toSorted()[Math.round(of.length / 2)]!);
      for (const batch of [5]) {
        const found = await comparePixels(opened, file, somewhere, { batch });
        // The pixels are the same, bit for bit: what differs is the rounding of convolutions.
        expect(found.largestDifference, name).to.be.below(1e-4);
        expect([found.same + found.near, found.different], name).to.deep.equal([images, []]);
        const row = { ...opened.rows[0]!, thresholds: opened.parts.map(() => somewhere) };
        const dynamic = await compareDynamic(opened, gated, row, { batch, progress: silent });
        expect([dynamic.same + dynamic.near, dynamic.different], name).to.deep.equal([images, []]);
      }
      await gated.close();
      await file.close();
    }

    it('brings images of one size to the size of each, smaller, larger and not square, as the cache has them', async () => {
      const networks = [
        { network: { kind: 'onnx', file: await sized(small!, 20, 17), preprocess: stored } },
        {
          network: { kind: 'onnx', file: await sized(small!, 40), preprocess: stored },
          gates: { after: [1], epochs: 1 },
        },
        { network: large, checkpoint: join(place.folder, 'large') },
      ];
      await agree({ network: { kind: 'cascade', networks } }, 40, 'one size');
      // The last network's images must fit it: the others' are made of them.
      const turned = {
        kind: 'cascade',
        networks: [{ network: small, checkpoint: join(place.folder, 'small') }, networks[1]!],
      };
      const refused = resolveExperiment(
        { name: 'c', title: 'c', thresholds: { margins: [0] }, network: turned },
        'c',
        'laptop',
      );
      expect(String(await openGated(place.context, refused).catch(String))).to.match(
        /takes 40 x 40 pixels, cifar10 gives 32 x 32/,
      );
    });

    it('sees of photographs what each network sees of them, in its own order of channels', async () => {
      const folder = join(place.folder, 'photographs');
      const random = new Random(4, 'photographs');
      for (let c = 0; c < 10; c++) {
        await mkdir(join(folder, `class${c}`), { recursive: true });
        for (let i = 0; i < 8; i++) {
          const [width, height] = [30 + random.below(40), 30 + random.below(40)];
          const raw = Buffer.from(Uint8Array.from({ length: width * height * 3 }, () => random.below(256)));
          const image = sharp(raw, { raw: { width, height, channels: 3 } }).blur(2);
          await image.png().toFile(join(folder, `class${c}`, `${i}.png`));
        }
      }
      const [first, second] = [await sized(small!, 16), await sized(large!, 28)];
      const networks = [
        { network: { kind: 'onnx', file: first, preprocess: { ...stored, resize: 20, crop: 16, order: 'bgr' } } },
        { network: { kind: 'onnx', file: second, preprocess: { ...stored, resize: 32, crop: 28 } } },
      ];
      const dataset = { kind: 'image-folder', folder, preprocess: { ...stored, resize: 32, crop: 28 }, testShare: 0.5 };
      await agree({ network: { kind: 'cascade', networks }, dataset }, 40, 'photographs');
      const squashed = { ...networks[0]!.network, preprocess: { ...stored, resize: 16, crop: 16, squash: true } };
      const network = { kind: 'cascade', networks: [{ network: squashed }, networks[1]!] };
      const definition = { name: 'c', title: 'c', thresholds: { margins: [0] }, network, dataset };
      const out = join(place.folder, 'squashed.onnx');
      const refused = exportGated(place.context, resolveExperiment(definition, 'c', 'laptop'), {
        out,
        preset: 'laptop',
      });
      expect(String(await refused.catch(String))).to.match(/prepare their pixels differently; valid in one graph/);
    });
  });
});
