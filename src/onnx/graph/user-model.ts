import { InputError } from '../../errors.js';
import type { MapShape } from '../../networks/network.js';
import { type GraphBuilder, Rewriter } from '../builder.js';
import { dataTypes, type GraphMessage, type NodeMessage, type TensorMessage } from '../proto.js';
import { pastExits } from './exits.js';
import { takenApart } from './fused.js';
import { inCurrentOpset, quantisedImageByImage } from './opsets.js';
import { chosenOutput, shownSizes, sizesOf } from './outputs.js';
import { inFloat32, type UserFile } from './read.js';
import {
  beforeSoftmax,
  domains,
  type Format,
  inputsOf,
  intOf,
  neededNodes,
  producersOf,
  type Sizes,
} from './values.js';

/** A user's ONNX file, checked: it takes images and returns a row of numbers for each. */
export interface UserModel {
  readonly file: UserFile;
  /** The file's input; `value` is now the graph's float32 input [n, channels, height, width]. */
  readonly input: ImageInput & { readonly value: string };
  /** Name of the value with a number for each class. */
  readonly logits: string;
  /** The softmax or sigmoid behind it, which is left out. */
  readonly end: string | undefined;
  /** The file's opset. */
  readonly opset: number;
  /** What was changed on reading, in words. */
  readonly notes: readonly string[];
}

export interface ModelOptions {
  /** Name of the output, or of a value inside; the file's only output by default. */
  readonly logits?: string | undefined;
  /** Height and width of the images, where the file leaves them open. */
  readonly inputSize?: readonly [height: number, width: number] | undefined;
}

const control = /^(If|Loop|Scan|SequenceMap)$/;
const sequences = /^(Sequence|SplitToSequence|ConcatFromSequence|Optional)/;
const random = /^(Random|Bernoulli|Multinomial)/;

/**
 * Checks what can be checked without running the model, and converts the graph: to a current opset, float32 images [n,
 * channels, height, width], and the numbers in front of a softmax.
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
  const file = takenApart(quantisedImageByImage(inFloat32(pastExits(current, notes), notes), notes));
  const { model } = file;
  const input = checkInput(file, options.inputSize);
  const output = chosenOutput(file, options.logits);
  checkOperators(file, output);
  const { value: logits, end } = beforeSoftmax(model.graph.node, output);
  if (end !== undefined) notes.push(`${logits}, which its ${end} reads, is taken for ${output}`);
  const { name, channels, height, width } = input;
  if (input.type === dataTypes.uint8)
    notes.push(`${name} takes bytes: preprocess 'bytes' passes pixels on as they are`);
  if (input.order === 'flat') notes.push(`${name} takes ${channels} x ${height} x ${width} in a row`);
  const { graph, value } = withFloatImages(model.graph, input);
  return { file: { ...file, model: { ...model, graph } }, input: { ...input, value }, logits, end, opset, notes };
}

/** What the output does not need may be of any kind: names of classes, the class itself. @throws InputError */
function checkOperators({ model, path }: UserFile, output: string): void {
  const { node, initializer, input } = model.graph;
  const given = new Map([...input, ...initializer].map((each) => [each.name, each]));
  const needed = neededNodes(node, given, [output], path);
  const problem = needed.map(unsupported).find((found) => found !== undefined);
  if (problem !== undefined) throw new InputError(`${path}: ${problem}`);
  const texts = new Set(initializer.flatMap(({ name, data_type }) => (data_type === dataTypes.string ? [name] : [])));
  if (needed.some((each) => inputsOf(each).some((name) => texts.has(name)))) {
    throw new InputError(`${path}: holds texts; valid: numbers only`);
  }
}

function unsupported(node: NodeMessage): string | undefined {
  const what = `${node.op_type} ${JSON.stringify(node.name || node.output[0])}`;
  if (control.test(node.op_type) || node.attribute.some(({ g }) => g != null)) {
    return `${what} is control flow; trace the network instead of scripting it, and run onnxsim over the file`;
  }
  if (!domains.has(node.domain)) {
    return `${what} of ${node.domain}: neither ONNX's own nor ONNX Runtime's; export without it`;
  }
  if (random.test(node.op_type)) return `${what} draws numbers; export the network in evaluation mode: model.eval()`;
  if (sequences.test(node.op_type)) return `${what} makes a list of tensors; run onnxsim over the file`;
  return undefined;
}

