import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadDefinition } from '../../src/experiment/load.js';
import { resolveExperiment } from '../../src/experiment/resolve.js';
import { gateFeatureCounts } from '../../src/networks/onnx.js';
import { LazyEngine } from '../../src/run/context.js';
import { extract, extractionOf } from '../../src/run/extract.js';
import { plan } from '../../src/run/plan.js';
import { scoreImages } from '../../src/run/score.js';
import { trainGates } from '../../src/run/train.js';
import { contextIn, generated } from '../runner/generated.js';
import type { Benchmark, Ratio } from '../runner/types.js';

const IMAGES = 4096;

export const benchmark: Benchmark = {
  name: 'disk',
  title: 'bytes on the disk for an image of table1 (generated images and weights) against those of its features',
  peers: [],
  async run({ say }) {
    const root = await mkdtemp(join(tmpdir(), 'dgate-bench-'));
    try {
      say(`${IMAGES} images, extracted, trained on and scored`);
      return await measure(root);
    } finally {
      await rm(root, { recursive: true });
    }
  },
};

async function measure(root: string): Promise<Ratio[]> {
  const { exported, where } = await loadDefinition('table1');
  const experiment = resolveExperiment(exported, where, 'laptop', []);
  const { places } = await plan(experiment);
  const { network, images, source } = generated(String(experiment.network), IMAGES);
  const context = contextIn(root);
  const engine = new LazyEngine('ort-cpu');
  const features = await extract(context, extractionOf(context, source, images, places, engine, 'test'));
  const ofFeatures = await bytesBelow(root);
  const gates = (await trainGates(context, experiment, [features])).flat();
  await scoreImages(context, [features], gates, experiment.gates.confidence, 'generated');

  const floats = gateFeatureCounts(network, places).reduce((sum, count) => sum + count, 0);
  const row = (what: string, bytes: number, note: string): Ratio => {
    const [ours, peer] = [bytes / IMAGES, 4 * floats];
    const ratio = ours / peer;
    const target = { atMost: 1.02 };
    const against = `${floats} float32 features`;
    return { what, against, ours, peer, unit: 'bytes', ratio, low: ratio, high: ratio, rounds: 1, target, note };
  };
  return [
    row('extraction', ofFeatures, 'logits, labels, hashes and what an interruption needs included'),
    row('everything computed', await bytesBelow(root), 'gates, classes and confidences of every image too'),
  ];
}

/** Bytes that the files below a folder take on the disk, in its blocks. */
async function bytesBelow(folder: string): Promise<number> {
  const files = await readdir(folder, { withFileTypes: true, recursive: true });
  const sizes = files
    .filter((file) => file.isFile())
    .map(async (file) => 512 * (await stat(join(file.parentPath, file.name))).blocks);
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
