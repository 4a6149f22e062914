import { join } from 'node:path';
import type { Diagnosis } from '../../engines/doctor/diagnose.js';
import { InputError } from '../../errors.js';
import { defineCommand } from '../command.js';
import { cacheFolder, type GlobalOptions } from '../folders.js';
import { print, printJson, say } from '../output.js';

export const doctorCommand = defineCommand({
  command: 'doctor',
  describe: 'which engines and devices work here, how fast, and how to get the others',
  builder: (yargs) =>
    yargs
      .option('json', { type: 'boolean', default: false, describe: 'as JSON' })
      .option('setup', {
        choices: ['tfjs-node', 'ort-cuda'] as const,
        requiresArg: true,
        describe:
          "tfjs-node: compile its addon on the TensorFlow of a Python wheel; ort-cuda: take ONNX Runtime's CUDA " +
          'libraries from one (Linux)',
      })
      .option('gpu', { type: 'boolean', default: false, describe: 'with --setup tfjs-node: for CUDA (several GB)' })
      .option('wheel', {
        type: 'string',
        requiresArg: true,
        describe: 'with --setup: this wheel of tensorflow-cpu, tensorflow or onnxruntime-gpu; nothing is fetched',
      })
      .option('site-packages', {
        type: 'string',
        requiresArg: true,
        describe: 'with --setup tfjs-node: the TensorFlow installed in this Python folder; linked, not copied',
      })
      .example('$0 doctor', 'every engine: works or not, GFLOP/s')
      .example('$0 doctor --setup tfjs-node', "TensorFlow's own kernels on the CPU")
      .example('$0 doctor --setup tfjs-node --gpu', 'the same with CUDA')
      .example('$0 doctor --setup ort-cuda', 'ONNX Runtime on CUDA 13'),
  run: async (options) => {
    const ofTensorFlow = [options.gpu && '--gpu', options.sitePackages && '--site-packages'].filter(Boolean);
    if (options.setup !== 'tfjs-node' && ofTensorFlow.length > 0) {
      throw new InputError(`${ofTensorFlow.join(', ')}: only with --setup tfjs-node`);
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
  const { machineReport, renderReport } = await import('../doctor-report.js');
  const { consoleProgress } = await import('../progress.js');
  const progress = consoleProgress();
  const ids = listEngines().map(({ id }) => id);
  const task = progress.begin('engines', ids.length, 'engines');
  const engines: Diagnosis[] = [];
  for (const id of ids) {
    task.update(engines.length, id);
    engines.push(await diagnose(id)); // one after the other, so that none slows another
  }
  task.end(`${ids.length} engines checked`);
  const machine = machineReport();
  if (json) printJson({ machine, auto: engineNamed('auto').id, engines });
  else print(renderReport(machine, engines));
}

interface SetupOptions extends GlobalOptions {
  readonly gpu: boolean;
  readonly wheel: string | undefined;
  readonly sitePackages: string | undefined;
  readonly json: boolean;
}

async function setupTensorFlow({ gpu, wheel, sitePackages, json, cache }: SetupOptions): Promise<void> {
  const { setupTfjsNode } = await import('../../engines/tfjs/setup/index.js');
  const extracted = join(cacheFolder({ cache }), 'tensorflow');
  const done = await setupTfjsNode({ gpu, wheel, sitePackages, cache: extracted, log: say });
  const device = done.gpu ? 'on the GPU' : 'on the CPU';
  if (json) printJson(done);
  else print(`${done.package}: TensorFlow ${done.tensorflow} ${device}${done.changed ? '' : ', unchanged'}\n`);
}

async function setupCuda({ wheel, json }: SetupOptions): Promise<void> {
  const { setupOrtCuda } = await import('../../engines/onnxruntime/setup.js');
  const done = await setupOrtCuda({ wheel, log: say });
  const state = done.works
    ? `ort-cuda works${done.changed ? '' : ', unchanged'}`
    : `ort-cuda does not work yet: ${done.reason}; run: ${done.command}`;
  if (json) printJson(done);
  else print(`onnxruntime-node ${done.version}: ${state}\n`);
  if (!done.works) process.exitCode = 1;
}
