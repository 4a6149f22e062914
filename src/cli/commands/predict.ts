import { InputError } from '../../errors.js';
import { visible } from '../../escape.js';
import type { Predictions } from '../../gated/predict.js';
import type { RawOptions } from '../../gated/raw.js';
import { counted, decimalNumber } from '../../json.js';
import { defineCommand, type Given, option } from '../command.js';
import {
  assertPixels,
  graphOptions,
  jsonOption,
  normalisationFrom,
  numbersFrom,
  pixelOptions,
  sizeFrom,
} from '../options.js';
import { printEither } from '../output.js';

/** What a file of `dgate export` says itself. */
const rawOptions = {
  preprocess: option.text('how the network wants its pixels: torchvision-v2, timm, keras-tf, bytes, ...'),
  ...pixelOptions,
  ...graphOptions,
  classes: option.text('names of the classes: a dataset (dgate list datasets), or a file with one a line'),
};

export const predictCommand = defineCommand({
  command: 'predict <image...>',
  describe: 'class, exit and confidence of images, from a file of dgate export or another ONNX classifier',
  options: {
    image: option.argumentList('image files, or folders: all images below'),
    model: option.text('a file of dgate export needs no more; of others the options say the rest', {
      demandOption: true,
    }),
    thresholds: option.text('one per gate, separated by commas; inf closes a gate', {
      defaultDescription: "the file's own",
    }),
    ...rawOptions,
    json: jsonOption,
  },
  examples: {
    '$0 predict --model r.onnx cat.png dog.jpg': 'a table; images of other sizes are resized and cropped',
    '$0 predict --model r.onnx cat.png --thresholds 2,2,inf --json': 'other thresholds, as JSON',
    '$0 predict --model resnet50.onnx --preprocess torchvision-v2 --classes imagenet photos':
      "anybody's network; its own exits, if it has some, are taken",
  },
  run: async ({ model, image, thresholds, json, ...options }) => {
    const { predict } = await import('../../gated/predict.js');
    const { renderColumns } = await import('../../report/findings.js');
    const given = thresholds === undefined ? undefined : parseThresholds(thresholds);
    const { consoleProgress } = await import('../context.js');
    const predictions = await predict(model, image, given, await rawFrom(options), consoleProgress());
    printEither(json, predictions, () => {
      const { head, rows, note } = predictionCells(predictions);
      return `${renderColumns(head, rows)}\n${note}`;
    });
  },
});

/** @throws InputError */
export const parseThresholds = (text: string): number[] =>
  numbersFrom('thresholds', text, 'numbers or inf, one per gate', (part) =>
    /^inf(inity)?$/i.test(part) ? Number.POSITIVE_INFINITY : decimalNumber(part),
  );

/** What the options say of a file that dgate export has not written. @throws InputError */
async function rawFrom(options: Given<typeof rawOptions>): Promise<RawOptions> {
  const { preprocess, resize, interpolation, logits, inputSize, classes } = options;
  const numbers = normalisationFrom(options);
  if (preprocess !== undefined && numbers !== undefined) {
    throw new InputError('--preprocess and --mean, --std; valid: the name, or the numbers');
  }
  assertPixels('resize', resize);
  const size = inputSize === undefined ? undefined : sizeFrom(inputSize);
  const names = classes === undefined ? undefined : await classNames(classes);
  return { preprocess: preprocess ?? numbers, resize, interpolation, logits, inputSize: size, classes: names };
}

/** Names of the classes, from a dataset or a file with one a line. */
async function classNames(source: string): Promise<readonly string[]> {
  const { datasets } = await import('../../data/registry.js');
  const { readText } = await import('../../store/input.js');
  const known = datasets.find(({ name }) => name === source);
  return known?.classes ?? (await readText(source)).trim().split(/\r?\n/);
}

function predictionCells({ exits, predictions, input }: Predictions) {
  const rows = predictions.map((prediction) => [
    prediction.image,
    prediction.class,
    ...(exits === 1 ? [] : [prediction.exit === exits ? `${exits} (last)` : `${prediction.exit} of ${exits}`]),
    prediction.confidence.toFixed(4),
    prediction.ms.toFixed(2),
  ]);
  const resized = predictions.filter(({ resizedFrom }) => resizedFrom !== undefined);
  const head = ['Image', 'Class', ...(exits === 1 ? [] : ['Exit']), 'Confidence', 'Time (ms)'];
  return { head, rows, note: resized.length === 0 ? '' : resizeNote(resized, input) };
}

/** What became of images of other sizes, in one line. */
function resizeNote(
  resized: Predictions['predictions'],
  { width, height, resize, squash }: Predictions['input'],
): string {
  const [{ image, resizedFrom: from }] = resized as [Predictions['predictions'][0]];
  const one = `${visible(image)}: ${from!.width} x ${from!.height}`;
  const which = resized.length === 1 ? one : `${counted(resized.length)} images of other sizes`;
  return `${which}, ${squash ? 'both sides' : 'shorter side'} resized to ${resize}, cropped to ${width} x ${height}\n`;
}
