/**
 * Memory of an extraction from image files at two numbers of images.
 *
 * Command   npx tsx bench/extraction-memory.ts [FOLDER] [NETWORK] [FEW] [MANY]
 *           (../shared/imagenet-sample, resnet18-width0.25-imagenet, 100, 10000)
 * A folder in ImageNet's layout is made of links to the images of FOLDER, again and again; each number is extracted in a
 * process of its own, whole, with generated weights. Printed: most resident memory of both, and images per second.
 * Wanted: less than 10 % more. On 2026-11-23 (two cores of an AMD EPYC, Node 20.20.2) 367 MB for 100 images and 491 MB for
 * 4,100: buffers in JavaScript are as large after 1,024 images as later; what grows until then lies outside of JavaScript.
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
import type { GatePlace } from '../src/networks/pooling.js';
import { LazyEngine, type RunContext } from '../src/pipeline/context.js';
import { extract } from '../src/pipeline/extract.js';
import { silent } from '../src/progress.js';
import { Store } from '../src/store/store.js';
import { generatedTensors } from '../test/parity.js';

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
      preprocessing: imagenet.preprocessing,
      heldOut: async () => new Int32Array(),
      lowered: async () => lowered,
    };
    const places: GatePlace[] = [1, 2, 3].map((stage) => ({ stage, pooling: { kind: 'gap' } }));
    const start = performance.now();
    await extract(context, source, images, places, new LazyEngine('ort-cpu'), 'linked');
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
  const results = [few, many].map((count) => ({ count, ...inChild(resolve(first), name, count) }));
  for (const { count, megabytes, imagesPerSecond } of results) {
    process.stdout.write(`${count} images: ${megabytes.toFixed(0)} MB, ${imagesPerSecond.toFixed(1)} images/s\n`);
  }
  const share = results[1]!.megabytes / results[0]!.megabytes - 1;
  process.stdout.write(`${name}: ${(100 * share).toFixed(1)} % more (limit 10 %)\n`);
}
