/**
 * npx tsx bench/engines.ts [network] [batches]
 *
 * Throughput of every engine that works here, and of PyTorch where /usr/bin/python3 has it (Debian's python3-torch), on
 * one network with generated weights: default resnet101-cifar10 at batch 1 and 32. Each engine runs in a process of its
 * own, one after the other; after a warm-up, runs for about five seconds, of which the median counts (one run where it
 * takes longer). What would take more than two minutes, by the time of one image, is left out and named.
 *
 * Printed: milliseconds of a batch, images and GFLOP per second. About two minutes on two cores.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { createEngine, listEngines } from '../src/engines/registry.js';
import { InputError, messageOf } from '../src/errors.js';
import { networkByName } from '../src/networks/catalogue.js';
import { lowerNetwork } from '../src/networks/lower.js';
import { networkFlops } from '../src/networks/network.js';
import { renderColumns } from '../src/report/findings.js';
import { generatedImages, generatedTensors } from '../test/parity.js';

const [name = 'resnet101-cifar10', batchesArgument = '1,32', only] = process.argv.slice(2);
const network = networkByName(name);
const batches = batchesArgument.split(',').map(Number);
const MEASURED_SECONDS = 5;
const LIMIT_SECONDS = 120;

/** Median seconds of a batch, or why there are none. */
type Line = { readonly batch: number; readonly seconds: number } | { readonly batch: number; readonly why: string };

async function measure(id: string): Promise<Line[]> {
  const engine = await createEngine(id);
  const loaded = await engine.loadFeatures(lowerNetwork(network, generatedTensors(network)), []);
  const two = generatedImages(network);
  const pixels = two.length / 2;
  const run = async (batch: number): Promise<number> => {
    const images = Float32Array.from({ length: batch * pixels }, (_, i) => two[i % two.length]!);
    const start = performance.now();
    await loaded.run(images, batch);
    return (performance.now() - start) / 1000;
  };
  const lines: Line[] = [];
  await run(1); // compiles kernels and shaders
  const one = await run(1);
  for (const batch of batches) {
    const estimate = one * batch;
    if (estimate > LIMIT_SECONDS) {
      lines.push({ batch, why: `left out: about ${Math.round(estimate)} s` });
      continue;
    }
    if (estimate < MEASURED_SECONDS) await run(batch); // the first run of a size allocates
    const times: number[] = [];
    while (times.reduce((sum, time) => sum + time, 0) < MEASURED_SECONDS) times.push(await run(batch));
    lines.push({ batch, seconds: median(times) });
  }
  await loaded.close();
  return lines;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

/** An engine's lines from a process of its own. */
function measureAlone(id: string): Line[] {
  const script = fileURLToPath(import.meta.url);
  const args = [...process.execArgv, script, name, batchesArgument, id];
  const { stdout } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    timeout: 2 * batches.length * LIMIT_SECONDS * 1000,
  });
  const json = /^LINES (.*)$/m.exec(stdout)?.[1];
  if (json !== undefined) return JSON.parse(json) as Line[];
  return batches.map((batch) => ({ batch, why: 'no answer: the process ended or took too long' }));
}

/** kuangliu's ResNet-101 in PyTorch, eager mode, all cores: the same architecture, weights of its own. */
const PYTORCH = `
import json, os, sys, time, torch, torch.nn as nn, torch.nn.functional as F
torch.set_num_threads(len(os.sched_getaffinity(0))) # Debian's begins with one
class B(nn.Module):
  def __init__(s, i, p, st):
    super().__init__()
    s.c1, s.b1 = nn.Conv2d(i, p, 1, bias=False), nn.BatchNorm2d(p)
    s.c2, s.b2 = nn.Conv2d(p, p, 3, st, 1, bias=False), nn.BatchNorm2d(p)
    s.c3, s.b3 = nn.Conv2d(p, 4 * p, 1, bias=False), nn.BatchNorm2d(4 * p)
    s.s = nn.Sequential(nn.Conv2d(i, 4 * p, 1, st, bias=False), nn.BatchNorm2d(4 * p)) if st != 1 or i != 4 * p else nn.Sequential()
  def forward(s, x):
    y = F.relu(s.b1(s.c1(x))); y = F.relu(s.b2(s.c2(y)))
    return F.relu(s.b3(s.c3(y)) + s.s(x))
layers, i = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()], 64
for p, n, st in [(64, 3, 1), (128, 4, 2), (256, 23, 2), (512, 3, 2)]:
  for k in range(n): layers.append(B(i, p, 1 if k else st)); i = 4 * p
net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(i, 10)).eval()
out = []
with torch.inference_mode():
  for batch in map(int, sys.argv[1].split(',')):
    x = torch.randn(batch, 3, 32, 32); net(x); t = []
    while sum(t) < ${MEASURED_SECONDS}:
      a = time.perf_counter(); net(x); t.append(time.perf_counter() - a)
    out.append({'batch': batch, 'seconds': sorted(t)[len(t) // 2]})
print('LINES', json.dumps(out)); print('VERSION', torch.__version__)
`;

function measurePyTorch(): { label: string; lines: Line[] } {
  const none = (why: string) => ({ label: 'PyTorch', lines: batches.map((batch) => ({ batch, why })) });
  if (name !== 'resnet101-cifar10') return none('written for resnet101-cifar10 only');
  if (!existsSync('/usr/bin/python3')) return none('no /usr/bin/python3');
  const { stdout } = spawnSync('/usr/bin/python3', ['-c', PYTORCH, batchesArgument], {
    encoding: 'utf8',
    timeout: 2 * LIMIT_SECONDS * 1000,
  });
  const json = /^LINES (.*)$/m.exec(stdout)?.[1];
  if (json === undefined) return none('not installed (apt-get install python3-torch)');
  return { label: `PyTorch ${/^VERSION (.*)$/m.exec(stdout)?.[1]}`, lines: JSON.parse(json) as Line[] };
}

if (only !== undefined) {
  const lines = await measure(only).catch((error: unknown) => {
    if (!(error instanceof InputError)) throw error;
    return batches.map((batch) => ({ batch, why: messageOf(error).replace(/; run: .*/, '') }));
  });
  process.stdout.write(`LINES ${JSON.stringify(lines)}\n`, () => process.exit(0));
} else {
  const { flops } = networkFlops(network);
  const results = [...listEngines().map(({ id }) => ({ label: id, lines: measureAlone(id) })), measurePyTorch()];
  const rows = results.flatMap(({ label, lines }) =>
    lines.map((line) =>
      'why' in line
        ? [label, String(line.batch), '-', '-', '-']
        : [
            label,
            String(line.batch),
            (1000 * line.seconds).toFixed(1),
            (line.batch / line.seconds).toFixed(1),
            ((line.batch * flops) / line.seconds / 1e9).toFixed(1),
          ],
    ),
  );
  const missing = results.flatMap(({ label, lines }) =>
    lines.flatMap((line) => ('why' in line ? [`${label}, batch ${line.batch}: ${line.why}\n`] : [])),
  );
  process.stdout.write(
    `${name}, ${(flops / 1e9).toFixed(2)} GFLOPs an image; ${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, ` +
      `node ${process.versions.node}\n${renderColumns(['Engine', 'Batch', 'ms', 'Images/s', 'GFLOP/s'], rows)}\n${missing.join('')}`,
  );
}
