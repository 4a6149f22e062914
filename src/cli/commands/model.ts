import { defineCommand, defineGroup, option } from '../command.js';
import { evalOptions, importOptions, inspectOptions } from '../options.js';

const fetchCommand = defineCommand({
  command: 'fetch <id>',
  describe: 'download a known checkpoint; resumed after an interruption, verified by its hash',
  options: {
    id: option.argument('an id (dgate list checkpoints)'),
    from: option.text('a local copy of the file; checked by its hash'),
  },
  examples: {
    '$0 model fetch akamaster-resnet56-cifar10': '',
    '$0 model fetch akamaster-resnet56-cifar10 --from resnet56-4bfd9763.th': 'offline',
  },
  run: async (options) => (await import('../models.js')).fetchModel(options),
});

const importCommand = defineCommand({
  command: 'import <file>',
  describe: 'check a checkpoint against a network and write it as safetensors',
  options: importOptions,
  examples: { '$0 model import resnet56.th --network resnet56-cifar10 --out resnet56.safetensors': '' },
  run: async (options) => (await import('../models.js')).importModel(options),
});

const infoCommand = defineCommand({
  command: 'info <file>',
  describe: 'describe a checkpoint: format, hash, tensors',
  options: { file: option.argument('a checkpoint'), json: option.flag('as JSON') },
  examples: { '$0 model info resnet56.th': 'also the name and shape of each tensor' },
  run: async (options) => (await import('../models.js')).describeModel(options),
});

const inspectCommand = defineCommand({
  command: 'inspect <file>',
  describe: 'what an ONNX file costs, and where gates can sit in it',
  options: inspectOptions,
  examples: { '$0 model inspect model.onnx': 'inputs, classes, FLOPs and places for gates' },
  run: async (options) => (await import('../models.js')).inspectModel(options),
});

const evalCommand = defineCommand({
  command: 'eval',
  describe: 'accuracy of the original network',
  options: evalOptions,
  examples: { '$0 model eval --network resnet56-cifar10 --checkpoint resnet56.th': '' },
  run: async (options) => (await import('../models.js')).evaluateModel(options),
});

export const modelCommand = defineGroup(
  'model',
  'fetch, import, inspect and evaluate checkpoints',
  [fetchCommand, importCommand, infoCommand, inspectCommand, evalCommand],
  {
    '$0 model info resnet56.th': 'its format, hash and tensors',
    '$0 model eval --network resnet56-cifar10 --checkpoint resnet56.th': 'its accuracy',
  },
);
