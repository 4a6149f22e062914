import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import sharp from 'sharp';
import { imageFolderDataset } from '../../src/data/image-folder/index.js';
import { normalise } from '../../src/data/preprocess.js';
import * as ort from '../../src/engines/onnxruntime/ort.js';
import { type Override, resolveExperiment } from '../../src/experiment/resolve.js';
import type { Experiment } from '../../src/experiment/schema.js';
import { exportGated } from '../../src/gated/export.js';
import { predict } from '../../src/gated/predict.js';
import { decide } from '../../src/gates/confidence.js';
import { imageFolder as images, onnxNetwork } from '../../src/index.js';
import { Random } from '../../src/random.js';
import { plan } from '../../src/run/plan.js';
import { writeRun } from '../../src/run/report.js';
import { runExperiment } from '../../src/run/run.js';
import { residualGraph } from '../onnx/user-graphs.js';
import { type Workplace, workplaceAt } from '../run/workplace.js';

const classes = ['ash', 'birch', 'cedar', 'elm', 'fir'];
const preprocess = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25], resize: 8, crop: 8 };

/** Images of 8 x 8 pixels, each class with a colour of its own under noise. */
async function drawImages(folder: string): Promise<void> {
  const random = new Random(1, 'folder');
  for (const [label, name] of classes.entries()) {
    await mkdir(join(folder, name), { recursive: true });
    for (let i = 0; i < 24; i++) {
      const pixels = Uint8Array.from(
        { length: 192 },
        (_, at) => 60 + ((label * 37 * ((at % 3) + 1)) % 120) + random.below(60),
      );
      await sharp(pixels, { raw: { width: 8, height: 8, channels: 3 } })
        .png()
        .toFile(join(folder, name, `${i}.png`));
    }
  }
}

