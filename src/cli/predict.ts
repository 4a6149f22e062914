import type { CommandModule } from 'yargs';

export interface PredictOptions {
  readonly image: string[];
  readonly model: string;
  readonly thresholds?: string;
  readonly json: boolean;
}

export const predictCommand: CommandModule<object, PredictOptions> = {
  command: 'predict <image...>',
  describe: 'class, exit and confidence of images, by a file of dgate export',
  builder: (yargs) =>
    yargs
      .positional('image', { type: 'string', array: true, demandOption: true, describe: 'image files' })
      .option('model', {
        type: 'string',
        requiresArg: true,
        demandOption: true,
        describe: 'a file of dgate export; nothing else is needed',
      })
      .option('thresholds', {
        type: 'string',
        requiresArg: true,
        describe: 'one for each gate, comma between; inf closes a gate',
        defaultDescription: "the file's own",
      })
      .option('json', { type: 'boolean', default: false, describe: 'one JSON document on stdout, nothing else' })
      .example('$0 predict --model r.onnx cat.png dog.jpg', 'a table; images of other sizes are resized and cropped')
      .example('$0 predict --model r.onnx cat.png --thresholds 2,2,inf --json', 'other thresholds, as JSON') as never,
  handler: async (options) => {
    const { runPredict } = await import('./predict-commands.js');
    await runPredict(options);
  },
};
