import { counted, percent } from '../../json.js';
import { defineCommand } from '../command.js';
import { argument, flag } from '../options.js';
import { print, printJson } from '../output.js';

export const flopsCommand = defineCommand({
  command: 'flops <network>',
  describe: 'count what a network costs, stage by stage',
  builder: (yargs) =>
    yargs
      .positional('network', argument('a name (dgate list networks)'))
      .option('json', flag('exact integers as JSON'))
      .example('$0 flops resnet101-cifar10', '5,019,967,488 FLOPs')
      .example('$0 flops densenet201-growth12-cifar10', 'a narrower variant'),
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
