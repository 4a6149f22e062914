import type { Override } from '../../experiment/resolve.js';
import type { Experiment } from '../../experiment/schema.js';
import { percent } from '../../json.js';
import type { FrontierOptions } from '../../paper/index.js';
import { defineCommand, option } from '../command.js';
import { assertOut, optionOverrides, type RunOptions, runOptions } from '../options.js';
import { print } from '../output.js';

export const frontierCommand = defineCommand({
  command: 'frontier <experiment>',
  describe: 'the cheapest system for each accuracy: each network alone, cascades, cut and gated networks',
  options: {
    experiment: option.argument('a name (dgate list experiments) or a file (./mine.ts), with a cascade or gates'),
    margin: option.decimal('the largest loss of the system that comes with a promise: 0.005'),
    agreement: {
      type: 'boolean',
      describe: 'without labels: margin and promise concern agreement with the reference network',
    },
    out: option.text(
      'write the system with the promise to this file, as one ONNX graph; of a cross-fit the first half with a promise',
    ),
    ...runOptions,
  },
  examples: {
    '$0 frontier ./mine.ts': 'one table, frontier.csv and frontier.svg',
    '$0 frontier ./mine.ts --margin 0.005 --out best.onnx': 'the cheapest that loses half a point at most',
  },
  run: async (options) => {
    if (options.out !== undefined) assertOut(options.out, 'onnx');
    const { loadDefinition } = await import('../../experiment/load.js');
    const { parseSetting, resolveExperiment } = await import('../../experiment/resolve.js');
    const { paperExperiments } = await import('../../paper/index.js');
    const { runExperiments } = await import('../run-experiments.js');
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
    const settings = [...options.set.map(parseSetting), ...overrides];
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
  const { fromFold, onlyExits, openGated } = await import('../../gated/open.js');
  const { choosePromised, judged, referenceOf } = await import('../../paper/index.js');
  const { withFoundPlaces } = await import('../../run/plan.js');
  const { openContext } = await import('../context.js');
  const { renderExported } = await import('./export.js');
  const context = await openContext(options);
  const opened = await openGated(context, await withFoundPlaces(experiment));
  const analysis = experiment.analysis as FrontierOptions;
  const reference = referenceOf(opened.plan, analysis);
  const systems = opened.parts.slice(0, 2).map(({ selection }, i) => {
    const scores = judged(selection.scores, opened.plan, analysis);
    return choosePromised(opened.plan, { ...selection, scores }, analysis, experiment.seed + i);
  });
  const cheaper = systems.findIndex(({ exits }) => exits.join() !== `${reference}`);
  const fold = Math.max(cheaper, 0);
  const { drop } = analysis;
  const confidence = +(1 - (fold + 1) * (1 - analysis.confidence)).toFixed(9); // either half may err
  if (cheaper === -1) context.progress.note('nothing cheaper can be promised: the reference alone is written');
  if (fold === 1) {
    const sure = percent(confidence, 0);
    context.progress.note(
      `only thresholds for fold 2 can be promised: they are written; as the second try, with ${sure} confidence`,
    );
  }
  const of = analysis.labels ? ('accuracy' as const) : ('agreement' as const);
  const form = { out: options.out, preset: options.preset, promise: { drop, confidence, of } };
  const exported = await exportOpened(context, onlyExits(fromFold(opened, fold), systems[fold]!, reference), 0, form);
  if (!options.json) print(renderExported(exported));
}
