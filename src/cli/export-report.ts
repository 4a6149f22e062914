import { visible } from '../escape.js';
import type { Exported } from '../gated/export.js';

/** The console report of an export. */
export function renderExported({
  file,
  bytes,
  sha256,
  experiment,
  preset,
  row,
  margin,
  search,
  kind,
  ...rest
}: Exported): string {
  const { thresholds, expected, verified } = rest;
  const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;
  return [
    `${visible(file)}: ${(bytes / 1e6).toFixed(1)} MB, sha256 ${sha256.slice(0, 12)}`,
    `From        ${visible(experiment)}, preset ${preset}, row ${row} (${margin === null ? kind : `margin ${margin}, ${search} search`})`,
    `Thresholds  ${thresholds.map((value) => (value === null ? 'closed' : value.toFixed(4))).join(', ')}`,
    `Expected    accuracy ${percent(expected.accuracy)} (original ${percent(expected.originalAccuracy)}), ` +
      `${(expected.flops / 1e9).toPrecision(3)} GFLOPs an image (${percent(expected.flopsReduction)} fewer), ` +
      `exits ${expected.exits.map(percent).join(', ')}; on ${expected.images.toLocaleString('en')} images`,
    `Verified    ${verified.same} of ${verified.images} test images the same class and exit as in the evaluation` +
      `${verified.near > 0 ? `, ${verified.near} within rounding of a threshold` : ''}`,
    '',
  ].join('\n');
}
