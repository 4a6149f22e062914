import type { CommandModule } from 'yargs';
import type { GlobalOptions } from './context.js';

export interface DoctorOptions extends GlobalOptions {
  readonly json: boolean;
  readonly setup?: 'tfjs-node' | 'ort-cuda';
  readonly gpu: boolean;
  readonly wheel?: string;
  readonly sitePackages?: string;
}

export const doctorCommand: CommandModule<GlobalOptions, DoctorOptions> = {
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
      .example('$0 doctor --setup ort-cuda', 'ONNX Runtime on CUDA 13') as never,
  handler: async (options) => (await import('./doctor-commands.js')).doctor(options),
};
