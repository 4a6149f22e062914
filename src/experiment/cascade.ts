import { z } from 'zod';
import { confidenceKinds } from '../gates/confidence.js';
import { insideGatesSchema } from './gates.js';
import { type OnnxNetworkChoice, onnxNetworkSchema, type ScoresChoice } from './own-network.js';
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

/** A network of a cascade; with gates inside, an image can leave at each of them as well. */
const cascadeMemberSchema = memberSchema.extend({
  /** Gates inside the network. */
  gates: insideGatesSchema.optional(),
});

/**
 * Networks on the same classes, one after the other: an image leaves after the first network whose confidence reaches its
 * threshold, or at a gate inside; the last network answers the rest. Nothing but such gates is trained.
 */
export const cascadeSchema = z.strictObject({
  kind: z.literal('cascade'),
  /** From the cheapest to the dearest; each prepares its pixels itself. */
  networks: list(cascadeMemberSchema, networks).min(2, { error: networks }),
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

type NetworkChoice = string | OnnxNetworkChoice | ScoresChoice | CascadeChoice;

/** Whether the network of an experiment is a cascade. */
export const isCascade = (network: NetworkChoice): network is CascadeChoice =>
  typeof network !== 'string' && network.kind === 'cascade';

/** Whether the network of an experiment is a file of scores. */
export const isScores = (network: NetworkChoice): network is ScoresChoice =>
  typeof network !== 'string' && network.kind === 'scores';

/** Whether gates are trained: of a cascade those inside its networks, if there are any; of a file of scores none. */
export const learns = (network: NetworkChoice): boolean =>
  !isScores(network) && (!isCascade(network) || network.networks.some(({ gates }) => gates !== undefined));

/** What a choice of thresholds is called: `dg(1.25)`, or `cascade(0.93)`. */
export const systemName = (chosen: NetworkChoice): 'cascade' | 'dg' => (isCascade(chosen) ? 'cascade' : 'dg');

/** What an experiment's network is called. */
export function networkLabel(chosen: NetworkChoice): string {
  if (isCascade(chosen)) return `cascade of ${chosen.networks.map((one) => networkLabel(one.network)).join(', ')}`;
  return typeof chosen === 'string' ? chosen : chosen.file;
}

/**
 * The definition with the exits of its cascade as gates, in the order of their cost. How many exits a file of scores has is
 * known once it is read: one stands for them all. Other definitions are unchanged.
 */
export function withDerivedGates(definition: Plain): Plain {
  const { network: chosen, gates } = definition;
  if (!isPlain(chosen) || (chosen['kind'] !== 'cascade' && chosen['kind'] !== 'scores') || gates !== undefined) {
    return definition;
  }
  const given: unknown = chosen['networks'];
  const members: readonly unknown[] = Array.isArray(given) ? given : [];
  const inside = members.map((member) => {
    const own = isPlain(member) && isPlain(member['gates']) ? member['gates']['after'] : undefined;
    return Array.isArray(own) ? own.length : 0;
  });
  // One exit behind each network but the last, and the gates inside.
  const count = inside.reduce((sum, own) => sum + own, Math.max(2, members.length) - 1);
  const after = Array.from({ length: count }, (_, i) => i + 1);
  return { ...definition, gates: { after, confidence: chosen['confidence'] ?? 'softmax' } };
}
