/**
 * Decoding, resizing and cropping JPEGs against torchvision's loader, in turn in one run.
 *
 * Command   npx tsx bench/decoding.ts [FOLDER] [ROUNDS] [WORKERS] [PYTHON]
 *           (../shared/imagenet-sample, 5, 2, /usr/bin/python3 with torchvision)
 * Both read every JPEG of the folder ten times in batches of 64, to bytes (3, 224, 224): torchvision by a DataLoader
 * with WORKERS processes, dgate in one process with WORKERS decoding threads. Printed: images per second (wall clock,
 * starting of processes left out) and processor time per image, which other work on the machine does not change.
 * Limit: at least as many images per second.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FileList } from '../src/data/image-folder/listing.js';
import { folderSource } from '../src/data/image-folder/source.js';
import { usualGeometry } from '../src/data/preprocess.js';

const repeats = 10;
const batchImages = 64;

interface Measured {
  readonly imagesPerSecond: number;
  readonly cpuMsPerImage: number;
}

const torchvision = `
import glob, json, resource, sys, time
from torch.utils.data import DataLoader
from torchvision import transforms as T
from torchvision.datasets.folder import default_loader
class Images:
    files = sorted(glob.glob(sys.argv[1] + '/*.JPEG')) * ${repeats}
    t = T.Compose([T.Resize(256), T.CenterCrop(224), T.PILToTensor()])
    def __len__(self): return len(self.files)
    def __getitem__(self, i): return self.t(default_loader(self.files[i]))
def cpu():
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
loader = DataLoader(Images(), batch_size=${batchImages}, num_workers=int(sys.argv[2]))
before, batches = cpu(), iter(loader)
first = len(next(batches)); start = time.time()
count = sum(len(b) for b in batches); seconds = time.time() - start
del batches
print(json.dumps({'imagesPerSecond': count / seconds, 'cpuMsPerImage': 1000 * (cpu() - before) / (count + first)}))
`;

/** In a process of its own: the number of libuv's threads is fixed when a process starts. */
async function measureHere(folder: string): Promise<Measured> {
  const names = readdirSync(folder).filter((name) => name.endsWith('.JPEG'));
  const files = Array.from({ length: repeats }, () =>
    names.map((path) => ({ path, label: 0, bytes: statSync(join(folder, path)).size })),
  ).flat();
  const source = folderSource(FileList.inOrder(folder, files.length, files), ['all'], usualGeometry);
  const spare: Uint8Array[] = []; // batches that were used are filled again, as in extraction
  const batch = (start: number): Promise<Uint8Array> => {
    const indices = Int32Array.from({ length: Math.min(batchImages, source.count - start) }, (_, i) => start + i);
    return source.batch(indices, spare.pop());
  };
  const cpuBefore = process.cpuUsage();
  // One batch ahead, as in extraction; the first one is not timed, on either side.
  let next = batch(batchImages);
  spare.push(await batch(0));
  const start = performance.now();
  for (let first = 2 * batchImages; first < source.count; first += batchImages) {
    const current = next;
    next = batch(first);
    spare.push(await current);
  }
  await next;
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  if (source.unreadable?.size !== 0) throw new Error([...source.unreadable!.values()].join('\n'));
  return {
    imagesPerSecond: (source.count - batchImages) / seconds,
    cpuMsPerImage: (user + system) / 1000 / source.count,
  };
}

function inChild(command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Measured {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', env: { ...process.env, ...env } });
  if (status !== 0) throw new Error(`${command}: ${stderr}`);
  return JSON.parse(stdout) as Measured;
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;

function compare(folder: string, rounds: number, workers: string, python: string): void {
  const self = fileURLToPath(import.meta.url);
  const ours: Measured[] = [];
  const theirs: Measured[] = [];
  for (let round = 0; round < rounds; round++) {
    ours.push(inChild(process.execPath, ['--import', 'tsx', self, '--child', folder], { UV_THREADPOOL_SIZE: workers }));
    theirs.push(inChild(python, ['-c', torchvision, folder, workers]));
    const show = ({ imagesPerSecond, cpuMsPerImage }: Measured): string =>
      `${imagesPerSecond.toFixed(0)} images/s (${cpuMsPerImage.toFixed(2)} ms of processor each)`;
    process.stdout.write(`round ${round + 1}: dgate ${show(ours.at(-1)!)}, torchvision ${show(theirs.at(-1)!)}\n`);
  }
  const of = (all: readonly Measured[], key: keyof Measured): number => median(all.map((one) => one[key]));
  const rate = (all: readonly Measured[]): number => of(all, 'imagesPerSecond');
  process.stdout.write(
    `median of ${rounds} rounds, ${workers} workers: dgate ${rate(ours).toFixed(0)} images/s, torchvision ` +
      `${rate(theirs).toFixed(0)} images/s, ratio ${(rate(ours) / rate(theirs)).toFixed(2)}; processor time per image ` +
      `${of(ours, 'cpuMsPerImage').toFixed(2)} and ${of(theirs, 'cpuMsPerImage').toFixed(2)} ms\n` +
      `${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, node ${process.versions.node}\n`,
  );
}

const [first = '../shared/imagenet-sample', ...rest] = process.argv.slice(2);
if (first === '--child') {
  process.stdout.write(JSON.stringify(await measureHere(rest[0]!)));
} else {
  const [rounds = '5', workers = '2', python = '/usr/bin/python3'] = rest;
  compare(resolve(join(first)), Number(rounds), workers, python);
}
