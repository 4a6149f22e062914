import type { CommandModule } from 'yargs';
import type { GlobalOptions } from './context.js';

export const cacheCommand: CommandModule<GlobalOptions, GlobalOptions> = {
  command: 'cache',
  describe: 'list and verify what was computed',
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
        describe: 'read every cached file and check its hash; exit status 1 where one is damaged',
        builder: (verify) =>
          verify
            .option('json', { type: 'boolean', default: false, describe: 'as JSON' })
            .example('$0 cache verify', 'a run makes again what is damaged'),
        handler: async (options) => (await import('./cache-commands.js')).verifyCache(options as never),
      })
      .example('$0 cache list', 'what is there')
      .example('$0 cache verify', 'whether it is still what was written')
      .demandCommand(1, 'cache: no command; valid: list, verify') as never,
  handler: () => {},
};
