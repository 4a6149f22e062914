import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { imageSet } from '../../src/data/dataset.js';
import type { FeatureNetwork } from '../../src/engines/engine.js';
import { networkByName } from '../../src/networks/catalogue.js';
import { BATCH_IMAGES } from '../../src/run/batches.js';
import type { LazyEngine } from '../../src/run/context.js';
import { type Extraction, extractShards } from '../../src/run/extract.js';
import type { NetworkSource } from '../../src/run/source.js';
import { tinyNetwork, type Workplace, workplaceAt } from './workplace.js';

const COUNT = 2500; // three shards of 1,024 images at most

describe('shards of an extraction', () => {
  let folder: string;
  let workplace: Workplace;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dgate-shards-'));
    workplace = workplaceAt(folder);
  });
  afterEach(() => rm(folder, { recursive: true }));

  /** An extraction whose network answers with the number of the batch. */
  function extraction(onRun: (batch: number) => void = () => {}): Extraction {
    const network = networkByName(tinyNetwork);
    const { channels, height, width } = network.input;
    let batches = 0;
    const loaded: FeatureNetwork = {
      async run(_images, count) {
        onRun(++batches);
        await new Promise(setImmediate); // as ONNX Runtime does
        return { features: [], logits: new Float32Array(10 * count).fill(batches) };
      },
      close: async () => {},
    };
    return {
      source: {
        network,
        preprocessing: { mean: [0, 0, 0], std: [1, 1, 1] },
        lowered: async () => undefined,
      } as unknown as NetworkSource,
      images: imageSet({
        channels,
        height,
        width,
        images: new Uint8Array(COUNT * channels * height * width),
        labels: Int32Array.from({ length: COUNT }, (_, i) => i % 10),
        classes: Array.from({ length: 10 }, (_, i) => String(i)),
        sha256: 'none',
      }),
      places: [],
      engine: {
        entry: { id: 'fake', device: 'cpu' },
        get: async () => ({ loadFeatures: async () => loaded, describe: () => ({ id: 'fake' }) }),
      } as unknown as LazyEngine,
      wanted: 'features and logits',
      entry: workplace.context.store.entry('features', {}),
      name: 'features',
    };
  }

  it('are written while the network goes on, and are all there in the end', async () => {
    let batches = 0;
    const reached = new Map<number, () => void>();
    const work = extraction((batch) => {
      batches = batch;
      reached.get(batch)?.();
    });
    const { entry } = work;
    const write = entry.write.bind(entry);
    let writing = 0;
    entry.write = async (name, pieces) => {
      expect(++writing).to.equal(1); // one at a time
      // The first shard is not on the disk before the network has run four more batches: waiting for it would never end.
      if (name.includes('00000')) await new Promise<void>((resolve) => reached.set(batches + 4, resolve));
      await write(name, pieces);
      writing--;
    };
    await extractShards(workplace.context, work);
    expect(await entry.names()).to.have.length(3);
    expect(batches).to.equal(2 * (1024 / BATCH_IMAGES) + Math.ceil((COUNT - 2048) / BATCH_IMAGES));
    expect(await entry.isBusy()).to.equal(false);
  });

  it('that cannot be written end the extraction with the reason, and no lock stays', async () => {
    for (const failing of ['00000', '00002']) {
      const work = extraction();
      const write = work.entry.write.bind(work.entry);
      work.entry.write = (name, pieces) =>
        name.includes(failing) ? Promise.reject(new Error('no space')) : write(name, pieces);
      let message = '';
      await extractShards(workplace.context, work).catch((error: Error) => {
        message = error.message;
      });
      expect(message).to.equal('no space');
      expect(await work.entry.isBusy()).to.equal(false);
      expect(await work.entry.names()).not.to.include(`shard-${failing}.safetensors`);
    }
  });
});
