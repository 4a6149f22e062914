import { counted, percent } from '../../json.js';
import { defineCommand, option } from '../command.js';
import { print, printJson } from '../output.js';

const kinds = ['experiments', 'networks', 'datasets', 'checkpoints', 'engines'] as const;

/** An item that the command line takes by name. */
interface Listed {
  readonly name: string;
  readonly description: string;
}

const readers: Readonly<Record<(typeof kinds)[number], () => Promise<readonly Listed[]>>> = {
  experiments: async () => {
    const { experimentNames, loadDefinition } = await import('../../experiment/load.js');
    return Promise.all(
      (await experimentNames()).map(async (name) => {
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
  options: { kind: option.choice(kinds, 'one kind only'), json: option.flag('as JSON') },
  examples: { '$0 list networks': 'names that an experiment can use' },
  run: async ({ kind, json }) => {
    const lists = await Promise.all(
      (kind === undefined ? kinds : [kind]).map(async (name) => {
        const items = await readers[name]();
        return [name, items.map((item): Listed => ({ name: item.name, description: item.description }))] as const;
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

export const flopsCommand = defineCommand({
  command: 'flops <network>',
  describe: 'count what a network costs, stage by stage',
  options: { network: option.argument('a name (dgate list networks)'), json: option.flag('exact integers as JSON') },
  examples: {
    '$0 flops resnet101-cifar10': '5,019,967,488 FLOPs',
    '$0 flops densenet201-growth12-cifar10': 'a narrower variant',
  },
  run: async ({ network, json }) => {
    const { networkByName } = await import('../../networks/catalogue.js');
    const { networkFlops } = await import('../../networks/network.js');
    const flops = networkFlops(networkByName(network));
    if (json) return printJson(flops);
    const { renderColumns } = await import('../../report/findings.js');
    const rows = flops.stages.map((stage) => [
      stage.name,
      `${stage.channels} x ${stage.height} x ${stage.width}`,
      counted(stage.flops),
      counted(stage.cumulativeFlops),
      percent(stage.cumulativeFlops / flops.flops),
    ]);
    const { channels, height, width } = flops.input;
    print(
      `${flops.network}: ${counted(flops.flops)} FLOPs, ${counted(flops.parameters)} parameters, ` +
        `input ${channels} x ${height} x ${width}\n` +
        `${renderColumns(['Stage', 'Output', 'FLOPs', 'Cumulative FLOPs', 'Share'], rows)}\n` +
        'FLOPs are 2 x multiply-accumulates of convolutions and linear layers, for one image.\n',
    );
  },
});
