import { InputError } from '../../errors.js';
import { visible } from '../../escape.js';
import type { Exported } from '../../gated/export.js';
import { counted, percent } from '../../json.js';
import { searchMethods } from '../../thresholds/methods.js';
import { defineCommand, option } from '../command.js';
import { assertOut, optionOverrides, runOptions } from '../options.js';
import { printEither } from '../output.js';

export const exportCommand = defineCommand({
  command: 'export <experiment>',
  describe: 'write the gated network as one ONNX graph for any ONNX Runtime',
  options: {
    experiment: option.argument('a name (dgate list experiments) or a file (./mine.ts)'),
    out: option.text('the file to write', { demandOption: true }),
    row: option.whole("row of the table whose thresholds go in, counted from 1; a cross-fit's first half", {
      defaultDescription: '1',
    }),
    margin: option.decimal('the row by its accuracy margin: 0.007'),
    search: option.choice(
      searchMethods,
      'search of the row of --margin; the joint one never costs more on the choosing images',
      { defaultDescription: 'joint if it was made' },
    ),
    distances: option.flag("add an output `distances`: the exit's value for each class (logits at the last exit)"),
    ...runOptions,
    engine: option.text('engine for what is not cached (dgate list engines)'),
  },
  examples: {
    '$0 export table1 --out r.onnx --margin 0.007': 'the row that may lose 0.7 points',
    '$0 export ./mine.ts --out mine.onnx --row 3': 'the third row of its table',
  },
  epilogue:
    'In the graph: input images, uint8 [batch, 3 (grey: 1), height, width], raw pixels; input thresholds, ' +
    'float32 [gates]; outputs class, exit (0 for the first gate), confidence, one for each image. Classes, ' +
    'preprocessing, thresholds, origin and expected results are in its metadata (dgate.*).',
  run: async (options) => {
    assertOut(options.out, 'onnx');
    const { checkChoice, exportGated } = await import('../../gated/export.js');
    const { openContext } = await import('../context.js');
    const { resolveAll } = await import('../run-experiments.js');
    const [first, ...others] = await resolveAll([options.experiment], options, optionOverrides(options));
    if (others.length > 0) throw new InputError(`${options.experiment}: ${others.length + 1} experiments; valid: one`);
    const { experiment } = first!;
    checkChoice(experiment, options);
    const exported = await exportGated(await openContext(options), experiment, options);
    printEither(options.json, exported, renderExported(exported));
  },
});

export function renderExported(exported: Exported): string {
  const { file, bytes, sha256, experiment, preset, row, margin, search, kind } = exported;
  const { thresholds, choosing, expected, verified } = exported;
  const fold =
    choosing.folds > 1
      ? ` outside fold ${choosing.fold} of ${choosing.folds}; the table has the thresholds of every fold`
      : '';
  const original = expected.originalAccuracy;
  const lost = expected.accuracy === null ? 0 : original! - expected.accuracy;
  const warnings = [
    ...(margin !== null && lost > margin
      ? [
          `loses ${(100 * lost).toFixed(2)} points there, more than the margin: that was met on the images that chose; more of them are surer`,
        ]
      : []),
    ...(expected.flopsReduction < 0 ? ['costs more than the original: use that, or take another row'] : []),
  ];
  const right =
    expected.accuracy === null ? '' : `accuracy ${percent(expected.accuracy, 2)} (original ${percent(original!, 2)}), `;
  return [
    `${visible(file)}: ${(bytes / 1e6).toFixed(1)} MB, sha256 ${sha256.slice(0, 12)}`,
    `From        ${visible(experiment)}, preset ${preset}, row ${row} (${margin === null ? kind : `margin ${margin}, ${search} search`})`,
    `Thresholds  ${thresholds.map((value) => (value === null ? 'closed' : value.toFixed(4))).join(', ') || 'none: one exit'}`,
    `Chosen on   ${counted(choosing.images)} images${fold}`,
    `Expected    ${right}${(expected.flops / 1e9).toPrecision(3)} GFLOPs an image (${percent(expected.flopsReduction, 2)} fewer), ` +
      `exits ${expected.exits.map((share) => percent(share, 2)).join(', ')}; on ${counted(expected.images)} images`,
    ...warnings.map((warning) => `Warning     ${warning}`),
    `Verified    ${verified.same} of ${verified.images} test images the same class and exit as in the evaluation` +
      `${verified.near > 0 ? `, ${verified.near} within rounding of a threshold` : ''}`,
    '',
  ].join('\n');
}
