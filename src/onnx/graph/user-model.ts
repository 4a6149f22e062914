import { InputError } from '../../errors.js';
import { type GraphBuilder, Rewriter } from '../builder.js';
import { dataTypes, type GraphMessage, type NodeMessage, type TensorMessage, type ValueInfoMessage } from '../proto.js';
import { pastExits } from './exits.js';
import { inCurrentOpset, inFloat32, quantisedImageByImage } from './opsets.js';
import type { UserFile } from './read.js';
import { domains, type Format, formatTypes, outputsOf, producersOf, type Sizes } from './values.js';

/** A user's ONNX file, checked: one image goes in, one row of numbers comes out. */
export interface UserModel {
  readonly file: UserFile;
  /** As in the file; `value` is the graph's float32 input [n, channels, height, width] now. */
  readonly input: ImageInput & { readonly value: string };
  /** Name of the value that holds a number for each class. */
  readonly logits: string;
  /** The operator that turns these numbers into probabilities, left out. */
  readonly end: string | undefined;
  /** Version of ONNX's own operators in the file as it lies on the disk. */
  readonly opset: number;
  /** What was changed on reading, in words. */
  readonly notes: readonly string[];
}

/** What a user says of a file. */
export interface ModelOptions {
  /** Name of the output, or of a value inside; the file's only output by default. */
  readonly logits?: string | undefined;
  /** Height and width of the images, where the file leaves them open. */
  readonly inputSize?: readonly [height: number, width: number] | undefined;
}

/** Operators with subgraphs. */
const control = new Set(['If', 'Loop', 'Scan', 'SequenceMap']);
const sequences = /^(Sequence|SplitToSequence|ConcatFromSequence|Optional)/;
const random = /^(Random|Bernoulli|Multinomial)/;
/**
 * Checks everything that does not require running the model, and brings the graph to a form that the rest of dgate knows: a
 * current opset, float32 images [n, channels, height, width] in, numbers in front of a softmax out.
 *
 * @throws InputError with what to do
 */
export function checkUserModel(read: UserFile, options: ModelOptions = {}): UserModel {
  const notes: string[] = [];
  if (read.model.metadata_props?.some(({ key }) => key.startsWith('dgate.'))) {
    throw new InputError(`${read.path}: a file of dgate export; valid: the network that it was made of`);
  }
  const { file: current, opset } = inCurrentOpset(read);
  if (current.model.graph !== read.model.graph) notes.push(`opset ${opset} is brought to 17`);
  const file = quantisedImageByImage(inFloat32(pastExits(current, notes), notes), notes);
  const { model, path } = file;
  const problem = model.graph.node.map(unsupported).find((found) => found !== undefined);
  if (problem !== undefined) throw new InputError(`${path}: ${problem}`);
  if (model.graph.initializer.some(({ data_type }) => data_type === STRING)) {
    throw new InputError(`${path}: holds texts; valid: numbers only`);
  }
  const input = checkInput(file, options.inputSize);
  const output = chosenOutput(file, options.logits);
  const { value: logits, end } = beforeSoftmax(model.graph.node, output);
  if (end !== undefined) notes.push(`${logits}, which its ${end} reads, is taken for ${output}`);
  if (input.type === dataTypes.uint8)
    notes.push(`${input.name} takes bytes: preprocess 'bytes' passes pixels on as they are`);
  if (input.order === 'flat')
    notes.push(`${input.name} takes ${input.channels} x ${input.height} x ${input.width} in a row`);
  const { graph, value } = withFloatImages(model.graph, input);
  return { file: { ...file, model: { ...model, graph } }, input: { ...input, value }, logits, end, opset, notes };
}

const STRING = 8;

function unsupported(node: NodeMessage): string | undefined {
  const what = `${node.op_type} ${JSON.stringify(node.name || node.output[0])}`;
  if (control.has(node.op_type) || node.attribute.some(({ g }) => g != null)) {
    return `${what} is control flow; trace the network instead of scripting it, and run onnxsim over the file`;
  }
  if (!domains.has(node.domain))
    return `${what} of ${node.domain}: neither ONNX's own nor ONNX Runtime's; export without it`;
  if (random.test(node.op_type)) return `${what} draws numbers; export the network in evaluation mode: model.eval()`;
  if (sequences.test(node.op_type)) return `${what} makes a list of tensors; run onnxsim over the file`;
  return undefined;
}

function checkInput({ model, path }: UserFile, inputSize: ModelOptions['inputSize']): ImageInput {
  const weights = new Set(model.graph.initializer.map(({ name }) => name));
  const inputs = model.graph.input.filter(({ name }) => !weights.has(name));
  const [input] = inputs;
  if (input === undefined || inputs.length !== 1) {
    throw new InputError(
      `${path}: inputs ${inputs.map(({ name }) => name).join(', ') || 'none'}; valid: one, the images`,
    );
  }
  const where = `${path}: input ${input.name}`;
  const type = input.type?.tensor_type?.elem_type;
  if (!imageTypes.has(type)) {
    throw new InputError(`${where}: numbers of type ${type}; valid: float32, float16, float64, bfloat16 or uint8`);
  }
  const sizes = sizesOf(input);
  const shown = `[${sizes.map((size) => size ?? '?').join(', ')}]`;
  const found = imagesOf(sizes, inputSize);
  if (typeof found === 'string') throw new InputError(`${where}: ${shown}; valid: ${found}`);
  if (found.height * found.width > MOST_PIXELS) {
    throw new InputError(`${where}: ${shown}; valid: images of at most 4 megapixels`);
  }
  return { name: input.name, ...found, type, batch: sizes[0] };
}

