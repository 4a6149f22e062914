import { defineCommand } from '../command.js';
import { print, printJson } from '../output.js';

export const flopsCommand = defineCommand({
  command: 'flops <network>',
  describe: 'count what a network costs, stage by stage',
  builder: (yargs) =>
    yargs
      .positional('network', { type: 'string', demandOption: true, describe: 'a name (dgate list networks)' })
      .option('json', { type: 'boolean', default: false, describe: 'exact integers as JSON' })
      .example('$0 flops resnet101-cifar10', '5,019,967,488 FLOPs')
      .example('$0 flops densenet201-growth12-cifar10', 'a narrower variant'),
  run: async ({ network, json }) => {
    const { networkByName } = await import('../../networks/catalogue.js');
    const { networkFlops } = await import('../../networks/flops.js');
    const flops = networkFlops(networkByName(network));
    if (json) {
      printJson(flops);
      return;
    }
    const { renderColumns } = await import('../../report/columns.js');
    const number = (value: number): string => value.toLocaleString('en');
    const rows = flops.stages.map((stage) => [
      stage.name,
      `${stage.channels} x ${stage.height} x ${stage.width}`,
      number(stage.flops),
      number(stage.cumulativeFlops),
      `${((100 * stage.cumulativeFlops) / flops.flops).toFixed(1)} %`,
    ]);
    const { channels, height, width } = flops.input;
    print(
      `${flops.network}: ${number(flops.flops)} FLOPs, ${number(flops.parameters)} parameters, ` +
        `input ${channels} x ${height} x ${width}\n` +
        `${renderColumns(['Stage', 'Output', 'FLOPs', 'Cumulative FLOPs', 'Share'], rows)}\n` +
        'FLOPs are 2 x multiply-accumulates of convolutions and linear layers, for one image.\n',
    );
  },
});
