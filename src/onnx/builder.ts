import {
  type AttributeMessage,
  attributeTypes,
  type DataType,
  dataTypes,
  encodeModel,
  type GraphMessage,
  type ModelMessage,
  type NodeMessage,
  type TensorMessage,
  type ValueInfoMessage,
} from './proto.js';

/** Value of a node's attribute: ints, strings, a float (`float(x)`) or a branch. */
type AttributeValue =
  | number
  | readonly number[]
  | string
  | { readonly float: number }
  | { readonly graph: GraphMessage };

/** Marks a number as a float attribute. */
export const float = (value: number): { readonly float: number } => ({ float: value });

export interface Dialect {
  readonly opsets: ModelMessage['opset_import'];
  readonly irVersion: number;
}

/** For every ONNX Runtime since 1.12. */
const OPSET = 17;
const defaultDialect: Dialect = { opsets: [{ domain: '', version: OPSET }], irVersion: 8 };

/** The operator versions of a file. */
export function dialectOfFile({ opset_import, ir_version }: ModelMessage): Dialect {
  const opsets = opset_import.map(({ domain, version }) => ({ domain: domain ?? '', version: Number(version) }));
  return { opsets, irVersion: Math.max(8, Number(ir_version)) };
}

export class GraphBuilder {
  readonly #nodes: NodeMessage[] = [];
  readonly #initializers: Map<string, TensorMessage>;
  readonly #inputs: ValueInfoMessage[] = [];
  readonly #outputs: ValueInfoMessage[] = [];
  readonly #values: ValueInfoMessage[] = [];
  readonly #parent: GraphBuilder | undefined;
  readonly #local = new Map<string, TensorMessage>();
  #count = 0;
  #prefix = '';

  constructor(
    readonly name: string,
    parent?: GraphBuilder,
    readonly dialect: Dialect = parent?.dialect ?? defaultDialect,
  ) {
    this.#parent = parent;
    this.#initializers = parent === undefined ? new Map() : parent.#initializers;
  }

  /** A branch of an `If` in this graph. It reads this graph's values; its constants lie in the outermost graph, once. */
  branch(name: string): GraphBuilder {
    return new GraphBuilder(name, this);
  }

  fresh(stem: string): string {
    return this.#parent === undefined ? `${stem}_${this.#count++}` : this.#parent.fresh(stem);
  }

  /** Declares an input; a string among the dimensions is an open size. */
  input(name: string, type: DataType, dims: readonly (number | string)[]): string {
    this.#inputs.push(valueInfo(name, type, dims));
    return name;
  }

  /** Declares an output. @param dims open by default, in a branch */
  output(name: string, type: DataType, dims?: readonly (number | string)[]): void {
    this.#outputs.push(valueInfo(name, type, dims));
  }

  /** Declares type and dimensions of an intermediate value. */
  value(name: string, type: DataType, dims: readonly (number | string)[]): void {
    this.#values.push(valueInfo(name, type, dims));
  }

  /** Adds a constant and returns its name. The data are copied when the file is encoded. */
  constant(name: string, data: Float32Array | BigInt64Array | Uint8Array, dims: readonly number[]): string {
    const type: DataType = data instanceof Float32Array ? 'float' : data instanceof BigInt64Array ? 'int64' : 'uint8';
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return this.tensor({ name, dims, data_type: dataTypes[type], raw_data: bytes });
  }

  /** Adds a constant, unless there is one of this name, and returns its name. */
  tensor(tensor: TensorMessage): string {
    const name = this.#prefix + tensor.name;
    if (!this.#initializers.has(name)) this.#initializers.set(name, { ...tensor, name });
    return name;
  }

  /** Prefixes the names of constants during `write`: weights of several networks may have the same names. */
  prefixed<T>(prefix: string, write: () => T): T {
    this.#prefix = prefix;
    try {
      return write();
    } finally {
      this.#prefix = '';
    }
  }

  /** Adds a constant to this branch instead of the outermost graph. */
  localTensor(tensor: TensorMessage): void {
    this.#local.set(tensor.name, tensor);
  }

  /** A constant vector of 64-bit integers: axes, shapes, starts. */
  ints(name: string, values: readonly number[]): string {
    return this.constant(name, BigInt64Array.from(values, BigInt), [values.length]);
  }

  node(
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, AttributeValue>> = {},
    output = this.fresh(op),
  ): string {
    this.nodes(op, inputs, attributes, [output]);
    return output;
  }

  nodes(
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, AttributeValue>>,
    outputs: readonly string[],
  ): void {
    this.copy({
      op_type: op,
      name: outputs[0]!,
      input: inputs,
      output: outputs,
      attribute: Object.entries(attributes).map(([name, value]) => attribute(name, value)),
    });
  }

  copy(node: NodeMessage): void {
    this.#nodes.push(node);
  }

  /** The largest number of each row, [rows, columns] to [rows]. */
  rowMaxima(input: string): string {
    const version = Number(this.dialect.opsets.find(({ domain }) => (domain ?? '') === '')?.version ?? OPSET);
    if (version < 18) return this.node('ReduceMax', [input], { axes: [1], keepdims: 0 });
    return this.node('ReduceMax', [input, this.ints('row_axis', [1])], { keepdims: 0 });
  }

  graph(): GraphMessage {
    return {
      name: this.name,
      node: this.#nodes,
      initializer: [...(this.#parent === undefined ? this.#initializers.values() : []), ...this.#local.values()],
      input: this.#inputs,
      output: this.#outputs,
      value_info: this.#values,
    };
  }

  encode(metadata: Readonly<Record<string, string>> = {}): Uint8Array {
    const { opsets, irVersion } = this.dialect;
    return encodeModel({
      ir_version: irVersion,
      producer_name: 'dgate',
      producer_version: '',
      opset_import: opsets,
      graph: this.graph(),
      metadata_props: Object.entries(metadata).map(([key, value]) => ({ key, value })),
    });
  }
}

/** Nodes and constants to add to a user's graph. @param name of the step, in all their names */
export class Rewriter extends GraphBuilder {
  override fresh(stem: string): string {
    return super.fresh(`dgate/${this.name}/${stem}`);
  }
}

function valueInfo(name: string, type: DataType, dims?: readonly (number | string)[]): ValueInfoMessage {
  const elem_type = dataTypes[type];
  // ONNX Runtime infers the dimensions; no shape differs from a shape with zero dimensions.
  if (dims === undefined) return { name, type: { tensor_type: { elem_type } } } as ValueInfoMessage;
  const dim = dims.map((size) => (typeof size === 'number' ? { dim_value: size } : { dim_param: size }));
  return { name, type: { tensor_type: { elem_type, shape: { dim } } } };
}

function attribute(name: string, value: AttributeValue): AttributeMessage {
  if (typeof value === 'number') return { name, type: attributeTypes.int, i: value };
  if (typeof value === 'string') return { name, type: attributeTypes.string, s: new TextEncoder().encode(value) };
  if ('graph' in value) return { name, type: attributeTypes.graph, g: value.graph };
  if ('float' in value) return { name, type: attributeTypes.float, f: value.float };
  return { name, type: attributeTypes.ints, ints: value };
}
