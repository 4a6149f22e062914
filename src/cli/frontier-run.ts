import { loadDefinition } from '../experiment/load.js';
import { type Override, parseSetting, resolveExperiment } from '../experiment/resolve.js';
import { exportOpened } from '../gated/export.js';
import { onlyExits, openGated } from '../gated/open.js';
import { choosePromised, type FrontierOptions, judged, referenceOf } from '../paper/frontier.js';
import { paperExperiments } from '../paper/index.js';
import type { Part } from '../run/search.js';
import { renderExported } from './commands/export.js';
import { openContext } from './context.js';
import type { RunOptions } from './options.js';
import { print } from './output.js';
import { runExperiments } from './run-experiments.js';

interface FrontierCommand extends Omit<RunOptions, 'experiment' | 'seeds' | 'dryRun'> {
  readonly experiment: string;
  readonly margin: number | undefined;
  readonly agreement: boolean | undefined;
  readonly out: string | undefined;
}

/** `dgate frontier`: runs the experiment with that analysis; with --out writes the system that comes with a promise. */
export async function findFrontier(options: FrontierCommand, given: readonly Override[]): Promise<void> {
  const { exported: definition, where } = await loadDefinition(options.experiment);
  const kind = (definition as { analysis?: { kind?: unknown } } | undefined)?.analysis?.kind;
  const overrides: Override[] = [
    ...given,
    ...(kind === 'frontier' ? [] : [{ path: 'analysis', value: { kind: 'frontier' } }]),
    // An analysis that is replaced takes its settings with it.
    ...options.set.map(parseSetting).filter(({ path }) => path.startsWith('analysis.')),
    ...(options.agreement === true ? [{ path: 'analysis.labels', value: false }] : []),
    ...(options.margin === undefined ? [] : [{ path: 'analysis.drop', value: options.margin }]),
  ];
  const settings = [...options.set.map(parseSetting), ...overrides];
  const experiment = resolveExperiment(definition, where, options.preset, settings, paperExperiments);
  await runExperiments({ ...options, experiment: [options.experiment], seeds: undefined, dryRun: false }, overrides);
  if (options.out === undefined) return;
  const context = await openContext(options);
  const opened = await openGated(context, experiment);
  const { plan, parts } = opened;
  const asked = experiment.analysis as FrontierOptions;
  const [{ selection }] = parts as [Part];
  const scores = judged(selection.scores, plan, asked);
  const system = choosePromised(plan, { ...selection, scores }, asked, experiment.seed);
  const reference = referenceOf(plan, asked);
  if (system.exits.join() === `${reference}`)
    context.progress.note('nothing cheaper can be promised: the reference alone is written');
  const { drop, confidence } = asked;
  const of = asked.labels ? ('accuracy' as const) : ('agreement' as const);
  const form = { out: options.out, preset: options.preset, promise: { drop, confidence, of } };
  const exported = await exportOpened(context, onlyExits(opened, system, reference), 0, form);
  if (!options.json) print(renderExported(exported));
}
