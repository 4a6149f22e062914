import { InputError } from '../../errors.js';
import { dataTypes, type NodeMessage, type ValueInfoMessage } from '../proto.js';
import { inCurrentOpset } from './opsets.js';
import type { UserFile } from './read.js';

/** How images lie in memory: `first` [n, channels, height, width], `last` [n, height, width, channels]. */
export type ChannelPlace = 'first' | 'last';

/** A user's ONNX file, checked: one image goes in, one row of numbers comes out. */
export interface UserModel {
  readonly file: UserFile;
  readonly input: {
    readonly name: string;
    readonly channels: number;
    readonly height: number;
    readonly width: number;
    readonly order: ChannelPlace;
    /** Number of images that the file fixes; undefined if any number is allowed. */
    readonly batch: number | undefined;
  };
  /** Name of the value that holds a number for each class. */
  readonly logits: string;
  /** Version of ONNX's own operators in the file as it lies on the disk. */
  readonly opset: number;
}

/** Operators with subgraphs. */
const control = new Set(['If', 'Loop', 'Scan', 'SequenceMap']);
const sequences = /^(Sequence|SplitToSequence|ConcatFromSequence|Optional)/;
const random = /^(Random|Bernoulli|Multinomial)/;
const quantised = /^(QLinear|Quantize|Dequantize|DynamicQuantize|QGemm|QAttention|QMoE|MatMulNBits)|Integer(ToFloat)?$/;

/**
 * Checks everything that does not require running the model.
 *
 * @param logits name of the output, or of a value inside; the file's only output by default
 * @throws InputError with what to do
 */
export function checkUserModel(read: UserFile, logits?: string): UserModel {
  const { file, opset } = inCurrentOpset(read);
  const { model, path } = file;
  const problem = model.graph.node.map(unsupported).find((found) => found !== undefined);
  if (problem !== undefined) throw new InputError(`${path}: ${problem}`);
  if (model.graph.initializer.some(({ data_type }) => data_type === STRING)) {
    throw new InputError(`${path}: holds texts; valid: numbers only`);
  }
  return { file, input: checkInput(file), logits: chosenLogits(file, logits), opset };
}

const STRING = 8;

function unsupported(node: NodeMessage): string | undefined {
  const what = `${node.op_type} ${JSON.stringify(node.name || node.output[0])}`;
  if (control.has(node.op_type) || node.attribute.some(({ g }) => g != null)) {
    return `${what} is control flow; trace the network instead of scripting it, and run onnxsim over the file`;
  }
  if (quantised.test(node.op_type)) return `${what}: a quantised network; valid: the float32 one it was made from`;
  if (!['', 'ai.onnx', undefined].includes(node.domain)) {
    return `${what} of ${node.domain}: not ONNX's own; export again, without ONNX Runtime's optimiser behind it`;
  }
  if (random.test(node.op_type)) return `${what} draws numbers; export the network in evaluation mode: model.eval()`;
  if (sequences.test(node.op_type)) return `${what} makes a list of tensors; run onnxsim over the file`;
  return undefined;
}

function checkInput({ model, path }: UserFile): UserModel['input'] {
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
  if (type !== dataTypes.float) {
    const name = type === FLOAT16 ? 'float16' : `of type ${type}`;
    throw new InputError(`${where}: ${name}; valid: float32 (model.float() before the export)`);
  }
  const sizes = sizesOf(input);
  const [batch, a, b, c] = sizes;
  const shown = `[${sizes.map((size) => size ?? '?').join(', ')}]`;
  if (sizes.length !== 4) throw new InputError(`${where}: ${shown}; valid: [images, channels, height, width]`);
  const order = isChannels(a) ? 'first' : isChannels(c) ? 'last' : undefined;
  const [channels, height, width] = order === 'last' ? [c, a, b] : [a, b, c];
  if (channels === undefined || height === undefined || width === undefined) {
    const fix = `python -m onnxruntime.tools.make_dynamic_shape_fixed --input_name ${input.name} --input_shape 1,3,224,224`;
    throw new InputError(`${where}: ${shown}; valid: only the number of images may be open: ${fix}`);
  }
  if (order === undefined) throw new InputError(`${where}: ${shown}; valid: images of 1 or 3 channels`);
  if (height * width > MOST_PIXELS) throw new InputError(`${where}: ${shown}; valid: images of at most 4 megapixels`);
  return { name: input.name, channels, height, width, order, batch };
}

const FLOAT16 = 10;
/** Limit, because test images of this size are made to try the network. */
const MOST_PIXELS = 2 ** 22;
const isChannels = (size: number | undefined): boolean => size === 1 || size === 3;

/** Sizes that the file fixes. */
function sizesOf({ type }: ValueInfoMessage): (number | undefined)[] {
  return (type.tensor_type.shape?.dim ?? []).map((dim) => {
    const size = 'dim_value' in dim && dim.dim_value != null ? Number(dim.dim_value) : 0;
    return size > 0 ? size : undefined;
  });
}

function chosenLogits({ model, path }: UserFile, asked: string | undefined): string {
  const outputs = model.graph.output.map(({ name }) => name);
  if (asked !== undefined) {
    const known = model.graph.node.some(({ output }) => output.includes(asked));
    if (!known) throw new InputError(`${path}: logits ${asked}: no such value; valid: ${outputs.join(', ')}`);
    return asked;
  }
  if (outputs.length !== 1) {
    throw new InputError(`${path}: outputs ${outputs.join(', ')}; name the classes' one: logits (inspect: --logits)`);
  }
  return outputs[0]!;
}
