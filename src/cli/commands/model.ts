import {
  argument,
  defineCommand,
  defineGroup,
  flag,
  numberOption,
  pixelOptions,
  textOption,
  weightsOptions,
} from '../command.js';

const networkOption = { ...textOption('a name (dgate list networks)'), demandOption: true } as const;

const fetchCommand = defineCommand({
  command: 'fetch <id>',
  describe: 'download a known checkpoint; resumed after an interruption, verified by its hash',
  builder: (yargs) =>
    yargs
      .positional('id', argument('an id (dgate list checkpoints)'))
      .option('from', textOption('a local copy of the file; checked by its hash'))
      .example('$0 model fetch akamaster-resnet56-cifar10', '')
      .example('$0 model fetch akamaster-resnet56-cifar10 --from resnet56-4bfd9763.th', 'offline'),
  run: async (options) => (await import('../models.js')).fetchModel(options),
});

const importCommand = defineCommand({
  command: 'import <file>',
  describe: 'check a checkpoint against a network and write it as safetensors',
  builder: (yargs) =>
    yargs
      .positional('file', argument('PyTorch (.pt, .pth, .th) or safetensors'))
      .option('network', networkOption)
      .options(weightsOptions)
      .option('out', { ...textOption('file to write'), demandOption: true })
      .options(pixelOptions)
      .option('crop', { type: 'number', requiresArg: true, describe: 'ImageNet: side of the centre, in pixels' })
      .option(
        'held-out',
        textOption('JSON file: positions of the training images that the network has not learnt from'),
      )
      .option('half', flag('store weights in half precision'))
      .option('int8', flag('store weights as 8-bit integers with a scale for each output channel, the rest as --half'))
      .example('$0 model import resnet56.th --network resnet56-cifar10 --out resnet56.safetensors', ''),
  run: async (options) => (await import('../models.js')).importModel(options),
});

const infoCommand = defineCommand({
  command: 'info <file>',
  describe: 'describe a checkpoint: format, hash, tensors',
  builder: (yargs) =>
    yargs
      .positional('file', argument('a checkpoint'))
      .option('json', flag('as JSON'))
      .example('$0 model info resnet56.th', 'also the name and shape of each tensor'),
  run: async (options) => (await import('../models.js')).describeModel(options),
});

const inspectCommand = defineCommand({
  command: 'inspect <file>',
  describe: 'what an ONNX file costs, and where gates can sit in it',
  builder: (yargs) =>
    yargs
      .positional('file', argument('a trained classifier as ONNX'))
      .option('logits', textOption('output with one value per class'))
      .option('input-size', textOption('height x width of the images, where the file leaves them open: 224x224'))
      .option('json', flag('as JSON'))
      .example('$0 model inspect model.onnx', 'inputs, classes, FLOPs and places for gates'),
  run: async ({ file, json, ...options }) => (await import('../models.js')).inspectModel(file, options, json),
});

const evalCommand = defineCommand({
  command: 'eval',
  describe: 'accuracy of the original network',
  builder: (yargs) =>
    yargs
      .option('network', networkOption)
      .option('checkpoint', textOption('weights: a file, or a known id'))
      .options(weightsOptions)
      .option('split', { choices: ['train', 'test'] as const, default: 'test' as const, describe: 'which images' })
      .option('limit', numberOption('only the first images'))
      .option('engine', { ...textOption('what executes it'), default: 'auto' })
      .option('json', flag('as JSON'))
      .example('$0 model eval --network resnet56-cifar10 --checkpoint resnet56.th', ''),
  run: async (options) => (await import('../models.js')).evaluateModel(options),
});

export const modelCommand = defineGroup({
  command: 'model',
  describe: 'fetch, import, inspect and evaluate checkpoints',
  commands: {
    fetch: fetchCommand,
    import: importCommand,
    info: infoCommand,
    inspect: inspectCommand,
    eval: evalCommand,
  },
  examples: [
    ['$0 model info resnet56.th', 'its format, hash and tensors'],
    ['$0 model eval --network resnet56-cifar10 --checkpoint resnet56.th', 'its accuracy'],
  ],
});
