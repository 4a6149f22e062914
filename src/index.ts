import type { PresetName } from './experiment/presets.js';
import type { DeepReadonly } from './experiment/rules.js';
import type { ExperimentInput } from './experiment/schema.js';
import type { AnalysisDefinition } from './paper/index.js';

export { cascade } from './experiment/cascade.js';
export { imageFolder, onnxNetwork, scores } from './experiment/own-network.js';
export type { PresetName };

type GatesInput = DeepReadonly<ExperimentInput>['gates'];

/** What an experiment is, as a user writes it. Everything but name, title, network, gates and thresholds has a default. */
export interface ExperimentDefinition extends Omit<DeepReadonly<ExperimentInput>, 'gates'> {
  /** Left out of a cascade, whose exits are its networks. `search`: at all places, which the analysis `places` compares. */
  readonly gates?: GatesInput | 'search' | (Omit<GatesInput, 'after'> & { readonly after: 'search' });
  /** What else the scores are studied for: the paper's figures and comparisons. With one, `margins` and `fixed` may be empty. */
  readonly analysis?: AnalysisDefinition;
  /** What differs in each size of run. Without an entry, `laptop` is the definition unchanged. */
  readonly presets?: Readonly<Partial<Record<PresetName, Overrides>>>;
}

type DeepPartial<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { readonly [K in keyof T]?: DeepPartial<T[K]> }
    : T;

/** A part of a definition that replaces what stands there; lists are replaced whole. */
export type Overrides = DeepPartial<Omit<ExperimentDefinition, 'name' | 'presets'>>;

/**
 * Declares an experiment. Returns its argument; it is there for the types and for completion in an editor.
 *
 * @example
 * export default defineExperiment({
 *   name: 'mine', title: 'Two gates', network: 'resnet56-cifar10',
 *   gates: { after: [1, 2], pooling: '4x4' }, thresholds: { margins: [0.01] },
 * });
 */
export function defineExperiment(definition: ExperimentDefinition): ExperimentDefinition {
  return definition;
}
