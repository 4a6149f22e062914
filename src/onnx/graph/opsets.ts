import { InputError } from '../../errors.js';
import { Rewriter } from '../builder.js';
import type { GraphMessage, ModelMessage, NodeMessage, TensorMessage } from '../proto.js';
import type { UserFile } from './read.js';
import { attributeOf, floatsOf, intOf, intsOf, textOf } from './values.js';

/** Opset versions that are read. */
const [LEAST_OPSET, MOST_OPSET] = [7, 25];
/** Older graphs are brought to this one; dgate's own nodes are valid from opset 13 on. */
const [OWN_OPSET, TARGET_OPSET] = [13, 17];
/** IR versions before 4 demand that initializers are inputs; dgate writes no older one than 8. */
const LEAST_IR = 8;

/** What a rule knows besides its node. */
interface Source {
  readonly opset: number;
  /** Whether the file has floating-point numbers other than float32. */
  readonly hasOtherFloats: boolean;
  readonly constants: ReadonlyMap<string, TensorMessage>;
}

/** Writes a node's successor. @returns why there is none, if so */
type Rule = (node: NodeMessage, to: Rewriter, source: Source) => string | undefined;

/** Operators that an opset before 14 defines otherwise than opset 17, the first version without the difference, and the change. */
const rules: Readonly<Record<string, readonly [version: number, rule: Rule]>> = {
  Squeeze: [13, movedInts('axes')],
  Unsqueeze: [13, movedInts('axes')],
  ReduceSum: [13, movedInts('axes')],
  Split: [13, movedInts('split')],
  Slice: [10, movedInts('starts', 'ends', 'axes')],
  TopK: [10, movedInts('k')],
  Clip: [11, clip],
  Pad: [11, pad],
  Softmax: [13, overTwoAxes],
  LogSoftmax: [13, overTwoAxes],
  Hardmax: [13, overTwoAxes],
  // In evaluation mode; the mask that it may also return has no use then.
  Dropout: [12, copied('Identity')],
  BatchNormalization: [14, batchNormalization],
  Upsample: [10, resize],
  Resize: [13, resize],
  Scatter: [11, copied('ScatterElements')],
};

/**
 * Brings the graph of a file to an opset and IR version that the rest of dgate knows: opsets 7 to 12 by the rules above, to 17.
 *
 * @throws InputError for other opsets, or naming an operator that cannot be brought up
 */
export function inCurrentOpset(file: UserFile): { readonly file: UserFile; readonly opset: number } {
  const { model, path } = file;
  const isOwn = ({ domain }: { domain?: string }): boolean => isOwnDomain(domain);
  const opset = Number(model.opset_import.find(isOwn)?.version ?? 1);
  if (opset < LEAST_OPSET || opset > MOST_OPSET) {
    throw new InputError(`${path}: opset ${opset}; valid: ${LEAST_OPSET} to ${MOST_OPSET}: export again with opset 17`);
  }
  const ir_version = Math.max(LEAST_IR, Number(model.ir_version));
  if (opset >= OWN_OPSET) return { file: { ...file, model: { ...model, ir_version } }, opset };
  const hasOtherFloats = model.graph.initializer.some(({ data_type }) => otherFloats.has(data_type));
  const constants = new Map(model.graph.initializer.map((tensor) => [tensor.name, tensor]));
  for (const node of model.graph.node) {
    const value = node.op_type === 'Constant' ? attributeOf(node, 'value')?.t : undefined;
    if (value != null) constants.set(node.output[0]!, value);
  }
  const graph = upgraded(model.graph, { opset, hasOtherFloats, constants }, file, 'opset');
  const others = model.opset_import.filter((each) => !isOwn(each));
  const opset_import: ModelMessage['opset_import'] = [{ domain: '', version: TARGET_OPSET }, ...others];
  return { file: { ...file, model: { ...model, ir_version, opset_import, graph } }, opset };
}

/** Whether a domain is that of ONNX's own operators. */
export const isOwnDomain = (domain: string | undefined): boolean =>
  domain === undefined || /^(ai\.onnx)?$/.test(domain);

/** float16, float64, bfloat16 */
const otherFloats = new Set([10, 11, 16]);

function upgraded(graph: GraphMessage, source: Source, file: UserFile, name: string): GraphMessage {
  const to = new Rewriter(name);
  for (const [index, node] of graph.node.entries()) {
    const attribute = (node.attribute ?? []).map((each, i) =>
      each.g == null ? each : { ...each, g: upgraded(each.g, source, file, `${name}/${index}.${i}`) },
    );
    const found = isOwnDomain(node.domain) && Object.hasOwn(rules, node.op_type) ? rules[node.op_type] : undefined;
    if (found === undefined || source.opset >= found[0]) {
      to.copy({ ...node, attribute });
      continue;
    }
    // A rule writes a few nodes and constants at most.
    file.budget.steps(8);
    const problem = found[1]({ ...node, attribute }, to, source);
    if (problem !== undefined) {
      const what = `${node.op_type} ${JSON.stringify(node.name || node.output[0])}`;
      throw new InputError(`${file.path}: ${what} of opset ${source.opset}: ${problem}; valid: opset 13 or newer`);
    }
  }
  const { node, initializer } = to.graph();
  return { ...graph, node, initializer: [...graph.initializer, ...initializer] };
}