function checkInput({ model, path }: UserFile, inputSize: ModelOptions['inputSize']): ImageInput {
  const weights = new Set(model.graph.initializer.map(({ name }) => name));
  const inputs = model.graph.input.filter(({ name }) => !weights.has(name));
  const [input] = inputs;
  if (input === undefined || inputs.length !== 1) {
    const names = inputs.map(({ name }) => name).join(', ') || 'none';
    throw new InputError(`${path}: inputs ${names}; valid: one, the images; make the others constants in the export`);
  }
  const where = `${path}: input ${input.name}`;
  const type = input.type?.tensor_type?.elem_type;
  if (!imageTypes.has(type)) {
    const [name = type] = Object.entries(dataTypes).find(([, each]) => each === type) ?? [];
    throw new InputError(`${where}: numbers of type ${name}; valid: float32, float16, float64, bfloat16 or uint8`);
  }
  const sizes = sizesOf(input);
  const shown = shownSizes(sizes);
  if (sizes.length === 4) sizes[1] ??= isChannels(sizes[3]) ? undefined : firstChannels(model.graph);
  const isAlone = sizes.length === 3 && (sizes[0] === 3 || isChannels(sizes[2]));
  const found = isAlone ? `${LAYOUT}: it takes one image without an axis of images` : imagesOf(sizes, inputSize);
  if (typeof found === 'string') throw new InputError(`${where}: ${shown}; valid: ${found}`);
  if (found.height * found.width > MOST_PIXELS) {
    throw new InputError(`${where}: ${shown}; valid: images of at most 4 megapixels`);
  }
  return { name: input.name, ...found, type, batch: sizes[0] };
}

/** The channels that the first convolution takes, for files that leave them open. */
function firstChannels({ node, initializer }: GraphMessage): number | undefined {
  const first = node.find(({ op_type }) => /Conv/.test(op_type));
  const producers = producersOf(node);
  const near = new Set((first?.input ?? []).slice(1).flatMap((name) => [name, ...(producers.get(name)?.input ?? [])]));
  const weight = initializer.find(({ name, dims }) => near.has(name) && dims.length === 4);
  return weight && Number(weight.dims[1]) * intOf(first!, 'group', 1);
}

type Images = Pick<ImageInput, 'channels' | 'height' | 'width' | 'order'>;
const LAYOUT = '[images, channels, height, width]';
const OPEN =
  'only the number of images may be open: --input-size HEIGHTxWIDTH (inputSize: [HEIGHT, WIDTH]) fixes the rest';

/** The layout of images in an input of these sizes. @returns what would be valid, if they do not fit */
function imagesOf(sizes: readonly (number | undefined)[], inputSize: ModelOptions['inputSize']): Images | string {
  const [, a, b, c] = sizes;
  if (sizes.length === 2) return flatImages(a, inputSize);
  const order = sizes.length === 3 ? 'NHW' : isChannels(a) ? 'NCHW' : isChannels(c) ? 'NHWC' : undefined;
  if (sizes.length !== 3 && sizes.length !== 4) return LAYOUT;
  if (order === undefined) {
    const valid = 'images of 1 or 3 channels';
    if (a === 4 || c === 4) return `${valid}: a fourth, such as opacity or infrared, is in no image file`;
    return a === undefined && c === undefined ? `${valid}, written in the file; ${OPEN}` : valid;
  }
  const [channels, ...sides] = order === 'NHWC' ? [c, a, b] : order === 'NCHW' ? [a, b, c] : [1, a, b];
  const [height, width] = sides.map((side, i) => side ?? inputSize?.[i]);
  if (channels === undefined || height === undefined || width === undefined) return OPEN;
  if (inputSize !== undefined && (height !== inputSize[0] || width !== inputSize[1])) {
    return `--input-size ${height}x${width}, which the file fixes`;
  }
  return { channels, height, width, order };
}

