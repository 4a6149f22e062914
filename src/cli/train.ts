import type { CommandModule } from 'yargs';
import { presetNames } from '../experiment/definition.js';
import type { RecipeName } from '../training/recipe.js';
import type { GlobalOptions } from './context.js';
import { decimal, number } from './options.js';

export interface TrainCommandOptions extends GlobalOptions {
  readonly network: string;
  readonly preset?: RecipeName;
  readonly epochs?: number;
  readonly batchSize?: number;
  readonly learningRate?: number;
  readonly seed?: number;
  readonly engine: string;
  readonly trainImages?: number;
  readonly out?: string;
  readonly resume: boolean;
  readonly checkpointEvery?: number;
  readonly json: boolean;
}

export const trainCommand: CommandModule<GlobalOptions, TrainCommandOptions> = {
  command: 'train <network>',
  describe: 'train a base network on its dataset; an interrupted training goes on with --resume',
  builder: (yargs) =>
    yargs
      .positional('network', { type: 'string', demandOption: true, describe: 'a name (dgate list networks)' })
      .option('preset', {
        choices: presetNames,
        defaultDescription: 'laptop',
        describe: 'recipe: paper (200 epochs, for a GPU), laptop (20 epochs, small networks), smoke',
      })
      .option('epochs', number("passes over the images, instead of the recipe's"))
      .option('batch-size', number("images of a step, instead of the recipe's"))
      .option('learning-rate', decimal("highest learning rate, instead of the recipe's"))
      .option('seed', {
        ...number('of the first weights, order, crops and the images held out'),
        defaultDescription: '0',
      })
      .option('engine', { type: 'string', default: 'auto', requiresArg: true, describe: 'what trains (tfjs-...)' })
      .option('train-images', number('learn from some images only'))
      .option('out', {
        type: 'string',
        requiresArg: true,
        defaultDescription: '<network>.safetensors',
        describe: 'checkpoint to write; the curve stands beside it as .csv',
      })
      .option('resume', { type: 'boolean', default: false, describe: 'go on with the interrupted training of --out' })
      .option('checkpoint-every', {
        ...number('steps between two states to resume from; otherwise after each epoch and every 5 minutes'),
      })
      .option('json', { type: 'boolean', default: false, describe: 'the outcome as JSON' })
      .example('$0 train resnet101-width0.25-blocks1.1.8.1-cifar10', '20 epochs of a small network')
      .example('$0 train resnet101-cifar10 --preset paper --out r101.safetensors', "the paper's network; needs a GPU")
      .example('$0 train resnet101-cifar10 --out r101.safetensors --resume', 'go on after an interruption') as never,
  handler: async (options) => (await import('./train-network.js')).trainNetwork(options),
};
