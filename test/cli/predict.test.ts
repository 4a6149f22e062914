import { execFileSync } from 'node:child_process';
import { copyFile, mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import sharp from 'sharp';
import { renderExported } from '../../src/cli/commands/export.js';
import { parseThresholds } from '../../src/cli/commands/predict.js';
import { InputError } from '../../src/errors.js';
import { loadDefinition } from '../../src/experiment/load.js';
import { resolveExperiment } from '../../src/experiment/resolve.js';
import { checkChoice, type Exported } from '../../src/gated/export.js';
import { type Predictions, predict } from '../../src/gated/predict.js';
import { GraphBuilder } from '../../src/onnx/builder.js';
import { gatedModel } from '../../src/onnx/gated.js';
import { gatedMetadata } from '../../src/onnx/gated-file.js';
import { decodeModel, encodeModel } from '../../src/onnx/proto.js';
import { about } from '../onnx/about.js';
import { algorithm1, type GatedCase, gatedCase, preprocessing } from '../onnx/gated-networks.js';
import { filesBelow, tinyNetwork } from '../run/workplace.js';
import { makePlace, type Place, runCli, writeTinyExperiment } from './cli.js';

const COUNT = 4;
const thresholds = [0.6, 0.8];

describe('dgate predict', () => {
  let place: Place;
  let subject: GatedCase;
  let model: string;
  let bytes: Uint8Array;
  let images: string[];

  before(async () => {
    place = await makePlace();
    subject = await gatedCase(
      tinyNetwork,
      [
        { stage: 1, pooling: { kind: 'gap' } },
        { stage: 2, pooling: { kind: 'gap' } },
      ],
      COUNT,
    );
    const { lowered, gates } = subject;
    const metadata = gatedMetadata({ ...about(2, 'max'), thresholds });
    bytes = gatedModel(lowered, gates, { confidence: 'max', preprocessing, metadata });
    model = await save('model.onnx', bytes);
    images = await Promise.all(Array.from({ length: COUNT }, (_, i) => png(i)));
  });
  after(() => place.remove());

  async function save(name: string, content: Uint8Array | string): Promise<string> {
    const path = join(place.folder, name);
    await writeFile(path, content);
    return path;
  }

  /** One of the case's images as a PNG. */
  async function png(image: number): Promise<string> {
    const pixels = subject.pixels.subarray(image * 3072, (image + 1) * 3072);
    const interleaved = Uint8Array.from({ length: 3072 }, (_, i) => pixels[(i % 3) * 1024 + Math.floor(i / 3)]!);
    const raw = { width: 32, height: 32, channels: 3 } as const;
    return save(`image${image}.png`, await sharp(interleaved, { raw }).png().toBuffer());
  }

  /** The lines that the command would print; in this process, for speed. */
  const refusal = async (file: string, ...paths: string[]): Promise<readonly string[]> => {
    const error = await predict(file, paths).catch((thrown: unknown) => thrown);
    if (!(error instanceof InputError)) throw error;
    return error.problems;
  };

  it('--json: class, exit and confidence of Algorithm 1, in the order of the images', async () => {
    const { status, stdout, stderr } = await runCli(['predict', '--model', model, ...images, '--json']);
    expect(status, stderr).to.equal(0);
    const { predictions, exits, ...rest } = JSON.parse(stdout) as Predictions;
    expect([exits, rest.thresholds]).to.deep.equal([3, thresholds]);
    const expected = algorithm1(subject.decisions('max'), thresholds, [0, 1, 2, 3]);
    predictions.forEach((found, i) => {
      expect(found).to.include({ image: images[i], class: `class ${expected[i]!.class}`, exit: expected[i]!.exit + 1 });
      expect(found.confidence).to.be.closeTo(expected[i]!.confidence, 1e-4);
      expect(found.ms).to.be.above(0);
      expect(found).not.to.have.property('resizedFrom');
    });
  });

  it('other thresholds reach the graph, and sizes that are changed are said', async () => {
    const large = join(place.folder, 'large.png');
    await sharp(images[0]).resize(90, 60).toFile(large);
    const last = await runCli(['predict', '--model', model, images[0]!, large, '--thresholds', 'inf,inf']);
    expect(last.status, last.stderr).to.equal(0);
    expect(last.stdout.match(/3 \(last\)/g)).to.have.length(2);
    expect(last.stdout).to.contain(`${large}: 90 x 60, shorter side resized to 32, cropped to 32 x 32`);
    const folder = join(place.folder, 'many');
    await mkdir(folder);
    for (let i = 0; i < 21; i++) await copyFile(i < 2 ? large : images[0]!, join(folder, `${i}.png`));
    const many = await runCli(['predict', '--model', model, folder]);
    expect(many.stdout).to.match(/\n2 images of other sizes, shorter side resized to 32, cropped to 32 x 32\n$/);
    expect(many.stderr).to.match(/predicting: done/);
    await writeFile(join(folder, 'photo.heic'), '');
    expect((await runCli(['predict', '--model', model, folder])).stderr).to.contain(
      `${folder}: 1 other files (.heic), left out; valid: JPEG, PNG, WebP, TIFF, GIF, BMP, PPM or PGM`,
    );
    const first = await runCli(['predict', '--model', model, images[0]!, '--thresholds=-1e9,0']);
    expect(first.stderr).to.equal('');
    expect(first.stdout).to.match(/│ 1 of 3 │/);
  });

  it('names every image that is missing or no image, in one go', async () => {
    const text = await save('text.png', 'no image');
    const half = await save('half.png', (await readFile(images[0]!)).subarray(0, 700));
    const lines = await refusal(model, 'missing.png', text, images[0]!, half);
    expect(lines).to.have.length(3);
    expect(lines[0]).to.equal('missing.png: no such file');
    expect(lines[1]).to.match(/text\.png: cannot be decoded/);
    expect(lines[2]).to.match(/half\.png: cannot be decoded/);
    const empty = join(place.folder, 'empty');
    await mkdir(empty);
    expect(await refusal(model, empty, 'missing.png')).to.deep.equal([
      `${empty}: no images; valid: JPEG, PNG, WebP, TIFF, GIF, BMP, PPM or PGM files`,
      'missing.png: no such file',
    ]);
  });

  it('refuses, in one line each, files that are damaged, not of dgate export, or name data elsewhere', async () => {
    const foreign = new GraphBuilder('foreign');
    foreign.output(foreign.node('Identity', [foreign.input('x', 'float', [1])]), 'float', [1]);
    const content = decodeModel(bytes);
    const outside = content.graph.initializer.map((tensor, i) => (i > 0 ? tensor : { ...tensor, data_location: 1 }));
    const broken = content.graph.node.map((node, i) => (i > 0 ? node : { ...node, op_type: 'NoSuchOperator' }));
    const astray = content.graph.node.map((node, i) => (i > 0 ? node : { ...node, input: ['nowhere'] }));
    const withGraph = (graph: object): Uint8Array => encodeModel({ ...content, graph: { ...content.graph, ...graph } });
    const metadata = (key: string, value: string): Uint8Array => {
      const kept = content.metadata_props.filter((property) => property.key !== key);
      return encodeModel({ ...content, metadata_props: [...kept, { key, value }] });
    };
    const files: [string, Uint8Array | string, RegExp][] = [
      ['truncated.onnx', bytes.subarray(0, bytes.length / 2), /damaged/],
      ['text.onnx', 'no model at all', /not an ONNX file/],
      ['empty.onnx', '', /one without operators/],
      ['foreign.onnx', foreign.encode(), /input x: \[1\]; valid: \[images, channels, height, width\]/],
      ['outside.onnx', withGraph({ initializer: outside }), /names data outside of the file/],
      ['broken.onnx', withGraph({ node: broken }), /uses "NoSuchOperator", which dgate export never does/],
      ['wiring.onnx', withGraph({ node: astray }), /ONNX Runtime refuses it/],
      ['format.onnx', metadata('dgate.format', '2'), /metadata dgate\.format/],
      ['thresholds.onnx', metadata('dgate.thresholds', '[1]'), /metadata dgate\.thresholds/],
      ['size.onnx', metadata('dgate.preprocessing', '{"height": 1e9}'), /metadata dgate\.preprocessing/],
    ];
    for (const [name, data, message] of files) {
      const lines = await refusal(await save(name, data), images[0]!);
      expect(lines, name).to.have.length(1);
      expect(lines[0], name).to.match(message).and.contain(name);
    }
    const sparse = await save('sparse.onnx', '');
    await truncate(sparse, 3e9);
    expect(await refusal(sparse, images[0]!)).to.deep.equal([`${sparse}: larger than 2 GB; valid: a smaller file`]);
    const { status, stdout, stderr } = await runCli(['predict', '--model', 'missing.onnx', images[0]!]);
    expect([status, stdout, stderr]).to.deep.equal([2, '', 'dgate: missing.onnx: no such file\n']);
  });

  it('refuses a file that wants 16 GB, in one line: it runs in a process of its own', async function () {
    if (process.platform !== 'linux') this.skip();
    const graph = new GraphBuilder('gigantic');
    graph.input('images', 'uint8', ['batch', 3, 32, 32]);
    const one = graph.node('ReduceMax', [graph.input('thresholds', 'float', [2])], { axes: [0], keepdims: 1 });
    const wide = graph.node('Exp', [graph.node('Expand', [one, graph.ints('shape', [4_000_000_000])])]);
    graph.output(graph.node('ReduceMax', [wide], { axes: [0], keepdims: 1 }, 'confidence'), 'float', [1]);
    for (const name of ['class', 'exit'])
      graph.output(graph.node('Cast', ['confidence'], { to: 7 }, name), 'int64', [1]);
    const file = await save('gigantic.onnx', graph.encode(gatedMetadata({ ...about(2, 'max'), thresholds })));
    const lines = await refusal(file, images[0]!);
    expect(lines).to.have.length(1);
    expect(lines[0]).to.match(
      /gigantic\.onnx: ONNX Runtime('s process)? wanted more than \d+ MB of memory.* when it was run; valid: a file of dgate/,
    );
  });

  it('refuses thresholds that are no numbers or not one for each gate', async () => {
    expect(() => parseThresholds('1,two')).to.throw(InputError, '--thresholds 1,two; valid: numbers or inf');
    expect(parseThresholds('-1.5, inf')).to.deep.equal([-1.5, Number.POSITIVE_INFINITY]);
    const error = await predict(model, [images[0]!], [1]).catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(InputError).and.have.property('message').contain('1 given; valid: 2, one for each');
  });

  it("the graph gives the same in Python's onnxruntime, whole batch at once (needs python3 with onnxruntime)", function () {
    const python = process.env['DGATE_PYTHON'] ?? 'python3';
    try {
      execFileSync(python, ['-c', 'import numpy, onnxruntime'], { stdio: 'ignore' });
    } catch {
      process.stdout.write(`      skipped: ${python} has no onnxruntime (DGATE_PYTHON names another)\n`);
      this.skip();
    }
    const script = fileURLToPath(new URL('../../bench/gated_onnx.py', import.meta.url));
    const input = Buffer.from(subject.pixels);
    const output = execFileSync(python, [script, model, String(COUNT)], { input, encoding: 'utf8' });
    const found = JSON.parse(output) as { class: number[]; exit: number[] };
    const expected = algorithm1(subject.decisions('max'), thresholds, [0, 1, 2, 3]);
    expect(found.class).to.deep.equal(expected.map((row) => row.class));
    expect(found.exit).to.deep.equal(expected.map((row) => row.exit));
  });
});

// On generated images, so that it runs everywhere.
describe('dgate export', () => {
  it('warns of a row that loses more than its margin where it is reported, or costs more than the original', () => {
    const expected = {
      accuracy: 0.885,
      originalAccuracy: 0.94,
      flops: 2e9,
      flopsReduction: -0.1,
      exits: [1],
      images: 200,
    };
    const choosing = { images: 150, fold: 1, folds: 2 };
    const exported = {
      file: 'a.onnx',
      choosing,
      bytes: 1,
      sha256: '',
      experiment: 'a',
      preset: 'laptop',
      row: 1,
      margin: 0.01,
    };
    const rest = { search: 'joint', kind: 'margin', thresholds: [1], verified: { same: 1, images: 1, near: 0 } };
    const textOf = (changes: object): string =>
      renderExported({ ...exported, ...rest, expected: { ...expected, ...changes } } as unknown as Exported);
    expect(textOf({})).to.contain('Warning     loses 5.50 points there, more than the margin: ');
    expect(textOf({})).to.contain('Warning     costs more than the original: ');
    expect(textOf({})).to.contain(
      'Chosen on   150 images outside fold 1 of 2; the table has the thresholds of every fold\n',
    );
    expect(textOf({ accuracy: 0.935, flopsReduction: 0.1 })).to.not.contain('Warning');
  });

  let place: Place;
  let definition: string;
  const generated = { generated: true };

  before(async () => {
    place = await makePlace();
    definition = await writeTinyExperiment(place.folder, 'trainImages: 200, testImages: 100');
  });
  after(() => place.remove());

  it('writes a row, verified, which predict runs without the cache; refuses rows that are not there', async () => {
    const out = join(place.folder, 'out', 'mine.onnx');
    const command = ['export', definition, '--out', out, ...place.options];
    const { status, stdout, stderr } = await runCli([...command, '--row', '2', '--json'], generated);
    expect(status, stderr).to.equal(0);
    const exported = JSON.parse(stdout) as Exported;
    expect(exported).to.deep.include({ file: out, experiment: 'mine', row: 2, margin: null, thresholds: [0, 0] });
    // Cross-fit: the first half of the test images has thresholds chosen on the second.
    expect(exported.expected.images).to.equal(50);
    expect(exported.verified.images).to.equal(100);
    expect(exported.verified.same + exported.verified.near).to.equal(100);
    expect(await filesBelow(join(place.folder, 'out'))).to.deep.equal(['mine.onnx']);

    const image = join(place.folder, 'grey.png');
    const grey = { width: 32, height: 32, channels: 3, background: '#808080' } as const;
    await sharp({ create: grey }).png().toFile(image);
    const predicted = await runCli(['predict', '--model', out, image, '--json']);
    expect(predicted.status, predicted.stderr).to.equal(0);
    const { predictions } = JSON.parse(predicted.stdout) as Predictions;
    expect(predictions[0]!.class).to.match(/^(airplane|automobile|bird|cat|deer|dog|frog|horse|ship|truck)$/);

    const { exported: content } = await loadDefinition(definition);
    const experiment = resolveExperiment(content, 'mine', 'laptop', []);
    for (const [choice, message] of [
      [{ row: 3 }, '--row 3: mine has no such row; valid: 1 to 2'],
      [{ margin: 0.01 }, '--margin 0.01: not a margin of mine; valid: 0.05'],
      [{ row: 1, margin: 0.05 }, '--row and --margin: valid: one of the two'],
      [{ search: 'joint' }, '--search: valid: with --margin'],
      [{ row: 1, search: 'joint' }, '--search: valid: with --margin'],
    ] as const) {
      expect(() => checkChoice(experiment, choice)).to.throw(InputError, message);
    }
    const alone = resolveExperiment(content, 'mine', 'laptop', [{ path: 'thresholds.search', value: 'sequential' }]);
    expect(() => checkChoice(alone, { margin: 0.05, search: 'joint' })).to.throw(
      InputError,
      '--search joint: not a search of mine; valid: sequential',
    );
  });

  it('says which search the row of a margin is from: the joint one where both were made and none was asked for', async () => {
    const searches = ['--set', 'thresholds.search=["sequential","joint"]'];
    const command = ['export', definition, '--out', join(place.folder, 'both.onnx'), '--margin', '0.05', ...searches];
    for (const [asked, row, search] of [
      [[], 2, 'joint'],
      [['--search', 'sequential'], 1, 'sequential'],
    ] as const) {
      const { status, stdout, stderr } = await runCli([...command, ...asked, ...place.options], generated);
      expect(status, stderr).to.equal(0);
      expect(stdout).to.contain(`From        mine, preset laptop, row ${row} (margin 0.05, ${search} search)`);
    }
  });
});
