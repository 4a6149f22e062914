/**
 * Memory of an extraction from image files at two numbers of images.
 *
 * Command   npx tsx bench/extraction-memory.ts [FOLDER] [NETWORK] [FEW] [MANY]
 *           (../shared/imagenet-sample, resnet18-width0.25-imagenet, 100, 10000)
 * A folder in ImageNet's layout is made of links to the images of FOLDER, again and again; each number is extracted in a
 * process of its own, whole, with generated weights, three times in turn. Printed: most resident memory (median, least and
 * most of the three) and images per second. Wanted: less than 10 % more.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { datasets } from '../src/data/registry.js';
import { networkByName } from '../src/networks/catalogue.js';
import { lowerNetwork } from '../src/networks/lower.js';
import type { GatePlace } from '../src/networks/onnx.js';
import { silent } from '../src/progress.js';
import { LazyEngine, type RunContext } from '../src/run/context.js';
import { extract, extractionOf } from '../src/run/extract.js';
import { median } from '../src/statistics/intervals.js';
import { Store } from '../src/store/store.js';
import { generatedTensors } from '../test/parity.js';

const ROUNDS = 3;

interface Measured {
  readonly megabytes: number;
  readonly imagesPerSecond: number;
}

async function measureHere(folder: string, name: string, count: number): Promise<Measured> {
  const root = await mkdtemp(join(tmpdir(), 'dgate-bench-'));
  try {
    const names = readdirSync(folder).filter((file) => /^n\d{8}_.*\.JPEG$/.test(file));
    const tree = join(root, 'ILSVRC2012');
    for (let i = 0; i < count; i++) {
      const file = names[i % names.length]!;
      const wnid = file.slice(0, 9);
      await mkdir(join(tree, 'train', wnid), { recursive: true });
      await symlink(join(folder, file), join(tree, 'train', wnid, `${wnid}_${i}.JPEG`));
    }
    const imagenet = datasets.find((dataset) => dataset.name === 'imagenet')!;
    const download = async (): Promise<void> => {};
    await imagenet.fetch({ root, from: tree, progress: silent, download });
    const images = await imagenet.load(root, 'train');
    const network = networkByName(name);
    const lowered = lowerNetwork(network, generatedTensors(network));
    const store = new Store(join(root, 'results'));
    const context: RunContext = {
      store,
      datasets,
      dataRoot: root,
      modelsRoot: root,
      resultsRoot: root,
      progress: silent,
      download,
    };
    const source = {
      network,
      checkpoint: { path: 'generated', sha256: 'generated', known: undefined },
      modules: [],
      preprocessing: imagenet.preprocessing,
      heldOut: async () => new Int32Array(),
      lowered: async () => lowered,
    };
    const places: GatePlace[] = [1, 2, 3].map((stage) => ({ stage, pooling: { kind: 'gap' } }));
    const start = performance.now();
    await extract(context, extractionOf(context, source, images, places, new LazyEngine('ort-cpu'), 'test'));
    const imagesPerSecond = count / ((performance.now() - start) / 1000);
    return { megabytes: process.resourceUsage().maxRSS / 1024, imagesPerSecond };
  } finally {
    await rm(root, { recursive: true });
  }
}

function inChild(folder: string, name: string, count: string): Measured {
  const args = ['--import', 'tsx', fileURLToPath(import.meta.url), '--child', folder, name, count];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Measured;
}

const [first = '../shared/imagenet-sample', ...rest] = process.argv.slice(2);
if (first === '--child') {
  const [folder = '', name = '', count = ''] = rest;
  process.stdout.write(JSON.stringify(await measureHere(folder, name, Number(count))));
} else {
  const [name = 'resnet18-width0.25-imagenet', few = '100', many = '10000'] = rest;
  const counts = [few, many];
  const rounds = Array.from({ length: ROUNDS }, () => counts.map((count) => inChild(resolve(first), name, count)));
  const medians = counts.map((count, at) => {
    const megabytes = rounds.map((round) => round[at]!.megabytes);
    const speed = median(rounds.map((round) => round[at]!.imagesPerSecond));
    const range = `${Math.min(...megabytes).toFixed(0)} to ${Math.max(...megabytes).toFixed(0)}`;
    process.stdout.write(
      `${count} images: ${median(megabytes).toFixed(0)} MB (${range}), ${speed.toFixed(1)} images/s\n`,
    );
    return median(megabytes);
  });
  process.stdout.write(`${name}: ${(100 * (medians[1]! / medians[0]! - 1)).toFixed(1)} % more (limit 10 %)\n`);
}
