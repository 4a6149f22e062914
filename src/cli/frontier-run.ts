import { InputError } from '../errors.js';
import { isCascade } from '../experiment/cascade.js';
import { loadDefinition } from '../experiment/load.js';
import { type Override, parseSetting, resolveExperiment } from '../experiment/resolve.js';
import type { Experiment } from '../experiment/schema.js';
import { exportGated } from '../gated/export.js';
import { choosePromised, type FrontierOptions } from '../paper/frontier.js';
import { paperExperiments } from '../paper/index.js';
import { partsOf } from '../run/search.js';
import { openStages } from '../run/stages.js';
import { renderExported } from './commands/export.js';
import { openContext } from './context.js';
import type { RunOptions } from './options.js';
import { print } from './output.js';
import { runExperiments } from './run-experiments.js';

interface FrontierCommand extends Omit<RunOptions, 'experiment' | 'seeds' | 'dryRun'> {
  readonly experiment: string;
  readonly margin: number | undefined;
  readonly out: string | undefined;
}

/** `dgate frontier`: runs the experiment with that analysis; with --out writes the system that comes with a promise. */
export async function findFrontier(options: FrontierCommand, given: readonly Override[]): Promise<void> {
  const { exported, where } = await loadDefinition(options.experiment);
  const kind = (exported as { analysis?: { kind?: unknown } } | undefined)?.analysis?.kind;
  const overrides: Override[] = [
    ...given,
    ...(kind === 'frontier' ? [] : [{ path: 'analysis', value: { kind: 'frontier' } }]),
    ...(options.margin === undefined ? [] : [{ path: 'analysis.drop', value: options.margin }]),
  ];
  const settings = [...options.set.map(parseSetting), ...overrides];
  const experiment = resolveExperiment(exported, where, options.preset, settings, paperExperiments);
  await runExperiments({ ...options, experiment: [options.experiment], seeds: undefined, dryRun: false }, overrides);
  if (options.out === undefined) return;
  const context = await openContext(options);
  const stages = await openStages(context, experiment);
  const scores = await stages.score(await stages.train(), experiment.gates.confidence);
  const [part] = partsOf(experiment, scores.test, scores.heldOut, stages.features.test.classes);
  const promised = experiment.analysis as FrontierOptions;
  const { exits, thresholds } = choosePromised(stages.plan, part!.selection, promised, experiment.seed);
  const winner = onlyThese(experiment, exits, thresholds);
  const { drop, confidence } = promised;
  const form = { out: options.out, preset: options.preset, promise: { drop, confidence } };
  const written = renderExported(await exportGated(context, winner, { ...form, row: 1 }));
  if (!options.json) print(written);
}

/** The experiment with some of its exits only and these thresholds. @throws InputError where that is one network alone */
function onlyThese(experiment: Experiment, exits: readonly number[], fixed: readonly number[]): Experiment {
  const { network, gates, thresholds } = experiment;
  const original = gates.after.length;
  const rest = {
    analysis: undefined,
    baselines: undefined,
    thresholds: { ...thresholds, margins: [], guarantee: undefined, fixed: [[...fixed]] },
  };
  if (isCascade(network) && exits.length > 1) {
    const after = exits.slice(1).map((_, i) => i + 1);
    const networks = exits.map((exit) => network.networks[exit]!);
    return { ...experiment, ...rest, network: { ...network, networks }, gates: { ...gates, after } };
  }
  if (!isCascade(network) && exits.length > 1 && exits.at(-1) === original) {
    const asked = exits.slice(0, -1);
    const { pooling } = gates;
    const own = { after: asked.map((gate) => gates.after[gate]!) };
    const pooled = Array.isArray(pooling) ? { pooling: asked.map((gate) => pooling[gate]!) } : {};
    return { ...experiment, ...rest, gates: { ...gates, ...own, ...pooled } };
  }
  const names = exits.map((exit) => exit + 1).join(', ');
  throw new InputError(
    `--out: the cheapest system with this promise is exit ${names} without another network or classifier behind it; ` +
      'valid: another --margin, or the network itself',
  );
}