/** The attributes of a node, without some. */
const without = ({ attribute }: NodeMessage, ...names: readonly string[]) =>
  attribute.filter(({ name }) => !names.includes(name));

/** Another operator that does the same. */
function copied(op_type: string): Rule {
  return (node, to) => {
    const isSame = op_type !== 'Identity';
    const [input, output] = isSame ? [node.input, node.output] : [node.input.slice(0, 1), node.output.slice(0, 1)];
    to.copy({ ...node, op_type, input, output, attribute: isSame ? node.attribute : [] });
    return undefined;
  };
}

/** Attributes that became inputs, in their order: whole numbers. */
function movedInts(...names: readonly string[]): Rule {
  return (node, to) => {
    const moved = names.map((name) => {
      const values = attributeOf(node, name)?.ints ?? [];
      const single = attributeOf(node, name)?.i;
      if (values.length > 0) return to.ints(to.fresh(name), values.map(Number));
      return single === undefined || name !== 'k' ? '' : to.ints(to.fresh(name), [Number(single)]);
    });
    while (moved.at(-1) === '') moved.pop();
    to.copy({ ...node, input: [node.input[0]!, ...moved], attribute: without(node, ...names) });
    return undefined;
  };
}

/** A number in the type of a value. */
function numberLike(to: Rewriter, value: number, like: string, { hasOtherFloats }: Source): string {
  const constant = to.constant(to.fresh('number'), Float32Array.of(value), []);
  return hasOtherFloats ? to.node('CastLike', [constant, like]) : constant;
}

function clip(node: NodeMessage, to: Rewriter, source: Source): undefined {
  const bounds = ['min', 'max'].map((name) => {
    const bound = attributeOf(node, name)?.f;
    return bound === undefined ? '' : numberLike(to, bound, node.input[0]!, source);
  });
  to.copy({ ...node, input: [node.input[0]!, ...bounds], attribute: [] });
}

function pad(node: NodeMessage, to: Rewriter, source: Source): undefined {
  const value = attributeOf(node, 'value')?.f ?? 0;
  const input = [node.input[0]!, to.ints(to.fresh('pads'), intsOf(node, 'pads') ?? [])];
  if (value !== 0) input.push(numberLike(to, value, node.input[0]!, source));
  to.copy({ ...node, input, attribute: without(node, 'pads', 'value') });
}

/** Before opset 13 the axes from `axis` on were one, those before it another. */
function overTwoAxes(node: NodeMessage, to: Rewriter): undefined {
  const [input = ''] = node.input;
  const axis = intOf(node, 'axis', 1);
  if (axis === -1) {
    to.copy(node);
    return;
  }
  const rows = to.node(node.op_type, [to.node('Flatten', [input], { axis })], { axis: -1 });
  to.node('Reshape', [rows, to.node('Shape', [input])], {}, node.output[0]);
}

function batchNormalization(node: NodeMessage, to: Rewriter): string | undefined {
  if (intOf(node, 'spatial', 1) !== 1) return 'normalises each pixel by itself (spatial 0)';
  to.copy({ ...node, output: node.output.slice(0, 1), attribute: without(node, 'spatial') });
  return undefined;
}

/** `Upsample` and `Resize` before opset 11 scaled from the corner; later ones say how. */
function resize(node: NodeMessage, to: Rewriter, { opset, constants }: Source): string | undefined {
  const how = textOf(node, 'coordinate_transformation_mode');
  if (how === 'tf_half_pixel_for_nn') return `the coordinates ${how} were given up`;
  if (opset >= 11) {
    to.copy(node);
    return undefined;
  }
  const moved = attributeOf(node, 'scales')?.floats ?? [];
  const scales =
    moved.length === 0 ? node.input[1] : to.constant(to.fresh('scales'), Float32Array.from(moved), [moved.length]);
  if (scales === undefined) return 'has no scales';
  const factors = moved.length === 0 ? (floatsOf(constants.get(scales)) ?? []) : moved;
  // ONNX Runtime rounds up where an axis gets shorter; a newer operator rounds all axes alike.
  const nearest_mode = factors.some((factor) => factor < 1) ? 'ceil' : 'floor';
  if (nearest_mode === 'ceil' && factors.some((factor) => factor > 1)) return 'scales one axis up and another down';
  const mode = textOf(node, 'mode') ?? 'nearest';
  const corner = { coordinate_transformation_mode: 'asymmetric', nearest_mode };
  to.node(
    'Resize',
    [node.input[0]!, '', scales],
    { mode: mode === 'bilinear' ? 'linear' : mode, ...corner },
    node.output[0],
  );
  return undefined;
}
