import { copyFile, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { finishedRun } from '../../src/batch/grid.js';
import { imagenet } from '../../src/data/registry.js';
import { resolveExperiment } from '../../src/experiment/resolve.js';
import { paperAnalyses } from '../../src/paper/index.js';
import { silent } from '../../src/progress.js';
import { renderRun, writeRun } from '../../src/run/report.js';
import { runExperiment } from '../../src/run/run.js';
import type { AnalysisContext, RunOutcome } from '../../src/run/stages.js';
import { Store } from '../../src/store/store.js';
import { writeTinyCheckpoint } from './workplace.js';

const fixtures = fileURLToPath(new URL('../fixtures/images/', import.meta.url));
const network = 'resnet18-width0.25-imagenet';
const [tench, setter] = ['n01440764', 'n02100735'];

// Decoded as torchvision does it (test/data/image-folder/decode.test.ts): grey, CMYK, turned by EXIF, a PNG called .jpg.
const sound = ['colour.jpg', 'grey.jpg', 'cmyk.jpg', 'rotated.jpg', 'png-inside.jpg', 'alpha.png', 'trailing.jpg'];
const broken = ['truncated.jpg', 'not-an-image.jpg', 'empty.jpg'];

/** The files that lines name; libvips does not always give the same reason. */
const filesOf = (lines: readonly string[] = []): string[] => lines.map((line) => line.replace(/: .*/, ''));

describe('a run over folders with broken files', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dgate-broken-'));
    await writeTinyCheckpoint(join(folder, 'generated.safetensors'), { network });
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  interface Place {
    readonly context: AnalysisContext;
    readonly tree: string;
    readonly warnings: string[];
  }

  /** A copy of ImageNet with these files in train/ and val/, each in both of its two classes. */
  async function place(name: string, train: readonly string[], val: readonly string[]): Promise<Place> {
    const [tree, dataRoot] = [join(folder, name, 'ILSVRC2012'), join(folder, name, 'data')];
    for (const [split, files] of [
      ['train', train],
      ['val', val],
    ] as const) {
      for (const wnid of [tench, setter]) {
        await mkdir(join(tree, split, wnid), { recursive: true });
        for (const file of files) await copyFile(join(fixtures, file), join(tree, split, wnid, file));
      }
    }
    const download = (): Promise<void> => Promise.reject(new Error('nothing to download'));
    await imagenet.fetch({ root: dataRoot, from: tree, progress: silent, download });
    const warnings: string[] = [];
    const progress = { ...silent, warn: (message: string) => warnings.push(message) };
    const store = new Store(join(folder, name, 'results'));
    const [modelsRoot, resultsRoot] = [folder, join(folder, name, 'tables')];
    return {
      context: { store, dataRoot, modelsRoot, resultsRoot, analyses: paperAnalyses, progress, download },
      tree,
      warnings,
    };
  }

  const run = ({ context }: Place): Promise<RunOutcome> => {
    const definition = {
      name: 'broken',
      title: 'Two gates on images of every kind',
      network,
      checkpoint: join(folder, 'generated.safetensors'),
      gates: { after: [1, 2], epochs: 2 },
      thresholds: { fixed: [[0, 0]] },
    };
    return runExperiment(context, resolveExperiment(definition, 'broken', 'laptop', []));
  };

  it('names and counts what cannot be decoded, in warnings, report and record; the rest is as without it', async () => {
    const [mixed, clean] = [
      await place('mixed', [...sound, ...broken], [...sound, 'truncated.jpg']),
      await place('clean', sound, sound),
    ];
    const [found, expected] = [await run(mixed), await run(clean)];

    expect(mixed.warnings.map((line) => line.replace(/: \/.*/, ''))).to.deep.equal([
      'features of 20 training images: 6 cannot be decoded and are left out',
      'features of 16 test images: 2 cannot be decoded and are left out',
    ]);
    expect(clean.warnings).to.deep.equal([]);
    const named = (lines: readonly string[] = []): string[] => filesOf(lines).sort();
    const below = (split: string, files: readonly string[]): string[] =>
      [tench, setter].flatMap((wnid) => files.map((file) => join(mixed.tree, split, wnid, file))).sort();
    expect(named(found.leftOut['training'])).to.deep.equal(below('train', broken));
    expect(named(found.leftOut['test'])).to.deep.equal(below('val', ['truncated.jpg']));
    for (const line of Object.values(found.leftOut).flat()) expect(line).to.match(/^\/.*: \S.{5,}$/);
    expect(expected.leftOut).to.deep.equal({});

    // Every decodable image is there, with its own label: rows and counts as from a folder without broken files.
    expect([found.splits.train, found.splits.test]).to.deep.equal([14, 14]);
    expect(found.original).to.deep.equal(expected.original);
    expect(found.rows.map(({ evaluation }) => evaluation)).to.deep.equal(
      expected.rows.map(({ evaluation }) => evaluation),
    );
    expect(renderRun(found, 'laptop')).to.contain(
      'Left out    6 training images, 2 test images that cannot be decoded, named in record.json',
    );
    expect(renderRun(expected, 'laptop')).to.not.contain('Left out');
    const record = join(await writeRun(found, 'laptop', mixed.context.resultsRoot), 'record.json');
    expect(JSON.parse(await readFile(record, 'utf8'))).to.deep.include({ leftOut: found.leftOut });
  });

  it('is found again by the identity that it was written under', async () => {
    const mixed = await place('mixed', [...sound, ...broken], [...sound, ...broken]);
    const found = await run(mixed);
    const folder = await writeRun(found, 'laptop', mixed.context.resultsRoot);
    expect((await finishedRun(mixed.context, found.experiment, 'laptop'))?.folder).to.equal(folder);
  });

  it('says the same from the cache, and where it was interrupted before its end', async () => {
    const mixed = await place('mixed', [...sound, ...broken], sound);
    const first = await run(mixed);
    expect((await run(mixed)).leftOut).to.deep.equal(first.leftOut);
    for (const entry of await mixed.context.store.list()) {
      if (entry.stage === 'features') await rm(join(entry.directory, 'manifest.json'));
    }
    expect(filesOf((await run(mixed)).leftOut['training'])).to.deep.equal(filesOf(first.leftOut['training']));
    expect(mixed.warnings).to.have.length(2);
  });

  it('ends in one line where none can be decoded', async () => {
    const nothing = await place('nothing', sound, broken);
    const error = await run(nothing).catch((reason: unknown) => reason as Error);
    expect(String(error)).to.match(
      /features of 6 test images: none can be decoded: .*empty\.jpg: .*; .*truncated\.jpg: /s,
    );
  });
});
