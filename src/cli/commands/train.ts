import { defineCommand } from '../command.js';
import { trainOptions } from '../options.js';

export const trainCommand = defineCommand({
  command: 'train <network>',
  describe: 'train a base network on its dataset; --resume resumes an interrupted training',
  options: trainOptions,
  examples: {
    '$0 train resnet101-width0.25-blocks1.1.8.1-cifar10': '20 epochs of a small network',
    '$0 train resnet101-cifar10 --preset paper --out r101.safetensors': "the paper's network; needs a GPU",
    '$0 train resnet101-cifar10 --out r101.safetensors --resume': 'after an interruption',
  },
  run: async (options) => (await import('../train-network.js')).trainNetwork(options),
});
