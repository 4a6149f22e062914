import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import sharp from 'sharp';
import * as ort from '../../src/engines/onnxruntime/ort.js';
import { InputError } from '../../src/errors.js';
import { predict } from '../../src/gated/predict.js';
import type { RawOptions } from '../../src/gated/raw.js';
import { Random } from '../../src/random.js';
import { branchyGraph, residualGraph, UserGraph } from '../onnx/user-graphs.js';

const COUNT = 8;
const [SIZE, SIDE] = [3 * 8 * 8, 8];
const normal = { mean: [0.5, 0.4, 0.3], std: [0.02, 0.03, 0.04] };

describe("predictions of anybody's ONNX files", () => {
  const random = new Random(4, 'raw');
  /** Bytes [3, 8, 8] of each image; of growing contrast, so that they leave at different exits. */
  const pixels = Array.from({ length: COUNT }, (_, i) =>
    Uint8Array.from({ length: SIZE }, () => 128 + (random.uniform() - 0.5) * 4 ** (i / 2)),
  );
  let folder: string;
  const files: string[] = [];
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dgate-raw-'));
    await mkdir(join(folder, 'images', 'b'), { recursive: true });
    for (const [i, planes] of pixels.entries()) {
      const path = join(folder, 'images', ...(i < COUNT / 2 ? [] : ['b']), `${i}.png`);
      const interleaved = Uint8Array.from(planes, (_, at) => planes[(at % 3) * 64 + Math.floor(at / 3)]!);
      await sharp(interleaved, { raw: { width: SIDE, height: SIDE, channels: 3 } })
        .png()
        .toFile(path);
      files.push(path);
    }
  });
  after(() => rm(folder, { recursive: true }));

  /** What ONNX Runtime returns for the images of the folder, one by one: rows of the classes' output, and another output. */
  async function rowsOf(path: string, output: string, other = output, isBytes = false) {
    const session = await ort.InferenceSession.create(path);
    const found = [];
    for (const planes of pixels) {
      const scaled = Float32Array.from(planes, (byte, at) => {
        const channel = Math.floor(at / 64);
        return (byte / 255 - normal.mean[channel]!) / normal.std[channel]!;
      });
      const dims = [1, 3, SIDE, SIDE];
      const x = isBytes ? new ort.Tensor('uint8', planes, dims) : new ort.Tensor('float32', scaled, dims);
      const results = await session.run({ x });
      const row = Array.from(results[output]!.data as Float32Array);
      const largest = Math.max(...row);
      const confidence = 1 / row.reduce((sum, value) => sum + Math.exp(value - largest), 0);
      found.push({ classIndex: row.indexOf(largest), confidence, other: Number(results[other]!.data[0]) });
    }
    await session.release();
    return found;
  }

  const refusal = async (model: string, raw: RawOptions = {}, thresholds?: number[]): Promise<string> => {
    const error = await predict(model, files, thresholds, raw).catch((thrown: unknown) => thrown);
    if (!(error instanceof InputError)) throw error;
    expect(error.problems).to.have.length(1);
    return error.message;
  };

  it('a file with exits: class and exit are its own, confidences the softmax of its answers; a folder is its images', async () => {
    const exits = [
      { measure: 'entropy', threshold: 1.45 },
      { measure: 'softmax', threshold: 0.3 },
    ] as const;
    const path = await branchyGraph({ exits }).write();
    const wanted = await rowsOf(path, 'answer', 'exit');
    expect(new Set(wanted.map(({ other }) => other)).size).to.be.above(1);
    const found = await predict(path, [join(folder, 'images')], undefined, { preprocess: normal, logits: 'answer' });
    expect(found.exits).to.equal(3);
    expect(found.predictions.map(({ image }) => image)).to.deep.equal(files);
    for (const [i, { classIndex, exit, confidence }] of found.predictions.entries()) {
      expect([classIndex, exit]).to.deep.equal([wanted[i]!.classIndex, wanted[i]!.other + 1]);
      expect(confidence).to.be.closeTo(wanted[i]!.confidence, 1e-5);
    }
    const last = await predict(path, files, [Infinity, Infinity], { preprocess: normal, logits: 'answer' });
    expect(last.predictions.every(({ exit }) => exit === 3)).to.equal(true);
    await rm(dirname(path), { recursive: true });
  });

  it('a file without exits: one exit, its classes by their names; what is missing is named', async () => {
    const path = await residualGraph('raw').write();
    const wanted = await rowsOf(path, 'logits');
    const classes = ['ash', 'birch', 'cedar', 'elm', 'fir'];
    const { exits, predictions } = await predict(path, files, undefined, { preprocess: normal, classes });
    expect(exits).to.equal(1);
    expect(predictions.map((each) => each.class)).to.deep.equal(wanted.map(({ classIndex }) => classes[classIndex]));
    for (const [i, { confidence }] of predictions.entries()) {
      expect(confidence).to.be.closeTo(wanted[i]!.confidence, 1e-5);
    }
    expect(await refusal(path)).to.match(
      /nothing says how it wants its pixels; valid: --preprocess .* --mean and --std/,
    );
    const two = { mean: [0.1, 0.2], std: [1, 1.5] };
    expect(await refusal(path, { preprocess: two })).to.match(/a preprocessing of 2 channels, its images have 3/);
    expect(await refusal(path, { preprocess: 'torch' })).to.match(/preprocessing torch: unknown; valid: torchvision/);
    expect(await refusal(path, { preprocess: normal, classes: ['ash'] })).to.match(/--classes: 1 names; valid: 5/);
    expect(await refusal(path, { preprocess: normal, resize: 4 })).to.match(/resize 4, crop 8; valid/);
    expect(await refusal(path, { preprocess: normal }, [1])).to.match(/--thresholds: 1 given; valid: 0/);
    await rm(dirname(path), { recursive: true });
  });

  it('a file that takes bytes needs no more; other numbers are refused', async () => {
    const graph = new UserGraph('bytes');
    const x = graph.builder.node('Cast', [graph.builder.input('x', 'uint8', ['batch', 3, SIDE, SIDE])], { to: 1 });
    const scaled = graph.builder.node('Div', [x, graph.builder.constant('scale', Float32Array.of(64), [])]);
    const path = await graph.classify(graph.relu(graph.conv(scaled, 3, 8)), 8, 5).write();
    const wanted = await rowsOf(path, 'logits', 'logits', true);
    const { predictions, input } = await predict(path, files);
    expect(predictions.map(({ classIndex }) => classIndex)).to.deep.equal(wanted.map((row) => row.classIndex));
    expect(input).to.include({ height: SIDE, resize: SIDE });
    expect(await refusal(path, { preprocess: normal })).to.match(/takes bytes and normalises them itself/);
    await rm(dirname(path), { recursive: true });
  });
});
