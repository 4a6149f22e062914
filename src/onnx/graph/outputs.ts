import { InputError } from '../../errors.js';
import type { ModelMessage, ValueInfoMessage } from '../proto.js';
import type { UserFile } from './read.js';
import { beforeSoftmax, outputsOf, producersOf } from './values.js';

/** Sizes of a value; undefined where the file leaves them open. */
export function sizesOf({ type }: ValueInfoMessage): (number | undefined)[] {
  return (type?.tensor_type?.shape?.dim ?? []).map((dim) => {
    const size = 'dim_value' in dim && dim.dim_value != null ? Number(dim.dim_value) : 0;
    return size > 0 ? size : undefined;
  });
}

export const shownSizes = (sizes: readonly (number | undefined)[]): string =>
  `[${sizes.map((size) => size ?? '?').join(', ')}]`;

export function chosenOutput({ model, path }: UserFile, asked: string | undefined): string {
  const { output, node } = model.graph;
  const names = output.map(({ name }) => name);
  if (asked !== undefined) {
    const known = node.some((each) => outputsOf(each).includes(asked));
    if (!known) throw new InputError(`${path}: logits ${asked}: no such value; valid: ${names.join(', ')}`);
    return asked;
  }
  if (names.length !== 1) {
    const shown = output.map((each) => `${each.name} ${shownSizes(sizesOf(each))}`);
    const likely = proposedOutput(model);
    const proposal = likely === undefined ? '' : `, perhaps --logits ${likely}`;
    const outputs = `outputs ${shown.join(', ')}`;
    throw new InputError(`${path}: ${outputs}; name the classes' one: logits (inspect: --logits)${proposal}`);
  }
  const last = producersOf(node).get(names[0]!);
  if (last?.op_type === 'ArgMax' || last?.op_type === 'TopK') {
    const valid = `valid: a number for each class: --logits ${last.input[0]}`;
    throw new InputError(`${path}: ${names[0]} is the class itself (${last.op_type}); ${valid}`);
  }
  return names[0]!;
}

/** Operators behind which the class itself is left, not its numbers. */
const choosing = /^(ArgMax|ArgMin|TopK|ArrayFeatureExtractor|LabelEncoder)$/;

/** The output that most likely holds a number for each class. scikit-learn's (`ZipMap`) is no tensor: what goes into it is. */
function proposedOutput({ graph }: ModelMessage): string | undefined {
  const producers = producersOf(graph.node);
  const found = graph.output.map((each) => {
    const made = producers.get(each.name);
    const [, classes = 2, ...others] = sizesOf(each);
    const isRow = sizesOf(each).length > 1 && classes > 1 && others.every((size) => size === 1);
    const isShare = beforeSoftmax(graph.node, each.name).end !== undefined;
    const isNamed = /logit|class|prob|score|pred/i.test(each.name);
    if (made?.op_type === 'ZipMap') return { name: made.input[0]!, likeliness: 9 };
    const isChosen = made !== undefined && choosing.test(made.op_type);
    return { name: each.name, likeliness: isChosen ? -1 : 4 * +isRow + 2 * +isShare + +isNamed };
  });
  return found.sort((a, b) => b.likeliness - a.likeliness)[0]?.name;
}