describe('an experiment on an ONNX file and a folder of images', () => {
  let folder: string;
  let file: string;
  let workplace: Workplace;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dgate-own-'));
    await drawImages(join(folder, 'trees'));
    file = await residualGraph('own').write('own.onnx');
    workplace = workplaceAt(folder);
  });
  after(async () => {
    await rm(folder, { recursive: true });
    await rm(dirname(file), { recursive: true });
  });

  function experiment(...overrides: Override[]): Experiment {
    const definition = {
      name: 'own',
      title: 'A network of one’s own',
      network: onnxNetwork(file, { gatesAfter: ['a', 'b'] }),
      dataset: images(join(folder, 'trees'), { preprocess, testShare: 0.4 }),
      gates: { after: [1, 2], pooling: ['2x2', 'gap'], epochs: 5 },
      thresholds: {
        margins: [0.05],
        fixed: [
          [0, 0],
          [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
        ],
      },
    };
    return resolveExperiment(definition, 'own', 'laptop', overrides);
  }

  it('runs whole, and from the cache the second time', async () => {
    const outcome = await runExperiment(workplace.context, experiment());
    expect(outcome.splits).to.include({ train: 72, test: 48 });
    expect(outcome.rows).to.have.length(3);
    expect(outcome.flops.stages.map(({ name }) => name)).to.deep.equal(['a', 'b']);
    expect(outcome.exitCosts.at(-1)).to.be.above(outcome.flops.flops);
    const where = await writeRun(outcome, 'laptop', workplace.context.resultsRoot);
    const csv = await readFile(join(where, 'table.csv'), 'utf8');
    const again = await runExperiment({ ...workplace.context }, experiment());
    expect([outcome.engine.loaded, again.engine.loaded]).to.deep.equal([true, false]);
    await writeRun(again, 'laptop', workplace.context.resultsRoot);
    expect(await readFile(join(where, 'table.csv'), 'utf8')).to.equal(csv);
  });

  it('is exported with its own weights; the file predicts with nothing else', async () => {
    const out = join(folder, 'gated.onnx');
    const exported = await exportGated(workplace.context, experiment(), { out, preset: 'laptop', row: 2 });
    expect(exported.verified).to.deep.equal({ images: 48, same: 48, near: 0 });
    const { predictions } = await predict(out, [join(folder, 'trees', 'elm', '3.png')]);
    expect(classes).to.include(predictions[0]!.class);
  });

  it('is exported with what every exit holds for each class: at the end the logits of the file, to 1e-5', async () => {
    const out = join(folder, 'distances.onnx');
    await exportGated(workplace.context, experiment(), { out, preset: 'laptop', row: 3, distances: true });
    const source = await imageFolderDataset(join(folder, 'trees'), { preprocess, testShare: 0.4 }).load('', 'test');
    const pixels = await source.batch(Int32Array.of(0, 1, 2, 3));
    const gated = await ort.InferenceSession.create(out);
    const answer = await gated.run({
      images: new ort.Tensor('uint8', pixels, [4, 3, 8, 8]),
      thresholds: new ort.Tensor('float32', Float32Array.of(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY), [2]),
    });
    const original = await ort.InferenceSession.create(file);
    const floats = new ort.Tensor('float32', normalise(pixels, preprocess, 64), [4, 3, 8, 8]);
    const wanted = (await original.run({ x: floats }))['logits']!.data as Float32Array;
    await Promise.all([gated.release(), original.release()]);
    const found = answer['distances']!.data as Float32Array;
    const largest = Math.max(...wanted.map(Math.abs));
    expect(found).to.have.length(20);
    wanted.forEach((value, i) => {
      expect(found[i]).to.be.closeTo(value, 1e-5 * largest);
    });
    expect(Array.from(answer['class']!.data as BigInt64Array, Number)).to.deep.equal([
      ...decide(wanted, 5, 'max').classes,
    ]);
  });

  it('refuses what does not fit, in one line each', async () => {
    const { context } = workplace;
    const refused = async (path: string, value: unknown): Promise<string> => {
      const error = await (async () => runExperiment(context, experiment({ path, value })))().catch(
        (reason: unknown) => reason,
      );
      return (error as Error).message;
    };
    expect(await refused('dataset', 'cifar10')).to.match(/own: 5 classes, cifar10 has 10/);
    expect(await refused('dataset.preprocess', { ...preprocess, crop: 6 })).to.match(
      /takes 8 x 8 pixels, trees gives 6 x 6; valid: preprocess \{ mean: \[[\d., ]+\], std: \[[\d., ]+\], resize: 8, crop: 8 \}/,
    );
    expect(await refused('dataset.preprocess', 'bytes'), 'numbers to copy').to.contain(
      'std: [0.00392157, 0.00392157, 0.00392157], resize: 8, crop: 8',
    );
    expect(await refused('dataset.preprocess', 'torchvison')).to.match(
      /dataset\.preprocess: "torchvison"; valid: torchvision, /,
    );
    expect(await refused('network.gatesAfter', ['z'])).to.match(/gatesAfter z: the graph cannot be cut there/);
    expect(await refused('gates.after', [1, 3])).to.match(/gate 2 of own: after stage 3; valid: stages 1 to 2/);
    expect(await refused('engine', 'tfjs-cpu')).to.match(/engine tfjs-cpu: runs no ONNX file/);
    expect(await refused('checkpoint', 'x.th')).to.match(/checkpoint: "x\.th"; valid: left out/);
    expect(await refused('thresholds.validation', { kind: 'held-out' })).to.match(
      /does not name the images that were held out/,
    );
    expect(await refused('network', 'resnet20-cifar10')).to.match(/dataset: .*; valid: left out/);
    expect(await refused('network.gateAfter', ['a'])).to.match(
      /network\.gateAfter: unknown key; valid: kind, file, gatesAfter, /,
    );
  });

  it('takes the proposed places by default', async () => {
    const { network } = await plan(
      experiment(
        { path: 'network.gatesAfter', value: 'auto' },
        { path: 'gates.after', value: [1] },
        { path: 'gates.pooling', value: 'gap' },
        { path: 'thresholds.fixed', value: [] },
      ),
    );
    expect('stages' in network && network.stages.length).to.be.above(0);
  });
});
