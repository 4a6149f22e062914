import { z } from 'zod';
import { confidenceKinds } from '../gates/confidence.js';
import { type OnnxNetworkChoice, onnxNetworkSchema } from './own-network.js';
import { isPlain, type Plain } from './plain.js';
import { choice, type DeepReadonly, list, text } from './rules.js';

const network = "<architecture>-<dataset>, see: dgate list networks; or onnxNetwork('model.onnx')";
const networks = "at least two networks: [{ network: 'resnet20-cifar10' }, { network: 'resnet56-cifar10' }]";

/** A network with its weights. */
export const memberSchema = z.strictObject(
  {
    /** `<architecture>-<dataset>`, or `onnxNetwork('model.onnx')`. */
    network: z.union([text(network, /^\S+$/), onnxNetworkSchema], { error: network }),
    /** Id of a known checkpoint or the path of a file; the one that ships if absent. */
    checkpoint: text('a checkpoint id (dgate list checkpoints) or the path of a file', /./).optional(),
  },
  { error: "an object: { network: 'resnet20-cifar10', checkpoint }" },
);

/**
 * Networks on the same classes, one after the other: an image leaves after the first network whose confidence reaches its
 * threshold; the last network answers the rest. Nothing is trained.
 */
export const cascadeSchema = z.strictObject({
  kind: z.literal('cascade'),
  /** From the cheapest to the dearest; each prepares its pixels itself. */
  networks: list(memberSchema, networks).min(2, { error: networks }),
  /** What is held against the thresholds. */
  confidence: choice(confidenceKinds).default('softmax'),
});

export type CascadeDefinition = DeepReadonly<z.input<typeof cascadeSchema>>;
export type CascadeChoice = z.output<typeof cascadeSchema>;

/** Networks one after the other as an experiment's `network`. */
export function cascade(
  networks: CascadeDefinition['networks'],
  options: Omit<CascadeDefinition, 'kind' | 'networks'> = {},
): CascadeDefinition {
  return { kind: 'cascade', networks, ...options };
}

type NetworkChoice = string | OnnxNetworkChoice | CascadeChoice;

/** Whether the network of an experiment is a cascade. */
export const isCascade = (network: NetworkChoice): network is CascadeChoice =>
  typeof network !== 'string' && network.kind === 'cascade';

/** What a choice of thresholds is called: `dg(1.25)`, or `cascade(0.93)`. */
export const systemName = (chosen: NetworkChoice): 'cascade' | 'dg' => (isCascade(chosen) ? 'cascade' : 'dg');

/** What an experiment's network is called. */
export function networkLabel(chosen: NetworkChoice): string {
  if (isCascade(chosen)) return `cascade of ${chosen.networks.map((one) => networkLabel(one.network)).join(', ')}`;
  return typeof chosen === 'string' ? chosen : chosen.file;
}

/** The definition with the exits of its cascade as gates, one after each network but the last; others unchanged. */
export function withCascadeGates(definition: Plain): Plain {
  const { network: chosen, gates } = definition;
  if (!isPlain(chosen) || chosen['kind'] !== 'cascade' || gates !== undefined) return definition;
  const members: unknown = chosen['networks'];
  const count = Array.isArray(members) ? Math.max(2, members.length) : 2;
  const after = Array.from({ length: count - 1 }, (_, i) => i + 1);
  return { ...definition, gates: { after, confidence: chosen['confidence'] ?? 'softmax' } };
}
