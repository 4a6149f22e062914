import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import type { ImageSource } from '../../src/data/dataset.js';
import { resolveExperiment } from '../../src/experiment/resolve.js';
import { runFacts } from '../../src/run/facts.js';
import { runExperiment } from '../../src/run/run.js';
import { generatedDataset } from './generatedDataset.js';
import { makeWorkplace, run, tinyExperiment, tinyNetwork, type Workplace, writeTinyCheckpoint } from './workplace.js';

/** Test images 5 and 290 are training images 3 and 2,100; test image 299 is test image 0. */
async function withCopies(workplace: Workplace): Promise<Workplace> {
  const plain = generatedDataset();
  const train = await plain.load('', 'train');
  const copied = (test: ImageSource): ImageSource => ({
    ...test,
    sha256: `${test.sha256} with copies`,
    batch: async (positions, into) => {
      const pixels = await test.batch(positions, into);
      const size = pixels.length / positions.length;
      for (const [i, position] of Array.from(positions).entries()) {
        const from = { 5: [train, 3], 290: [train, 2100], 299: [test, 0] }[position] as
          | [ImageSource, number]
          | undefined;
        if (from) pixels.set((await from[0].batch([from[1]])).subarray(0, size), i * size);
      }
      return pixels;
    },
  });
  const load: typeof plain.load = async (root, split) => {
    const images = await plain.load(root, split);
    return split === 'test' ? copied(images) : images;
  };
  return { ...workplace, context: { ...workplace.context, datasets: [{ ...plain, load }] } };
}

describe('images that occur in two splits', () => {
  let workplace: Workplace;
  before(async () => {
    workplace = await makeWorkplace();
  });
  after(() => workplace.remove());

  it('are found, said under the table and named in record.json, from the cache too', async () => {
    const mixed = await withCopies(workplace);
    const duplicates = { 'test images among the training images': [5, 290], 'test images that occur twice': [299] };
    const { outcome, folder } = await run(mixed);
    expect(outcome.duplicates).to.deep.equal(duplicates);
    expect(JSON.parse(await readFile(join(folder, 'record.json'), 'utf8')).duplicates).to.deep.equal(duplicates);
    expect(runFacts(outcome)).to.deep.include([
      'Duplicates',
      'test images among the training images: 2; test images that occur twice: 1 (positions: record.json); rows and ' +
        'promises are not of new images alone',
    ]);
    expect((await run(mixed)).outcome.duplicates).to.deep.equal(duplicates);
  });

  it('are found in a cascade by the features of the network with gates', async () => {
    const { context, checkpoint } = await withCopies(workplace);
    const last = { network: 'resnet20-width0.5-cifar10', checkpoint: join(workplace.folder, 'last.safetensors') };
    await writeTinyCheckpoint(last.checkpoint, last);
    const networks = [{ network: tinyNetwork, checkpoint, gates: { after: [1], pooling: '4x4', epochs: 1 } }, last];
    const definition = { name: 'c', title: 'c', network: { kind: 'cascade', networks }, thresholds: { margins: [0] } };
    const { duplicates } = await runExperiment(context, resolveExperiment(definition, 'c', 'laptop'));
    expect(duplicates?.['test images among the training images']).to.deep.equal([5, 290]);
  });

  it('are none where all images differ', async () => {
    const outcome = await runExperiment(workplace.context, tinyExperiment(workplace));
    expect(outcome.duplicates).to.deep.equal({});
    expect(runFacts(outcome).map(([name]) => name)).not.to.include('Duplicates');
  });
});