/** Images as a row of pixels: square ones, or of the given sides. */
function flatImages(count: number | undefined, inputSize: ModelOptions['inputSize']): Images | string {
  for (const channels of [1, 3]) {
    const [height, width] = inputSize ?? new Array<number>(2).fill(Math.sqrt((count ?? 0) / channels));
    const fits = Number.isInteger(height) && height! > 0 && channels * height! * width! === count;
    if (fits) return { channels, height: height!, width: width!, order: 'flat' };
  }
  return `${LAYOUT}, or as many pixels as a square image of 1 or 3 channels (or --input-size) has`;
}

/** Others have been converted. */
const imageTypes = new Set<number | undefined>([dataTypes.float, dataTypes.uint8, dataTypes.float16]);
/** A limit, because images of this size are generated to try the network. */
const MOST_PIXELS = 2 ** 22;
const isChannels = (size: number | undefined): boolean => size === 1 || size === 3;

interface ImageInput extends MapShape {
  readonly name: string;
  /** Its axes; `flat` is [images, channels x height x width]. */
  readonly order: 'NCHW' | 'NHWC' | 'NHW' | 'flat';
  /** TensorProto.DataType. */
  readonly type: number;
  /** Number of images that the file fixes; undefined if any number is allowed. */
  readonly batch: number | undefined;
}

/** The input that replaces one of another layout or type. */
const IMAGES = 'dgate/images';

/**
 * Makes a graph take float32 [n, channels, height, width]. Whole numbers are bytes, 0 to 255.
 *
 * @returns the graph, and the name of its input
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

/** The classes' numbers as float32 [n, classes]. */
interface Logits {
  readonly name: string;
  readonly nodes: readonly NodeMessage[];
  readonly constants: readonly TensorMessage[];
  readonly shapes: readonly (readonly [string, Sizes])[];
  /** Whether one number, that of a sigmoid, became two classes. */
  readonly isPair: boolean;
}

/** Brings the classes' numbers to float32 [n, classes]. @throws InputError if that is impossible */
export function floatLogits(
  { path, logits }: { readonly path: string; readonly logits: string },
  [one, two]: Sizes,
  format: Format,
): Logits {
  const [count = 0, ...rest] = one;
  const classes = rest.reduce((product, size) => product * size, 1);
  const isRow = rest.filter((size) => size !== 1).length <= 1 && two.slice(1).join() === rest.join();
  const isPair = classes === 1;
  if (count !== 1 || two[0] !== 2 || !isRow || classes < 1) {
    const found = `${logits} is [${one.join(', ')}] for one image, [${two.join(', ')}] for two`;
    const valid = 'valid: [images, classes] (--logits names another value)';
    throw new InputError(`${path}: ${found}; ${valid}`);
  }
  const to = new Rewriter('logits');
  const wide = writeAsFloat(to, logits, format);
  const flat = one.length === 2 ? wide : to.node('Reshape', [wide, to.ints('dgate/row', [-1, classes])]);
  // Softmax of [0, z] is [1 - sigmoid(z), sigmoid(z)].
  const pair = (): string => to.node('Mul', [flat, to.constant('dgate/pair', Float32Array.of(0, 1), [1, 2])]);
  const name = isPair ? pair() : flat;
  const { node, initializer } = to.graph();
  const sizes = [1, 2].map((images) => [images, isPair ? 2 : classes]) as [number[], number[]];
  const shapes = node.map(({ output }) => [output[0]!, sizes] as const);
  return { name, nodes: node, constants: initializer, shapes, isPair };
}

/** Writes a value as float32, dequantised. @param named renames the constants */
export function writeAsFloat(
  to: GraphBuilder,
  value: string,
  { type, quantised }: Format,
  named: (constant: string) => string = (name) => name,
): string {
  if (type === dataTypes.float) return value;
  if (quantised === undefined) return to.node('Cast', [value], { to: dataTypes.float });
  return to.node('DequantizeLinear', [value, ...quantised.map(named)]);
}
