import { InputError } from '../errors.js';
import { visible } from '../escape.js';
import { type Predictions, predict } from '../gated/predict.js';
import { decimalNumber } from '../numbers.js';
import { renderColumns } from '../report/columns.js';
import { print, printJson } from './output.js';
import type { PredictOptions } from './predict.js';

/** `dgate predict`. */
export async function runPredict({ model, image, thresholds, json }: PredictOptions): Promise<void> {
  const given = thresholds === undefined ? undefined : parseThresholds(thresholds);
  const predictions = await predict(model, image, given);
  if (json) printJson(predictions);
  else print(renderPredictions(predictions));
}

/** @throws InputError */
export function parseThresholds(text: string): number[] {
  const numbers = text.split(',').map((part) => {
    const trimmed = part.trim();
    return /^inf(inity)?$/i.test(trimmed) ? Number.POSITIVE_INFINITY : (decimalNumber(trimmed) ?? Number.NaN);
  });
  if (numbers.some((number) => Number.isNaN(number))) {
    throw new InputError(`--thresholds ${text}; valid: numbers or inf, comma between, one for each gate`);
  }
  return numbers;
}

function renderPredictions({ exits, predictions, input }: Predictions): string {
  const rows = predictions.map((found) => [
    found.image,
    found.class,
    found.exit === exits ? `${exits} (last)` : `${found.exit} of ${exits}`,
    found.confidence.toFixed(4),
    found.ms.toFixed(2),
  ]);
  const resized = predictions.filter(({ resizedFrom }) => resizedFrom !== undefined);
  const note = resized.map(({ image, resizedFrom }) => {
    const { width, height } = resizedFrom!;
    return `${visible(image)}: ${width} x ${height}, resized and cropped to ${input.width} x ${input.height}\n`;
  });
  const head = ['Image', 'Class', 'Exit', 'Confidence', 'Time (ms)'];
  return `${renderColumns(head, rows)}\n${note.join('')}`;
}
