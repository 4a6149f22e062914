import type { CommandModule } from 'yargs';
import type { GlobalOptions } from './context.js';

export const cacheCommand: CommandModule<GlobalOptions, GlobalOptions> = {
  command: 'cache',
  describe: 'list, verify and prune what was computed',
  builder: (yargs) =>
    yargs
      .command({
        command: 'list',
        describe: 'every cached result, what it was made from and its size',
        builder: (list) =>
          list
            .option('json', { type: 'boolean', default: false, describe: 'as JSON' })
            .example('$0 cache list --json', 'with what each result was made from'),
        handler: async (options) => (await import('./cache-commands.js')).listCache(options as never),
      })
      .command({
        command: 'verify',
        describe:
          'read every file of results, data and checkpoints and check its hash; exit status 1 where one is damaged',
        builder: (verify) =>
          verify
            .option('json', { type: 'boolean', default: false, describe: 'as JSON' })
            .example('$0 cache verify', 'a run makes again what is damaged'),
        handler: async (options) => (await import('./cache-commands.js')).verifyCache(options as never),
      })
      .command({
        command: 'prune',
        describe: 'remove results that were not used for long; never data, checkpoints, or what is in use',
        builder: (prune) =>
          prune
            .option('older-than', {
              type: 'string',
              requiresArg: true,
              describe: 'results unused for so long: 30d, 12h',
            })
            .option('keep-bytes', {
              type: 'string',
              requiresArg: true,
              describe: 'results, the longest unused first, until the rest takes at most so much: 5GB',
            })
            .option('dry-run', { type: 'boolean', default: false, describe: 'only says what would go' })
            .option('json', { type: 'boolean', default: false, describe: 'as JSON' })
            .example('$0 cache prune --older-than 30d --dry-run', 'what nobody has used for a month')
            .example('$0 cache prune --keep-bytes 5GB', 'the last used 5 GB stay'),
        handler: async (options) => (await import('./cache-commands.js')).pruneCache(options as never),
      })
      .example('$0 cache list', 'what is there')
      .example('$0 cache verify', 'whether it is still what was written')
      .demandCommand(1, 'cache: no command; valid: list, verify, prune') as never,
  handler: () => {},
};
