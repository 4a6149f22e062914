import { Rewriter } from '../builder.js';
import { dataTypes, type GraphMessage, type NodeMessage } from '../proto.js';
import type { UserFile } from './read.js';
import { producersOf } from './values.js';

/** Products of 8-bit numbers, and what they are of float32 ones; the weights' zero point follows that of the images. */
const products: Readonly<Record<string, string>> = { ConvInteger: 'Conv', MatMulInteger: 'MatMul' };

/**
 * `DynamicQuantizeLinear` takes one scale for all images that come together, so that each depends on the others. Here each
 * image gets its own, as if it came alone; its rounded numbers are multiplied as float32.
 */
export function quantisedImageByImage(file: UserFile, notes: string[]): UserFile {
  const { graph } = file.model;
  const producers = producersOf(graph.node);
  if (!graph.node.some(({ op_type }) => op_type === 'DynamicQuantizeLinear')) return file;
  const { opset_import: opsets, ir_version: irVersion } = file.model;
  const to = new Rewriter('dynamic', undefined, { opsets, irVersion });
  for (const node of graph.node) {
    const source = producers.get(node.input[0] ?? '');
    file.budget.steps(4);
    if (node.op_type === 'DynamicQuantizeLinear') writeScales(to, node);
    else if (Object.hasOwn(products, node.op_type) && source?.op_type === 'DynamicQuantizeLinear')
      writeProduct(to, node);
    else to.copy(node);
  }
  notes.push(
    'dynamic quantisation rounds each image by itself, with float32 products: its operator rounds a batch together',
  );
  const { node, initializer } = to.graph();
  const rewritten: GraphMessage = { ...graph, node, initializer: [...graph.initializer, ...initializer] };
  return { ...file, model: { ...file.model, graph: rewritten } };
}

/** ONNX's definition over all axes but the first: whole numbers from 0 to 255 as float32, scales and zero points [n, 1, ...]. */
function writeScales(to: Rewriter, { input, output }: NodeMessage): void {
  const [images = ''] = input;
  const number = (value: number): string => to.constant(`dgate/number${value}`, Float32Array.of(value), []);
  const [zero, most] = [number(0), number(255)];
  const [numbers, scale, start] = output as [string, string, string];
  // Over rows, [n, 1] and then [n, 1, ...]: the number of axes is not known here.
  const rows = to.node('Flatten', [images], { axis: 1 });
  const sizes = to.node('Shape', [images]);
  const rest = to.node('Slice', [
    to.node('Div', [sizes, sizes]),
    to.ints('dgate/from1', [1]),
    to.ints('dgate/end', [2 ** 31]),
  ]);
  const each = to.node('Concat', [to.ints('dgate/rest', [-1]), rest], { axis: 0 });
  const largestOf = (value: string): string => to.node('Reshape', [to.rowMaxima(to.node('Max', [value, zero])), each]);
  const [largest, least] = [largestOf(rows), largestOf(to.node('Neg', [rows]))];
  const range = to.node('Div', [to.node('Add', [largest, least]), most]);
  to.node('Max', [range, number(1e-30)], {}, scale);
  const clipped = to.node('Clip', [to.node('Div', [least, scale]), zero, most]);
  to.node('Round', [clipped], {}, start);
  const moved = to.node('Add', [to.node('Round', [to.node('Div', [images, scale])]), start]);
  to.node('Clip', [moved, zero, most], {}, numbers);
}

function writeProduct(to: Rewriter, node: NodeMessage): void {
  const [images = '', weights = '', start, zero] = node.input;
  const shifted = start === undefined || start === '' ? images : to.node('Sub', [images, start]);
  const one = to.constant('dgate/number1', Float32Array.of(1), []);
  // The weights' zero point may have one number for each channel; scales have as many.
  const whole = to.node('DequantizeLinear', [weights, one]);
  const real =
    zero === undefined || zero === ''
      ? whole
      : to.node('Sub', [whole, to.node('Cast', [zero], { to: dataTypes.float })]);
  to.copy({ ...node, op_type: products[node.op_type]!, input: [shifted, real] });
}
