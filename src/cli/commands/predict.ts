import { InputError } from '../../errors.js';
import { visible } from '../../escape.js';
import type { Predictions } from '../../gated/predict.js';
import { decimalNumber } from '../../json.js';
import { argumentList, defineCommand, jsonOption, textOption } from '../command.js';
import { printEither } from '../output.js';

export const predictCommand = defineCommand({
  command: 'predict <image...>',
  describe: 'class, exit and confidence of images, from a file written by dgate export',
  builder: (yargs) =>
    yargs
      .positional('image', argumentList('image files'))
      .option('model', { ...textOption('a file written by dgate export; nothing else is needed'), demandOption: true })
      .option('thresholds', {
        ...textOption('one per gate, separated by commas; inf closes a gate'),
        defaultDescription: "the file's own",
      })
      .option('json', jsonOption)
      .example('$0 predict --model r.onnx cat.png dog.jpg', 'a table; images of other sizes are resized and cropped')
      .example('$0 predict --model r.onnx cat.png --thresholds 2,2,inf --json', 'other thresholds, as JSON'),
  run: async ({ model, image, thresholds, json }) => {
    const { predict } = await import('../../gated/predict.js');
    const { renderColumns } = await import('../../report/findings.js');
    const given = thresholds === undefined ? undefined : parseThresholds(thresholds);
    const predictions = await predict(model, image, given);
    printEither(json, predictions, () => {
      const { head, rows, notes } = predictionCells(predictions);
      return `${renderColumns(head, rows)}\n${notes.join('')}`;
    });
  },
});

/** @throws InputError */
export function parseThresholds(text: string): number[] {
  const numbers = text.split(',').map((part) => {
    const trimmed = part.trim();
    return /^inf(inity)?$/i.test(trimmed) ? Number.POSITIVE_INFINITY : (decimalNumber(trimmed) ?? Number.NaN);
  });
  if (numbers.some((number) => Number.isNaN(number))) {
    throw new InputError(`--thresholds ${text}; valid: numbers or inf, one per gate, separated by commas`);
  }
  return numbers;
}

function predictionCells({ exits, predictions, input }: Predictions) {
  const rows = predictions.map((prediction) => [
    prediction.image,
    prediction.class,
    prediction.exit === exits ? `${exits} (last)` : `${prediction.exit} of ${exits}`,
    prediction.confidence.toFixed(4),
    prediction.ms.toFixed(2),
  ]);
  const resized = predictions.filter(({ resizedFrom }) => resizedFrom !== undefined);
  const notes = resized.map(({ image, resizedFrom }) => {
    const { width, height } = resizedFrom!;
    return `${visible(image)}: ${width} x ${height}, resized and cropped to ${input.width} x ${input.height}\n`;
  });
  const head = ['Image', 'Class', 'Exit', 'Confidence', 'Time (ms)'];
  return { head, rows, notes };
}
