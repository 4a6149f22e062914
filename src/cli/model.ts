import type { CommandModule } from 'yargs';
import type { GlobalOptions } from './context.js';
import { number } from './options.js';

const jsonOption = { type: 'boolean', default: false, describe: 'as JSON' } as const;
const networkOption = {
  type: 'string',
  demandOption: true,
  requiresArg: true,
  describe: 'a name (dgate list networks)',
} as const;

export const modelCommand: CommandModule<GlobalOptions, GlobalOptions> = {
  command: 'model',
  describe: 'fetch, import, inspect and evaluate checkpoints',
  builder: (yargs) =>
    yargs
      .command({
        command: 'fetch <id>',
        describe: 'download a known checkpoint; resumed after an interruption, verified by its hash',
        builder: (fetch) =>
          fetch
            .positional('id', { type: 'string', demandOption: true, describe: 'an id (dgate list checkpoints)' })
            .example('$0 model fetch akamaster-resnet56-cifar10', ''),
        handler: async (options) => (await import('./model-commands.js')).fetchModel(options as never),
      })
      .command({
        command: 'import <file>',
        describe: 'check a checkpoint against a network and write it as safetensors',
        builder: (add) =>
          add
            .positional('file', {
              type: 'string',
              demandOption: true,
              describe: 'PyTorch (.pt, .pth, .th) or safetensors',
            })
            .option('network', networkOption)
            .option('out', { type: 'string', demandOption: true, requiresArg: true, describe: 'file to write' })
            .option('mean', { type: 'string', requiresArg: true, describe: 'mean of each channel: 0.49,0.48,0.45' })
            .option('std', { type: 'string', requiresArg: true, describe: 'standard deviation of each channel' })
            .option('resize', { type: 'number', requiresArg: true, describe: 'ImageNet: shorter side, in pixels' })
            .option('crop', { type: 'number', requiresArg: true, describe: 'ImageNet: side of the centre, in pixels' })
            .option('interpolation', {
              choices: ['bilinear', 'bicubic'] as const,
              requiresArg: true,
              describe: 'ImageNet: how images are resized',
            })
            .option('held-out', {
              type: 'string',
              requiresArg: true,
              describe: 'JSON file: positions of the training images that the network has not learnt from',
            })
            .option('half', { type: 'boolean', default: false, describe: 'store weights in half precision' })
            .option('int8', {
              type: 'boolean',
              default: false,
              describe: 'store weights as 8-bit integers with a scale for each output channel, the rest as --half',
            })
            .example('$0 model import resnet56.th --network resnet56-cifar10 --out resnet56.safetensors', ''),
        handler: async (options) => (await import('./model-commands.js')).importModel(options as never),
      })
      .command({
        command: 'info <file>',
        describe: 'say what a checkpoint holds',
        builder: (info) =>
          info
            .positional('file', { type: 'string', demandOption: true, describe: 'a checkpoint' })
            .option('json', jsonOption)
            .example('$0 model info resnet56.th', 'format, hash, and name and shape of each tensor'),
        handler: async (options) => (await import('./model-commands.js')).describeModel(options as never),
      })
      .command({
        command: 'inspect <file>',
        describe: 'what an ONNX file costs, and where gates can sit in it',
        builder: (inspect) =>
          inspect
            .positional('file', { type: 'string', demandOption: true, describe: 'a trained classifier as ONNX' })
            .option('logits', { type: 'string', requiresArg: true, describe: 'output with a number for each class' })
            .option('json', jsonOption)
            .example('$0 model inspect model.onnx', 'inputs, classes, FLOPs and places for gates'),
        handler: async (options) => (await import('./model-inspect.js')).inspectModel(options as never),
      })
      .command({
        command: 'eval',
        describe: 'accuracy of the original network',
        builder: (evaluate) =>
          evaluate
            .option('network', networkOption)
            .option('checkpoint', { type: 'string', requiresArg: true, describe: 'weights: a file, or a known id' })
            .option('split', { choices: ['train', 'test'] as const, default: 'test' as const, describe: 'images' })
            .option('limit', number('only the first images'))
            .option('engine', { type: 'string', default: 'auto', requiresArg: true, describe: 'what executes it' })
            .option('json', jsonOption)
            .example('$0 model eval --network resnet56-cifar10 --checkpoint resnet56.th', ''),
        handler: async (options) => (await import('./model-commands.js')).evaluateModel(options as never),
      })
      .example('$0 model info resnet56.th', 'what is in it')
      .example('$0 model eval --network resnet56-cifar10 --checkpoint resnet56.th', 'how good it is')
      .demandCommand(1, 'model: no command; valid: fetch, import, info, inspect, eval') as never,
  handler: () => {},
};
