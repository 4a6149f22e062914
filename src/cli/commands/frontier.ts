import type { Override } from '../../experiment/resolve.js';
import type { Experiment } from '../../experiment/schema.js';
import type { FrontierOptions } from '../../paper/index.js';
import {
  argument,
  decimalOption,
  defineCommand,
  optionOverrides,
  type RunOptions,
  runOptions,
  textOption,
} from '../command.js';
import { print } from '../output.js';

export const frontierCommand = defineCommand({
  command: 'frontier <experiment>',
  describe: 'the cheapest system for each accuracy: each network alone, cascades, cut and gated networks',
  builder: (yargs) =>
    yargs
      .positional(
        'experiment',
        argument('a name (dgate list experiments) or a file (./mine.ts), with a cascade or gates'),
      )
      .option('margin', decimalOption('the largest loss of the system that comes with a promise: 0.005'))
      .option('agreement', {
        type: 'boolean',
        describe: 'without labels: margin and promise concern agreement with the reference network',
      })
      .option(
        'out',
        textOption("write the system with the promise to this file, as one ONNX graph; a cross-fit's first half"),
      )
      .options(runOptions)
      .example('$0 frontier ./mine.ts', 'one table, frontier.csv and frontier.svg')
      .example('$0 frontier ./mine.ts --margin 0.005 --out best.onnx', 'the cheapest that loses half a point at most'),
  run: async (options) => {
    const { loadDefinition } = await import('../../experiment/load.js');
    const { parseSetting, resolveExperiment } = await import('../../experiment/resolve.js');
    const { paperExperiments } = await import('../../paper/index.js');
    const { runExperiments, settingsIn } = await import('../run-experiments.js');
    const { exported, where } = await loadDefinition(options.experiment);
    const kind = (exported as { analysis?: { kind?: unknown } } | undefined)?.analysis?.kind;
    const overrides: Override[] = [
      ...optionOverrides(options),
      ...(kind === 'frontier' ? [] : [{ path: 'analysis', value: { kind: 'frontier' } }]),
      // Repeated: the line above drops the settings of the analysis that it replaces.
      ...options.set.map(parseSetting).filter(({ path }) => path.startsWith('analysis.')),
      ...(options.agreement === true ? [{ path: 'analysis.labels', value: false }] : []),
      ...(options.margin === undefined ? [] : [{ path: 'analysis.drop', value: options.margin }]),
    ];
    const settings = settingsIn(options.set, overrides);
    const experiment = resolveExperiment(exported, where, options.preset, settings, paperExperiments);
    await runExperiments({ ...options, experiment: [options.experiment], seeds: undefined, dryRun: false }, overrides);
    if (options.out !== undefined) await exportPromised(experiment, { ...options, out: options.out });
  },
});

/** Exports the cheapest system that comes with a promise. */
async function exportPromised(
  experiment: Experiment,
  options: Pick<RunOptions, 'cache' | 'results' | 'preset' | 'json'> & { readonly out: string },
): Promise<void> {
  const { exportOpened } = await import('../../gated/export.js');
  const { onlyExits, openGated } = await import('../../gated/open.js');
  const { choosePromised, judged, referenceOf } = await import('../../paper/index.js');
  const { withFoundPlaces } = await import('../../run/plan.js');
  const { openContext } = await import('../context.js');
  const { renderExported } = await import('./export.js');
  const context = await openContext(options);
  const opened = await openGated(context, await withFoundPlaces(experiment));
  const analysis = experiment.analysis as FrontierOptions;
  const { selection } = opened.parts[0]!;
  const scores = judged(selection.scores, opened.plan, analysis);
  const system = choosePromised(opened.plan, { ...selection, scores }, analysis, experiment.seed);
  const reference = referenceOf(opened.plan, analysis);
  if (system.exits.join() === `${reference}`) {
    context.progress.note('nothing cheaper can be promised: the reference alone is written');
  }
  const { drop, confidence } = analysis;
  const of = analysis.labels ? ('accuracy' as const) : ('agreement' as const);
  const form = { out: options.out, preset: options.preset, promise: { drop, confidence, of } };
  const exported = await exportOpened(context, onlyExits(opened, system, reference), 0, form);
  if (!options.json) print(renderExported(exported));
}
