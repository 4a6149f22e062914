import { InputError } from '../../errors.js';
import { type GraphBuilder, Rewriter } from '../builder.js';
import { dataTypes, type GraphMessage, type NodeMessage, type TensorMessage } from '../proto.js';
import { type Format, formatTypes } from './formats.js';
import { producersOf, type Sizes } from './values.js';

/** The order of an input's axes: `flat` is [images, channels x height x width]. */
export type InputOrder = 'NCHW' | 'NHWC' | 'NHW' | 'flat';

/** How images lie in a file's input. */
export interface ImageInput {
  readonly name: string;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly order: InputOrder;
  /** TensorProto.DataType. */
  readonly type: number;
  /** Number of images that the file fixes; undefined if any number is allowed. */
  readonly batch: number | undefined;
}

/** Every graph takes float32 images [n, channels, height, width] under this name where its own input is otherwise. */
const IMAGES = 'dgate/images';

/**
 * Puts nodes before a graph's input that is not float32 [n, channels, height, width]. Whole numbers are bytes, 0 to 255.
 *
 * @returns the graph, and the name of its input now
 */
export function withFloatImages(
  graph: GraphMessage,
  { name, channels, height, width, order, type }: ImageInput,
): { readonly graph: GraphMessage; readonly value: string } {
  if (order === 'NCHW' && type === dataTypes.float) return { graph, value: name };
  const to = new Rewriter('input');
  const dim = ['batch', channels, height, width];
  to.input(IMAGES, 'float', dim);
  const steps: ((value: string, output?: string) => string)[] = [];
  if (order === 'NHWC') steps.push((value, out) => to.node('Transpose', [value], { perm: [0, 2, 3, 1] }, out));
  if (order === 'NHW') steps.push((value, out) => to.node('Squeeze', [value, to.ints('dgate/one', [1])], {}, out));
  if (order === 'flat') steps.push((value, out) => to.node('Flatten', [value], { axis: 1 }, out));
  if (type === dataTypes.uint8) steps.push((value, out) => to.node('Round', [value], {}, out));
  if (type !== dataTypes.float) steps.push((value, out) => to.node('Cast', [value], { to: type }, out));
  steps.reduce((value, step, i) => step(value, i === steps.length - 1 ? name : undefined), IMAGES);
  const { node, initializer, input } = to.graph();
  const all = { node: [...node, ...graph.node], initializer: [...graph.initializer, ...initializer], input };
  return { graph: { ...graph, ...all }, value: IMAGES };
}

/** Operators behind the classes' numbers that change neither their order nor their values. */
const carrying = new Set(['Identity', 'Cast', 'Flatten', 'Reshape', 'Squeeze', 'QuantizeLinear', 'DequantizeLinear']);
const MOST_CARRYING = 16;

/** What an output's numbers were before a softmax or a sigmoid; `end` is that operator. */
export function beforeSoftmax(nodes: readonly NodeMessage[], output: string): { value: string; end?: string } {
  const producers = producersOf(nodes);
  let name = output;
  for (let i = 0; i < MOST_CARRYING; i++) {
    const node = producers.get(name);
    const [input = ''] = node?.input ?? [];
    const end = /^(?:QLinear)?(Softmax|Sigmoid)$/.exec(node?.op_type ?? '')?.[1];
    // The rows of an old softmax (`opsets.ts`).
    const rows = producers.get(input);
    const value = rows?.op_type === 'Flatten' && input.startsWith('dgate/') ? rows.input[0]! : input;
    if (end !== undefined) return { value, end };
    if (node === undefined || !carrying.has(node.op_type)) break;
    name = input;
  }
  return { value: output };
}

/** The classes' numbers as float32 [n, classes]. */
export interface Logits {
  readonly name: string;
  readonly nodes: readonly NodeMessage[];
  readonly constants: readonly TensorMessage[];
  readonly shapes: readonly (readonly [string, Sizes])[];
  /** One number of a sigmoid became two classes. */
  readonly isPair: boolean;
}

/** Puts nodes behind the classes' numbers that are not float32 [n, classes]. @throws InputError if they cannot become so */
export function floatLogits(
  { path, logits, end }: { readonly path: string; readonly logits: string; readonly end: string | undefined },
  [one, two]: Sizes,
  format: Format,
): Logits {
  const [count = 0, ...rest] = one;
  const classes = rest.reduce((product, size) => product * size, 1);
  const isRow = rest.filter((size) => size !== 1).length <= 1 && two.slice(1).join() === rest.join();
  const isPair = classes === 1 && end === 'Sigmoid';
  if (count !== 1 || two[0] !== 2 || !isRow || (classes < 2 && !isPair)) {
    throw new InputError(
      `${path}: ${logits} is [${one.join(', ')}] for one image, [${two.join(', ')}] for two; valid: [images, classes], or one number of a Sigmoid (--logits names another value)`,
    );
  }
  const to = new Rewriter('logits');
  const wide = writeAsFloat(to, logits, format);
  const flat = one.length === 2 ? wide : to.node('Reshape', [wide, to.ints('dgate/row', [-1, classes])]);
  // Softmax of [0, z] is [1 - sigmoid(z), sigmoid(z)].
  const pair = (): string => to.node('Mul', [flat, to.constant('dgate/pair', Float32Array.of(0, 1), [1, 2])]);
  const name = isPair ? pair() : flat;
  const { node, initializer } = to.graph();
  const sizes = [isPair ? 2 : classes];
  const shapes = node.map(
    ({ output }) =>
      [
        output[0]!,
        [
          [1, ...sizes],
          [2, ...sizes],
        ],
      ] as const,
  );
  return { name, nodes: node, constants: initializer, shapes, isPair };
}

/** Writes a value as float32; 8-bit numbers as those that they stand for. @param named what a constant is called there */
export function writeAsFloat(
  to: GraphBuilder,
  value: string,
  { type, quantised }: Format,
  named: (constant: string) => string = (name) => name,
): string {
  if (type === formatTypes.float) return value;
  if (quantised === undefined) return to.node('Cast', [value], { to: formatTypes.float });
  return to.node('DequantizeLinear', [value, ...quantised.map(named)]);
}
