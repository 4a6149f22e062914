import { join } from 'node:path';
import type { Diagnosis } from '../../engines/doctor/diagnose.js';
import { InputError } from '../../errors.js';
import { cacheFolder, defineCommand, type Given, option } from '../command.js';
import { print, printEither, printJson, say } from '../output.js';

const doctorOptions = {
  json: option.flag('as JSON'),
  setup: option.choice(
    ['tfjs-node', 'ort-cuda'],
    "tfjs-node: compile its addon against the TensorFlow in a Python wheel; ort-cuda: take ONNX Runtime's CUDA " +
      'libraries from a Python wheel (Linux)',
    { requiresArg: true },
  ),
  gpu: option.flag('with --setup tfjs-node: for CUDA (several GB)'),
  wheel: option.text('with --setup: this wheel of tensorflow-cpu, tensorflow or onnxruntime-gpu; nothing is fetched'),
  'site-packages': option.text(
    'with --setup tfjs-node: the TensorFlow installed in this Python folder; linked, not copied',
  ),
};

export const doctorCommand = defineCommand({
  command: 'doctor',
  describe: 'which engines and devices work here, how fast, and how to get the others',
  options: doctorOptions,
  examples: {
    '$0 doctor': 'every engine: works or not, GFLOP/s',
    '$0 doctor --setup tfjs-node': "TensorFlow's own kernels on the CPU",
    '$0 doctor --setup tfjs-node --gpu': 'the same with CUDA',
    '$0 doctor --setup ort-cuda': 'ONNX Runtime on CUDA 13',
  },
  run: async (options) => {
    const tfjsNodeOnly = [options.gpu && '--gpu', options.sitePackages && '--site-packages'].filter(Boolean);
    if (options.setup !== 'tfjs-node' && tfjsNodeOnly.length > 0) {
      throw new InputError(`${tfjsNodeOnly.join(', ')}: only with --setup tfjs-node`);
    }
    if (options.setup === undefined && options.wheel !== undefined) throw new InputError('--wheel: only with --setup');
    if (options.setup === 'tfjs-node') await setupTensorFlow(options);
    else if (options.setup === 'ort-cuda') await setupCuda(options);
    else await report(options.json);
  },
});

async function report(json: boolean): Promise<void> {
  const { diagnose } = await import('../../engines/doctor/diagnose.js');
  const { engineNamed, listEngines } = await import('../../engines/registry.js');
  const { consoleProgress } = await import('../context.js');
  const ids = listEngines().map(({ id }) => id);
  const task = consoleProgress().begin('engines', ids.length, 'engines');
  const engines: Diagnosis[] = [];
  for (const id of ids) {
    task.update(engines.length, id);
    engines.push(await diagnose(id)); // one at a time: two would slow each other down
  }
  task.end(`${ids.length} engines checked`);
  const machine = await machineReport();
  if (json) printJson({ machine, auto: engineNamed('auto').id, engines });
  else print(await renderReport(machine, engines));
}

async function setupTensorFlow({ gpu, wheel, sitePackages, json, cache }: Given<typeof doctorOptions>): Promise<void> {
  const { setupTfjsNode } = await import('../../engines/tfjs/setup/index.js');
  const extracted = join(cacheFolder({ cache }), 'tensorflow');
  const done = await setupTfjsNode({ gpu, wheel, sitePackages, cache: extracted, log: say });
  const device = `on the ${done.gpu ? 'GPU' : 'CPU'}${done.changed ? '' : ', unchanged'}`;
  printEither(json, done, `${done.package}: TensorFlow ${done.tensorflow} ${device}`);
}

async function setupCuda({ wheel, json }: Given<typeof doctorOptions>): Promise<void> {
  const { setupOrtCuda } = await import('../../engines/onnxruntime/setup.js');
  const done = await setupOrtCuda({ wheel, log: say });
  const state = done.works
    ? `ort-cuda works${done.changed ? '' : ', unchanged'}`
    : `ort-cuda does not work yet: ${done.reason}; run: ${done.command}`;
  printEither(json, done, `onnxruntime-node ${done.version}: ${state}`);
  if (!done.works) process.exitCode = 1;
}

export type Machine = Awaited<ReturnType<typeof machineReport>>;

/** Processor, GPUs, system and Node of this machine. */
async function machineReport() {
  const { machineNote, nvidiaGpus } = await import('../../timing/record.js');
  const { processor, cores } = machineNote();
  const gpus = await nvidiaGpus('name,memory.total,driver_version');
  const platform = `${process.platform} ${process.arch}`;
  return { cpu: processor, cores, nvidiaGpus: gpus, platform, node: process.versions.node };
}

/** The console report: a table of all engines; below it, why some do not work and which command helps. */
export async function renderReport(machine: Machine, engines: readonly Diagnosis[]): Promise<string> {
  const { engineNamed } = await import('../../engines/registry.js');
  const { renderColumns } = await import('../../report/findings.js');
  const rows = engines.map((engine) => {
    if (!engine.works) return [engine.id, 'no', '', '', '', ''];
    const { id, gflopsPerSecond: pace, imagesPerSecond: images, batch, device } = engine;
    return [id, 'yes', pace.toFixed(pace < 10 ? 2 : 0), images.toFixed(images < 10 ? 1 : 0), String(batch), device];
  });
  const broken = engines.flatMap((engine) =>
    engine.works ? [] : [`${engine.id}: ${engine.reason}\n  run: ${engine.command}`],
  );
  const gpus = machine.nvidiaGpus.length > 0 ? machine.nvidiaGpus.join('; ') : 'none';
  return [
    `${machine.cpu}, ${machine.cores} cores; NVIDIA GPUs: ${gpus}; ${machine.platform}, Node ${machine.node}`,
    renderColumns(['Engine', 'Works', 'GFLOP/s', 'Images/s', 'Batch', 'Device'], rows, 'text'),
    'Measured for about a second each on ResNet-20, 32 x 32 images. `--engine auto` takes ' +
      `${engineNamed('auto').id}.`,
    ...broken,
    '',
  ].join('\n');
}