type Images = Pick<ImageInput, 'channels' | 'height' | 'width' | 'order'>;
const OPEN =
  'only the number of images may be open: --input-size HEIGHTxWIDTH (inputSize: [HEIGHT, WIDTH]) fixes the rest';

/** How images lie in an input of some sizes. @returns what would be valid, if they cannot lie in it */
function imagesOf(sizes: readonly (number | undefined)[], inputSize: ModelOptions['inputSize']): Images | string {
  const [, a, b, c] = sizes;
  if (sizes.length === 2) return flatImages(a, inputSize);
  const order = sizes.length === 3 ? 'NHW' : isChannels(a) ? 'NCHW' : isChannels(c) ? 'NHWC' : undefined;
  if (sizes.length !== 3 && sizes.length !== 4) return '[images, channels, height, width]';
  if (order === undefined) {
    if (a === 4 || c === 4)
      return 'images of 1 or 3 channels: a fourth, such as opacity or infrared, is in no image file';
    return a === undefined && c === undefined
      ? `images of 1 or 3 channels, written in the file; ${OPEN}`
      : 'images of 1 or 3 channels';
  }
  const [channels, ...sides] = order === 'NHWC' ? [c, a, b] : order === 'NCHW' ? [a, b, c] : [1, a, b];
  const [height, width] = sides.map((side, i) => side ?? inputSize?.[i]);
  if (channels === undefined || height === undefined || width === undefined) return OPEN;
  if (inputSize !== undefined && (height !== inputSize[0] || width !== inputSize[1])) {
    return `--input-size ${height}x${width}, which the file fixes`;
  }
  return { channels, height, width, order };
}

/** Images that lie in a row: square ones, or of the given sides. */
function flatImages(count: number | undefined, inputSize: ModelOptions['inputSize']): Images | string {
  for (const channels of [1, 3]) {
    const [height, width] = inputSize ?? new Array<number>(2).fill(Math.sqrt((count ?? 0) / channels));
    const isWhole = Number.isInteger(height) && height! > 0;
    if (isWhole && channels * height! * width! === count)
      return { channels, height: height!, width: width!, order: 'flat' };
  }
  return '[images, channels, height, width], or as many pixels as a square image of 1 or 3 channels (or --input-size) has';
}

/** float32, uint8, float16; others are converted before. */
const imageTypes = new Set<number | undefined>([1, 2, 10]);
/** Limit, because test images of this size are made to try the network. */
const MOST_PIXELS = 2 ** 22;
const isChannels = (size: number | undefined): boolean => size === 1 || size === 3;

/** Sizes that the file fixes. */
function sizesOf({ type }: ValueInfoMessage): (number | undefined)[] {
  return (type?.tensor_type?.shape?.dim ?? []).map((dim) => {
    const size = 'dim_value' in dim && dim.dim_value != null ? Number(dim.dim_value) : 0;
    return size > 0 ? size : undefined;
  });
}

/** The output with the classes' numbers. */
function chosenOutput({ model, path }: UserFile, asked: string | undefined): string {
  const { output, node } = model.graph;
  const names = output.map(({ name }) => name);
  if (asked !== undefined) {
    const known = node.some((each) => outputsOf(each).includes(asked));
    if (!known) throw new InputError(`${path}: logits ${asked}: no such value; valid: ${names.join(', ')}`);
    return asked;
  }
  if (names.length !== 1) {
    const shown = output.map(
      (each) =>
        `${each.name} [${sizesOf(each)
          .map((size) => size ?? '?')
          .join(', ')}]`,
    );
    const rows = output.filter((each) => sizesOf(each).length === 2 && (sizesOf(each)[1] ?? 2) > 1);
    const likely = rows.find(({ name }) => /logit|class|prob|score|pred/i.test(name)) ?? rows[0] ?? output[0];
    const proposal = likely === undefined ? '' : `, perhaps --logits ${likely.name}`;
    throw new InputError(
      `${path}: outputs ${shown.join(', ')}; name the classes' one: logits (inspect: --logits)${proposal}`,
    );
  }
  const last = producersOf(node).get(names[0]!);
  if (last?.op_type === 'ArgMax' || last?.op_type === 'TopK') {
    const valid = `valid: a number for each class: --logits ${last.input[0]}`;
    throw new InputError(`${path}: ${names[0]} is the class itself (${last.op_type}); ${valid}`);
  }
  return names[0]!;
}

/** The order of an input's axes: `flat` is [images, channels x height x width]. */
export type InputOrder = 'NCHW' | 'NHWC' | 'NHW' | 'flat';

/** How images lie in a file's input. */
interface ImageInput {
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
function withFloatImages(
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
function beforeSoftmax(nodes: readonly NodeMessage[], output: string): { value: string; end?: string } {
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
