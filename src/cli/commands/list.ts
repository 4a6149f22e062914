import { percent } from '../../json.js';
import { defineCommand } from '../command.js';
import { flag } from '../options.js';
import { print, printJson } from '../output.js';

const kinds = ['experiments', 'networks', 'datasets', 'checkpoints', 'engines'] as const;
type Kind = (typeof kinds)[number];

/** An item that the command line takes by name. */
interface Listed {
  readonly name: string;
  readonly description: string;
}

const readers: Readonly<Record<Kind, () => Promise<readonly Listed[]>>> = {
  experiments: async () => {
    const { experimentNames, loadDefinition } = await import('../../experiment/load.js');
    const names = await experimentNames();
    return Promise.all(
      names.map(async (name) => {
        const { exported } = await loadDefinition(name);
        return { name, description: String((exported as { title?: unknown }).title) };
      }),
    );
  },
  networks: async () => (await import('../../networks/catalogue.js')).listNetworks(),
  datasets: async () => (await import('../../data/registry.js')).datasets,
  checkpoints: async () => {
    const { knownCheckpoints } = await import('../../checkpoints/known.js');
    return knownCheckpoints.map(({ id, network, reportedAccuracy, licence, hashChecked }) => ({
      name: id,
      description:
        `${network}, ${percent(reportedAccuracy, 2)} reported, licence ${licence}, ` +
        `hash ${hashChecked ? 'checked' : 'not checked here'}`,
    }));
  },
  engines: async () => {
    const { listEngines } = await import('../../engines/registry.js');
    return listEngines().map(({ id, description }) => ({ name: id, description }));
  },
};

export const listCommand = defineCommand({
  command: 'list [kind]',
  describe: 'list experiments, networks, datasets, checkpoints and engines',
  builder: (yargs) =>
    yargs
      .positional('kind', { choices: kinds, describe: 'one kind only' })
      .option('json', flag('as JSON'))
      .example('$0 list networks', 'names that an experiment can use'),
  run: async ({ kind, json }) => {
    const chosen = kind === undefined ? kinds : [kind];
    const lists = await Promise.all(
      chosen.map(async (name): Promise<[Kind, Listed[]]> => {
        const items = await readers[name]();
        return [name, items.map((item) => ({ name: item.name, description: item.description }))];
      }),
    );
    if (json) return printJson(kind === undefined ? Object.fromEntries(lists) : lists[0]![1]);
    for (const [name, items] of lists) {
      const width = Math.max(...items.map((item) => item.name.length));
      const lines = items.map((item) => `  ${item.name.padEnd(width)}  ${item.description}`);
      print(`${name}\n${lines.join('\n')}`);
    }
  },
});
